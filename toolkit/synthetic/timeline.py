"""The lines that people and machines wrote on an incident's timeline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from toolkit.synthetic.chance import stream
from toolkit.synthetic.things import Attempt, Outage, World

__all__ = ["incident_events"]

NOTES = (
    "Looking at the dashboards, nothing obvious yet",
    "Same graph as last month?",
    "Asked the provider, no answer so far",
    "=1+1 is what the export shows",
    "<b>Error budget</b> is gone for this week",
    "Restarted one pod to see if it helps: it does not",
)
# How an action shows on the timeline; a hotfix or a restart has no line of its own.
SWITCHED = {"rollback": "switched", "flag": "flag_suspended"}


def incident_events(world: World) -> Iterator[dict[str, Any]]:
    """Four in five incidents have a timeline; each line is there with its own chance."""
    for outage in world.outages:
        rng = stream(world.seed, outage.id, "timeline")
        if outage.planned or outage.duplicate_of or outage.late or rng.random() >= 0.8:
            continue
        happened = [line for line in _lines(outage, rng) if line[1] < world.end]
        for number, (kind, at, text) in enumerate(sorted(happened, key=lambda line: line[1])):
            by_machine = kind == "detected" and outage.detected_by == "machine"
            # People type minutes, machines stamp seconds.
            rough = not by_machine and rng.random() < 0.5
            stamped = at.replace(second=0) if rough else at
            late = timedelta(minutes=rng.randrange(1, 12)) if not by_machine and rng.random() < 0.25 else timedelta()
            known = min(world.end, at + late)
            yield {
                "source_id": f"{outage.id}/{number + 1}",
                "revised_at": known,
                "incident": outage.id,
                "type": kind,
                "at": stamped,
                "known_at": known,
                "precision": "minute" if rough else "second",
                "actor": None if by_machine else f"p-{outage.services[0].team.lower()}-{rng.randrange(1, 6)}",
                "text": text,
            }


Line = tuple[str, datetime, str | None]


def _lines(outage: Outage, rng: Random) -> Iterator[Line]:
    """Type, moment, text; in no order."""
    yield from _noticed(outage, rng)
    yield from _acted(outage, rng)
    for recovered, back in outage.returns:
        yield "mitigated", recovered, None
        yield "reopened", back, "It is back"
    if not outage.forgotten:
        yield from _over(outage, rng)


def _noticed(outage: Outage, rng: Random) -> Iterator[Line]:
    if rng.random() < 0.3:
        yield "started", outage.started, None
    yield "detected", outage.detected, f"Alert {outage.alert} fired" if outage.alert else None
    if rng.random() < 0.85:
        yield "acknowledged", outage.acknowledged, None
    if rng.random() < 0.5:
        minutes = rng.randrange(1, 9)
        # Now and then whoever sees it first says how bad it is, and only then somebody presses the button.
        early = outage.detected + (outage.acknowledged - outage.detected) * 0.4
        at = early.replace(microsecond=0) if minutes == 8 else outage.acknowledged + timedelta(minutes=minutes)
        yield "triaged", at, f"Severity {outage.severity}"
    if rng.random() < 0.3:
        yield "note", outage.acknowledged + timedelta(minutes=rng.randrange(2, 30)), rng.choice(NOTES)


def _acted(outage: Outage, rng: Random) -> Iterator[Line]:
    if outage.decided and rng.random() < 0.25:
        yield "contained", (outage.decided - (outage.decided - outage.detected) * 0.3).replace(microsecond=0), "Campaign paused"
    if outage.decided and rng.random() < 0.6:
        yield "decided", outage.decided, {"rollback": "Roll back", "flag": "Turn it off", "hotfix": "Fix forward"}.get(outage.remedy)
    if isinstance(outage.fixed_by, Attempt) and rng.random() < 0.7:
        kind = "rerouted" if outage.fixed_by.mechanism == "traffic" else SWITCHED.get(outage.remedy)
        if kind:
            yield kind, outage.fixed_by.started, None


def _over(outage: Outage, rng: Random) -> Iterator[Line]:
    serious = outage.severity in ("sev1", "sev2")
    if outage.recovered and rng.random() < 0.75:
        yield "mitigated", outage.recovered, None
    if outage.recovered and rng.random() < 0.35:
        yield "validated", outage.recovered + timedelta(minutes=rng.randrange(2, 20)), "Checked with synthetic orders"
    if serious and rng.random() < 0.7:
        first = outage.acknowledged + timedelta(minutes=rng.randrange(5, 40))
        yield "informed_customers", first, "We are looking into it"
        if outage.recovered and outage.recovered > first:
            yield "informed_customers", outage.recovered + timedelta(minutes=rng.randrange(1, 25)), "It is working again"
    if outage.closed:
        yield "resolved", outage.closed, None
        if serious and rng.random() < 0.6:
            yield "reviewed", outage.closed + timedelta(days=rng.randrange(1, 12)), None
