"""What speaks for a deployment's failure, and how strongly."""

from __future__ import annotations

from datetime import timedelta

from tests.oracle.incidents import part_for
from tests.oracle.lineage import place
from tests.oracle.links import fixed_by, latest_candidate, parts_named
from tests.oracle.observed import Records, Row, named, same_place

__all__ = ["evidence_of", "hotfixes"]

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def in_place(incident: Row, where: tuple[str, str], line: list[Row]) -> bool:
    """Whether the incident speaks of this service and environment."""
    return where[0] in incident["services"] and same_place(incident, line[0])


def hotfixes(known: Records, lines: dict[tuple[str, str], list[Row]], incidents: list[Row], attempts: list[Row]) -> None:
    """Adds hotfix, hotfix_incident and the incidents it fixes (`fixes`) to the deployments."""
    for line in lines.values():
        for row in line:
            row["hotfix"] = "certain" if row["says_certain"] else None
            row["ended_an_incident"] = []
    for incident in incidents:
        for where, line in lines.items():
            if line and not incident["planned"] and in_place(incident, where, line):
                row = _likely(incident, line, attempts)
                if row is not None:
                    row["hotfix"] = row["hotfix"] or "likely"
                    row["ended_an_incident"].append(incident)
    for line in lines.values():
        for row in line:
            if row["hotfix"] is None and row["quick_patch"]:
                row["hotfix"] = "possible"
            row["fixes"] = _named_by(known, incidents, row) if row["hotfix"] in {"certain", "likely"} else []
            # Of several the first by name; what is told before what is found.
            some = [sorted(row[what], key=lambda one: one["id"]) for what in ("fixes", "ended_an_incident")]
            said = some[0] + some[1] if row["hotfix"] in {"certain", "likely"} else []
            row["hotfix_incident"] = said[0] if said else None


def _likely(incident: Row, line: list[Row], attempts: list[Row]) -> Row | None:
    """The last never-seen artifact that started and finished while the incident was open, recovery following within 60 min of its end."""
    recovered = incident["recovered_at"]
    if recovered is None or incident["link_time"] is None:
        return None
    found = None
    for row in line:
        fits = row["never_seen"] and row["successful"] and not row["entered"] and row["kind"] != "rollback"
        if fits and incident["link_time"] <= row["start"] and row["deployed_at"] <= recovered and recovered - row["deployed_at"] < HOUR:
            found = row
    for attempt in attempts:
        worked = attempt["status"] not in {"failed", "cancelled", "partial"}
        if (
            found
            and attempt["incident"] is incident
            and place(attempt) == place(found)
            and worked
            and attempt["completed_at"] > found["deployed_at"]
        ):
            return None
    return found


def _named_by(known: Records, incidents: list[Row], row: Row) -> list[Row]:
    """The incidents that a hotfix names or that name it as their fix, each as the part begun when it started."""
    found = []
    naming = parts_named(known, incidents, row["fixes_incident"], row["source"])
    for record in known["incident"]:
        told = parts_named(known, incidents, record["source_id"], record["source"])
        fix = fixed_by(known, record, "deployment")
        for parts in (naming if naming and naming[0]["record"] is record else [], told if fix is row else []):
            parts = [part for part in parts if not part["planned"] and same_place(part, row)]
            if parts:
                part = part_for(parts, row["start"])
                if not any(part is one for one in found):
                    found.append(part)
    return sorted(found, key=lambda part: part["id"])


def evidence_of(known: Records, lines: dict[tuple[str, str], list[Row]], incidents: list[Row], attempts: list[Row]) -> list[Row]:
    """All evidence: deployment (row), level, at, rule, by (row of an incident or an attempt)."""
    found = _declared(known, incidents)
    fixed = [part for line in lines.values() for row in line for part in row["fixes"]]
    for incident in incidents:
        if incident["planned"] or incident["link_time"] is None or incident["declared_cause"] or incident["not_a_deployment"]:
            continue
        for where, line in sorted(lines.items()):
            if not line or not in_place(incident, where, line):
                continue
            row = latest_candidate(incident, line, attempts)
            if row is None:
                continue
            distance = timedelta(0) if row["in_progress"] else max(timedelta(0), incident["link_time"] - row["deployed_at"])
            by_hotfix = any(part is incident for part in fixed)
            rule = "derived:within_1h" if distance <= HOUR else "derived:hotfix" if by_hotfix else "derived:within_24h"
            level = "likely" if distance <= HOUR or by_hotfix else "possible"
            found.append({"row": row, "level": level, "at": incident["link_time"], "rule": rule, "by": incident, "kind": "incident"})
    for attempt in attempts:
        if not attempt["drill"] and not attempt["race"] and not attempt["code_level"]:
            found += _undone(attempt, attempts, lines)
    for line in lines.values():
        said = [row for row in line if row.get("label") == "certain"]
        found += [{"row": r, "level": "certain", "at": r["deployed_at"], "rule": "override", "by": None, "kind": "review"} for r in said]
    for row in found:
        row["overruled"] = row["row"].get("label") == "none"
    return [row for row in found if not row["row"]["entered"]]


def _declared(known: Records, incidents: list[Row]) -> list[Row]:
    found = []
    for incident in incidents:
        incident["not_a_deployment"] = incident["cause"] == "not_a_deployment"
        cause = named(known["deployment"], incident["suspected_deployment"], incident["suspected_source"])
        usable = cause is not None and same_place(incident, cause) and not incident["not_a_deployment"] and not incident["planned"]
        incident["declared_cause"] = cause if usable else None
        # One without any time is the cause all the same; but nothing of it is told among deployments.
        if usable and cause["start"] is not None:
            rule = "override" if "cause" in incident["said"] else "declared"
            found.append({"row": cause, "level": "certain", "at": incident["link_time"], "rule": rule, "by": incident, "kind": "incident"})
    return found


def _undone(attempt: Row, attempts: list[Row], lines: dict[tuple[str, str], list[Row]]) -> list[Row]:
    """What it undid; the release of that, where the same episode had restored it; what was current, where it went back beyond it."""
    found: list[Row] = []

    def blame(row: Row, level: str, rule: str) -> None:
        if not any(other["row"] is row and other["rule"] == rule for other in found):
            found.append({"row": row, "level": level, "at": attempt["started_at"], "rule": rule, "by": attempt, "kind": "attempt"})

    for part in attempt["pieces"]:
        undone = part["undoes"]
        if undone is None:
            continue
        level = "likely" if attempt["started_at"] - undone["deployed_at"] < WEEK else "possible"
        blame(undone, level, "derived:undone")
        if part["also"] is not None:
            blame(part["also"], level, "derived:also_current")
        for earlier in attempts:
            if earlier is attempt:
                break
            if earlier["episode"] is None or earlier["episode"] != attempt["episode"] or undone["artifact"] is None:
                continue
            if any(piece["restores"] and piece["restores"]["artifact"] is undone["artifact"] for piece in earlier["pieces"]):
                first = _first_release(undone, lines[place(undone)])
                if first is not None:
                    blame(first, level, "derived:undone_again")
    return found


def _first_release(undone: Row, line: list[Row]) -> Row | None:
    shipped = [row for row in line if row["artifact"] is undone["artifact"] and row["successful"] and row["index"] < undone["index"]]
    released = [row for row in shipped if row["kind"] == "release"]
    return (released or shipped or [None])[0]
