"""What teams did after an incident: reviews, and what the reviews asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from toolkit.synthetic.chance import lognormal, stream
from toolkit.synthetic.things import Outage, World

__all__ = ["Item", "Retrospective", "retrospectives"]

# Sev by sev, the share that anybody looks back on.
REVIEWED = {"sev1": 0.95, "sev2": 0.75, "sev3": 0.3, "sev4": 0.06}
KINDS = {"prevent": 5, "detect": 3, "mitigate": 2, "process": 2, "automation": 2, "test": 4, "runbook": 2, "monitoring": 3}
TITLES = {
    "prevent": "Refuse the input that broke {part}",
    "detect": "Alert on {part} before customers write",
    "mitigate": "Kill switch for {part}",
    "process": "Two people for changes of {part} on Fridays",
    "automation": "Roll {part} back without a person",
    "test": "Acceptance test for {part}",
    "runbook": "Write down how to restore {part}",
    "monitoring": "=Dashboard(of {part})",
}


@dataclass(frozen=True)
class Item:
    """One thing that was asked for; closed: when it was done, if it was."""

    kind: str | None
    title: str
    created: datetime
    due: datetime | None
    closed: datetime | None
    owner: str


@dataclass
class Retrospective:
    """A look back on an outage. fate: in time, late or never (by the fifth working day after recovery)."""

    outage: Outage
    fate: str
    held: datetime
    published: datetime | None
    items: list[Item] = field(default_factory=list)


def retrospectives(world: World) -> Iterator[Retrospective]:
    """Of the outages in production that came to an end, in order."""
    for outage in world.outages:
        over = outage.recovered
        real = outage.environment == "production" and not outage.planned and outage.duplicate_of is None and not outage.forgotten
        if not real or over is None or outage.closed is None or outage.closed >= world.end:
            continue
        rng = stream(world.seed, outage.id, "review")
        if rng.random() < REVIEWED[outage.severity]:
            found = _retrospective(rng, outage, over, outage.closed, world.end)
            if found is not None:
                yield found


def _retrospective(rng: Random, outage: Outage, over: datetime, closed: datetime, end: datetime) -> Retrospective | None:
    luck = rng.random()
    fate = "in time" if luck < 0.64 else "late" if luck < 0.93 else "never"
    # A day of margin on both sides: tools do not agree to the hour on when an incident was over.
    days, after = (rng.randint(1, 4), over) if fate == "in time" else (rng.randint(7, 14), closed)
    day = _working_days_after(after, days)
    published = day.replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(minutes=rng.randrange(420))
    held = published - timedelta(minutes=rng.randrange(60, 200))
    if held >= end:
        return None
    found = Retrospective(outage, fate, held, published if fate != "never" and published < end else None)
    if found.published:
        found.items = [_item(rng, outage, published, end) for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))]
    return found


def _working_days_after(at: datetime, days: int) -> datetime:
    while days:
        at += timedelta(days=1)
        days -= at.weekday() < 5
    return at


def _item(rng: Random, outage: Outage, asked: datetime, end: datetime) -> Item:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    due = asked.replace(hour=17, minute=0, second=0) + timedelta(days=rng.choice((7, 14, 14, 30, 60)))
    luck = rng.random()
    if luck < 0.6:
        closed: datetime | None = asked + (due - asked) * rng.uniform(0.1, 0.97)
    elif luck < 0.86:
        closed = due + timedelta(seconds=round(86400 * lognormal(rng, 9, 0.8)) + 60)
    else:
        closed = None
    closed = closed.replace(microsecond=0) if closed else None
    return Item(
        kind=kind if rng.random() < 0.95 else None,
        title=TITLES[kind].format(part=rng.choice(outage.services[0].parts)),
        created=asked,
        due=due if rng.random() < 0.92 else None,
        closed=closed if closed and closed < end else None,
        owner=f"p-{outage.services[0].team.lower()}-{rng.randrange(1, 6)}",
    )
