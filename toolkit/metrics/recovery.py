"""Recovery: where the minutes of an incident go, and who noticed, decided and acted first."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Duration, Rate, metric
from toolkit.metrics.samples import OF_INCIDENTS

__all__ = [
    "first_action_success_rate",
    "machine_detection_rate",
    "silent_decision_minutes",
    "time_to_act",
    "time_to_decide",
    "time_to_detect",
    "time_to_recover",
]

_DECIDED = OF_INCIDENTS | {"recovered undecided": pl.col("recovered_undecided")}
_MISSING = "a stamp is missing, derived or in the wrong order"


def _in_phase(phase: str) -> pl.Expr:
    return (pl.col("censored_phase") == phase).fill_null(value=False)


@metric(
    Duration,
    group="recovery",
    fact="incidents",
    title="Time to detect",
    better="down",
    excluded=OF_INCIDENTS,
    unknown=_MISSING,
    still_open=_in_phase("detect"),
    inferred=("started_at", "detected_at"),
)
def time_to_detect() -> pl.Expr:
    """From the start of the impact to the first alert, verdict, report or acknowledgement. Unknown where the start was derived from a
    deployment."""
    return pl.col("detect")


@metric(
    Duration,
    group="recovery",
    fact="incidents",
    title="Time to decide",
    better="down",
    excluded=_DECIDED,
    unknown=_MISSING,
    still_open=_in_phase("decide"),
    inferred=("detected_at", "decided_at"),
)
def time_to_decide() -> pl.Expr:
    """From detection to the decision for a remedy: declared, else the start of the first attempt or hotfix."""
    return pl.col("decide")


@metric(
    Duration,
    group="recovery",
    fact="incidents",
    title="Time to act",
    better="down",
    excluded=_DECIDED,
    unknown=_MISSING,
    still_open=_in_phase("act"),
    inferred=("decided_at", "recovered_at"),
)
def time_to_act() -> pl.Expr:
    """From the decision to recovery: mitigated, else resolved."""
    return pl.col("act")


@metric(
    Duration,
    group="recovery",
    fact="incidents",
    title="Time to recover",
    better="down",
    excluded=OF_INCIDENTS,
    unknown=_MISSING,
    still_open=pl.col("open"),
    inferred=("started_at", "recovered_at", "whole"),
    among={"from_detection": pl.col("whole_source") == "derived:from_detection"},
    remark=pl.when(pl.col("from_detection") > 0).then(pl.format("{} of {} measured from detection", "from_detection", "n")),
)
def time_to_recover() -> pl.Expr:
    """From the start of the impact to recovery; from detection where no start was declared or seen in a series."""
    return pl.col("whole")


@metric(
    Duration,
    group="recovery",
    fact="incidents",
    title="Silent minutes before the decision",
    better="down",
    excluded=OF_INCIDENTS
    | {"no criterion held": pl.col("criterion_met_at").is_null()}
    | {"recovered undecided": pl.col("recovered_undecided")},
    unknown="not decided",
    signed=True,
    inferred=("decided_at",),
)
def silent_decision_minutes() -> pl.Expr:
    """From the first moment at which a criterion in force held to the decision. Negative: people were first."""
    return pl.col("silent_minutes")


@metric(
    Rate,
    group="recovery",
    fact="incidents",
    title="Detected by a machine",
    better="up",
    excluded=OF_INCIDENTS,
    unknown="nobody says who noticed",
    inferred=("detected_at",),
)
def machine_detection_rate() -> pl.Expr:
    """Share of incidents that a machine noticed first, of those that say who did."""
    return pl.col("detected_by") == "machine"


@metric(
    Rate,
    group="recovery",
    fact="incidents",
    title="First action worked",
    better="up",
    excluded=OF_INCIDENTS
    | {
        "no attempt": pl.col("first_outcome").is_null(),
        "first attempt still pending": pl.col("first_outcome") == "pending",
    },
)
def first_action_success_rate() -> pl.Expr:
    """Share of incidents whose first attempt to restore, by rollback or flag-off, succeeded. Drills, races and revert commits are no first
    action."""
    return pl.col("first_outcome") == "succeeded"
