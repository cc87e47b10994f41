"""Communication: when customers are told, how long they wait for the next word, and whether they knew before the team did."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Duration, Rate, metric
from toolkit.metrics.samples import OF_INCIDENTS

__all__ = ["customers_first_rate", "time_to_first_update", "update_gap"]

_NEEDS = ("incident_events",)


@metric(
    Duration,
    group="communication",
    fact="communications",
    title="Time to first update",
    better="down",
    excluded=OF_INCIDENTS
    | {"no timeline": ~pl.col("timeline"), "over without a word to customers": pl.col("first_update_at").is_null() & ~pl.col("open")},
    unknown="detected at a time not known",
    still_open=pl.col("first_update_at").is_null(),
    needs=_NEEDS,
    shown=("over without a word to customers",),
)
def time_to_first_update() -> pl.Expr:
    """From the detection of an incident to the first word to customers on its timeline. Where they were told nothing until it was over, it
    is counted beside; an open incident counts with the time so far."""
    return pl.coalesce("first_update_at", "horizon") - pl.col("detected_at")


@metric(
    Duration,
    group="communication",
    fact="update_gaps",
    title="Wait for the next word",
    better="down",
    excluded=OF_INCIDENTS,
    still_open=pl.col("waiting"),
    needs=_NEEDS,
)
def update_gap() -> pl.Expr:
    """How long customers who had been told something waited for the next word: until the next update, else until the recovery. What counts
    is the 90th percentile: the waits that people remember."""
    return pl.col("until") - pl.col("told_at")


@metric(
    Rate,
    group="communication",
    fact="communications",
    title="Customers knew first",
    better="down",
    excluded=OF_INCIDENTS,
    unknown="nobody says who noticed",
)
def customers_first_rate() -> pl.Expr:
    """Share of incidents that a customer reported before a machine or a person of the team had noticed."""
    return pl.col("detected_by") == "customer"
