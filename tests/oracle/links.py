"""Which attempt belongs to which incident, what is a race, what one episode; which deployments an incident may be about."""

from __future__ import annotations

from datetime import timedelta

from tests.oracle.incidents import is_open, is_planned, part_for
from tests.oracle.lineage import place
from tests.oracle.observed import Records, Row, named, same_place

__all__ = ["fixed_by", "flag_offs", "latest_candidate", "link", "parts_named", "say_hotfixes"]

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
OFF_ACTIONS = {"off", "disable", "disabled", "turned_off", "killed", "kill"}
OFF_STATES = {"off", "false", "0", "disabled"}
NO_GO = {"revert", "pause", "inconclusive", "error"}


def say_hotfixes(known: Records) -> None:
    """Marks what is declared a hotfix: by kind, label, branch, or by an incident of its environment that names it as its fix."""
    for row in known["deployment"]:
        labels = [label.lower() for label in row["labels"] or []]
        branch = row["branch"] or ""
        row["says_hotfix"] = row["kind"] == "hotfix" or "hotfix" in labels or branch.startswith("hotfix/")
    for incident in known["incident"]:
        fix = fixed_by(known, incident, "deployment")
        if fix is not None:
            fix["says_hotfix"] = True


def fixed_by(known: Records, record: Row, kind: str) -> Row | None:
    """What an incident's record names as its fix, in its own environment; planned maintenance names nothing, not even as a duplicate."""
    fix = named(known[kind], record["fixed_by"], record["source"])
    return fix if fix is not None and same_place(record, fix) and not is_planned(record) else None


def parts_named(known: Records, incidents: list[Row], ref: str | None, source: str) -> list[Row]:
    """The parts of the incident that a reference names; a duplicate's name means its original."""
    record = named(known["incident"], ref, source)
    return [] if record is None else [row for row in incidents if row["record"] is record["original"]]


def flag_offs(known: Records, incidents: list[Row]) -> list[Row]:
    """Flags turned off for an incident: one names the other, or a kill switch of its service while it was open."""
    found = []
    for flag in known["flag_change"]:
        off = (flag["action"] or "").lower() in OFF_ACTIONS or (flag["after"] or "").lower() in OFF_STATES
        if not off:
            continue
        about = [row for row in parts_named(known, incidents, flag["incident"], flag["source"]) if _links(row, flag)]
        about += [row for row in incidents if _links(row, flag) and any(fix is flag for fix in fixes(known, row, "flag_change"))]
        if flag["kill_switch"]:
            about += [row for row in incidents if _links(row, flag) and flag["service"] in row["services"] and is_open(row, flag["at"])]
        service = flag["service"] or (about[0]["services"][0] if about else None)
        if about and service:
            found.append(flag | {"service": service})
    return found


def _links(incident: Row, row: Row) -> bool:
    return not incident["planned"] and same_place(incident, row)


def link(known: Records, incidents: list[Row], attempts: list[Row]) -> None:
    """Adds incident, incident_source, race, episode and episode_order to the attempts."""
    for attempt in attempts:
        attempt["incident"], attempt["incident_source"] = None, None
        if not attempt["drill"] and not attempt["code_level"]:
            _find_incident(known, incidents, attempt)
        undone = attempt["undoes"]
        attempt["race"] = bool(
            not attempt["drill"]
            and attempt["trigger"] == "auto"
            and attempt["incident"] is None
            and attempt["reason"] is None
            and undone is not None
            and undone["successful"]
            and not any(_stops(known, verdict, undone) and verdict["at"] <= attempt["started_at"] for verdict in known["verdict"])
            and timedelta(0) <= attempt["started_at"] - undone["deployed_at"] < timedelta(minutes=10)
        )
    _episodes(attempts)


def _stops(known: Records, verdict: Row, deployment: Row) -> bool:
    """Whether the verdict asks to stop this deployment: the one it names, else the latest that had begun where it speaks of."""
    if verdict["decision"] not in NO_GO or place(verdict) != place(deployment):
        return False
    if verdict["deployment"] is not None:
        return named(known["deployment"], verdict["deployment"], verdict["source"]) is deployment
    here = [row for row in known["deployment"] if place(row) == place(verdict) and row["start"] is not None]
    begun = [row for row in here if row["start"] <= verdict["at"] <= row["start"] + DAY]
    return max(begun, key=lambda row: (row["start"], row["id"]), default=None) is deployment


def _find_incident(known: Records, incidents: list[Row], attempt: Row) -> None:
    # What a part names comes before what names a part.
    said = [parts_named(known, incidents, part["names"], part["row"]["source"]) for part in attempt["pieces"]]
    said += [[row for row in incidents if _fixed_by(known, row, part)] for part in attempt["pieces"]]
    for naming in said:
        usable = [row for row in naming if _links(row, attempt)]
        if usable:
            # Of each incident its part; of several that name one fix the last one begun.
            parts = [part_for([row for row in usable if row["record"] is one["record"]], attempt["started_at"]) for one in usable]
            begun = [part for part in parts if part["link_time"] is not None and part["link_time"] <= attempt["started_at"]]
            attempt["incident"] = max(begun, key=lambda part: (part["link_time"], part["id"])) if begun else parts[0]
            attempt["incident_source"] = "declared"
            return
    here = [row for row in incidents if _links(row, attempt) and attempt["service"] in row["services"]]
    opened = [row for row in here if is_open(row, attempt["started_at"])]
    if opened:
        attempt["incident"] = max(opened, key=lambda row: (row["link_time"], row["id"]))
        attempt["incident_source"] = "derived:open"
        return
    until = attempt["completed_at"] + HOUR
    late = [row for row in here if row["started_at"] is None and row["detected_at"] and attempt["started_at"] < row["detected_at"] < until]
    if late:
        attempt["incident"] = min(late, key=lambda row: (row["detected_at"], row["id"]))
        attempt["incident_source"] = "derived:late_ticket"


def fixes(known: Records, incident: Row, record: str) -> list[Row]:
    """What the incident, or a duplicate of it, names as its fix."""
    said = [other for other in known["incident"] if other["original"] is incident["record"]]
    found = [fixed_by(known, other, record) for other in said]
    return [fix for fix in found if fix is not None]


def _fixed_by(known: Records, incident: Row, part: Row) -> bool:
    """Whether the incident names this part, or the very record it came from, as its fix."""
    return any(fix["id"] == part["id"] for fix in fixes(known, incident, part["what"]))


def _episodes(attempts: list[Row]) -> None:
    """Those of one incident, per service and environment; the others within two hours of their first."""
    for attempt in attempts:
        attempt["episode"] = attempt["episode_order"] = None
    episodes: list[list[Row]] = []
    for attempt in attempts:
        if attempt["drill"] or attempt["race"] or attempt["code_level"]:
            continue
        for episode in episodes:
            first = episode[0]
            same = place(first) == place(attempt) and first["incident"] is attempt["incident"]
            if same and (attempt["incident"] is not None or attempt["started_at"] - first["started_at"] < 2 * HOUR):
                episode.append(attempt)
                break
        else:
            episodes.append([attempt])
    for episode in episodes:
        for order, attempt in enumerate(episode, 1):
            attempt["episode"], attempt["episode_order"] = episode[0]["id"], order


def latest_candidate(incident: Row, line: list[Row], attempts: list[Row]) -> Row | None:
    """The latest deployment of one service and environment that an incident may be about."""
    moment = incident["link_time"]
    carrying = [part["row"] for attempt in attempts if attempt["incident"] is incident for part in attempt["pieces"]]
    found = []
    for row in line:
        if row["entered"] or row["kind"] == "redeploy" or row["drill"] or any(row is one for one in carrying):
            continue
        until = row["end"] if row["unsuccessful"] else (row["start"] if row["in_progress"] else row["deployed_at"]) + DAY
        if row["start"] <= moment < until:
            found.append(row)
    return max(found, key=lambda row: (row["deployed_at"], row["start"], row["source_id"], row["source"]), default=None)
