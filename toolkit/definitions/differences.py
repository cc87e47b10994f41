"""Where two definitions of a number part: the rows that one counts otherwise than the other, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import polars as pl

from toolkit.definitions.catalogue import OWN, definition_named
from toolkit.definitions.definition import Definition, History, history_of
from toolkit.definitions.measuring import RATE, RECOVERY, part_in_scope
from toolkit.errors import UsageError
from toolkit.metrics.metric import METRICS, Metric
from toolkit.metrics.reading import Published, earliest, published, rows_in_scope
from toolkit.metrics.scope import Scope, scope_of

__all__ = ["versus"]

COLUMNS: dict[str, Any] = {
    "fact": pl.String,
    "id": pl.String,
    "service": pl.String,
    "version": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "knowngood": pl.String,
    "other": pl.String,
    "why": pl.String,
}
CLOSE = 1e-6


def versus(
    w: Any,
    name: str,
    definition: str,
    *,
    window: str | None = None,
    start: datetime | date | str | None = None,
    end: datetime | date | str | None = None,
    service: str | None = None,
    environment: str | None = None,
) -> pl.DataFrame:
    """The rows that knowngood and `definition` count differently.

    Returns fact (deployments or incidents), id, service, version, at, knowngood, other (how each of them counts the row), why.
    """
    other = definition_named(definition)
    if name not in (RATE, RECOVERY):
        raise UsageError(f"{other.name} does not define {name}. It defines {RATE} and {RECOVERY}.")
    w = published(w)
    whole = window is None and start is None
    given: dict[str, Any] = {"window": window, "start": start, "end": end, "service": service, "environment": environment}
    scope = scope_of(w, earliest=earliest(w, {"deployments", "incidents"}) if whole else None, **given)
    history = history_of(w)
    ours = _ours(w, METRICS[name], scope)
    rows = _failures(w, other, history, scope, ours) if name == RATE else _spans(w, other, history, scope, ours)
    return pl.DataFrame(list(rows), schema=COLUMNS).sort("at", "fact", "id", nulls_last=True)


def _ours(w: Published, metric: Metric, scope: Scope) -> dict[str, dict[str, Any]]:
    """Our rows by id, with what we count them as and why."""
    told = {"id", "service", "version", "failed_final", "failed", "failed_source", "incident", "undone_by", "recovered_at"}
    rows = rows_in_scope(w, "deployments", metric.columns() | told, scope)
    frame = rows.select(*sorted(told), "at", code=metric.code(), sample=metric.value().cast(pl.Float64)).collect()
    return {row["id"]: row | {"left_out": metric.reasons[row["code"] - 1] if row["code"] else None} for row in frame.iter_rows(named=True)}


def _because(row: dict[str, Any]) -> str:
    """Why we hold a deployment to have failed, or not."""
    if row["failed_final"] is None:
        return f"{OWN}: no evidence against it"
    rule = (row["failed_source"] or "").removeprefix("derived:").replace("_", " ")
    by = row["incident"] or row["undone_by"]
    return f"{OWN}: {row['failed_final']} ({rule}{f', {by}' if by else ''})"


def _failures(w: Published, other: Definition, history: History, scope: Scope, ours: dict[str, dict[str, Any]]) -> Iterable[dict[str, Any]]:
    counted = set(part_in_scope(w, other.deployments(history), scope)["id"].to_list())
    numerator = other.failed(history)
    failed = part_in_scope(w, numerator, scope)
    if numerator.fact == "incidents":
        # Incidents are counted instead of deployments: every one is a row that only the other has.
        for row in failed.sort("at", "id").iter_rows(named=True):
            yield {
                "fact": "incidents",
                "id": row["id"],
                "service": row["service"],
                "at": row["at"],
                "knowngood": "no row of the rate",
                "other": "failed",
                "why": f"{other.name}: {other.blames.format(row['id'])}",
            }
        times: dict[str, int] = {}
    else:
        times = dict(failed.group_by("deployment").len().iter_rows())
    held: dict[str, list[str]] = {}
    for incident, deployment in other.link(history).select("incident", "deployment").collect().sort("deployment", "incident").iter_rows():
        held.setdefault(deployment, []).append(incident)
    elsewhere = _named(history, (counted | set(times)) - set(ours))
    for key in sorted(set(ours) | counted | set(times)):
        row = ours.get(key) or elsewhere[key]
        own = "not in the window" if key not in ours else _own_word(row)
        theirs = _their_word(key in counted, times.get(key, 0))
        if own.split(":")[0] == theirs:
            continue
        own_why = f"{OWN}: by the time of its end" if key not in ours else f"{OWN}: {row['left_out']}" if row["left_out"] else _because(row)
        yield {
            "fact": "deployments",
            "id": key,
            "service": row["service"],
            "version": row["version"],
            "at": row["at"],
            "knowngood": own,
            "other": theirs,
            "why": f"{own_why}; {other.name}: {_their_why(other, key in counted, times.get(key, 0), held.get(key, []))}",
        }


def _named(history: History, ids: set[str]) -> dict[str, dict[str, Any]]:
    rows = history.deployments.filter(pl.col("id").is_in(sorted(ids))).select("id", "service", "version", at="deployed_at").collect()
    return {row["id"]: row for row in rows.iter_rows(named=True)}


def _own_word(row: dict[str, Any]) -> str:
    if row["left_out"]:
        return f"left out: {row['left_out']}"
    return "failed" if row["failed_final"] in ("certain", "likely") else "did not fail"


def _their_word(counted: bool, times: int) -> str:
    if not counted:
        return "left out" if not times else "failed, not counted"
    return "did not fail" if not times else "failed" if times == 1 else f"failed {times} times"


def _their_why(other: Definition, counted: bool, times: int, held: list[str]) -> str:
    if times:
        return other.blames.format(", ".join(held)) if "{}" in other.blames else other.blames
    return "nothing is held against it" if counted else other.left_out


def _spans(w: Published, other: Definition, history: History, scope: Scope, ours: dict[str, dict[str, Any]]) -> Iterable[dict[str, Any]]:
    found = part_in_scope(w, other.recovery(history), scope)
    if other.both_in_window:
        found = found.filter(pl.col("begun") >= scope.start)
    # A span of theirs meets ours on the deployment where it is about one, else on the incident.
    on = "deployment" if "deployment" in found.columns else "incident"
    own: dict[str, dict[str, Any]] = {}
    for row in ours.values():
        key = row["id"] if on == "deployment" else row["incident"]
        if row["left_out"] is None:
            own[key or row["id"]] = row
    seen = set()
    ships = _named(history, set(found[on].to_list()) - set(ours)) if on == "deployment" else {}
    for row in found.sort("begun", "id").iter_rows(named=True):
        key = row[on]
        mine = own.get(key)
        seen.add(key)
        if mine is not None and abs(mine["sample"] - row["minutes"]) < CLOSE:
            continue
        about = ours.get(key) or ships.get(key) or {}
        yield {
            "fact": "deployments" if on == "deployment" else "incidents",
            "id": key,
            "service": about.get("service") or row["service"],
            "version": about.get("version"),
            "at": row["at"],
            "knowngood": _minutes(mine["sample"]) if mine else "no row",
            "other": _minutes(row["minutes"]),
            "why": _span_why(other, mine, row, ours.get(key)),
        }
    for key in sorted(set(own) - seen):
        mine = own[key]
        gone = "still open: the time so far counts" if mine["recovered_at"] is None else _because(mine).removeprefix(f"{OWN}: ")
        yield {
            "fact": "deployments",
            "id": mine["id"],
            "service": mine["service"],
            "version": mine["version"],
            "at": mine["at"],
            "knowngood": _minutes(mine["sample"]),
            "other": "no row",
            "why": f"{OWN}: {gone}; {other.name}: no row of its {other.spans}",
        }


def _span_why(other: Definition, mine: dict[str, Any] | None, row: dict[str, Any], known: dict[str, Any] | None) -> str:
    theirs = f"{other.name}: {row['begun']:%Y-%m-%d %H:%M} to {row['ended']:%Y-%m-%d %H:%M}"
    if mine is not None:
        until = f"recovery at {mine['recovered_at']:%Y-%m-%d %H:%M}" if mine["recovered_at"] else "still open"
        return f"{OWN}: {until}, from its start or its incident's; {theirs}"
    reason = known["left_out"] if known and known["left_out"] else "no failed deployment"
    return f"{OWN}: {reason}; {theirs}"


def _minutes(value: float) -> str:
    return f"{value:.1f} min"
