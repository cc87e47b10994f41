"""One deployment told by two sources, in plain loops over all pairs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.oracle.observed import ENDED, MUTABLE, Records, Row, named

__all__ = ["one_of_each"]

NEAR = timedelta(minutes=5)
KNOWN_ONCE = {"source", "source_id", "service", "environment", "status"}


def one_of_each(records: Records, horizon: datetime) -> Records:
    """The records without the rows that an earlier source tells too; who names such a row names the one that stands."""
    rows = [dict(row) for row in records.get("deployment", [])]
    stands_for = _standing(rows, horizon)
    if not stands_for:
        return records
    naming = {"incident": ("suspected_deployment", "fixed_by"), "verdict": ("deployment",)}
    named_anew = {name: [_renaming(row, refs, rows, stands_for) for row in records.get(name, [])] for name, refs in naming.items()}
    decided: list[Row] = []
    for decision in (dict(row) for row in records.get("override", [])):
        for source, key in (("source", "source_id"), ("to_source", "to_id")):
            if (decision["field"] == "cause") if source == "to_source" else decision["record"] == "deployment":
                meant = next((row for row in rows if (row["source"], row["source_id"]) == (decision[source], decision[key])), None)
                if meant is not None and id(meant) in stands_for:
                    decision[source], decision[key] = stands_for[id(meant)]["source"], stands_for[id(meant)]["source_id"]
        if not any(all(one[name] == decision[name] for name in ("record", "source", "source_id", "field")) for one in decided):
            decided.append(decision)
    for row in sorted(rows, key=lambda row: (row["source"], row["source_id"])):
        if id(row) in stands_for:
            _lend(row, stands_for[id(row)], rows, stands_for)
    left = [row for row in rows if id(row) not in stands_for]
    return {**records, **named_anew, "deployment": left, "override": decided}


def _renaming(row: Row, refs: tuple[str, ...], rows: list[Row], stands_for: dict[int, Row]) -> Row:
    """The row, naming what stands in place of what goes."""
    meant = {ref: named(rows, row[ref], row["source"]) for ref in refs}
    return row | {ref: stands_for[id(one)]["source_id"] for ref, one in meant.items() if one is not None and id(one) in stands_for}


def _lend(row: Row, stands: Row, rows: list[Row], stands_for: dict[int, Row]) -> None:
    """Fills what only this one knows; times only where they stay in order with what the other said itself."""
    said = stands.setdefault("_said", (stands["started_at"], stands["finished_at"]))
    for name, value in row.items():
        if name in KNOWN_ONCE or name.startswith("_") or stands[name] is not None or value is None:
            continue
        # The first that knows it is asked, and no other.
        if any(
            stands_for.get(id(other)) is stands and other[name] is not None
            for other in rows
            if (other["source"], other["source_id"]) < (row["source"], row["source_id"])
        ):
            continue
        if name == "started_at" and said[1] is not None and value > said[1]:
            continue
        if name == "finished_at" and said[0] is not None and value < said[0]:
            continue
        stands[name] = value


def _standing(rows: list[Row], horizon: datetime) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (row["source"], row["source_id"])):
        for source in sorted({other["source"] for other in rows if other["source"] < row["source"]}):
            other = _nearest(row, source, rows, horizon)
            if other is None or _nearest(other, row["source"], rows, horizon) is not row:
                continue
            if id(row) not in found and id(other) not in found:
                found[id(row)] = other
    left = [row["source_id"] for row in rows if id(row) not in found]
    return {key: stands for key, stands in found.items() if left.count(stands["source_id"]) == 1}


def _nearest(row: Row, source: str, rows: list[Row], horizon: datetime) -> Row | None:
    alike = [other for other in rows if other["source"] == source and _alike(row, other, horizon)]
    mine = _moment(row, horizon)

    def order(other: Row) -> Any:
        at = _moment(other, horizon)
        return abs(at - mine), at, other["source_id"]  # type: ignore[operator]

    return min(alike, key=order, default=None)


def _alike(a: Row, b: Row, horizon: datetime) -> bool:
    ats = [_moment(row, horizon) for row in (a, b)]
    if a["service"] != b["service"] or a["environment"] != b["environment"] or None in ats or _ended(a, horizon) != _ended(b, horizon):
        return False
    shared = False
    for name in ("artifact_digest", "vcs_revision", "version", "config_revision"):
        one, two = (None if name == "version" and row[name] in MUTABLE else row[name] for row in (a, b))
        if one is not None and two is not None:
            if one != two:
                return False
            shared = shared or name != "config_revision"
    return shared and abs(ats[0] - ats[1]) <= NEAR  # type: ignore[operator]


def _moment(row: Row, horizon: datetime) -> datetime | None:
    first = row["started_at"] or row["finished_at"]
    if first is None or first > horizon:
        return None
    return next((at for at in (row["finished_at"], row["started_at"]) if at is not None and at <= horizon), None)


def _ended(row: Row, horizon: datetime) -> str:
    if row["status"] not in ENDED or (row["finished_at"] is not None and row["finished_at"] > horizon):
        return "not yet"
    return "badly" if row["status"] in ("failed", "cancelled") else "well"
