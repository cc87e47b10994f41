"""Flags: trouble ended by turning a feature off instead of deploying."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Duration, Rate, metric
from toolkit.metrics.samples import NO_REAL_ATTEMPT, OF_INCIDENTS, PENDING

__all__ = ["flag_off_share", "flag_off_success_rate", "kill_switch_coverage", "time_to_flag_off"]

_NEEDS = ("flag_changes",)
_FLAG_OFF = {"not a flag-off": pl.col("mechanism") != "flag"}
_CODE = {"revert commit": pl.col("code_level") | (pl.col("mechanism") == "revert_commit")}


@metric(
    Rate,
    group="flags",
    fact="rollbacks",
    title="Restored by a flag",
    better=None,
    excluded=NO_REAL_ATTEMPT | _CODE,
    needs=_NEEDS,
)
def flag_off_share() -> pl.Expr:
    """Share of attempts to restore that turned a flag off: the others deployed, switched traffic or restored data. No drills, races or
    revert commits."""
    return pl.col("mechanism") == "flag"


@metric(
    Rate,
    group="flags",
    fact="rollbacks",
    title="Flag-off success",
    better="up",
    excluded=NO_REAL_ATTEMPT | _FLAG_OFF | PENDING,
    unknown="no outcome",
    inferred=("outcome",),
    needs=_NEEDS,
)
def flag_off_success_rate() -> pl.Expr:
    """Share of flag-offs during incidents that held: succeeded of succeeded, failed and ineffective ones."""
    return pl.col("outcome") == "succeeded"


@metric(
    Duration,
    group="flags",
    fact="rollbacks",
    title="Time to flag off",
    better="down",
    excluded=NO_REAL_ATTEMPT
    | _FLAG_OFF
    | {"no incident": pl.col("incident").is_null(), "not the first of its incident": ~pl.col("first_flag_off")},
    unknown="detection not known",
    needs=_NEEDS,
)
def time_to_flag_off() -> pl.Expr:
    """From the detection of an incident to the first flag that was turned off for it."""
    return pl.col("started_at") - pl.col("incident_detected_at")


@metric(
    Rate,
    group="flags",
    fact="incidents",
    title="Incidents with a kill switch at hand",
    better="up",
    excluded=OF_INCIDENTS,
    needs=_NEEDS,
)
def kill_switch_coverage() -> pl.Expr:
    """Share of incidents that touched a service of which a kill switch was known by their end, in their environment. A switch is known
    from the first change that calls it one."""
    return pl.col("kill_switch")
