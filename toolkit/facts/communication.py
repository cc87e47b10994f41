"""What customers were told of each incident, and how long they waited for the next word."""

from __future__ import annotations

from datetime import datetime

import polars as pl

__all__ = ["communications", "update_gaps"]

_AROUND = ("services", "environment", "production", "severity", "planned", "before_coverage", "detected_at", "recovered_at", "open", "at")


def communications(lines: pl.DataFrame, incidents: pl.DataFrame) -> pl.DataFrame:
    """A row an incident: timeline (whether it has one), updates (how many customers were given), first_update_at.

    lines: `timelines` of the conformance pass."""
    told = lines.group_by(id="incident").agg(
        updates=(pl.col("type") == "informed_customers").sum().cast(pl.Int64),
        first_update_at=pl.col("at").filter(pl.col("type") == "informed_customers").min(),
    )
    rows = incidents.select("id", "detected_by", *_AROUND).join(told, on="id", how="left", maintain_order="left")
    return rows.with_columns(timeline=pl.col("updates").is_not_null())


def update_gaps(lines: pl.DataFrame, incidents: pl.DataFrame, *, horizon: datetime) -> pl.DataFrame:
    """A row a wait of customers who had been told something: from one update to the next, else to the recovery; where neither came yet,
    `waiting`. What was told after the recovery begins no wait."""
    updates = lines.filter(pl.col("type") == "informed_customers").sort("incident", "at", "id")
    updates = updates.with_columns(next_update=pl.col("at").shift(-1).over("incident")).select(
        "incident", "next_update", update="id", told_at="at"
    )
    rows = updates.join(incidents.select(*_AROUND, incident="id"), on="incident", maintain_order="left")
    over = pl.col("recovered_at") <= pl.col("told_at")
    rows = rows.filter(~over.fill_null(value=False))
    # A word that came after the recovery ends the wait no earlier: people heard nothing until then.
    until = pl.coalesce("next_update", "recovered_at")
    return rows.select(
        pl.format("{} {}", "incident", "update").alias("id"),
        "incident",
        "told_at",
        "services", "environment", "production", "severity", "planned", "before_coverage",
        until=pl.coalesce(until, pl.lit(horizon, pl.Datetime("us", "UTC"))),
        waiting=until.is_null(),
        at="at",
    ).sort("at", "id", nulls_last=True)  # fmt: skip
