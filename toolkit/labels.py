"""What each deployment was, as far as anybody knows: bad, good or unknown, and why; what a criterion is judged by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from toolkit.watch import classes_of, watches

__all__ = ["LABELS", "labelled", "labels_of"]

SPAN = pl.Duration("us")
LABELS = {
    "deployment": pl.String(),
    "service": pl.String(),
    "service_class": pl.String(),
    "deployed_at": pl.Datetime("us", "UTC"),
    "label": pl.String(),
    "reason": pl.String(),
    "start": SPAN,
    "in_time": pl.Boolean(),
    "stopped_at": SPAN,
    "matured": pl.Boolean(),
    "storm": pl.String(),
    "incident": pl.String(),
}
# A way back brings no new risk of its own, and a rehearsal is none.
SHIPPED = ("release", "reapply", "out_of_order", "unknown", "hotfix")


def labels_of(workspace: Any, *, watch: timedelta) -> pl.DataFrame:
    """The labels of a workspace's published facts; see `labelled`. watch: how long a deployment is watched."""
    facts, meta = workspace.facts, workspace.meta
    horizon = datetime.fromisoformat(meta["horizon"]) if meta.get("horizon") else datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    frames = (getattr(facts, name).collect() for name in ("deployments", "evidence", "rollbacks", "reviews", "owners"))
    return labelled(*frames, horizon=horizon, watch=watch)


def labelled(
    deployments: pl.DataFrame,
    evidence: pl.DataFrame,
    rollbacks: pl.DataFrame,
    reviews: pl.DataFrame,
    owners: pl.DataFrame,
    *,
    horizon: datetime,
    watch: timedelta,
) -> pl.DataFrame:
    """deployment, service, service_class, deployed_at, label, reason, start, in_time, stopped_at, matured, storm, incident.

    bad: certainly or likely failed, regretted rollbacks aside. start: from deployed_at to its incident's start, null where nobody says;
    in_time: whether that start is known and within the watch, without which there is no time to detect.
    good: matured without a failure. unknown, and why (reason): `possible`, `immature`, or `unconfirmed_stop`: automation stopped it and
    nothing else speaks against it, so that what is in force would grade itself. Without telemetry a good one is unknown as well; that is
    for whoever has the telemetry to say (`profiles` and `watched` do).
    stopped_at: when it was undone, if within the watch. storm: of the attempt that undid it.
    """
    classes = classes_of(owners, horizon)
    unconfirmed = _unconfirmed(evidence, rollbacks, reviews)
    rows = deployments.filter(
        pl.col("kind").is_in(SHIPPED),
        pl.col("ended"),
        ~pl.col("stopped"),
        ~pl.col("drill"),
    ).join(watches(deployments, horizon=horizon, watch=watch).select(id="deployment"), on="id", how="semi", maintain_order="left")
    rows = rows.join(rollbacks.select(undone_by="id", storm="storm"), on="undone_by", how="left", maintain_order="left")
    failed = pl.col("failed_final").is_in(["certain", "likely"])
    alone = pl.col("id").is_in(unconfirmed.implode()) & (pl.col("failed_final") != "certain")
    reason = (
        pl.when(failed & alone)
        .then(pl.lit("unconfirmed_stop"))
        .when(failed)
        .then(pl.coalesce("failed_source", "failed_final"))
        .when(pl.col("failed_final") == "possible")
        .then(pl.lit("possible"))
        .when(~pl.col("matured"))
        .then(pl.lit("immature"))
        .otherwise(pl.lit("no_failure"))
    )
    start = (pl.col("incident_started_at") - pl.col("deployed_at")).cast(SPAN)
    undone = (pl.col("undone_at") - pl.col("deployed_at")).cast(SPAN)
    return (
        rows.with_columns(reason=reason)
        .with_columns(
            deployment="id",
            service_class=pl.col("service").replace_strict(list(classes), list(classes.values()), default=None, return_dtype=pl.String),
            label=pl.when(pl.col("reason").is_in(["unconfirmed_stop", "possible", "immature"]))
            .then(pl.lit("unknown"))
            .when(failed)
            .then(pl.lit("bad"))
            .otherwise(pl.lit("good")),
            start=pl.when(failed).then(start),
            stopped_at=pl.when(undone < watch).then(undone),
        )
        .with_columns(in_time=(pl.col("start") <= watch).fill_null(value=False))
        .select(pl.col(name).cast(kind) for name, kind in LABELS.items())
        .sort("deployed_at", "deployment")
    )


def _unconfirmed(evidence: pl.DataFrame, rollbacks: pl.DataFrame, reviews: pl.DataFrame) -> pl.Series:
    """Deployments against which nothing speaks but stops by automation of which no incident was reviewed."""
    looked_at = reviews.filter(
        pl.col("held_at").is_not_null() | pl.col("published_at").is_not_null() | pl.col("state").is_in(["held", "published"])
    )
    stops = rollbacks.filter(
        pl.col("trigger") == "auto", ~pl.col("incident").is_in(looked_at["incident"].implode()) | pl.col("incident").is_null()
    )
    firm = evidence.filter(pl.col("level").is_in(["certain", "likely"]), ~pl.col("regretted"))
    only = firm.group_by("deployment").agg(only=pl.col("by").is_in(stops["id"].implode()).all())
    return only.filter("only")["deployment"]
