"""What a page looks at: a window that ends at the horizon, some services, some severities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

__all__ = ["Frames", "Scope", "View", "emptied_by", "narrowed"]


@dataclass(frozen=True)
class Frames:
    """The tables of one warehouse, in memory, as lazy frames: the shape that metrics read."""

    deployments: pl.LazyFrame
    rollbacks: pl.LazyFrame
    incidents: pl.LazyFrame
    hotfixes: pl.LazyFrame
    evidence: pl.LazyFrame
    health: pl.LazyFrame
    owners: pl.LazyFrame
    incident_events: pl.LazyFrame
    flag_changes: pl.LazyFrame
    verdicts: pl.LazyFrame
    overrides: pl.LazyFrame
    reviews: pl.LazyFrame
    action_items: pl.LazyFrame
    followups: pl.LazyFrame
    versions: pl.LazyFrame
    provenance: pl.LazyFrame
    checks: pl.LazyFrame
    gates: pl.LazyFrame
    services: pl.LazyFrame
    communications: pl.LazyFrame
    update_gaps: pl.LazyFrame
    conformance: pl.LazyFrame
    readiness: pl.LazyFrame


# What the practices are measured from, by whether a row is of one service or of an incident's.
_OF_ONE = ("deployments", "rollbacks", "hotfixes", "versions", "provenance", "checks", "gates", "verdicts", "services", "readiness")
_OF_SEVERAL = ("incidents", "followups", "action_items", "communications", "update_gaps", "conformance")


@dataclass(frozen=True)
class View:
    """A warehouse, or a narrowed part of it, in the place of a workspace."""

    facts: Frames
    meta: Mapping[str, Any]
    settings: Any = None

    @property
    def horizon(self) -> datetime:
        """Up to when the sources had spoken; in UTC."""
        return datetime.fromisoformat(self.meta["horizon"])

    @property
    def version(self) -> str:
        """Names everything that the facts were made of."""
        return str(self.meta.get("version", ""))

    @property
    def identity(self) -> str:
        """Equal identities show equal pages: severities and zone are settings that no publish reads."""
        return f"{self.version} {self.settings!r}"

    @property
    def zone(self) -> str:
        """The zone in which weeks start."""
        return getattr(self.settings, "time_zone", None) or "UTC"


@dataclass(frozen=True)
class Scope:
    """Weeks back from the horizon, and names; an empty tuple of names means all of them."""

    weeks: int = 26
    services: tuple[str, ...] = field(default=())
    severities: tuple[str, ...] = field(default=())

    def period(self, horizon: datetime) -> tuple[datetime, datetime]:
        """Start (included) and end (excluded) of the window."""
        return horizon - timedelta(weeks=self.weeks), horizon

    def before(self, horizon: datetime) -> tuple[datetime, datetime]:
        """The window of equal length that ends where this one starts."""
        start, _ = self.period(horizon)
        return start - timedelta(weeks=self.weeks), start


def narrowed(view: View, scope: Scope) -> View:
    """The view with only the rows of the scope's services and severities; the window is left to whoever counts."""
    facts = view.facts
    if scope.services:
        names = list(scope.services)
        own = pl.col("service").is_in(names)
        # An incident of several services counts under each of them.
        touched = pl.col("services").list.eval(pl.element().is_in(names)).list.any()
        facts = replace(
            facts,
            **{name: getattr(facts, name).filter(own) for name in _OF_ONE},
            **{name: getattr(facts, name).filter(touched) for name in _OF_SEVERAL},
        )
    severities = scope.severities or tuple(getattr(view.settings, "severities", None) or ())
    if severities:
        chosen = pl.col("severity").is_in(list(severities))
        facts = replace(facts, **{name: getattr(facts, name).filter(chosen) for name in _OF_SEVERAL})
    return replace(view, facts=facts)


def emptied_by(view: View, scope: Scope) -> list[str]:
    """For a scope with nothing in it: what to widen, in words, so that something is found; empty when nothing alone helps."""
    wider = {
        f"the window: {scope.weeks} weeks up to {view.horizon:%-d %B %Y}": replace(scope, weeks=5200),
        f"the services: {', '.join(scope.services)}": replace(scope, services=()),
        f"the severities: {', '.join(scope.severities)}": replace(scope, severities=()),
    }
    return [name for name, other in wider.items() if other != scope and rows_in(view, other)]


def rows_in(view: View, scope: Scope) -> int:
    """Deployments, rollbacks and incidents within the scope."""
    start, end = scope.period(view.horizon)
    facts = narrowed(view, scope).facts
    # Deployments carry no severity: a severity filter is about incidents alone.
    frames = [facts.incidents] if scope.severities else [facts.deployments, facts.rollbacks, facts.incidents]
    return sum(frame.filter(pl.col("at").is_between(start, end, closed="left")).select(pl.len()).collect().item() for frame in frames)
