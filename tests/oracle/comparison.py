"""Where the engine and the oracle differ, cell by cell."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

__all__ = ["Difference", "differences", "told"]

Row = dict[str, Any]
# What has no order, and what may be missing or empty alike.
LISTS = {"parts", "duplicates", "undoes_all", "attempts", "names_deployments"}
# The rule's name is the engine's own; whether it was declared or derived is not.
RULES = {
    "kind_source",
    "started_at_source",
    "detected_at_source",
    "decided_at_source",
    "incident_source",
    "failed_source",
    "recovered_at_source",
    "cause_source",
}


class Difference(NamedTuple):
    """One cell."""

    table: str
    id: str
    column: str
    oracle: Any
    engine: Any


def differences(
    oracle: dict[str, list[Row]], engine: dict[str, pl.DataFrame], *, tables: set[str] | None = None, columns: set[str] | None = None
) -> list[Difference]:
    """Cells of the oracle's columns that the engine says otherwise; of evidence, rows that only one has."""
    found: list[Difference] = []
    for table, rows in oracle.items():
        if tables and table not in tables:
            continue
        others = engine[table].to_dicts()
        if table == "deployments":
            rows, others = _same_artifacts(rows), _same_artifacts(others)
        if table == "evidence":
            found += _only_one(rows, others)
            continue
        by_id = {row["id"]: row for row in others}
        for name in sorted(set(by_id) ^ {row["id"] for row in rows}):
            found.append(Difference(table, name, "id", *((None, name) if name in by_id else (name, None))))
        for row in rows:
            for column in row:
                if row["id"] in by_id and column in engine[table].columns and (not columns or column in columns):
                    a, b = _plain(column, row[column]), _plain(column, by_id[row["id"]].get(column))
                    if a != b:
                        found.append(Difference(table, row["id"], column, a, b))
    return found


def _same_artifacts(rows: list[Row]) -> list[Row]:
    """An artifact's number is a name: what counts is which deployments share it. It is called after the first of them."""
    first: dict[Any, str] = {}
    for row in rows:
        key = row["service"], row["environment"], row.get("artifact")
        first[key] = min(first.get(key, row["id"]), row["id"])
    return [row | {"artifact": first[row["service"], row["environment"], row["artifact"]] if row.get("artifact") else None} for row in rows]


def _only_one(rows: list[Row], others: list[Row]) -> list[Difference]:
    names = ("deployment", "level", "at", "by", "regretted", "overruled")
    a = Counter({tuple(row[name] for name in names): 1 for row in rows})
    b = Counter({tuple(row[name] for name in names): 1 for row in others})
    only = [Difference("evidence", str(key[0]), "row", told(key), None) for key in a - b]
    return only + [Difference("evidence", str(key[0]), "row", None, told(key)) for key in b - a]


def _plain(column: str, value: Any) -> Any:
    if column in LISTS:
        return sorted(value or [], key=str)
    if column in RULES and value is not None:
        return value.split(":")[0]
    return value


def told(value: Any) -> str:
    """A value as a reader wants it: times of the first days as clocks."""
    if isinstance(value, datetime):
        return f"{value:%d %H:%M}" if value.month == 3 and value.year == 2026 else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, timedelta):
        return f"{value / timedelta(minutes=1):g} min"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(told(one) for one in value) + "]"
    return str(value)
