"""The stitched rows as published: names in place of rows, columns as the facts have them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from tests.oracle.artifacts import Artifact
from tests.oracle.observed import Records, Row

__all__ = ["deployment_rows", "evidence_rows", "incident_rows", "rollback_rows"]

DAY = timedelta(hours=24)
LEVELS = [None, "possible", "likely", "certain"]
COPIED = (
    "id", "source", "source_id", "service", "environment", "production", "version", "artifact_digest", "vcs_revision", "status",
    "trigger", "strategy", "actor", "migration", "started_at", "finished_at", "committed_at", "deployed_at", "successful", "ended",
    "changes_files", "changes_lines", "changes_review_minutes",
)  # fmt: skip
PLACED = (
    "rebuilt", "overlapped", "kind", "kind_source", "superseded_at", "exposure", "lead_time", "hotfix", "drill",
)  # fmt: skip


def name(row: Row | None) -> str | None:
    """The id that a fact is known by."""
    return None if row is None else row["id"]


def deployment_rows(
    known: Records, lines: dict[tuple[str, str], list[Row]], attempts: list[Row], evidence: list[Row], horizon: datetime
) -> list[Row]:
    """The facts about deployments; one without any time is in no lineage and stays bare."""
    made = []
    for row in known["deployment"]:
        fact = {column: row[column] for column in COPIED} | {"at": row["deployed_at"]}
        if row["start"] is None:
            made.append(fact | {"kind": None, "hotfix": None, "failed": None, "failed_final": None, "undoes": None, "attempt": None})
            continue
        fact |= {column: row[column] for column in PLACED}
        line = lines[row["service"], row["environment"]]
        fact["artifact"] = _number(row["artifact"], line)
        fact |= {"undoes": name(row["undoes"]), "restores": name(row["restores"]), "hotfix_incident": name(row["hotfix_incident"])}
        fact["undoes_all"] = None if row["undoes_all"] is None else [name(one) for one in row["undoes_all"]]
        part_of = [attempt for attempt in attempts if any(part["row"] is row for part in attempt["pieces"])]
        fact["attempt"] = part_of[0]["id"] if part_of else None
        fact |= _failure(row, [e for e in evidence if e["row"] is row])
        fact |= _undoing(row, attempts, [e for e in evidence if e["row"] is row and not e["overruled"]])
        fact["stopped"] = row["unsuccessful"] and (fact["failed"] is None or row["label"] == "none")
        fact["matured"] = row["deployed_at"] + DAY <= horizon
        fact["provisional"] = row["deployed_at"] + 7 * DAY > horizon
        made.append(fact)
    return made


def _number(artifact: Artifact | None, line: list[Row]) -> int | None:
    """Any number will do, as long as equal artifacts have the same."""
    return next((number for number, row in enumerate(line, 1) if artifact is not None and row["artifact"] is artifact), None)


def _failure(row: Row, evidence: list[Row]) -> Row:
    levels = [LEVELS.index(e["level"]) for e in evidence]
    standing = [e for e in evidence if not e["overruled"]]
    final = [LEVELS.index("possible" if _regretted(e) else e["level"]) for e in standing]
    sure = [e["at"] for e in standing if e["level"] in {"certain", "likely"} and e["at"] is not None]
    best = [e for e in evidence if LEVELS.index(e["level"]) == max(levels)]
    first = min(best, key=lambda e: (e["at"] is None, e["at"] or 0), default=None)
    return {
        "failed": LEVELS[max(levels, default=0)],
        "failed_final": LEVELS[max(final, default=0)],
        "failed_source": "override" if row["label"] else first["rule"] if first else None,
        "failed_at": min(sure, default=None),
    }


def _regretted(evidence: Row) -> bool:
    return evidence["kind"] == "attempt" and evidence["by"]["regretted"]


def _undoing(row: Row, attempts: list[Row], evidence: list[Row]) -> Row:
    real = [a for a in attempts if not a["drill"] and not a["race"] and not a["code_level"]]
    undoing = [a for a in real if any(part["undoes"] is row for part in a["pieces"])]
    incidents = [e["by"] for e in evidence if e["kind"] == "incident"] + [a["incident"] for a in undoing if a["incident"]]
    over = [incident["recovered_at"] for incident in incidents if incident["recovered_at"]]
    done = [a["completed_at"] for a in undoing if a["status"] == "completed"]
    starts = [incident["declared_start"] for incident in incidents if incident["declared_start"]]
    return {
        "undone_by": undoing[0]["id"] if undoing else None,
        "undone_at": undoing[0]["started_at"] if undoing else None,
        "recovered_at": max(over, default=None) or max(done, default=None),
        "incident_started_at": min(starts, default=None),
    }


def rollback_rows(attempts: list[Row]) -> list[Row]:
    """The facts about attempts."""
    columns = (
        "id", "service", "environment", "production", "mechanism", "trigger", "reason", "status", "decided_at", "started_at",
        "completed_at", "incident_source", "episode", "episode_order", "storm", "drill", "race", "code_level", "outcome",
        "outcome_source", "reapplied_at", "regretted", "to_known_good", "time_on_bad",
    )  # fmt: skip
    made = []
    for attempt in attempts:
        fact = {column: attempt[column] for column in columns} | {"at": attempt["started_at"]}
        if attempt["outcome_source"] is None:
            # Only where recovery or holding was judged does the text say by which.
            del fact["outcome_source"]
        fact["parts"] = [f"{part['what']}:{part['id']}" for part in attempt["pieces"]]
        fact |= {"undoes": name(attempt["undoes"]), "restores": name(attempt["restores"]), "incident": name(attempt["incident"])}
        fact["undoes_all"] = [name(row) for row in attempt["undoes_all"]]
        made.append(fact)
    return made


def incident_rows(incidents: list[Row], deployments: list[Row]) -> list[Row]:
    """The facts about incidents."""
    columns = (
        "id", "source", "source_id", "title", "severity", "status", "services", "environment", "production", "planned",
        "duplicates", "alert", "root_cause", "link_time", "started_at", "started_at_source", "detected_at", "detected_at_source",
        "detected_by", "decided_at", "decided_at_source", "recovered_at", "recovered_at_source", "open", "reopened", "detect",
        "decide", "act", "whole", "censored_phase", "whole_source", "recovered_undecided", "before_coverage", "remedy",
        "cause_evidence", "cause_source", "not_a_deployment", "attempts", "repeat_of", "criterion_met_at", "silent_minutes",
    )  # fmt: skip
    made = []
    for incident in incidents:
        fact = {column: incident[column] for column in columns} | {"at": incident["link_time"]}
        typed = re.search(r"root cause: *([0-9a-z]+)", incident["title"] or "", re.IGNORECASE)
        commits = {incident["root_cause"], incident["suspected_deployment"], typed and typed[1]} - {None}
        of_it = [row for row in deployments if row["service"] in incident["services"]]
        fact["names_deployments"] = [row["id"] for row in of_it if row["vcs_revision"] in commits]
        made.append(fact | {"cause_deployment": name(incident["cause"])})
    return made


def evidence_rows(evidence: list[Row]) -> list[Row]:
    """The facts about evidence; a row has no id of its own, so it is known by what it says."""
    made = []
    for e in evidence:
        fact = {"deployment": name(e["row"]), "level": e["level"], "at": e["at"], "by": name(e["by"]), "regretted": _regretted(e)}
        fact["overruled"] = e["overruled"]
        made.append(fact)
    return made
