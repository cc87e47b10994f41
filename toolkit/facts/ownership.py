"""Who answered for a service, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from toolkit.facts.told import told

__all__ = ["owned_at", "services"]


def owned_at(rows: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """rows (row, service, moment) → row, team, service_class, rota of the owner then; of several the one since the latest. A row
    without an owner is not there."""
    owners = told("owner", records)
    held = rows.select("row", "service", "moment").join(owners, on="service")
    since, until = pl.col("valid_from"), pl.col("valid_to")
    holds = (since.is_null() | (since <= pl.col("moment"))) & (until.is_null() | (pl.col("moment") < until))
    held = held.filter(holds & (pl.col("team").is_not_null() | pl.col("rota").is_not_null())).sort(
        "row", "valid_from", "id", nulls_last=False
    )
    return held.unique("row", keep="last", maintain_order=True).select("row", "team", "service_class", "rota", owner="id")


def services(records: Mapping[str, pl.DataFrame], deployments: pl.DataFrame, *, horizon: datetime) -> pl.DataFrame:
    """A row a service in production: when it was last deployed (`at`), and who owns it at the horizon."""
    seen = deployments.lazy().filter(pl.col("production")).group_by("service").agg(pl.col("at").max()).collect()
    seen = seen.drop_nulls("at").sort("service").with_row_index("row").with_columns(moment=pl.lit(horizon))
    owned = seen.join(owned_at(seen, records), on="row", how="left", maintain_order="left")
    return owned.select(
        pl.col("service").alias("id"),
        "service",
        pl.lit(None, pl.String).alias("environment"),
        pl.lit(value=True).alias("production"),
        "team",
        "service_class",
        "rota",
        "owner",
        owned=pl.col("owner").is_not_null(),
        at="at",
    )
