"""Measure by any definition: ours with its intervals, or somebody else's number as that tool would print it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl

from toolkit import metrics
from toolkit.definitions.catalogue import OWN, definition_named
from toolkit.definitions.definition import ADDED, Definition, History, Part, history_of, nothing
from toolkit.errors import UsageError
from toolkit.metrics.estimates import COLUMNS
from toolkit.metrics.metric import METRICS
from toolkit.metrics.reading import CONNECT, Published, connected, earliest, published, rows_in_scope
from toolkit.metrics.scope import By, Every, Scope, scope_of

__all__ = ["RATE", "RECOVERY", "measure", "part_in_scope", "with_causes"]

RATE, RECOVERY = "change_failure_rate", "failed_deployment_recovery_time"


def measure(
    w: Any,
    *names: str,
    group: str | None = None,
    by: By | None = None,
    every: Every | None = None,
    window: str | None = None,
    start: datetime | date | str | None = None,
    end: datetime | date | str | None = None,
    service: str | None = None,
    environment: str | None = None,
    definition: str = OWN,
) -> pl.DataFrame:
    """Measures a workspace; arguments and columns as toolkit.metrics.measure.

    definition: by whose rule. Other tools define change_failure_rate and failed_deployment_recovery_time; their numbers come without an
    interval, because they print none, and a rate can pass 1 where the tool's can.
    """
    given: dict[str, Any] = {"window": window, "start": start, "end": end, "service": service, "environment": environment}
    if definition == OWN:
        return metrics.measure(w, *names, group=group, by=by, every=every, **given)
    other = definition_named(definition)
    wanted = _wanted(other, names, group)
    w = published(w)
    whole = window is None and start is None
    scope = scope_of(w, earliest=earliest(w, {"deployments", "incidents"}) if whole else None, by=by, every=every, **given)
    missing = next((fact for fact in other.needs if not connected(w, fact)), None)
    if missing is not None:
        return _told([_row(other, name, note=f"not measured: connect {CONNECT[missing]}") for name in wanted])
    history = history_of(w)
    rows = {RATE: _rates, RECOVERY: _recoveries}
    return _told([row for name in wanted for row in rows[name](w, other, history, scope)])


def _wanted(other: Definition, names: tuple[str, ...], group: str | None) -> list[str]:
    known = [RATE, RECOVERY]
    unknown = [name for name in names if name not in known]
    if unknown or group not in (None, "dora"):
        what = unknown[0] if unknown else f"the group {group}"
        raise UsageError(f"{other.name} does not define {what}. It defines {RATE} and {RECOVERY}.")
    return list(dict.fromkeys(names)) or known


def part_in_scope(w: Published, part: Part, scope: Scope) -> pl.DataFrame:
    """The part's rows in scope with _period and, where the scope groups, _by."""
    facts = SimpleNamespace(**{part.fact: part.rows}, owners=getattr(w.facts, "owners", None))
    there = set(part.rows.collect_schema().names())
    return rows_in_scope(replace(w, facts=facts), part.fact, {name for name in ADDED if name in there}, scope).collect()


def _cell(scope: Scope) -> list[pl.Expr]:
    return [pl.col("_by") if scope.by else pl.lit(None, pl.String).alias("_by"), pl.col("_period")]


def _rates(w: Published, other: Definition, history: History, scope: Scope) -> list[dict[str, Any]]:
    parts = [part_in_scope(w, part, scope) for part in (other.failed(history), other.deployments(history))]
    k, n = ({(by, period): size for by, period, size in part.group_by(_cell(scope)).len().iter_rows()} for part in parts)
    rows = []
    for by, period in _every_cell(scope, {*k, *n}):
        hits, all_of = k.get((by, period), 0), n.get((by, period), 0)
        value = hits / all_of if all_of else other.none
        note = None if all_of else "no deployments"
        rows.append(_row(other, RATE, scope, by, period, value=value, k=hits, n=all_of, note=note, method=other.rate))
    return rows


def _recoveries(w: Published, other: Definition, history: History, scope: Scope) -> list[dict[str, Any]]:
    found = part_in_scope(w, other.recovery(history), scope)
    if other.both_in_window:
        found = found.filter(pl.col("begun") >= scope.start)
    if scope.every and other.both_in_window:
        # Both in the period that is asked about, as the tool would with this window.
        begins = pl.Series(scope.bounds, dtype=pl.Datetime("us", "UTC"))
        found = found.filter(pl.col("begun") >= pl.lit(begins).gather("_period"))
    spans = found.group_by(_cell(scope)).agg("minutes")
    values = {(by, period): minutes for by, period, minutes in spans.iter_rows()}
    open_ones = _still_open(w, history, scope) if "incidents" in other.needs else 0
    rows = []
    for by, period in _every_cell(scope, set(values)):
        minutes = values.get((by, period), [])
        value = other.summary(minutes) if minutes else None
        dropped = f"{open_ones} open incidents dropped" if open_ones and not scope.every and not scope.by else None
        note = "; ".join(text for text in (None if minutes else "no rows", dropped) if text) or None
        rows.append(_row(other, RECOVERY, scope, by, period, value=value, n=len(minutes), note=note, method=other.spans))
    return rows


def _still_open(w: Published, history: History, scope: Scope) -> int:
    tickets = history.incidents.filter(pl.col("closed_at").is_null()).with_columns(at="created_at")
    return len(part_in_scope(w, Part("incidents", tickets), replace(scope, by=None)))


def _every_cell(scope: Scope, seen: set[tuple[str | None, int]]) -> list[tuple[str | None, int]]:
    values = sorted({by for by, _ in seen if by is not None}) if scope.by else [None]
    return [(by, period) for by in values for period in range(len(scope.bounds))]


def _row(other: Definition, name: str, scope: Scope | None = None, by: str | None = None, period: int = 0, **more: Any) -> dict[str, Any]:
    metric = METRICS[name]
    given = {"metric": name, "group": metric.group, "kind": metric.kind.value, "unit": metric.unit, "definition": other.name, "by": by}
    begun = scope.bounds[period] if scope is not None and scope.every else None
    return dict.fromkeys(COLUMNS) | given | {"period": begun} | more


def _told(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS)


def with_causes(w: Any, definition: str) -> pl.DataFrame:
    """The incidents with cause_deployment as the definition would have it (the newest, where it holds several against one), cause_source
    naming the definition, and cause_evidence null: other tools weigh none."""
    w = published(w)
    incidents: pl.DataFrame = w.facts.incidents.collect()
    if definition == OWN:
        return incidents
    other = definition_named(definition)
    history = history_of(w)
    ships = history.deployments.select("deployed_at", deployment="id")
    # A rollback that is held against a release is no incident.
    links = other.link(history) if "incidents" in other.needs else nothing(history)
    newest = links.join(ships, on="deployment").sort("incident", "deployed_at", "deployment")
    newest = newest.unique("incident", keep="last", maintain_order=True).select(id="incident", _cause="deployment")
    linked = incidents.join(newest.collect(), on="id", how="left", maintain_order="left")
    return linked.with_columns(
        cause_deployment="_cause",
        cause_evidence=pl.lit(None, pl.String),
        cause_source=pl.when(pl.col("_cause").is_not_null()).then(pl.lit(f"definition:{other.name}")),
    ).drop("_cause")
