"""The whole simulated world: its services, the storms that cross them, and a name for everything that happened."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from toolkit.synthetic.chance import stream
from toolkit.synthetic.ending import ENDINGS
from toolkit.synthetic.life import Life, Storm
from toolkit.synthetic.rhythm import working_times
from toolkit.synthetic.things import Outage, Service, World
from toolkit.synthetic.vocabulary import BASE_IMAGES, HOSTILE_TITLES, SERVICES

__all__ = ["simulate"]

# Share of releases that go bad; minutes until noticed, until decided; requests a minute; strategies.
HABITS = {
    "critical": (0.078, 6.0, 11.0, 3000.0, ("canary", "canary", "blue_green", "rolling")),
    "standard": (0.1, 9.0, 15.0, 900.0, ("rolling", "canary", "rolling", "blue_green")),
    "internal": (0.125, 16.0, 21.0, 90.0, ("recreate", "rolling")),
}


def simulate(*, seed: int, services: int, start: datetime, end: datetime, weekly: float) -> World:
    """Run every service from start to end, each with its own stream of chance, so that none disturbs another."""
    world = World(start, end, seed)
    world.services = [_service(seed, place, start, end, weekly) for place in range(services)]
    rng = stream(seed, "storms")
    storms = _storms(rng, world)
    chosen = {storm.name: rng.sample(range(services), min(services, rng.randint(4, 6))) for storm in storms}
    endings = dict(zip(rng.sample(range(services), min(len(ENDINGS), services)), ENDINGS, strict=False))
    for place, service in enumerate(world.services):
        mine = [storm for storm in storms if place in chosen[storm.name]]
        Life(service, world, mine, endings.get(place)).run()
    world.outages += [storm.outage for storm in storms if len(storm.outage.services) > 0]
    _name(world)
    return world


def _service(seed: int, place: int, start: datetime, end: datetime, weekly: float) -> Service:
    name, team, service_class, parts = SERVICES[place % len(SERVICES)]
    again = place // len(SERVICES)
    if again:
        name, team = f"{name}-{again + 1}", f"{team}-{again + 1}"
    rng = stream(seed, name, "habits")
    failure, detect, decide, requests, strategies = HABITS[service_class]
    # Every sixth service was born later.
    since = start + (end - start) * 0.35 if place % 6 == 5 else start
    return Service(
        name=name,
        team=team,
        service_class=service_class,
        rota=f"{team.lower()}-on-call",
        since=since.replace(hour=0, minute=0, second=0, microsecond=0),
        weekly=weekly * rng.uniform(0.65, 1.4),
        failure=failure * rng.uniform(0.75, 1.25),
        outages_weekly=0.06 * rng.uniform(0.6, 1.6),
        strategy=strategies[rng.randrange(len(strategies))],
        semver=place % 4 == 2,
        gitops=place % 3 != 1,
        stages=place % 4 == 0,
        digests=0.97 if place % 5 else 0.6,
        requests=requests * rng.uniform(0.6, 1.6),
        errors=round(rng.uniform(0.0008, 0.004), 5),
        canary=0.15,
        detect_minutes=detect,
        decide_minutes=decide,
        flags=tuple(f"{name}.{part.replace(' ', '-').lower()}" for part in parts[:3]),
        parts=parts,
    )


def _storms(rng: Random, world: World) -> list[Storm]:
    """About one in seven months, each with the one outage that all its services share."""
    span = world.end - world.start
    if len(world.services) < 4:
        return []
    storms = []
    for number in range(round(span.days / 215)):
        lower, upper = world.start + span * (number + 0.3) / 3, world.start + span * (number + 0.9) / 3
        at = next(iter(working_times(rng, lower, min(upper, world.end - timedelta(days=3)), 5.0)), None)
        if at is None:
            continue
        started = at + timedelta(minutes=49)
        outage = Outage(
            services=[],
            environment="production",
            tag="base-image",
            title=BASE_IMAGES[number % len(BASE_IMAGES)],
            severity="sev1",
            started=started,
            detected=started + timedelta(minutes=rng.randrange(4, 10)),
            acknowledged=started + timedelta(minutes=11),
            detected_by="machine",
            decided=started + timedelta(minutes=rng.randrange(18, 30)),
            storm=f"storm-{number + 1}",
        )
        storms.append(Storm(f"storm-{number + 1}", at, outage))
    return storms


def _name(world: World) -> None:
    """Ids in the order of time, as trackers give them; what lies beyond the end has not happened."""
    end = world.end
    world.rollouts = sorted((r for r in world.rollouts if r.queued < end), key=lambda r: (r.queued, r.service.name, r.purpose))
    world.outages = sorted((o for o in world.outages if o.started < end), key=lambda o: (o.started, o.services[0].name, o.title))
    world.attempts = sorted((a for a in world.attempts if a.started < end), key=lambda a: (a.started, a.service.name, a.mechanism))
    world.switches = sorted((s for s in world.switches if s.at < end), key=lambda s: (s.at, s.service.name, s.flag))
    per_service: dict[str, int] = {}
    for rollout in world.rollouts:
        key = rollout.service.name
        per_service[key] = per_service.get(key, 0) + 1
        rollout.id = f"{key}-{per_service[key]:04d}"
    for number, outage in enumerate(world.outages):
        outage.id = f"INC-{1001 + number}"
    for number, attempt in enumerate(world.attempts):
        attempt.id = f"RB-{number + 1:04d}"
    for number, switch in enumerate(world.switches):
        switch.id = f"FLAG-{number + 1:04d}"
    # Every so often a title that is an attack, or merely awkward.
    tickets = [outage for outage in world.outages if not outage.planned]
    step = max(1, len(tickets) // (len(HOSTILE_TITLES) + 1))
    for outage, title in zip(tickets[step // 2 :: step], HOSTILE_TITLES, strict=False):
        outage.title = title.format(service=outage.services[0].name, part=outage.services[0].parts[0])
