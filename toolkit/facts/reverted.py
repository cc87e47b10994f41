"""When what a revert commit took back had been made: attempts at code level with the commit time of what they undid."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from toolkit.facts.observed import fact_ids

__all__ = ["with_reverted"]

TIME = pl.Datetime("us", "UTC")


def with_reverted(rollbacks: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Adds reverted_committed_at; null where it is not known, and of all that is no revert commit."""
    told = records.get("rollback")
    if told is None or "from_committed_at" not in told.columns or not rollbacks["code_level"].any():
        return rollbacks.with_columns(pl.lit(None, TIME).alias("reverted_committed_at"))
    # A revert commit is never one attempt with anything else: its only part is its record.
    known = fact_ids(told.select("source", "source_id", "from_committed_at"))
    known = known.select(pl.format("rollback:{}", "id").alias("part"), reverted_committed_at=pl.col("from_committed_at").cast(TIME))
    part = pl.when("code_level").then(pl.col("parts").list.first())
    return rollbacks.with_columns(part=part).join(known, on="part", how="left", maintain_order="left").drop("part")
