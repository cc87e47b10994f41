"""What had happened by the horizon: rows are copied, later stamps are gone, ids and references are settled."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

Row = dict[str, Any]
Records = dict[str, list[Row]]

__all__ = ["MUTABLE", "PRODUCTION", "Records", "Row", "is_production", "named", "observed", "same_place"]

PRODUCTION = ("production", "production-*", "prod", "prod-*", "live")
MUTABLE = {"latest", "main", "stable"}
ENDED = {"succeeded", "superseded", "failed", "cancelled"}
INCIDENT_TIMES = ("started_at", "detected_at", "acknowledged_at", "decided_at", "mitigated_at", "resolved_at", "criterion_met_at")


def is_production(environment: str | None, patterns: tuple[str, ...] = PRODUCTION) -> bool:
    """An incident without an environment means every production environment."""
    return environment is None or any(fnmatchcase(environment, p) for p in patterns)


def same_place(incident: Row, row: Row) -> bool:
    """A link needs the same environment; an incident without one means every production environment."""
    return row["production"] if incident["environment"] is None else incident["environment"] == row["environment"]


def named(rows: list[Row], ref: str | None, source: str) -> Row | None:
    """The row that a reference names: of the same source, else of the first source by name that has it."""
    if ref is None:
        return None
    found = [row for row in rows if row["source_id"] == ref]
    for row in found:
        if row["source"] == source:
            return row
    return min(found, key=lambda row: row["source"]) if found else None


def observed(records: Records, horizon: datetime, production: tuple[str, ...] = PRODUCTION) -> Records:
    """Copies of the rows as they stood at the horizon, with `id`, `production` and a few names for what is asked often."""
    known: Records = {}
    for name in ("deployment", "rollback", "incident", "incident_event", "flag_change", "verdict"):
        rows = [dict(row) for row in records.get(name, [])]
        for row in rows:
            shared = [other for other in rows if other["source_id"] == row["source_id"]]
            row["id"] = row["source_id"] if len(shared) == 1 else f"{row['source']}/{row['source_id']}"
            if "environment" in row:
                row["production"] = is_production(row["environment"], production)
        known[name] = rows
    _review(known, records.get("override", []), horizon)
    known["deployment"] = [row for row in known["deployment"] if _deployment(row, horizon)]
    known["rollback"] = [row for row in known["rollback"] if _rollback(row, horizon)]
    known["incident_event"] = [row for row in known["incident_event"] if row["at"] <= horizon]
    known["flag_change"] = [row for row in known["flag_change"] if row["at"] <= horizon]
    known["verdict"] = [row for row in known["verdict"] if row["at"] <= horizon]
    for row in known["incident"]:
        for name in INCIDENT_TIMES:
            if row[name] is not None and row[name] > horizon:
                row[name] = None
    return known


def _review(known: Records, decisions: list[Row], horizon: datetime) -> None:
    """Lays what reviewers decided over the rows; `said`: the fields that are theirs."""
    for row in known["deployment"]:
        row["label"] = None
    for row in known["incident"]:
        row |= {"said": set(), "over": None, "suspected_source": row["source"], "duplicate_source": row["source"]}
    for decision in decisions:
        targets = known["deployment" if decision["field"] == "cause" else "incident"]
        if decision["to_id"] and (decision["to_source"], decision["to_id"]) not in {(row["source"], row["source_id"]) for row in targets}:
            continue
        for row in known[decision["record"]]:
            if (row["source"], row["source_id"]) != (decision["source"], decision["source_id"]):
                continue
            field = decision["field"]
            if field == "failed":
                row["label"] = decision["word"]
                continue
            row["said"].add(field)
            if field == "recovered_at":
                row["over"] = {"at": decision["at"], "known": decision["at"] <= horizon}
            elif field == "cause":
                row["suspected_deployment"], row["suspected_source"] = decision["to_id"], decision["to_source"] or row["source"]
                row["cause"] = decision["word"] or (None if row["cause"] == "not_a_deployment" else row["cause"])
            elif field == "duplicate_of":
                row["duplicate_of"], row["duplicate_source"] = decision["to_id"], decision["to_source"] or row["source"]
            else:
                row[field] = decision["at"]


def _deployment(row: Row, horizon: datetime) -> bool:
    """Cuts a deployment at the horizon; False when it had not begun."""
    first = row["started_at"] or row["finished_at"]
    if first is not None and first > horizon:
        return False
    if row["finished_at"] is not None and row["finished_at"] > horizon:
        row["finished_at"] = None
        if row["status"] in ENDED:
            row["status"] = "in_progress"
    if row["committed_at"] is not None and row["committed_at"] > horizon:
        row["committed_at"] = None
    row["start"] = row["started_at"] or row["finished_at"]
    row["end"] = row["finished_at"] or row["started_at"]
    row["deployed_at"] = row["end"]
    # A reviewer's word on one without any time has no effect: it is in no lineage.
    row["label"] = row["label"] if row["start"] is not None else None
    row["successful"] = row["status"] in {"succeeded", "superseded"}
    row["unsuccessful"] = row["status"] in {"failed", "cancelled"}
    row["in_progress"] = row["status"] in {"queued", "in_progress"}
    row["ended"] = not row["in_progress"]
    row["entered"] = False
    row["declared_kind"] = row["kind"]
    return True


def _rollback(row: Row, horizon: datetime) -> bool:
    """Cuts a declared rollback at the horizon; False when it had not begun."""
    if row["started_at"] is not None and row["started_at"] > horizon:
        return False
    if row["decided_at"] is not None and row["decided_at"] > horizon:
        row["decided_at"] = None
    row["state"] = row["outcome"] if row["outcome"] in {"failed", "cancelled", "partial"} else "completed"
    if row["completed_at"] is not None and row["completed_at"] > horizon:
        row["completed_at"], row["outcome"], row["state"] = None, None, "in_progress"
    row["start"] = row["started_at"] or row["decided_at"] or row["completed_at"]
    row["end"] = row["completed_at"] or row["start"]
    return row["start"] is not None
