"""Say how each attempt ended: drill, race, pending, failed, ineffective or succeeded; and what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.incidents import Incidents
from toolkit.facts.joins import moments_in, of_rows

__all__ = ["VERIFICATION", "with_known_good", "with_outcome", "with_reapplied", "with_storm"]

VERIFICATION = timedelta(minutes=60)
STORM = timedelta(minutes=30)
STORM_SERVICES = 3
RAN_WELL = timedelta(hours=24)
_INSTANT = timedelta(microseconds=1)


def with_outcome(
    attempts: pl.DataFrame, incidents: Incidents, deployments: pl.DataFrame, pieces: pl.DataFrame, horizon: datetime
) -> pl.DataFrame:
    """Adds outcome, outcome_source and outcome_reason (the first rule that spoke)."""
    attempts = (
        attempts.pipe(_with_recovery, incidents)
        .pipe(_with_followed)
        .pipe(_with_broken_hold, incidents, deployments, pieces)
        .pipe(_with_implied, incidents)
    )
    until = pl.col("completed_at") + VERIFICATION
    pending = (pl.col("status") == "in_progress") | (until > horizon)
    in_time = (pl.col("recovery") < until).fill_null(value=False)
    judged = pl.col("judged")
    reason = (
        pl.when(judged & ~in_time)
        .then(pl.lit("not recovered within 60 min"))
        .when(judged & pl.col("followed"))
        .then(pl.lit("another attempt before recovery"))
        .when("implied")
        .then(pl.lit("reopened without a recovery"))
        .when(pl.col("broken").is_not_null())
        .then("broken")
    )
    outcome = (
        pl.when("drill")
        .then(pl.lit("drill"))
        .when("race")
        .then(pl.lit("race"))
        .when(pending)
        .then(pl.lit("pending"))
        .when(pl.col("status") != "completed")
        .then(pl.lit("failed"))
        .when(reason.is_not_null())
        .then(pl.lit("ineffective"))
        .otherwise(pl.lit("succeeded"))
    )
    attempts = attempts.with_columns(outcome=outcome, reason_found=reason)
    decided = pl.col("outcome").is_in(["ineffective", "succeeded"])
    return attempts.with_columns(
        outcome_source=pl.when(decided & judged).then(pl.lit("derived:recovered")).when(decided).then(pl.lit("derived:held")),
        outcome_reason=pl.when(pl.col("outcome") == "failed")
        .then(pl.format("ended {}", "status"))
        .when(pl.col("outcome") == "ineffective")
        .then("reason_found"),
    ).drop("reason_found", "followed", "broken", "implied", "judged", "recovery", "holder")


def _with_recovery(attempts: pl.DataFrame, incidents: Incidents) -> pl.DataFrame:
    """Adds recovery (of the stretch in which it started) and judged: whether recovery can be held against it at all."""
    linked = attempts.select("attempt", "inc", "started_at").drop_nulls("inc").join(incidents.stretches, on="inc")
    # A ticket that came late: the first stretch.
    begun = (pl.col("from") <= pl.col("started_at")).fill_null(value=False) | pl.col("first")
    stretch = (
        linked.filter(begun)
        .sort("attempt", "stretch")
        .group_by("attempt", maintain_order=True)
        .agg(pl.col("recovery", "stretch").last(), stamp=pl.col("mitigated_at").last())
    )
    stamping = incidents.rows.select("inc", "source_stamps")
    attempts = attempts.join(stretch, on="attempt", how="left", maintain_order="left").join(
        stamping, on="inc", how="left", maintain_order="left"
    )
    judged = pl.col("inc").is_not_null() & (pl.col("stamp").is_not_null() | pl.col("source_stamps"))
    return attempts.with_columns(judged=judged.fill_null(value=False)).drop("stamp", "source_stamps")


def _with_followed(attempts: pl.DataFrame) -> pl.DataFrame:
    """Adds followed: another attempt of the episode came before that recovery."""
    ordered = attempts.select("attempt", "episode", "episode_order", "started_at").drop_nulls("episode").sort("episode", "episode_order")
    following = pl.when(pl.col("episode") == pl.col("episode").shift(-1)).then(pl.col("started_at").shift(-1))
    attempts = attempts.join(ordered.select("attempt", next_start=following), on="attempt", how="left", maintain_order="left")
    followed = pl.col("next_start").is_not_null() & (pl.col("recovery").is_null() | (pl.col("next_start") < pl.col("recovery")))
    return attempts.with_columns(followed=followed.fill_null(value=False)).drop("next_start")


def _with_broken_hold(attempts: pl.DataFrame, incidents: Incidents, deployments: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """Adds broken: what came on the service within the window (null: it held)."""
    attempts = attempts.with_columns(holder=pl.int_range(pl.len()).cast(pl.Int64))
    window = attempts.select(
        "holder", "attempt", "part", "inc", "undoes", pl.col("completed_at").alias("from"), until=pl.col("completed_at") + VERIFICATION
    )
    breaking = attempts.filter(~pl.col("drill") & ~pl.col("code_level")).select("part", other="holder", other_id="id", moment="started_at")
    own = attempts.select(
        "holder", "id", "started_at", "part", pl.col("started_at").alias("from"), until=pl.col("completed_at") + VERIFICATION
    )
    further = moments_in(breaking, own.drop("id", "started_at")).join(own.select("holder", "id", "started_at"), on="holder")
    after = (pl.col("moment") > pl.col("started_at")) | ((pl.col("moment") == pl.col("started_at")) & (pl.col("other_id") > pl.col("id")))
    further = further.filter(after & (pl.col("other") != pl.col("holder"))).select("holder", why=pl.lit("a further attempt"))
    reopened = incidents.stretches.select("inc", moment="next_reopening").drop_nulls().join(incidents.places, on="inc").drop("inc")
    reopened = moments_in(reopened, window.drop("inc", "undoes", "attempt")).select("holder", why=pl.lit("reopened"))
    anew = incidents.rows.select(other="inc", moment="link_time").drop_nulls().join(incidents.places.rename({"inc": "other"}), on="other")
    anew = (
        moments_in(anew, window.drop("undoes", "attempt"))
        .filter(pl.col("other").ne_missing(pl.col("inc")))
        .select("holder", why=pl.lit("a new incident"))
    )
    returned = returns(attempts, deployments, pieces).join(window.select("attempt", "holder", "until"), on="attempt")
    back = returned.filter(pl.col("deployed_at") < pl.col("until")).select("holder", why=pl.lit("the undone artifact came back"))
    broken = pl.concat([further, reopened, back, anew]).unique("holder", keep="first", maintain_order=True)
    return attempts.join(broken.rename({"why": "broken"}), on="holder", how="left", maintain_order="left")


def _with_implied(attempts: pl.DataFrame, incidents: Incidents) -> pl.DataFrame:
    """Adds implied: a reopening without a recovery before it says that the last attempt before it had not worked."""
    stretches = incidents.stretches.filter("implied").select("inc", "stretch")
    last = attempts.select("attempt", "inc", "stretch", "started_at", "id")
    last = last.join(stretches, on=["inc", "stretch"]).sort("started_at", "id").group_by("inc", "stretch").agg(pl.col("attempt").last())
    marked = last.select("attempt", implied=pl.lit(value=True))
    return (
        attempts.join(marked, on="attempt", how="left", maintain_order="left")
        .with_columns(pl.col("implied").fill_null(value=False))
        .drop("stretch")
    )


def with_storm(attempts: pl.DataFrame) -> pl.DataFrame:
    """Adds storm (number of its first attempt): attempts on at least 3 services within some sliding 30 min."""
    real = attempts.filter(~pl.col("drill") & ~pl.col("code_level") & pl.col("production")).sort("started_at", "id")
    reach = real.select("attempt", "service", "started_at").with_columns(position=pl.int_range(pl.len()))
    ahead = reach["started_at"].search_sorted(reach["started_at"] + STORM, side="left")
    windows = reach.with_columns(ahead=ahead.cast(pl.Int64)).filter(pl.col("ahead") - pl.col("position") >= STORM_SERVICES)
    inside = windows.select("position", member=pl.int_ranges("position", "ahead")).explode("member")
    inside = inside.join(reach.select("attempt", "service", member="position"), on="member")
    stormy = inside.filter(pl.col("service").n_unique().over("position") >= STORM_SERVICES).select("attempt").unique()
    members = reach.join(stormy, on="attempt").sort("position")
    gap = (pl.col("started_at") - pl.col("started_at").shift(1) > STORM).fill_null(value=True)
    members = members.with_columns(run=gap.cum_sum())
    members = members.select("attempt", storm=pl.col("attempt").first().over("run"))
    return attempts.join(members, on="attempt", how="left", maintain_order="left")


def returns(attempts: pl.DataFrame, deployments: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """What brought an undone artifact back, from the attempt's end on: attempt, race, completed_at, back and ran (idx), deployed_at,
    superseded_at."""
    undone = of_rows(
        attempts.select("attempt", "undoes", "completed_at", "race").drop_nulls("undoes"), "undoes", deployments, artifact="artifact"
    )
    undone = undone.drop_nulls("artifact")
    again = pl.col("artifact").is_in(undone["artifact"].unique().implode())
    # A redeploy runs as long as the deployment that it repeats.
    ran = pl.when("bring_in").then("idx").when(pl.col("artifact") == pl.col("was_artifact")).then("current")
    kept = ["artifact", "deployed_at", pl.col("idx").alias("back"), ran.alias("ran")]
    runs = deployments.lazy().filter("successful", ~pl.col("drill"), again).select(kept).collect()
    runs = of_rows(runs, "ran", deployments, superseded_at="superseded_at")
    # What the attempt itself put there, as a deployment or by taking its place in the lineage, brought nothing back.
    moved = pieces.filter(pl.col("what") == "deployment").select("attempt", own="row")
    switched = deployments.lazy().filter("entered").select("rb", own="idx").collect()
    switched = pieces.filter(pl.col("what") == "rollback").select("attempt", rb="row").join(switched, on="rb").select("attempt", "own")
    last = pl.concat([moved, switched]).group_by("attempt").agg(pl.col("own").max())
    back = undone.join(runs, on="artifact").join(last, on="attempt", how="left")
    return back.filter(
        pl.col("deployed_at") >= pl.col("completed_at"),
        pl.col("back") > pl.max_horizontal("own", "undoes"),
    ).select("attempt", "race", "completed_at", "back", "ran", "deployed_at", "superseded_at")


def with_reapplied(
    attempts: pl.DataFrame, deployments: pl.DataFrame, pieces: pl.DataFrame, evidence: pl.DataFrame, horizon: datetime
) -> pl.DataFrame:
    """Adds reapplied_at and regretted: the undone artifact came back unchanged, and ran 24 h without a likely failure."""
    back = returns(attempts, deployments, pieces).filter(pl.col("deployed_at") > pl.col("completed_at"))
    back = back.sort("deployed_at", "back").unique("attempt", keep="first", maintain_order=True)
    firm = evidence.filter(pl.col("level").is_in(["certain", "likely"])).select(back="idx", failing="at", of="attempt")
    failures = back.join(firm, on="back").filter(pl.col("failing") < pl.col("deployed_at") + RAN_WELL)
    enough = pl.col("deployed_at") + RAN_WELL
    long = (pl.col("superseded_at").is_null() | (pl.col("superseded_at") >= enough)) & (pl.lit(horizon) >= enough)
    long = long & pl.col("ran").is_not_null()
    well = back.join(failures.select("attempt").unique(), on="attempt", how="anti").filter(long & ~pl.col("race")).select("attempt")
    attempts = attempts.join(back.select("attempt", reapplied_at="deployed_at"), on="attempt", how="left", maintain_order="left")
    return attempts.with_columns(regretted=pl.col("attempt").is_in(well["attempt"].implode()))


def with_known_good(attempts: pl.DataFrame, deployments: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """Adds to_known_good, judged as of the attempt's start: the restored artifact had run 24 h, or 1 h until superseded, without a
    likely failure."""
    asked = attempts.select("attempt", "started_at", "restores").drop_nulls("restores")
    asked = of_rows(asked, "restores", deployments, artifact="artifact").drop_nulls("artifact")
    its = pl.col("artifact").is_in(asked["artifact"].unique().implode())
    kept = ["idx", "artifact", "bring_in", "deployed_at", "superseded_at", "superseded_by"]
    wanted = deployments.lazy().filter(its).select(kept).collect()
    runs = wanted.filter("bring_in").select("artifact", "deployed_at", "superseded_at", "superseded_by")
    runs = of_rows(runs, "superseded_by", deployments, by="kind")
    ran = asked.join(runs, on="artifact").filter(pl.col("deployed_at") < pl.col("started_at"))
    exposure = pl.min_horizontal("superseded_at", "started_at") - pl.col("deployed_at")
    normally = (pl.col("superseded_at") <= pl.col("started_at")) & (pl.col("by") != "rollback") & (exposure >= timedelta(hours=1))
    sums = ran.group_by("attempt").agg(long=exposure.sum() >= RAN_WELL, normally=normally.fill_null(value=False).any())
    firm = evidence.filter(pl.col("level").is_in(["certain", "likely"])).join(wanted.select("idx", "artifact"), on="idx")
    failed = asked.join(firm.select("artifact", failing="at"), on="artifact").filter(pl.col("failing") <= pl.col("started_at"))
    failed = failed.select("attempt", fell=pl.lit(value=True)).unique()
    judged = asked.select("attempt").join(sums, on="attempt", how="left").join(failed, on="attempt", how="left")
    good = (pl.col("long").fill_null(value=False) | pl.col("normally").fill_null(value=False)) & pl.col("fell").is_null()
    return attempts.join(judged.select("attempt", to_known_good=good), on="attempt", how="left", maintain_order="left")
