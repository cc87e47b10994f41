"""Attempts to restore: declared rollbacks, deployments that went back, flags turned off; those that overlap are one."""

from __future__ import annotations

from datetime import timedelta

from tests.oracle.artifacts import ships
from tests.oracle.lineage import declared_undone, goes_below_current, lineage, place
from tests.oracle.observed import MUTABLE, Records, Row

__all__ = ["attempts", "lineages", "overlap"]

HOUR = timedelta(hours=1)
FLAG_LASTS = timedelta(minutes=5)
MOVES = {"redeploy", "gitops", "traffic"}
KINDS = ["deployment", "rollback", "flag_change"]


def overlap(a: Row, b: Row) -> bool:
    """Closed at the start, open at the end; what has no length still takes its moment."""
    tick = timedelta(microseconds=1)
    return a["start"] < max(b["end"], b["start"] + tick) and b["start"] < max(a["end"], a["start"] + tick)


def lineages(known: Records) -> dict[tuple[str, str], list[Row]]:
    """The lineage of every service and environment: a first one, then with the declared rollbacks that no deployment carried out."""
    places = {place(row) for row in known["deployment"] + known["rollback"]}
    lines = {}
    for where in sorted(places):
        deployments = [row for row in known["deployment"] if place(row) == where]
        rollbacks = [row for row in known["rollback"] if place(row) == where]
        line = lineage(deployments)
        _carry(line, rollbacks)
        entering = [rollback for rollback in rollbacks if _enters(rollback)]
        if entering:
            line = lineage(deployments + [_entered(rollback) for rollback in entering])
            others = [rollback for rollback in rollbacks if not any(rollback is one for one in entering)]
            _carry([row for row in line if not row["entered"]], others)
        _drills(line)
        lines[where] = line
    return lines


def _carry(line: list[Row], rollbacks: list[Row]) -> None:
    """Which deployments carry out which declared rollbacks; one that could carry both a drill and a real one carries the real one."""
    for rollback in rollbacks:
        rollback["carriers"] = []
    for row in line:
        could = [rollback for rollback in rollbacks if _could_carry(row, rollback)]
        real = [rollback for rollback in could if not rollback["drill"]]
        row["carried"] = real or could
        for rollback in row["carried"]:
            rollback["carriers"].append(row)


def _could_carry(row: Row, rollback: Row) -> bool:
    if rollback["mechanism"] not in MOVES:
        return False
    together = overlap(row, rollback)
    if row["kind"] == "rollback" and together:
        return True
    soon = timedelta(0) <= row["start"] - rollback["start"] < HOUR
    return ships(row, rollback["to_digest"], rollback["to_version"]) and (together or soon)


def _enters(rollback: Row) -> bool:
    names = rollback["to_digest"] is not None or (rollback["to_version"] is not None and rollback["to_version"] not in MUTABLE)
    done = rollback["completed_at"] is not None and rollback["state"] == "completed"
    return rollback["mechanism"] in MOVES and not rollback["drill"] and done and names and not rollback["carriers"]


def _entered(rollback: Row) -> Row:
    row = {
        name: rollback[name]
        for name in ("id", "source", "source_id", "service", "environment", "production", "start", "end", "trigger", "started_at")
    }
    row |= dict.fromkeys(("vcs_revision", "config_revision", "committed_at", "fixes_incident"))
    row |= {"version": rollback["to_version"], "artifact_digest": rollback["to_digest"], "declared_kind": "rollback", "rollback": rollback}
    row |= {"finished_at": rollback["completed_at"], "deployed_at": rollback["completed_at"], "status": "succeeded"}
    row |= {
        "successful": True,
        "unsuccessful": False,
        "in_progress": False,
        "ended": True,
        "entered": True,
        "says_hotfix": False,
        "carried": [],
    }
    return row


def _drills(line: list[Row]) -> None:
    """A drill's deployment, and the very next successful one if it brings back what it removed."""
    for row in line:
        row["carries_drill"] = any(rollback["drill"] for rollback in row.get("carried", []))
        row["drill"] = row["carries_drill"]
    for row in line:
        if not row["carries_drill"] or not row["successful"]:
            continue
        removed = row["undoes"] if row["kind"] == "rollback" else row["before"]
        following = [other for other in line if other["successful"] and other["index"] > row["index"]]
        if removed and following and removed["artifact"] is not None and following[0]["artifact"] is removed["artifact"]:
            following[0]["drill"] = True


def attempts(known: Records, lines: dict[tuple[str, str], list[Row]], flag_offs: list[Row]) -> list[Row]:
    """All attempts, ordered by start and id."""
    made = []
    places = set(lines) | {place(row) for row in flag_offs}
    for where in sorted(places):
        line = lines.get(where, [])
        rollbacks = [row for row in known["rollback"] if place(row) == where]
        flags = [row for row in flag_offs if place(row) == where]
        real = [_deployment(row) for row in line if not row["entered"] and _is_part(row) and not row["carries_drill"]]
        real += [_declared(rollback, line) for rollback in rollbacks if not rollback["drill"] and rollback["mechanism"] != "revert_commit"]
        real += [_flag(flag) for flag in flags]
        drills = [_deployment(row) for row in line if row["carries_drill"]]
        drills += [_declared(rollback, line) for rollback in rollbacks if rollback["drill"] and rollback["mechanism"] != "revert_commit"]
        reverts = [_declared(rollback, line) for rollback in rollbacks if rollback["mechanism"] == "revert_commit"]
        groups = _merged(real) + _merged(drills) + [[part] for part in reverts]
        made += [_attempt(where, group) for group in groups]
    return sorted(made, key=lambda attempt: (attempt["started_at"], attempt["id"]))


def _is_part(row: Row) -> bool:
    """It went back, or carries out a declared rollback; what only brings back the drill's victim does neither."""
    return bool(row["carried"]) or (row["kind"] == "rollback" and not row["drill"])


def _part(what: str, row: Row, status: str, **more: object) -> Row:
    """A piece of an attempt; what it undoes and restores is said where it is known."""
    start, end = (row["at"], row["at"]) if what == "flag_change" else (row["start"], row["end"])
    nothing = dict.fromkeys(("undoes", "also", "restores", "undoes_all"))
    times = {"start": start, "end": end, "merges_until": end}
    return {"what": what, "row": row, "id": row["id"], "status": status, "back": False} | times | nothing | more


def _deployment(row: Row) -> Row:
    status = "in_progress" if row["in_progress"] else row["status"] if row["unsuccessful"] else "completed"
    if row["kind"] != "rollback":
        return _part("deployment", row, status, names=None)
    undone = {name: row[name] for name in ("undoes", "also", "restores", "undoes_all")}
    return _part("deployment", row, status, names=row["fixes_incident"], back=True, **undone)


def _declared(rollback: Row, line: list[Row]) -> Row:
    went_back = [row for row in rollback["carriers"] if row["kind"] == "rollback"]
    entered = [row for row in line if row.get("rollback") is rollback]
    if went_back or entered:
        undone = {name: (went_back or entered)[0][name] for name in ("undoes", "restores", "undoes_all")}
        if not went_back and entered[0]["undoes"] and entered[0]["undoes"]["unsuccessful"] and goes_below_current(entered[0]):
            undone["also"] = entered[0]["before"]
    else:
        undoes = declared_undone(rollback, line)
        undone = {"undoes": undoes, "undoes_all": [undoes] if undoes else None}
    return _part("rollback", rollback, rollback["state"], names=rollback["incident"], **undone)


def _flag(flag: Row) -> Row:
    return _part("flag_change", flag, "completed", names=flag["incident"], merges_until=flag["at"] + FLAG_LASTS)


def _order(part: Row) -> tuple:
    return part["start"], KINDS.index(part["what"]), part["id"]


def _merged(parts: list[Row]) -> list[list[Row]]:
    """Carriers with what they carry first; then, in order, each joins the earliest group it overlaps, unless both hold a flag change."""
    hulls: list[list[Row]] = []
    for part in sorted(parts, key=_order):
        touching = [hull for hull in hulls if any(_carried_by(part, other) for other in hull)]
        hulls = [hull for hull in hulls if not any(hull is one for one in touching)]
        hulls.append([part] + [other for hull in touching for other in hull])
    for hull in hulls:
        hull.sort(key=_order)
    groups: list[list[Row]] = []
    for hull in sorted(hulls, key=lambda hull: _order(hull[0])):
        for group in groups:
            if overlap(_span(group), _span(hull)) and not (_holds_flag(group) and _holds_flag(hull)):
                group.extend(hull)
                group.sort(key=_order)
                break
        else:
            groups.append(hull)
    return groups


def _carried_by(a: Row, b: Row) -> bool:
    return any(x["what"] == "deployment" and any(one is y["row"] for one in x["row"]["carried"]) for x, y in ((a, b), (b, a)))


def _span(group: list[Row]) -> Row:
    # What has no length takes its moment at the end of a longer attempt, too.
    ends = [max(part["merges_until"], part["start"] + timedelta(microseconds=1)) for part in group]
    return {"start": min(part["start"] for part in group), "end": max(ends)}


def _holds_flag(group: list[Row]) -> bool:
    return any(part["what"] == "flag_change" for part in group)


def _attempt(where: tuple[str, str], parts: list[Row]) -> Row:
    deployed = [part for part in parts if part["what"] == "deployment"]
    declared = [part for part in parts if part["what"] == "rollback"]
    went_back = [part for part in deployed if part["back"]]
    head = (deployed or declared or parts)[0]
    last = max(parts, key=lambda part: (part["end"], part["start"], _order(part)))
    triggers = {part["row"].get("trigger") for part in parts} - {None, "unknown"}
    undoing = [part for part in went_back or declared if part["undoes"]]
    restoring = [part for part in went_back or declared if part["restores"]]
    all_undone: list[Row] = []
    for row in [row for part in parts for row in part["undoes_all"] or []]:
        if not any(row is one for one in all_undone):
            all_undone.append(row)
    return {
        "id": f"{head['what']}:{head['id']}",
        "service": where[0],
        "environment": where[1],
        "production": head["row"]["production"],
        "pieces": parts,
        "mechanism": _mechanism(deployed, declared),
        "status": "in_progress" if any(part["status"] == "in_progress" for part in parts) else last["status"],
        "started_at": parts[0]["start"],
        "completed_at": last["end"],
        "decided_at": min((part["row"]["decided_at"] for part in declared if part["row"]["decided_at"]), default=None),
        "reason": next((part["row"]["reason"] for part in declared if part["row"]["reason"]), None),
        "trigger": "manual" if "manual" in triggers else "auto" if triggers else None,
        "undoes": undoing[0]["undoes"] if undoing else None,
        "restores": restoring[-1]["restores"] if restoring else None,
        "undoes_all": all_undone,
        "drill": any(part["row"]["drill"] for part in declared),
        "code_level": head["what"] == "rollback" and head["row"]["mechanism"] == "revert_commit",
    }


def _mechanism(deployed: list[Row], declared: list[Row]) -> str:
    said = [part["row"]["mechanism"] for part in declared]
    if deployed:
        return next((mechanism for mechanism in said if mechanism in MOVES), "redeploy")
    said.sort(key=lambda mechanism: mechanism == "flag")
    return said[0] if said else "flag"
