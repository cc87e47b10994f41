"""Incidents with their duplicates folded in, split where they were reopened later than a day after recovery."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.oracle.observed import Records, Row, named

__all__ = ["folded", "is_open", "is_planned", "part_for", "stretch_of"]

DAY = timedelta(hours=24)
WEEK = timedelta(days=7)
# What every part of an incident that came back has from the record.
KEPT = (
    "source", "source_id", "title", "severity", "status", "services", "environment", "production", "detected_by", "alert",
    "root_cause", "suspected_deployment", "suspected_source", "cause", "fixed_by", "criterion_met_at",
)  # fmt: skip
PLANNED = {"maintenance", "planned", "scheduled"}
STAMPS = ("started_at", "detected_at", "acknowledged_at", "decided_at")


def folded(known: Records) -> list[Row]:
    """Every incident that is its own original, in parts; each part with its stretches between reopenings."""
    records = sorted(known["incident"], key=lambda row: (row["source"], row["source_id"]))
    for record in records:
        record["original"] = _original(record, records)
        record["timeline"] = []
    for event in known["incident_event"]:
        about = named(records, event["incident"], event["source"])
        if about is not None:
            about["original"]["timeline"].append(event)
    return [part for record in records if record["original"] is record for part in _parts(record, records)]


def _original(record: Row, records: list[Row]) -> Row:
    """Follows duplicate_of to its end; in a circle, or without an end, an incident stays itself."""
    passed = [record]
    while True:
        following = named(records, passed[-1]["duplicate_of"], passed[-1]["duplicate_source"])
        if following is None:
            return passed[-1]
        if any(following is one for one in passed):
            return record
        passed.append(following)


def _parts(record: Row, records: list[Row]) -> list[Row]:
    times = {kind: [event["at"] for event in record["timeline"] if event["type"] == kind] for kind in ("mitigated", "resolved", "reopened")}
    mitigated = times["mitigated"] + [record["mitigated_at"]] * (record["mitigated_at"] is not None)
    resolved = times["resolved"] + [record["resolved_at"]] * (record["resolved_at"] is not None)
    reopenings = sorted(set(times["reopened"]))
    begins: list[datetime | None] = [None, *reopenings]
    ends: list[datetime | None] = [*reopenings, None]
    parts: list[list[Row]] = [[]]
    for begin, end in zip(begins, ends, strict=True):
        stretch = {"begin": begin, "end": end, "implied": False}
        stretch["mitigated"] = min((t for t in mitigated if _inside(t, begin, end)), default=None)
        stretch["resolved"] = min((t for t in resolved if _inside(t, begin, end)), default=None)
        stretch["said"] = record["over"] is not None and _inside(record["over"]["at"], begin, end)
        if stretch["said"]:
            # A reviewer's word is the mitigation; what the source says of this stretch's end is not. Beyond the horizon: not over yet.
            stretch["mitigated"] = record["over"]["at"] if record["over"]["known"] else None
            stretch["resolved"] = None
        stretch["recovery"] = stretch["mitigated"] or stretch["resolved"]
        if stretch["recovery"] is None and end is not None:
            stretch["recovery"], stretch["implied"] = end, True
        if parts[-1] and begin - parts[-1][-1]["recovery"] >= DAY:
            parts.append([])
        parts[-1].append(stretch)
    return [_part(record, stretches, number, records) for number, stretches in enumerate(parts, 1)]


def is_planned(record: Row) -> bool:
    """Planned maintenance takes no part in anything."""
    return any((record[name] or "").lower() in PLANNED for name in ("severity", "status"))


def _inside(moment: datetime, begin: datetime | None, end: datetime | None) -> bool:
    return (begin is None or begin <= moment) and (end is None or moment < end)


def _part(record: Row, stretches: list[Row], number: int, records: list[Row]) -> Row:
    begin, end = stretches[0]["begin"], stretches[-1]["end"]
    events = [event for event in record["timeline"] if _inside(event["at"], begin, end)]
    first = number == 1
    row = {name: record[name] for name in KEPT}
    row |= {name: record[name] if first else None for name in STAMPS}
    row |= {
        "id": record["id"] if first else f"{record['id']}#{number}",
        "record": record,
        "part": number,
        "stretches": stretches,
        "events": events,
    }
    row["planned"] = is_planned(record)
    duplicates = [other["id"] for other in records if other["original"] is record and other is not record]
    row["duplicates"] = sorted(duplicates) if first else []
    row["said"] = record["said"] if first else record["said"] & {"cause"}
    if "started_at" not in row["said"]:
        row["started_at"] = row["started_at"] or _earliest(events, "started") if first else None
    row["declared_detected_at"] = row["detected_at"]
    if first and "detected_at" not in row["said"]:
        noticed = [row["detected_at"], row["acknowledged_at"], _earliest(events, "detected"), _earliest(events, "acknowledged")]
        row["detected_at"] = min((t for t in noticed if t is not None), default=None)
    elif not first:
        row["detected_at"] = begin
    row["link_time"] = row["started_at"] or row["detected_at"]
    row["mitigated_at"], row["resolved_at"] = stretches[-1]["mitigated"], stretches[-1]["resolved"]
    row["recovered_at"] = stretches[-1]["recovery"]
    row["open"] = row["recovered_at"] is None and row["link_time"] is not None
    row["reopened"] = len(stretches) - 1
    stamps = (
        [row[name] for name in STAMPS] + [row["declared_detected_at"]] + [s[name] for s in stretches for name in ("mitigated", "resolved")]
    )
    row["moments"] = [t for t in stamps if t is not None] + [event["at"] for event in events]
    row["decided_event"] = None if "decided_at" in row["said"] else _earliest(events, "decided")
    ended = "override" if stretches[-1]["said"] and row["mitigated_at"] else "declared" if row["mitigated_at"] else "derived"
    row["recovered_at_source"] = ended if row["recovered_at"] else None
    return row


def _earliest(events: list[Row], kind: str) -> datetime | None:
    return min((event["at"] for event in events if event["type"] == kind), default=None)


def is_open(incident: Row, moment: datetime) -> bool:
    """Begun, not recovered, and with a sign of life within seven days."""
    if incident["link_time"] is None or moment < incident["link_time"]:
        return False
    stretch = stretch_of(incident, moment)
    if stretch["recovery"] is not None and moment >= stretch["recovery"]:
        return False
    return moment - max(t for t in incident["moments"] if t <= moment) <= WEEK


def stretch_of(incident: Row, moment: datetime) -> Row:
    """The stretch between reopenings that holds the moment; the first one for what lies before."""
    held = incident["stretches"][0]
    for stretch in incident["stretches"][1:]:
        if stretch["begin"] <= moment:
            held = stretch
    return held


def part_for(parts: list[Row], moment: datetime) -> Row:
    """Of an incident that came back: the last part begun at the moment, else the first."""
    begun = [part for part in parts if part["link_time"] is not None and part["link_time"] <= moment]
    return begun[-1] if begun else parts[0]
