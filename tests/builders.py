"""Records with defaults, so that a test names only what matters: deployment("v2", "10:00")."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import polars as pl

from toolkit.facts import OVERRIDES
from toolkit.records import RECORDS

__all__ = [
    "DAY_ONE",
    "HORIZON",
    "NAMES",
    "deployment",
    "event",
    "flag_off",
    "frames",
    "history",
    "incident",
    "m",
    "override",
    "rollback",
    "t",
    "told",
]

DAY_ONE = datetime(2026, 3, 2, tzinfo=UTC)
# Far enough for every window to be over, near enough for a week after the first day to be seen whole.
HORIZON = DAY_ONE + timedelta(days=60)
NAMES = ("deployment", "rollback", "incident", "incident_event", "flag_change")


def t(clock: str | datetime | None) -> datetime | None:
    """A time of the first day, "10:00", or of a later one: "3d 10:00"."""
    if clock is None or isinstance(clock, datetime):
        return clock
    days, hour, minute = re.fullmatch(r"(?:(\d+)d )?(\d+):(\d+)", clock).groups()  # type: ignore[union-attr]
    return DAY_ONE + timedelta(days=int(days or 0), hours=int(hour), minutes=int(minute))


def m(minutes: float) -> timedelta:
    """Minutes."""
    return timedelta(minutes=minutes)


def _row(record: str, given: dict[str, Any]) -> dict[str, Any]:
    fields = RECORDS[record].model_fields
    unknown = set(given) - set(fields) - {"source"}
    if unknown:
        raise TypeError(f"{record} has no {', '.join(sorted(unknown))}; it has {', '.join(fields)}.")
    defaults = {name: None if field.is_required() else field.default for name, field in fields.items()}
    clocks = {name: t(value) if name.endswith("_at") or name == "at" else value for name, value in given.items()}
    return {"record": record, "source": "made", **defaults, **clocks}


def deployment(
    version: str | None = "v1", at: str | datetime | None = "10:00", minutes: float | None = 0, *, id: str | None = None, **given: Any
) -> dict[str, Any]:
    """A deployment of `shop` to production that starts at `at` and takes some minutes (None: no end). Its id: version and time."""
    start = t(at)
    end = None if start is None or minutes is None else start + m(minutes)
    given = {"service": "shop", "version": version, "started_at": start, "finished_at": end} | given
    return _row("deployment", given | {"source_id": id or f"{version} {at}"})


def rollback(
    to: str | None = None, at: str | datetime | None = "10:00", minutes: float | None = 5, *, id: str = "rb", **given: Any
) -> dict[str, Any]:
    """A declared rollback of `shop` by redeploying, unless said otherwise."""
    start = t(at)
    end = None if start is None or minutes is None else start + m(minutes)
    given = {"service": "shop", "to_version": to, "started_at": start, "completed_at": end} | given
    return _row("rollback", given | {"source_id": id})


def incident(
    detected: str | datetime | None = "10:00", recovered: str | datetime | None = None, *, id: str = "inc", **given: Any
) -> dict[str, Any]:
    """An incident of `shop` in production, detected and mitigated at the given times."""
    given = {"services": ["shop"], "environment": "production", "detected_at": detected, "mitigated_at": recovered} | given
    return _row("incident", given | {"source_id": id})


def event(what: str, at: str | datetime, *, incident: str = "inc", id: str | None = None, **given: Any) -> dict[str, Any]:
    """A line of an incident's timeline."""
    return _row("incident_event", given | {"incident": incident, "type": what, "at": at, "source_id": id or f"{incident} {what} {at}"})


def flag_off(at: str | datetime, *, incident: str | None = None, id: str | None = None, **given: Any) -> dict[str, Any]:
    """A flag of `shop` turned off."""
    given = {"service": "shop", "flag": "checkout", "action": "off", "incident": incident, "at": at} | given
    return _row("flag_change", given | {"source_id": id or f"off {at}"})


def override(field: str, value: Any, *, of: str = "inc", source: str = "made", at_source: str = "made") -> dict[str, Any]:
    """A reviewer's word on an incident, or with `failed` on a deployment: a time "10:05", the id of a record, or a word."""
    said: dict[str, Any] = dict.fromkeys(("at", "to_source", "to_id", "word"))
    if field.endswith("_at"):
        said["at"] = t(value)
    elif value in {"not_a_deployment", "none", "certain"}:
        said["word"] = value
    else:
        said |= {"to_source": at_source, "to_id": value}
    record = "deployment" if field == "failed" else "incident"
    return {"record": "override", "of": record, "source": source, "source_id": of, "field": field} | said


def told(record: str, id: str, **given: Any) -> dict[str, Any]:
    """Any other record of `shop`, by the names of its fields."""
    own = {"service": "shop"} if "service" in RECORDS[record].model_fields else {}
    return _row(record, own | given | {"source_id": id})


def history(*rows: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows as records: by record name; what reviewers decided under `override`."""
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for row in rows:
        if row["record"] == "override":
            decision = {name: row["of"] if name == "record" else value for name, value in row.items() if name != "of"}
            records.setdefault("override", []).append(decision)
            continue
        records.setdefault(row["record"], []).append({name: value for name, value in row.items() if name != "record"})
    return records


def frames(records: dict[str, list[dict[str, Any]]]) -> dict[str, pl.DataFrame]:
    """The same as frames with every field of the record and its type."""
    made = {name: pl.DataFrame(records.get(name, []), schema=_schema(name)) for name in (*NAMES, *(records.keys() & RECORDS.keys()))}
    return made | {"override": pl.DataFrame(records.get("override", []), schema=OVERRIDES)}


def _schema(record: str) -> dict[str, Any]:
    return {"source": pl.String} | {name: _type(field.annotation) for name, field in RECORDS[record].model_fields.items()}


def _type(annotation: Any) -> Any:
    said = str(annotation)
    if "Literal[" in said:
        return pl.String
    if "datetime" in said:
        return pl.Datetime("us", "UTC")
    for word, dtype in (("list[", pl.List(pl.String)), ("bool", pl.Boolean), ("float", pl.Float64), ("int", pl.Int64)):
        if word in said and get_args(annotation):
            return dtype
    return {bool: pl.Boolean, int: pl.Int64, float: pl.Float64}.get(annotation, pl.String)
