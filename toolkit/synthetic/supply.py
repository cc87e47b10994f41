"""What was built, checked and rehearsed before it ran."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from toolkit.synthetic.chance import lognormal, stream
from toolkit.synthetic.rhythm import working_times
from toolkit.synthetic.things import Artifact, Rollout, Service, World

__all__ = ["Build", "Check", "Rehearsal", "Supply", "supply_of"]

# Before that, the pipeline told nobody what it had checked.
GATES_SINCE = 0.35
# How often an artifact of the class meets a gate.
GATES = {
    "critical": {"unit": 1.0, "integration": 0.97, "contract": 0.5, "end_to_end": 0.6, "acceptance": 0.35},
    "standard": {"unit": 1.0, "integration": 0.9, "end_to_end": 0.25},
    "internal": {"unit": 0.88},
}
# On the way a release spends so long in staging.
REHEARSED = timedelta(minutes=170)


@dataclass(frozen=True)
class Build:
    """One build of an artifact. recorded: the registry knows of it."""

    artifact: Artifact
    digest: str
    built: datetime
    signed: datetime | None
    recorded: bool = True


@dataclass(frozen=True)
class Rehearsal:
    """A deployment to staging of what later went to production, under a digest that may be another."""

    rollout: Rollout
    digest: str
    started: datetime
    finished: datetime


@dataclass(frozen=True)
class Check:
    """One run of a gate on an artifact."""

    service: Service
    artifact: Artifact
    kind: str
    status: str
    started: datetime
    finished: datetime
    environment: str | None = None


@dataclass
class Supply:
    """All of it, and since when gates were written down. `checks` is in the order of time."""

    gates_since: datetime
    builds: list[Build] = field(default_factory=list)
    rehearsals: list[Rehearsal] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


def supply_of(world: World) -> Supply:
    """Each artifact and each service has streams of chance of its own: the rest of the history stays as it is."""
    supply = Supply((world.start + (world.end - world.start) * GATES_SINCE).replace(hour=0, minute=0, second=0, microsecond=0))
    stage_by_hand = {service.name for service in world.services[2::8]}
    firsts: dict[str, Rollout] = {}
    for rollout in world.rollouts:
        firsts.setdefault(rollout.artifact.digest, rollout)
    for first in firsts.values():
        begins = _build(world, supply, first, staged=first.service.name in stage_by_hand)
        if begins >= supply.gates_since:
            _check(world, supply, first, begins)
    for service in world.services:
        _exercise(world, supply, service)
    supply.checks.sort(key=lambda check: (check.started, check.service.name, check.kind))
    return supply


def _build(world: World, supply: Supply, first: Rollout, *, staged: bool) -> datetime:
    """Builds the artifact, rehearses it where the team does, and says from when on it could be checked."""
    artifact = first.artifact
    rng = stream(world.seed, artifact.digest, "build")
    fate = rng.random()
    built = max(artifact.committed + timedelta(minutes=1), first.queued - timedelta(seconds=rng.randrange(240, 2400)))
    begins = built = min(built, first.queued)
    signed = built + timedelta(seconds=rng.randrange(5, 60)) if rng.random() < 0.92 else None
    digest, other = artifact.digest, f"sha256:{hashlib.sha256(f'{artifact.digest}/again'.encode()).hexdigest()}"
    start = first.queued - REHEARSED
    if staged and first.purpose == "release" and start > max(artifact.committed, world.start):
        before = start - timedelta(minutes=rng.randrange(2, 9))
        # Built once more for production: the same version, other bytes.
        rebuilt = fate < 0.05
        shipped = other if rebuilt else digest
        supply.rehearsals.append(Rehearsal(first, shipped, start, start + timedelta(seconds=rng.randrange(120, 600))))
        if rebuilt:
            supply.builds.append(Build(artifact, other, before, None))
        else:
            built, signed = before, before + timedelta(seconds=30) if signed else None
        begins = before
        supply.builds.append(Build(artifact, digest, built, signed))
        return begins
    supply.builds.append(Build(artifact, digest, built, signed, recorded=fate < 0.015 or fate > 0.05))
    again = built + timedelta(minutes=rng.randrange(60, 1200))
    if fate < 0.015 and again < world.end:
        # The pipeline ran again over the same tag.
        supply.builds.append(Build(artifact, other, again, None))
    return begins


def _check(world: World, supply: Supply, first: Rollout, begins: datetime) -> None:
    artifact, service = first.artifact, first.service
    rng = stream(world.seed, artifact.digest, "gates")
    if rng.random() < (0.1 if service.service_class == "internal" else 0.02):
        # Past the pipeline, by hand.
        return
    hurried = first.purpose == "hotfix"
    room = first.queued - begins
    for kind, odds in GATES[service.service_class].items():
        if rng.random() >= odds:
            continue
        if hurried and kind != "unit" and rng.random() < 0.4:
            if rng.random() < 0.6:
                at = begins + room * 0.5
                supply.checks.append(_of(service, artifact, kind, "skipped", at, at))
            continue
        environment = "staging" if kind == "acceptance" and service.stages else None
        luck = rng.random()
        start = begins + room * rng.uniform(0.05, 0.3)
        end = start + room * rng.uniform(0.05, 0.3)
        if luck < 0.05:
            supply.checks.append(_of(service, artifact, kind, rng.choice(("failed", "failed", "cancelled")), start, end, environment))
            start, end = end, end + room * 0.3
        if luck < 0.985:
            supply.checks.append(_of(service, artifact, kind, "passed", start, end, environment))
        else:
            supply.checks.append(_of(service, artifact, kind, "failed", start, end, environment))


def _of(
    service: Service, artifact: Artifact, kind: str, status: str, start: datetime, end: datetime, environment: str | None = None
) -> Check:
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)
    return Check(service, artifact, kind, status, start, end, environment)


def _exercise(world: World, supply: Supply, service: Service) -> None:
    """What is tried with the service and not with one change: whether it survives, and whether the way back works."""
    habits = {"resilience": 1 / 5, "chaos": 1 / 7 if service.service_class == "critical" else 0.0}
    # One team in three has never rehearsed the way back in its pipeline.
    habits["rollback"] = 0.0 if sum(map(ord, service.name)) % 3 == 0 else 1 / 7
    mine = [rollout for rollout in world.rollouts if rollout.service is service and rollout.environment == "production"]
    for kind, weekly in habits.items():
        rng = stream(world.seed, service.name, kind)
        for at in working_times(rng, max(service.since, supply.gates_since), world.end, weekly) if weekly else ():
            runs = [rollout for rollout in mine if rollout.finished < at and rollout.status == "succeeded"]
            if runs:
                supply.checks.append(_exercised(rng, service, runs[-1].artifact, kind, at, world.end))


def _exercised(rng: Random, service: Service, artifact: Artifact, kind: str, at: datetime, end: datetime) -> Check:
    status = rng.choices(("passed", "failed", "cancelled"), (0.83, 0.13, 0.04))[0]
    over = at + timedelta(seconds=round(60 * lognormal(rng, 14, 0.5)))
    return _of(service, artifact, kind, status if over < end else "in_progress", at, over, "staging")
