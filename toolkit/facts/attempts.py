"""Gather attempts to restore: declared rollbacks, deployments that went back, flag-offs; what overlaps in time is one."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from toolkit.facts.joins import moments_in, of_rows
from toolkit.facts.versions import MUTABLE_TAGS

__all__ = ["CARRIED_WITHIN", "DEPLOY_MECHANISMS", "carriers", "declared_undone", "entering", "merged", "parts_of_attempts"]

DEPLOY_MECHANISMS = ["redeploy", "gitops", "traffic"]
CARRIED_WITHIN = timedelta(minutes=60)
FLAG_LASTS = timedelta(minutes=5)
_INSTANT = timedelta(microseconds=1)
_UNKNOWN_END = datetime(9999, 1, 1, tzinfo=UTC)


def _until(end: str, start: str) -> pl.Expr:
    """The open end of a span; one without length lasts a microsecond."""
    return pl.max_horizontal(pl.col(end), pl.col(start) + _INSTANT)


def carriers(deployments: pl.DataFrame, rollbacks: pl.DataFrame) -> pl.DataFrame:
    """Which deployment carries out which declared rollback: idx, rb.

    Of kind rollback and overlapping, or shipping its target and overlapping or started within 60 min after its start. (After: with V1
    at 9:30,
    V2 at 9:45 and traffic switched back to V1 at 10:00, the release of V1 did not carry the switch.)
    """
    asked = rollbacks.filter(pl.col("mechanism").is_in(DEPLOY_MECHANISMS))
    if asked.is_empty():
        return pl.DataFrame(schema={"idx": pl.Int64, "rb": pl.Int64})
    target = pl.when(~pl.col("to_version").is_in(MUTABLE_TAGS)).then("to_version")
    asked = asked.select("rb", "part", "drill", r_start="start", r_until=_until("end", "start"), to_digest="to_digest", to_version=target)
    near = deployments.filter(pl.col("part").is_in(asked["part"].unique().implode()) & pl.col("start").is_not_null())
    near = near.select(
        "idx", "part", "kind", "artifact", "artifact_digest", "fixed_version", d_start="start", d_until=_until("deployed_at", "start")
    )
    later = moments_in(
        near.with_columns(moment="d_start"),
        asked.rename({"r_start": "from"}).with_columns(r_start="from", until=pl.max_horizontal("r_until", pl.col("from") + CARRIED_WITHIN)),
    )
    earlier = moments_in(
        asked.with_columns(moment="r_start"),
        near.with_columns(pl.col("d_start").alias("from"), until="d_until"),
    )
    columns = [
        "idx",
        "rb",
        "drill",
        "kind",
        "artifact",
        "artifact_digest",
        "fixed_version",
        "to_digest",
        "to_version",
        "d_start",
        "d_until",
        "r_start",
        "r_until",
    ]
    pairs = pl.concat([later.select(columns), earlier.select(columns)]).unique(["idx", "rb"])
    overlap = (pl.col("d_start") < pl.col("r_until")) & (pl.col("r_start") < pl.col("d_until"))
    both_digests = pl.col("to_digest").is_not_null() & pl.col("artifact_digest").is_not_null()
    both_versions = pl.col("to_version").is_not_null() & pl.col("fixed_version").is_not_null()
    ships = (
        pl.when(both_digests)
        .then(pl.col("to_digest") == pl.col("artifact_digest"))
        .when(both_versions)
        .then(pl.col("to_version") == pl.col("fixed_version"))
        .otherwise("known_as")
    )
    pairs = _with_known_as(pairs, deployments)
    after = (pl.col("d_start") >= pl.col("r_start")) & (pl.col("d_start") < pl.col("r_start") + CARRIED_WITHIN)
    carried = pairs.filter(((pl.col("kind") == "rollback") & overlap) | (ships.fill_null(value=False) & (overlap | after)))
    # Never one with a drill: what could carry both carries the real one.
    return carried.filter(~pl.col("drill") | pl.col("drill").all().over("idx")).select("idx", "rb").sort("idx", "rb")


def _with_known_as(pairs: pl.DataFrame, deployments: pl.DataFrame) -> pl.DataFrame:
    """Adds known_as: whether other deployments of the same artifact carry the target's digest, or its version where none has a digest."""
    its = deployments.lazy().filter(pl.col("artifact").is_in(pairs["artifact"].unique().implode()))
    names = its.select("artifact", "artifact_digest", "fixed_version").collect()
    digests = names.select("artifact", to_digest="artifact_digest").drop_nulls().unique()
    versions = names.select("artifact", to_version="fixed_version").drop_nulls().unique()
    pairs = (
        pairs.join(digests.with_columns(by_digest=True), on=["artifact", "to_digest"], how="left")
        .join(versions.with_columns(by_version=True), on=["artifact", "to_version"], how="left")
        .join(digests.select("artifact", digested=True).unique(), on="artifact", how="left")
    )
    known_as = pl.when(pl.col("to_digest").is_not_null() & pl.col("digested")).then("by_digest").otherwise("by_version")
    return pairs.with_columns(known_as=known_as.fill_null(value=False)).drop("by_digest", "by_version", "digested")


def entering(rollbacks: pl.DataFrame, carried: pl.DataFrame) -> pl.DataFrame:
    """Declared rollbacks that changed what runs without a deployment: they enter the lineage as successful rows."""
    target = pl.when(~pl.col("to_version").is_in(MUTABLE_TAGS)).then("to_version")
    return rollbacks.filter(
        pl.col("mechanism").is_in(DEPLOY_MECHANISMS)
        & ~pl.col("drill")
        & pl.col("completed_at").is_not_null()
        & (pl.col("status") == "completed")
        & (target.is_not_null() | pl.col("to_digest").is_not_null())
    ).join(carried, on="rb", how="anti")


def declared_undone(deployments: pl.DataFrame, rollbacks: pl.DataFrame, carried: pl.DataFrame) -> pl.DataFrame:
    """What a declared rollback without a deployment undid: rb, undone (idx).

    The last deployment of from_version, else a rollout it interrupts, else the one that was current.
    """
    asked = rollbacks.filter((pl.col("mechanism") != "revert_commit") & pl.col("start").is_not_null()).sort("start")
    if asked.is_empty() or deployments.is_empty():
        return pl.DataFrame(schema={"rb": pl.Int64, "undone": pl.Int64})
    near = deployments.filter(pl.col("part").is_in(asked["part"].unique().implode()) & ~pl.col("entered"))
    near_all = deployments.filter(pl.col("part").is_in(asked["part"].unique().implode()))
    asked = asked.select(
        "rb", "part", "start", "from_digest", from_version=pl.when(~pl.col("from_version").is_in(MUTABLE_TAGS)).then("from_version")
    )

    def last_of(name: str, key: str) -> pl.DataFrame:
        wanted = asked.drop_nulls(name).select("rb", "part", "start", key=name)
        named = near_all.drop_nulls(key).select("part", "artifact", "position", key=key).sort("position")
        artifact = wanted.join_asof(named, left_on="start", right_on="position", by=["part", "key"], check_sortedness=False)
        # Whatever looks back looks through redeploys; but a rollout that was given up half-way is the one meant.
        shipped = near_all.filter(pl.col("kind") != "redeploy").select("artifact", "position", undone="idx", own="rb")
        found = artifact.drop_nulls("artifact").drop("position").join(shipped, on="artifact")
        found = found.filter(pl.col("position") <= pl.col("start"), pl.col("own").ne_missing(pl.col("rb")))
        return found.group_by("rb").agg(pl.col("undone").max())

    running = near.filter(pl.col("start").is_not_null()).with_columns(
        until=pl.when("ended").then("deployed_at").otherwise(pl.lit(_UNKNOWN_END))
    )
    latest_moment = asked["start"].max()
    running = running.with_columns(until=pl.min_horizontal("until", pl.lit(latest_moment) + timedelta(seconds=1)))
    interrupted = moments_in(
        asked.select("rb", "part", moment="start"), running.select("part", pl.col("start").alias("from"), "until", undone="idx")
    )
    interrupted = interrupted.join(carried, left_on=["rb", "undone"], right_on=["rb", "idx"], how="anti")
    interrupted = interrupted.group_by("rb").agg(pl.col("undone").max())
    bring_ins = near_all.filter("bring_in").select("part", "position", undone="idx").sort("position", "undone")
    current = (
        asked.join_asof(bring_ins, left_on="start", right_on="position", by="part", check_sortedness=False)
        .select("rb", "undone")
        .drop_nulls()
    )
    # One that took its own place in the lineage at once is not what was current when it began.
    current = of_rows(current, "undone", deployments, own="rb", before="current")
    itself = (pl.col("own") == pl.col("rb")).fill_null(value=False)
    current = current.select("rb", undone=pl.when(itself).then("before").otherwise("undone")).drop_nulls()
    by_digest, by_version = last_of("from_digest", "artifact_digest"), last_of("from_version", "fixed_version")
    return pl.concat([by_digest, by_version, interrupted, current]).unique("rb", keep="first", maintain_order=True)


def parts_of_attempts(deployments: pl.DataFrame, rollbacks: pl.DataFrame, flags: pl.DataFrame, carried: pl.DataFrame) -> pl.DataFrame:
    """The parts, one row each: what ('deployment', 'rollback', 'flag_change'), row, id, part, stream, hull, start, until, end, status, …

    hull: parts that carry each other share one; stream: real, drill, or a revert commit alone.
    """
    drills = rollbacks.filter("drill").select("rb")
    drill_deployments = carried.join(drills, on="rb", how="semi").select("idx").unique()
    returns = drill_returns(deployments, drill_deployments)
    # What only brings back what a drill removed is no part; what carries something out is, even the next step of the drill.
    went_back = (pl.col("kind") == "rollback") & ~pl.col("entered") & ~pl.col("idx").is_in(returns.implode())
    back = deployments.filter(went_back | pl.col("idx").is_in(carried["idx"].unique().implode()))
    on_drill = pl.col("idx").is_in(drill_deployments["idx"].implode())
    lost = pl.when("cancelled").then(pl.lit("cancelled")).when("unsuccessful").then(pl.lit("failed"))
    status = pl.when("successful").then(pl.lit("completed")).otherwise(lost.otherwise(pl.lit("in_progress")))
    shared = [
        "what",
        "row",
        "id",
        "source",
        "part",
        "stream",
        "start",
        "end",
        "until",
        "status",
        "mechanism",
        "trigger",
        "reason",
        "decided_at",
        "names",
        "drill",
        "back",
    ]
    moves = back.with_columns(
        what=pl.lit("deployment"),
        row="idx",
        end="deployed_at",
        until=_until("deployed_at", "start"),
        status=status,
        drill=on_drill,
        back=pl.col("kind") == "rollback",
        stream=pl.when(on_drill).then(pl.lit("drill")).otherwise(pl.lit("real")),
        mechanism=pl.lit("redeploy"),
        reason=pl.lit(None, pl.String),
        decided_at=pl.lit(None, back.schema["start"]),
        names=pl.when(pl.col("kind") == "rollback").then("fixes_incident"),
    ).select(shared)
    declared = rollbacks.filter(pl.col("start").is_not_null()).with_columns(
        what=pl.lit("rollback"),
        row="rb",
        until=_until("end", "start"),
        stream=pl.when(pl.col("mechanism") == "revert_commit")
        .then(pl.format("revert {}", "rb"))
        .when("drill")
        .then(pl.lit("drill"))
        .otherwise(pl.lit("real")),
        back=pl.lit(value=False),
        reason=pl.when(pl.col("reason").str.strip_chars() != "").then("reason"),
        names="incident",
    )
    switched = flags.with_columns(
        what=pl.lit("flag_change"),
        row="flag_row",
        start="at",
        end="at",
        until=pl.col("at") + FLAG_LASTS,
        status=pl.lit("completed"),
        drill=pl.lit(value=False),
        back=pl.lit(value=False),
        stream=pl.lit("real"),
        mechanism=pl.lit("flag"),
        trigger=pl.lit(None, pl.String),
        reason=pl.lit(None, pl.String),
        decided_at=pl.lit(None, flags.schema["at"]),
        names="incident",
    )
    parts = pl.concat([moves, declared.select(shared), switched.select(shared)])
    hulls = _hulls(carried)
    parts = parts.with_columns(key=pl.format("{}:{}", "what", "row")).join(hulls, on="key", how="left")
    return parts.with_columns(pl.coalesce("hull", "key").alias("hull"))


def drill_returns(deployments: pl.DataFrame, drills: pl.DataFrame) -> pl.Series:
    """The very next successful deployment after a drill's, where it brings back what the drill removed (idx)."""
    if drills.is_empty():
        return pl.Series("idx", [], pl.Int64)
    done = deployments.lazy().filter("successful").select("idx", "part", "artifact", "was_artifact").collect()
    following = done.with_columns(next=pl.col("idx").shift(-1).over("part"), next_artifact=pl.col("artifact").shift(-1).over("part"))
    back = following.join(drills, on="idx", how="semi").filter(pl.col("next_artifact") == pl.col("was_artifact"))
    return back["next"].alias("idx")


def _hulls(carried: pl.DataFrame) -> pl.DataFrame:
    """key → hull: what carries each other, through any number of steps, is one hull."""
    root: dict[str, str] = {}

    def find(key: str) -> str:
        while root.setdefault(key, key) != key:
            key = root[key]
        return key

    for idx, rb in carried.iter_rows():
        a, b = sorted((find(f"deployment:{idx}"), find(f"rollback:{rb}")))
        root[b] = a
    pairs = [(key, find(key)) for key in root]
    return pl.DataFrame(pairs, schema={"key": pl.String, "hull": pl.String}, orient="row")


def merged(parts: pl.DataFrame) -> pl.DataFrame:
    """Adds `attempt` (number): hulls that overlap within a partition and stream are one; two flag changes never."""
    flag = pl.col("what") == "flag_change"
    rank = pl.col("what").replace_strict({"deployment": 0, "rollback": 1, "flag_change": 2}, return_dtype=pl.Int64)
    ordered = parts.with_columns(rank=rank).sort("start", "rank", "id", "source")
    hulls = (
        ordered.group_by("part", "stream", "hull", maintain_order=True)
        .agg(
            pl.col("start").min(),
            pl.col("until").max(),
            flag=flag.any(),
            rank=pl.col("rank").first(),
            id=pl.col("id").first(),
            source=pl.col("source").first(),
        )
        .sort("part", "stream", "start", "rank", "id", "source")
    )
    before = pl.col("until").cum_max().shift(1).over("part", "stream")
    hulls = hulls.with_columns(joins=(pl.col("start") < before).fill_null(value=False)).with_row_index("hull_row")
    hulls = hulls.with_columns(cluster=(~pl.col("joins")).cum_sum())
    crowded = hulls.filter(pl.col("cluster").is_duplicated())
    attempts = _swept(crowded.select("hull_row", "cluster", "start", "until", "flag").to_dicts())
    swept = pl.DataFrame(list(attempts.items()), schema={"hull_row": pl.UInt32, "attempt": pl.Int64}, orient="row")
    hulls = hulls.join(swept, on="hull_row", how="left").with_columns(
        pl.coalesce("attempt", pl.col("hull_row").cast(pl.Int64)).alias("attempt")
    )
    return ordered.join(hulls.select("part", "stream", "hull", "attempt"), on=["part", "stream", "hull"]).sort(
        "attempt", "start", "rank", "id", "source"
    )


def _swept(hulls: list[dict[str, Any]]) -> dict[int, int]:
    """hull row → attempt, for hulls in order: one joins the earliest attempt of its cluster that it overlaps, unless both hold a flag
    change."""
    open_attempts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    joined: dict[int, int] = {}
    for hull in hulls:
        for attempt in open_attempts[hull["cluster"]]:
            if hull["start"] < attempt["until"] and not (hull["flag"] and attempt["flag"]):
                attempt["until"] = max(attempt["until"], hull["until"])
                attempt["flag"] = attempt["flag"] or hull["flag"]
                joined[hull["hull_row"]] = attempt["hull_row"]
                break
        else:
            open_attempts[hull["cluster"]].append(dict(hull))
            joined[hull["hull_row"]] = hull["hull_row"]
    return joined
