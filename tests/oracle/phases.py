"""Detect, decide, act: when an incident passed each stamp, what caused it and what ended it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from unicodedata import category

from tests.oracle.observed import Records, Row

__all__ = ["phases"]

REMEDIES = {"flag": "flag", "traffic": "traffic", "redeploy": "rollback", "gitops": "rollback", "database": "other"}
LEVELS = {"possible": 0, "likely": 1, "certain": 2}


def phases(
    known: Records,
    lines: dict[tuple[str, str], list[Row]],
    incidents: list[Row],
    attempts: list[Row],
    evidence: list[Row],
    horizon: datetime,
    coverage_start: datetime | None,
) -> None:
    """Adds every remaining column of the incidents."""
    for incident in incidents:
        own = [attempt for attempt in attempts if attempt["incident"] is incident]
        rows = [row for line in lines.values() for row in line]
        fixes = [row for row in rows if any(one is incident for one in row["fixes"] + row["ended_an_incident"])]
        incident["attempts"] = [attempt["id"] for attempt in own]
        _say_cause(incident, own, evidence)
        _say_start(incident)
        _say_detection(incident)
        _say_decision(incident, own, fixes)
        _say_phases(incident, horizon)
        _say_remedy(incident, own, fixes)
        met, decided = incident["criterion_met_at"], incident["decided_at"]
        incident["silent_minutes"] = decided - met if met and decided else None
        begun = incident["link_time"]
        incident["before_coverage"] = coverage_start is not None and begun is not None and begun < coverage_start
    for incident in incidents:
        incident["repeat_of"] = _repeat(incident, incidents)


def _say_cause(incident: Row, own: list[Row], evidence: list[Row]) -> None:
    incident["cause"], incident["cause_evidence"], incident["cause_source"] = None, None, None
    reviewed = "cause" in incident["said"]
    if incident["planned"] or incident["not_a_deployment"]:
        incident["cause_source"] = "override" if reviewed and incident["not_a_deployment"] else None
        return
    declared = incident["declared_cause"]
    # What a reviewer says did not fail is no cause, unless a reviewer said that as well.
    if declared is not None and (reviewed or declared["label"] != "none"):
        incident["cause"], incident["cause_evidence"] = declared, "certain"
        incident["cause_source"] = "override" if reviewed else "declared"
        return
    found = [row for row in evidence if row["by"] is incident]
    undoing = [attempt for attempt in own if attempt["undoes"] is not None]
    if undoing and incident["link_time"] is not None and undoing[0]["undoes"]["start"] <= incident["link_time"]:
        found = [row for row in evidence if row["by"] is undoing[0] and row["row"] is undoing[0]["undoes"]] or found
    if found:
        best = max(found, key=lambda e: (LEVELS[e["level"]], e["row"]["deployed_at"], e["row"]["start"], e["row"]["source_id"]))
        incident["cause"], incident["cause_evidence"], incident["cause_source"] = best["row"], best["level"], best["rule"]


def _say_start(incident: Row) -> None:
    incident["declared_start"] = incident["started_at"]
    incident["started_at_source"] = ("override" if "started_at" in incident["said"] else "declared") if incident["started_at"] else None
    if incident["started_at"] is None and incident["cause_evidence"] in {"certain", "likely"}:
        cause, begun = incident["cause"], incident["link_time"]
        if cause["start"] is not None:
            incident["started_at"] = cause["deployed_at"] if begun is None or cause["deployed_at"] <= begun else cause["start"]
            incident["started_at_source"] = "derived:deployment"


def _say_detection(incident: Row) -> None:
    incident["detected_at_source"] = None
    if incident["detected_at"] is not None:
        incident["detected_at_source"] = "declared" if incident["detected_at"] == incident["declared_detected_at"] else "derived"
        if "detected_at" in incident["said"]:
            incident["detected_at_source"] = "override"


def _say_decision(incident: Row, own: list[Row], fixes: list[Row]) -> None:
    said = incident["record"]["decided_at"] if incident["part"] == 1 else None
    reviewed = said is not None and "decided_at" in incident["said"]
    said = said or incident["decided_event"] or min((a["decided_at"] for a in own if a["decided_at"]), default=None)
    incident["decided_at_source"] = ("override" if reviewed else "declared") if said else None
    if said is None:
        acts = [attempt["started_at"] for attempt in own if not attempt["race"]] + [row["start"] for row in fixes]
        said = min(acts, default=None)
        if said is not None and incident["detected_at"] is not None and said < incident["detected_at"]:
            said = None
        incident["decided_at_source"] = "derived" if said else None
    incident["decided_at"] = said


def _say_phases(incident: Row, horizon: datetime) -> None:
    started, detected, decided, recovered = (incident[name] for name in ("declared_start", "detected_at", "decided_at", "recovered_at"))
    stamps = [("started", started), ("detected", detected), ("decided", decided), ("recovered", recovered)]
    given = [(name, at) for name, at in stamps if at is not None]
    offenders = {name for (_, before), (name, at) in pairwise(given) if at < before}
    is_open = incident["open"]
    censored = None
    if is_open and incident["link_time"] is not None:
        censored = "act" if decided else "decide" if detected else "detect"
    spans = {
        "detect": ("started", started, "detected", detected if censored != "detect" else horizon),
        "decide": ("detected", detected, "decided", decided if censored != "decide" else horizon),
        "act": ("decided", decided, "recovered", recovered if censored != "act" else horizon),
    }
    for phase, (begins, begin, ends, end) in spans.items():
        broken = begins in offenders or ends in offenders
        incident[phase] = end - begin if begin is not None and end is not None and not broken else None
    since, until = started or detected, horizon if is_open else recovered
    whole = until - since if since is not None and until is not None else None
    incident["whole"] = whole if whole is None or whole >= timedelta(0) else None
    incident["whole_source"] = None if incident["whole"] is None else "declared" if started else "derived:from_detection"
    incident["censored_phase"] = censored
    incident["recovered_undecided"] = recovered is not None and decided is None


def _say_remedy(incident: Row, own: list[Row], fixes: list[Row]) -> None:
    incident["remedy"] = None
    recovered = incident["recovered_at"]
    if recovered is None:
        return
    # The last to end; of those the last to begin; what did both together is named in the order of the alphabet's end.
    acts = [
        (attempt["completed_at"], attempt["started_at"], REMEDIES[attempt["mechanism"]])
        for attempt in own
        if attempt["outcome"] in {"succeeded", "pending"} and attempt["started_at"] <= recovered
    ]
    acts += [(row["deployed_at"], row["deployed_at"], "hotfix") for row in fixes if row["successful"] and row["deployed_at"] <= recovered]
    if acts:
        incident["remedy"] = max(acts)[2]
    else:
        incident["remedy"] = "other" if incident["fixed_by"] else "none"


def _repeat(incident: Row, incidents: list[Row]) -> str | None:
    if incident["planned"] or incident["link_time"] is None:
        return None
    found = []
    for other in incidents:
        if other is incident or other["planned"] or other["link_time"] is None or other["recovered_at"] is None:
            continue
        shared = set(other["services"]) & set(incident["services"])
        gap = incident["link_time"] - other["recovered_at"]
        if (
            shared
            and other["link_time"] < incident["link_time"]
            and timedelta(0) <= gap <= timedelta(days=90)
            and _same_cause(other, incident)
        ):
            found.append(other)
    return max(found, key=lambda row: (row["link_time"], row["id"]))["id"] if found else None


def _same_cause(a: Row, b: Row) -> bool:
    if any(a[name] is not None and a[name] == b[name] for name in ("root_cause", "alert")):
        return True
    titles = [_words(row["title"] or "") for row in (a, b)]
    return bool(titles[0]) and titles[0] == titles[1]


def _words(title: str) -> list[str]:
    """Without case, numbers and punctuation."""
    words = [""]
    for sign in title.lower():
        kind = category(sign)[0]
        if kind == "L" or (kind == "M" and words[-1]):
            words[-1] += sign
        elif words[-1]:
            words.append("")
    return [word for word in words if word]
