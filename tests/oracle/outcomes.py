"""How attempts ended: drill, race, pending, failed, ineffective, succeeded; storms, returns and known good."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.oracle.incidents import stretch_of
from tests.oracle.lineage import place
from tests.oracle.observed import Records, Row, same_place

__all__ = ["judge", "say_regretted", "storms"]

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
HALF_HOUR = timedelta(minutes=30)


def judge(known: Records, lines: dict[tuple[str, str], list[Row]], incidents: list[Row], attempts: list[Row], horizon: datetime) -> None:
    """Adds outcome, outcome_source and outcome_reason to the attempts."""
    # A duplicate's stamps do not go to its original, so they show nothing of how its source keeps its books.
    stamping = {row["source"] for row in known["incident"] if row["mitigated_at"] is not None and row["original"] is row}
    stamping |= {part["source"] for part in incidents if any(event["type"] == "mitigated" for event in part["events"])}
    for attempt in attempts:
        attempt["outcome_source"] = attempt["outcome_reason"] = None
        if attempt["drill"]:
            attempt["outcome"] = "drill"
        elif attempt["race"]:
            attempt["outcome"] = "race"
        elif attempt["status"] == "in_progress" or horizon < attempt["completed_at"] + HOUR:
            attempt["outcome"] = "pending"
        elif attempt["status"] in {"failed", "cancelled", "partial"}:
            attempt["outcome"] = "failed"
        else:
            stretch = stretch_of(attempt["incident"], attempt["started_at"]) if attempt["incident"] else None
            judged = stretch is not None and (stretch["mitigated"] is not None or attempt["incident"]["source"] in stamping)
            why = _not_recovered(attempt, stretch, attempts, judged) or _did_not_hold(attempt, lines, incidents, attempts)
            attempt["outcome"] = "ineffective" if why else "succeeded"
            attempt["outcome_reason"] = why
            attempt["outcome_source"] = "derived:recovered" if judged else "derived:held"


def _not_recovered(attempt: Row, stretch: Row | None, attempts: list[Row], judged: bool) -> str | None:
    if stretch is None:
        return None
    of_incident = [other for other in attempts if other["incident"] is attempt["incident"]]
    if stretch["implied"]:
        before = [other for other in of_incident if stretch_of(other["incident"], other["started_at"]) is stretch]
        if before[-1] is attempt:
            return "reopened without a recovery"
    if not judged:
        return None
    recovery = stretch["recovery"]
    if recovery is None or recovery >= attempt["completed_at"] + HOUR:
        return "not recovered in time"
    for other in _later(attempt, attempts):
        if other["episode"] is not None and other["episode"] == attempt["episode"] and other["started_at"] < recovery:
            return "another attempt before recovery"
    return None


def _later(attempt: Row, attempts: list[Row]) -> list[Row]:
    return attempts[[other is attempt for other in attempts].index(True) + 1 :]


def _did_not_hold(attempt: Row, lines: dict[tuple[str, str], list[Row]], incidents: list[Row], attempts: list[Row]) -> str | None:
    end, until = attempt["completed_at"], attempt["completed_at"] + HOUR
    for other in _later(attempt, attempts):
        counts = not other["drill"] and not other["code_level"] and place(other) == place(attempt)
        if counts and other["started_at"] < until:
            return "a further attempt"
    for incident in incidents:
        if incident["planned"] or attempt["service"] not in incident["services"] or not same_place(incident, attempt):
            continue
        if any(end <= event["at"] < until for event in incident["events"] if event["type"] == "reopened"):
            return "reopened"
        if incident is not attempt["incident"] and incident["link_time"] is not None and end <= incident["link_time"] < until:
            return "a new incident"
    if any(end <= row["deployed_at"] < until for row in _returns(attempt, lines)):
        return "the undone artifact came back"
    return None


def _returns(attempt: Row, lines: dict[tuple[str, str], list[Row]]) -> list[Row]:
    """Later successful deployments of the undone artifact that end with the attempt or after it."""
    undone = attempt["undoes"]
    if undone is None or undone["artifact"] is None:
        return []
    line = lines[place(attempt)]
    sources = [part["row"] for part in attempt["pieces"]]
    own = [row for row in line if any(row is one or row.get("rollback") is one for one in sources)]
    # A rollout that finishes after the rollback that interrupted it is not its own return.
    after = max([undone["index"]] + [row["index"] for row in own])
    return [
        row
        for row in line
        if row["artifact"] is undone["artifact"] and row["successful"] and not row["drill"]
        and row["index"] > after and row["deployed_at"] >= attempt["completed_at"]
    ]  # fmt: skip


def say_regretted(lines: dict[tuple[str, str], list[Row]], attempts: list[Row], evidence: list[Row], horizon: datetime) -> None:
    """Adds reapplied_at, regretted, to_known_good and time_on_bad to the attempts."""
    for attempt in attempts:
        back = [row for row in _returns(attempt, lines) if row["deployed_at"] > attempt["completed_at"]]
        attempt["reapplied_at"] = back[0]["deployed_at"] if back else None
        attempt["regretted"] = bool(back) and not attempt["race"] and _ran_well(back[0], evidence, horizon)
        attempt["to_known_good"] = _known_good(attempt, lines, evidence)
        attempt["time_on_bad"] = None
        undone = attempt["undoes"]
        if undone is not None:
            since = undone["start"] if undone["unsuccessful"] else undone["deployed_at"]
            if attempt["completed_at"] >= since:
                attempt["time_on_bad"] = attempt["completed_at"] - since


def _ran_well(row: Row, evidence: list[Row], horizon: datetime) -> bool:
    """A day without a likely failure; what redeploys ran until the deployment that it repeats was superseded. What was overtaken by another
    artifact never ran."""
    until = row["deployed_at"] + DAY
    source = row if row["brings_in"] else row["before"]
    if source is None or source["artifact"] is not row["artifact"]:
        return False
    if until > horizon or (source["superseded_at"] is not None and source["superseded_at"] < until):
        return False
    return not any(e["row"] is row and e["level"] in {"certain", "likely"} and e["at"] is not None and e["at"] < until for e in evidence)


def _known_good(attempt: Row, lines: dict[tuple[str, str], list[Row]], evidence: list[Row]) -> bool | None:
    restored = attempt["restores"]
    if restored is None:
        return None
    now = attempt["started_at"]
    ran, normally = timedelta(0), False
    for row in lines[place(attempt)]:
        if not row["brings_in"] or row["artifact"] is not restored["artifact"] or row["deployed_at"] >= now:
            continue
        over = row["superseded_at"] if row["superseded_at"] is not None and row["superseded_at"] <= now else None
        ran += (over or now) - row["deployed_at"]
        if over is not None and row["exposure"] >= HOUR and row["superseded_by"]["kind"] != "rollback":
            normally = True
    blamed = any(
        e["row"]["artifact"] is restored["artifact"]
        and e["level"] in {"certain", "likely"}
        and e["at"] is not None
        and e["at"] <= now
        and place(e["row"]) == place(attempt)
        for e in evidence
    )
    return (ran >= DAY or normally) and not blamed


def storms(attempts: list[Row]) -> None:
    """Adds storm: some half hour holds attempts on three services or more; those at most half an hour apart are one."""
    counted = [a for a in attempts if a["production"] and not a["drill"] and not a["code_level"]]
    for attempt in attempts:
        attempt["storm"] = None
    stormy: list[Row] = []
    for first in counted:
        held = [a for a in counted if timedelta(0) <= a["started_at"] - first["started_at"] < HALF_HOUR]
        if len({a["service"] for a in held}) >= 3:
            stormy += [a for a in held if not any(a is one for one in stormy)]
    stormy.sort(key=lambda attempt: (attempt["started_at"], attempt["id"]))
    for before, attempt in zip([None, *stormy], stormy, strict=False):
        near = before is not None and attempt["started_at"] - before["started_at"] <= HALF_HOUR
        attempt["storm"] = before["storm"] if near else attempt["id"]
