"""Ownership: who answers for a service, and how soon somebody is there."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Duration, Rate, metric
from toolkit.metrics.samples import OF_INCIDENTS

__all__ = ["time_to_acknowledge", "unowned_services"]


@metric(Rate, group="ownership", fact="services", title="Services without an owner", better="down", needs=("owners",))
def unowned_services() -> pl.Expr:
    """Services deployed to production in the window for which, at the end of the data, no team and no rota answers."""
    return ~pl.col("owned")


@metric(
    Duration,
    group="ownership",
    fact="incidents",
    title="Time to acknowledge",
    better="down",
    excluded=OF_INCIDENTS | {"noticed by whoever took it": pl.col("detected_at_source") == "derived:acknowledged"},
    unknown="nobody says when somebody was on it",
    still_open=pl.col("acknowledged_at").is_null(),
    inferred=("detected_at",),
)
def time_to_acknowledge() -> pl.Expr:
    """From the detection of an incident to the first person on it. An open incident that nobody has acknowledged, and nobody has decided,
    counts with the time so far."""
    waiting = pl.col("open") & pl.col("decided_at").is_null()
    return pl.coalesce("acknowledged_at", pl.when(waiting).then("horizon")) - pl.col("detected_at")
