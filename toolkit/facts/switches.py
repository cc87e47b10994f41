"""Flag changes beside the incidents and attempts they were part of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from toolkit.facts.told import in_production, named_incident, told

__all__ = ["flag_changes"]


def flag_changes(
    records: Mapping[str, pl.DataFrame],
    incidents: pl.DataFrame,
    rollbacks: pl.DataFrame,
    *,
    horizon: datetime,
    production: Sequence[str],
) -> pl.DataFrame:
    """Every change with `attempt` and its outcome where it was one, `of_incident` (of the attempt, else as it names it), and whether it is
    that incident's remedy."""
    rows = told("flag_change", records).filter(pl.col("at") <= horizon).with_row_index("row")
    rows = in_production(rows, production)
    parts = rollbacks.lazy().filter(pl.col("mechanism") == "flag").select("parts", "incident", "outcome", attempt="id").collect()
    parts = parts.explode("parts").filter(pl.col("parts").str.starts_with("flag_change:"))
    parts = parts.select("attempt", "outcome", id=pl.col("parts").str.strip_prefix("flag_change:"), of_attempt="incident")
    parts = parts.unique("id", keep="first", maintain_order=True)
    named = named_incident(rows.select("row", "source", ref="incident", moment="at"), incidents, records)
    rows = rows.join(named.rename({"incident": "named"}), on="row", how="left", maintain_order="left")
    rows = rows.join(parts, on="id", how="left", maintain_order="left")
    rows = rows.with_columns(of_incident=pl.coalesce("of_attempt", "named"))
    remedies = incidents.select("remedy", of_incident="id")
    rows = rows.join(remedies, on="of_incident", how="left", maintain_order="left")
    ended = (pl.col("remedy") == "flag") & (pl.col("outcome") == "succeeded")
    return rows.with_columns(was_remedy=ended.fill_null(value=False)).select(_CHANGE).sort("source", "source_id")


_CHANGE = [
    "id", "source", "source_id", "flag", "project", "service", "environment", "production", "action", "before", "after", "kill_switch",
    "incident", "of_incident", "attempt", "outcome", "was_remedy", "at",
]  # fmt: skip
