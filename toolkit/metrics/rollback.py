"""Rollbacks: how often, whether they hold, how long they take, and what they restore."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Count, Duration, Rate, metric
from toolkit.metrics.samples import DEPLOY_LEVEL, NO_REAL_ATTEMPT, NOT_A_CHANGE, OF_INCIDENTS, PENDING, one_of

__all__ = [
    "automated_rollback_rate",
    "failed_rollbacks",
    "first_time_rollback_success_rate",
    "known_good_rate",
    "missed_rollbacks",
    "rollback_rate",
    "rollback_regret_rate",
    "rollback_success_rate",
    "time_on_bad_version",
    "time_to_revert",
    "time_to_roll_back",
]

_ATTEMPTS = NO_REAL_ATTEMPT | DEPLOY_LEVEL
_NOT_COMPLETED = {"failed, cancelled or partial": one_of("status", "failed", "cancelled", "partial")}


@metric(
    Rate,
    group="rollback",
    fact="deployments",
    title="Rollback rate",
    better="down",
    excluded=NOT_A_CHANGE | {"not yet matured": ~pl.col("matured")},
    inferred=("kind",),
    shown=("unknown kind", "not yet matured"),
    among={"provisional": pl.col("provisional")},
)
def rollback_rate() -> pl.Expr:
    """Share of matured releases and hotfixes that were undone, by an attempt that was neither a race nor a drill."""
    return pl.col("undone_by").is_not_null()


@metric(
    Rate,
    group="rollback",
    fact="rollbacks",
    title="Rollback success",
    better="up",
    excluded=_ATTEMPTS | PENDING,
    unknown="no outcome",
    inferred=("outcome",),
    shown=("verification still pending",),
    beside={
        "flag_offs": (pl.col("mechanism") == "flag") & one_of("outcome", "succeeded", "failed", "ineffective"),
        "flag_offs_held": (pl.col("mechanism") == "flag") & (pl.col("outcome") == "succeeded"),
    },
    remark=pl.when(pl.col("flag_offs") > 0).then(pl.format("flag-offs apart: {} of {}", "flag_offs_held", "flag_offs")),
)
def rollback_success_rate() -> pl.Expr:
    """Share of rollback attempts that held: succeeded of succeeded, failed and ineffective ones. Deploy mechanisms only; no drill, race or
    attempt whose verification is pending."""
    return pl.col("outcome") == "succeeded"


@metric(
    Rate,
    group="rollback",
    fact="rollbacks",
    title="First rollback worked",
    better="up",
    excluded=_ATTEMPTS | {"no episode": pl.col("episode").is_null(), "later attempt of its episode": pl.col("episode_order") > 1} | PENDING,
    unknown="no outcome",
    inferred=("outcome",),
)
def first_time_rollback_success_rate() -> pl.Expr:
    """Share of episodes whose first attempt succeeded. An episode is the attempts of one incident on a service, else those within 2 h of
    the first."""
    return pl.col("outcome") == "succeeded"


@metric(
    Count,
    group="rollback",
    fact="rollbacks",
    title="Failed rollbacks",
    better="down",
    excluded=_ATTEMPTS | PENDING | {"succeeded": pl.col("outcome") == "succeeded", "no outcome": pl.col("outcome").is_null()},
    inferred=("outcome",),
)
def failed_rollbacks() -> pl.Expr:
    """Rollback attempts a week that failed or were ineffective. Deploy mechanisms only; no drills or races."""
    return pl.lit(value=True)


@metric(
    Duration,
    group="rollback",
    fact="rollbacks",
    title="Time to roll back",
    better="down",
    excluded=_ATTEMPTS | _NOT_COMPLETED,
    unknown="no start or no end",
    still_open=pl.col("completed_at").is_null(),
    among={"from_start": pl.col("decided_at").is_null()},
    remark=pl.when(pl.col("from_start") > 0).then(pl.format("{} of {} from the start, their decision is not known", "from_start", "n")),
)
def time_to_roll_back() -> pl.Expr:
    """From the decision, else the start, of a rollback attempt to its completion. Deploy mechanisms only; one in progress counts with the
    time so far."""
    until = pl.coalesce("completed_at", pl.when(pl.col("status") == "in_progress").then("horizon"))
    return until - pl.coalesce("decided_at", "started_at")


@metric(
    Duration,
    group="rollback",
    fact="rollbacks",
    title="Time to revert a commit",
    at_code_level=True,
    better="down",
    excluded={"not at code level": ~pl.col("code_level")},
    unknown="what it takes back, or when that was made, is not known",
)
def time_to_revert() -> pl.Expr:
    """From a commit to the commit that takes it back, by the times of both. Code level: what was reverted may never have run, so it is in
    no number with rollbacks of what did."""
    return pl.col("started_at") - pl.col("reverted_committed_at")


@metric(
    Duration,
    group="rollback",
    fact="rollbacks",
    title="Time on the bad version",
    better="down",
    excluded=_ATTEMPTS | _NOT_COMPLETED,
    unknown="what it undid, or an end, is not known",
)
def time_on_bad_version() -> pl.Expr:
    """From the deployment of what was undone (its start, if it never succeeded) to the end of the rollback."""
    return pl.col("time_on_bad")


@metric(
    Rate,
    group="rollback",
    fact="rollbacks",
    title="Back to known good",
    better="up",
    excluded=_ATTEMPTS,
    unknown="what it restored is not known",
)
def known_good_rate() -> pl.Expr:
    """Share of rollback attempts that restored an artifact that had run 24 h without a likely failure, or an hour until it was normally
    superseded; judged as of the attempt's start."""
    return pl.col("to_known_good")


@metric(
    Rate,
    group="rollback",
    fact="rollbacks",
    title="Regretted rollbacks",
    better="down",
    excluded=_ATTEMPTS | _NOT_COMPLETED,
)
def rollback_regret_rate() -> pl.Expr:
    """Share of completed rollbacks whose undone artifact came back unchanged and then ran 24 h without a likely failure."""
    # Of completed ones: what was never undone cannot be regretted.
    return pl.col("regretted").fill_null(value=False)


@metric(
    Rate,
    group="rollback",
    fact="rollbacks",
    title="Automated rollbacks",
    better="up",
    excluded=_ATTEMPTS | {"nobody says who started it": pl.col("trigger").is_null() | (pl.col("trigger") == "unknown")},
)
def automated_rollback_rate() -> pl.Expr:
    """Share of rollback attempts that automation started, of those that say who did."""
    return pl.col("trigger") == "auto"


@metric(
    Count,
    group="rollback",
    fact="incidents",
    title="Missed rollbacks",
    better="down",
    excluded=OF_INCIDENTS
    | {
        "not caused by a deployment": pl.col("cause_deployment").is_null() | pl.col("not_a_deployment"),
        "no criterion held": pl.col("criterion_met_at").is_null(),
        "still open": pl.col("open"),
        # Traffic switched back is a rollback by other means.
        "rolled back or flag off": one_of("remedy", "rollback", "flag", "traffic"),
    },
    inferred=("cause",),
)
def missed_rollbacks() -> pl.Expr:
    """Incidents a week that a deployment caused, during which a criterion in force held, and that recovered without a rollback or
    flag-off."""
    return pl.lit(value=True)
