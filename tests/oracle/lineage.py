"""What ran when, in each service and environment, row by row."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from tests.oracle.artifacts import Artifact, artifact_of, is_below, parsed, version_of
from tests.oracle.observed import Row

__all__ = ["declared_undone", "goes_below_current", "lineage", "place"]

DAY = timedelta(hours=24)
DECLARED = {"release", "rollback", "redeploy", "reapply"}


def place(row: Row) -> tuple[str, str]:
    """A lineage belongs to one service in one environment."""
    return row["service"], row["environment"]


def lineage(rows: list[Row]) -> list[Row]:
    """Puts the rows of one service and environment in order and says of each what it was."""
    rows = [row for row in rows if row["start"] is not None]
    for row in rows:
        row["position"] = row["deployed_at"] if row["successful"] else row["start"]
    rows.sort(key=lambda row: (row["position"], row["start"], row["source_id"], row["source"]))
    recent: list[Artifact] = []
    current: Row | None = None
    for index, row in enumerate(rows):
        row["index"] = index
        row["overlapped"] = row["successful"] and any(
            other["successful"] and other["start"] > row["start"] and other["deployed_at"] < row["deployed_at"] for other in rows
        )
        row["artifact"] = artifact_of(row, recent)
        row["before"] = current
        row["aborted"] = _aborted(row, rows[:index])
        row["never_seen"] = row["artifact"] is not None and row["artifact"].first is None
        _say_kind(row, rows[0])
        row["says_certain"] = row["says_hotfix"] and row["never_seen"] and row["kind"] != "rollback"
        _say_undone(row, rows[:index])
        same = row["artifact"] is not None and current is not None and row["artifact"] is current["artifact"]
        row["brings_in"] = row["successful"] and not row["overlapped"] and not (row["kind"] == "redeploy" and same)
        if row["successful"] and row["artifact"] is not None and row["artifact"].first is None:
            row["artifact"].first = (row["start"], index)
        if row["brings_in"]:
            current = row
    for row in rows:
        if row["entered"]:
            row["undoes"] = declared_undone(row["rollback"], rows)
            row["undoes_all"] = _all_undone(row, rows)
    _say_exposure(rows)
    _say_lead_time(rows)
    _say_quick_patches(rows)
    return rows


def _aborted(row: Row, earlier: list[Row]) -> Row | None:
    """The last unsuccessful release, hotfix or reapply since the last success that ended at most 24 h before."""
    found = None
    for other in earlier:
        if other["successful"] and not other["overlapped"]:
            found = None
        elif other["unsuccessful"] and (other["kind"] in {"release", "reapply"} or other["says_certain"]):
            if row["start"] - other["end"] <= DAY:
                found = other
    return found


def _say_kind(row: Row, first: Row) -> None:
    row["kind_source"] = "derived"
    current = row["before"]
    if row["declared_kind"] in DECLARED:
        row["kind"], row["kind_source"] = row["declared_kind"], "declared"
    elif row["overlapped"] or row["artifact"] is None:
        row["kind"] = "unknown"
    elif row["never_seen"]:
        row["kind"] = "release"
        known = current["artifact"].last_version if current and current["artifact"] else None
        if is_below(version_of(row), known):
            row["kind"] = "unknown" if row["position"] < first["position"] + timedelta(days=90) else "out_of_order"
    elif current is None or current["artifact"] is None:
        row["kind"] = "unknown"
    elif row["artifact"] is current["artifact"]:
        row["kind"] = "rollback" if row["aborted"] else "redeploy"
    else:
        row["kind"] = "rollback" if row["artifact"].first < current["artifact"].first else "reapply"


def _say_undone(row: Row, earlier: list[Row]) -> None:
    row["undoes"] = row["restores"] = row["undoes_all"] = None
    row["also"] = None
    if row["kind"] != "rollback":
        return
    row["undoes"] = row["aborted"] or row["before"]
    for other in earlier:
        if other["brings_in"] and row["artifact"] is not None and other["artifact"] is row["artifact"]:
            row["restores"] = other
    row["undoes_all"] = _all_undone(row, earlier)
    if row["aborted"] and goes_below_current(row):
        row["also"] = row["before"]


def goes_below_current(row: Row) -> bool:
    """Whether it restores an artifact older than the one that was current."""
    current = row["before"]
    known = current and current["artifact"] and row["artifact"] and not row["never_seen"]
    return bool(known and row["artifact"].first < current["artifact"].first)


def _all_undone(row: Row, rows: list[Row]) -> list[Row]:
    between = []
    for other in rows:
        after = row["restores"] is not None and row["restores"]["index"] < other["index"] < row["index"]
        release = other["successful"] and not other["overlapped"] and other["kind"] == "release"
        if (after and release) or other is row["undoes"]:
            between.append(other)
    return between


def _say_exposure(rows: list[Row]) -> None:
    """Until when the thing it brought in ran; unknown while it still runs."""
    for row in rows:
        row["superseded_by"] = row["superseded_at"] = row["exposure"] = None
    in_turn = [row for row in rows if row["brings_in"]]
    for row, following in pairwise(in_turn):
        row["superseded_by"] = following
        row["superseded_at"] = following["deployed_at"]
        row["exposure"] = following["deployed_at"] - row["deployed_at"]


def _say_lead_time(rows: list[Row]) -> None:
    first = True
    for row in rows:
        row["lead_time"] = None
        if not row["successful"]:
            continue
        if not first and row["kind"] not in {"rollback", "redeploy", "reapply"} and row["committed_at"] is not None:
            if row["committed_at"] <= row["deployed_at"]:
                row["lead_time"] = row["deployed_at"] - row["committed_at"]
        first = False


def _say_quick_patches(rows: list[Row]) -> None:
    """A patch version that follows sooner than nine in ten releases do may be a hotfix."""
    releases = [row for row in rows if row["successful"] and row["kind"] == "release"]
    gaps = [b["deployed_at"] - a["deployed_at"] for a, b in pairwise(releases)]
    tenth = min((gap for gap in gaps if 10 * sum(other <= gap for other in gaps) >= len(gaps)), default=None)
    for row in rows:
        row["quick_patch"] = False
    for row, gap in zip(releases[1:], gaps, strict=True):
        version = parsed(version_of(row))
        three = version is not None and row["version"].split("-")[0].split("+")[0].count(".") == 2
        row["quick_patch"] = bool(three and version[0][2] > 0 and gap < tenth and row["never_seen"])


def declared_undone(rollback: Row, rows: list[Row]) -> Row | None:
    """What a declared rollback without a deployment undoes: what it names, else the rollout it interrupts, else what was current."""
    if rollback["mechanism"] == "revert_commit":
        return None
    start = rollback["start"]
    before = [row for row in rows if row["brings_in"] and row["deployed_at"] <= start and row.get("rollback") is not rollback]
    by_then = [row for row in rows if row["position"] <= start and row["artifact"] is not None]
    earlier = [row for row in by_then if row.get("rollback") is not rollback]
    for said, name in ((rollback["from_digest"], lambda row: row["artifact_digest"]), (rollback["from_version"], version_of)):
        # It was called so by then, by this deployment or another of the same artifact.
        called = [row["artifact"] for row in by_then if said is not None and name(row) == said]
        meant = [row for row in earlier if row["kind"] != "redeploy" and any(row["artifact"] is artifact for artifact in called)]
        if meant:
            return meant[-1]
    for row in reversed(rows):
        if row["entered"] or any(row is carrier for carrier in rollback["carriers"]):
            continue
        is_open = row["in_progress"] and row["finished_at"] is None
        if row["start"] <= start and (is_open or start < row["end"]):
            return row
    return before[-1] if before else None
