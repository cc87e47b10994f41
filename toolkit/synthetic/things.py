"""What exists in the simulated world: services, artifacts, rollouts, outages, attempts to restore, flag changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Artifact", "Attempt", "Outage", "Rollout", "Service", "Switch", "World"]


@dataclass(frozen=True)
class Service:
    """A service and the habits of its team. Rates per week; requests per minute; errors and canary as shares."""

    name: str
    team: str
    service_class: str
    rota: str
    since: datetime
    weekly: float
    failure: float
    outages_weekly: float
    strategy: str
    semver: bool
    gitops: bool
    stages: bool
    digests: float
    requests: float
    errors: float
    canary: float
    detect_minutes: float
    decide_minutes: float
    flags: tuple[str, ...]
    parts: tuple[str, ...]


# Things are compared by identity: two rollouts of one artifact are two things.
@dataclass(eq=False)
class Artifact:
    """Something built, with what is known of the change that it ships."""

    service: Service
    number: int
    patch: int
    version: str
    digest: str
    revision: str
    committed: datetime
    files: int
    lines: int
    review: int
    migration: str
    branch: str
    labels: tuple[str, ...] = ()


@dataclass(eq=False)
class Rollout:
    """One attempt to put an artifact into one environment."""

    service: Service
    environment: str
    artifact: Artifact
    purpose: str
    trigger: str
    queued: datetime
    started: datetime
    finished: datetime
    status: str = "succeeded"
    actor: str | None = None
    strategy: str = "rolling"
    fixes: Outage | None = None
    failure: str | None = None
    outage: Outage | None = None
    # When it stopped running: undone, or replaced by another artifact.
    gone: datetime | None = None
    id: str = ""


@dataclass(eq=False)
class Outage:
    """Impact on users (or, if planned, a maintenance window), as it truly went."""

    services: list[Service]
    environment: str
    tag: str
    title: str
    severity: str
    started: datetime
    detected: datetime
    acknowledged: datetime
    detected_by: str
    cause: Rollout | None = None
    alert: str | None = None
    decided: datetime | None = None
    recovered: datetime | None = None
    closed: datetime | None = None
    criterion_met: datetime | None = None
    remedy: str = "none"
    fixed_by: Rollout | Attempt | Switch | None = None
    # Pairs of (recovered, came back) before the last recovery.
    returns: list[tuple[datetime, datetime]] = field(default_factory=list)
    planned: bool = False
    duplicate_of: Outage | None = None
    storm: str | None = None
    # A ticket written after the rollback was over.
    late: bool = False
    # A ticket that nobody ever closed, though the impact ended.
    forgotten: bool = False
    id: str = ""


@dataclass(eq=False)
class Attempt:
    """One attempt to get back to an earlier state."""

    service: Service
    environment: str
    mechanism: str
    trigger: str
    decided: datetime
    started: datetime
    completed: datetime
    status: str = "completed"
    reason: str | None = None
    rollout: Rollout | None = None
    switch: Switch | None = None
    outage: Outage | None = None
    undoes: Rollout | None = None
    restores: Artifact | None = None
    declared: bool = False
    worked: bool = False
    drill: bool = False
    race: bool = False
    storm: str | None = None
    # The undone artifact came back unchanged, and was fine.
    mistaken: bool = False
    id: str = ""


@dataclass(eq=False)
class Switch:
    """One change of a flag."""

    service: Service
    flag: str
    action: str
    at: datetime
    before: str
    after: str
    kill: bool
    actor: str | None = None
    outage: Outage | None = None
    environment: str = "production"
    id: str = ""


@dataclass
class World:
    """Everything that happened between start and end."""

    start: datetime
    end: datetime
    seed: int
    services: list[Service] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
