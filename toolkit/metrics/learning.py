"""Learning: whether trouble comes back, and what became of what a team set out to change."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Count, Rate, Within, metric
from toolkit.metrics.samples import OF_INCIDENTS

__all__ = ["action_items_by_kind", "action_items_on_time", "fix_held_rate", "incident_repetition_rate", "review_rate"]

_OVER = OF_INCIDENTS | {"still open": pl.col("recovered_at").is_null()}


@metric(
    Within,
    group="learning",
    fact="followups",
    title="Incidents that come back",
    better="down",
    happening="came back",
    excluded=_OVER,
    still_open=pl.col("next_repeat_at").is_null(),
)
def incident_repetition_rate() -> pl.Expr:
    """Share of incidents that came back within 90 days of their recovery: another incident of a shared service with an equal cause key
    (root-cause tag, alert or criterion, normalised title). Those recovered less than 90 days ago count for as long as they have held."""
    return pl.coalesce("next_repeat_at", "horizon") - pl.col("recovered_at")


@metric(
    Rate,
    group="learning",
    fact="followups",
    title="Reviewed in time",
    better="up",
    excluded=_OVER | {"not due yet: five working days are not over": pl.col("review_until") > pl.col("horizon")},
    unknown="published, but when is not known",
    needs=("reviews",),
    shown=("not due yet: five working days are not over",),
    among={"later": pl.col("review_published_at") >= pl.col("review_until")},
    remark=pl.when(pl.col("later") > 0).then(pl.format("{} reviewed later", "later")),
)
def review_rate() -> pl.Expr:
    """Share of incidents whose review was published by the end of the fifth working day (Monday to Friday, in the workspace's zone) after
    the day of recovery."""
    in_time = (pl.col("review_published_at") < pl.col("review_until")).fill_null(value=False)
    unclear = (pl.col("review_state") == "published") & pl.col("review_published_at").is_null()
    return pl.when(unclear.fill_null(value=False)).then(None).otherwise(in_time)


@metric(
    Rate,
    group="learning",
    fact="action_items",
    title="Action items on time",
    better="up",
    excluded={"no due date": pl.col("due").is_null(), "not due yet": pl.col("due_until") > pl.col("horizon")},
    needs=("action_items",),
    shown=("not due yet",),
    among={"open": pl.col("closed").is_null()},
    remark=pl.when(pl.col("open") > 0).then(pl.format("{} due and still open", "open")),
)
def action_items_on_time() -> pl.Expr:
    """Share of action items that are due by now and were closed by their due date; where that is a date, by the end of the day (UTC)."""
    return (pl.col("closed") <= pl.col("due_until")).fill_null(value=False)


@metric(
    Count,
    group="learning",
    fact="action_items",
    title="Action items asked for",
    better=None,
    needs=("action_items",),
    split="kind",
)
def action_items_by_kind() -> pl.Expr:
    """Action items asked for a week: in all, and by what they are to change (prevent, detect, mitigate, process, …)."""
    return pl.lit(value=True)


@metric(
    Within,
    group="learning",
    fact="followups",
    title="Fixes that held",
    better="up",
    happening="came back",
    held=True,
    excluded=_OVER | {"no action items": pl.col("items") == 0, "action items still open": pl.col("items_open") > 0},
    still_open=pl.col("came_back_at").is_null(),
    needs=("action_items",),
)
def fix_held_rate() -> pl.Expr:
    """Share of incidents that did not come back within 90 days of the closing of their last action item: no incident of a shared service
    with an equal cause key. Those closed less than 90 days ago count for as long as they have held."""
    return pl.coalesce("came_back_at", "horizon") - pl.col("last_closed_at")
