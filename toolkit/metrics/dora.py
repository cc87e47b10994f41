"""Delivery: how often, how fast, how often it fails and how long until it is put right."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.chance import links_by_chance
from toolkit.metrics.metric import Count, Duration, Rate, metric
from toolkit.metrics.samples import NOT_A_CHANGE, failed, hotfixed, one_of, percent, stopped_changes

__all__ = [
    "change_failure_rate",
    "change_failure_rate_certain",
    "change_failure_rate_possible",
    "change_lead_time",
    "deployment_frequency",
    "deployment_rework_rate",
    "failed_deployment_recovery_time",
    "stopped_deployments",
]

_IMMATURE = {"not yet matured": ~pl.col("matured")}
_IN_RATES = NOT_A_CHANGE | _IMMATURE
_SHOWN = ("unknown kind", "not yet matured")
_NO_NEW_CHANGE = {reason: NOT_A_CHANGE[reason] for reason in ("rollback", "redeploy", "reapply")}


@metric(
    Count,
    group="dora",
    fact="deployments",
    title="Deployments",
    at_code_level=True,
    better="up",
    excluded={"not successful": ~pl.col("successful")} | _NO_NEW_CHANGE,
    inferred=("kind",),
)
def deployment_frequency() -> pl.Expr:
    """Successful deployments a week that brought something new, or may have: releases, hotfixes, those out of order and those of unknown
    kind."""
    return pl.lit(value=True)


@metric(
    Duration,
    group="dora",
    fact="deployments",
    title="Lead time of changes",
    at_code_level=True,
    better="down",
    excluded={"not successful": ~pl.col("successful")} | _NO_NEW_CHANGE,
    unknown="first deployment of its service, or no commit time",
)
def change_lead_time() -> pl.Expr:
    """From the commit time of the oldest change that a deployment shipped first to that deployment. Null for rollbacks, redeploys,
    reapplies and a service's first deployment."""
    return pl.col("lead_time")


@metric(
    Rate,
    group="dora",
    fact="deployments",
    title="Change failure rate",
    better="down",
    excluded=_IN_RATES,
    inferred=("failed", "kind"),
    shown=_SHOWN,
    among={
        "certain": pl.col("failed_final") == "certain",
        "possible": pl.col("failed_final").is_not_null(),
        "provisional": pl.col("provisional"),
    },
    beside={"stopped": stopped_changes()},
    alongside=links_by_chance,
    remark=pl.concat_str(
        pl.when(pl.col("n") > 0).then(
            pl.format("certain only {} %, with possible {} %", percent("certain", "n"), percent("possible", "n"))
        ),
        pl.when(pl.col("stopped") > 0).then(pl.format("{} stopped before production", pl.col("stopped"))),
        pl.when(pl.col("by_chance").is_null() & (pl.col("n") > 0)).then(
            pl.lit("no incidents connected: only what was taken back counts as failed")
        ),
        pl.when(pl.col("by_chance") >= 0.05).then(pl.format("about {} links expected by chance", pl.col("by_chance").round(1))),
        separator="; ",
        ignore_nulls=True,
    ),
)
def change_failure_rate() -> pl.Expr:
    """Share of matured releases and hotfixes that failed: named as the cause by an incident or a reviewer (certain), or undone within 7
    days, named through a hotfix, or followed by an incident within an hour (likely). What a pipeline refused is no failure."""
    return failed()


@metric(
    Rate,
    group="dora",
    fact="deployments",
    title="Change failure rate, certain evidence only",
    better="down",
    excluded=_IN_RATES,
    inferred=("failed", "kind"),
    headline=False,
)
def change_failure_rate_certain() -> pl.Expr:
    """Lower end of the band: only deployments that an incident names as its cause, or a reviewer."""
    return (pl.col("failed_final") == "certain").fill_null(value=False)


@metric(
    Rate,
    group="dora",
    fact="deployments",
    title="Change failure rate, possible evidence too",
    better="down",
    excluded=_IN_RATES,
    inferred=("failed", "kind"),
    headline=False,
)
def change_failure_rate_possible() -> pl.Expr:
    """Upper end of the band: also deployments followed by an incident within the attribution window, or undone later than 7 days."""
    return pl.col("failed_final").is_not_null()


@metric(
    Count,
    group="dora",
    fact="deployments",
    title="Stopped before production",
    better=None,
    excluded={
        "a change was not stopped": ~pl.col("stopped").fill_null(value=False),
        "not a release": (pl.col("kind") != "release") & ~hotfixed(),
    },
    headline=False,
)
def stopped_deployments() -> pl.Expr:
    """Releases and hotfixes a week that ended failed or cancelled with neither incident nor rollback: a pipeline that refuses is no failure
    in production."""
    return pl.lit(value=True)


@metric(
    Duration,
    group="dora",
    fact="deployments",
    title="Recovery of failed deployments",
    better="down",
    excluded=NOT_A_CHANGE | {"did not fail": ~failed()},
    unknown="neither an incident nor an undoing attempt that did not fail",
    still_open=pl.col("recovered_at").is_null(),
    inferred=("failed",),
)
def failed_deployment_recovery_time() -> pl.Expr:
    """Of failed deployments: from the start of the deployment or of its incident, the later of the two, to the recovery of the last
    incident linked to it; without an incident, to the end of the last undoing attempt that did not fail. Open incidents count with the
    time so far."""
    begun = pl.max_horizontal("started_at", "incident_started_at")
    # A linked incident without recovery is an open one: leaving it out would make the worst ones vanish.
    until = pl.coalesce("recovered_at", pl.when(pl.col("incident").is_not_null()).then("horizon"))
    return until - begun


@metric(
    Rate,
    group="dora",
    fact="deployments",
    title="Deployment rework rate",
    better="down",
    excluded=_IN_RATES,
    inferred=("hotfix", "kind"),
    shown=_SHOWN,
)
def deployment_rework_rate() -> pl.Expr:
    """Share of matured releases and hotfixes that are hotfixes, certain or likely: unplanned work to repair production."""
    return one_of("hotfix", "certain", "likely").fill_null(value=False)
