"""Whether what a hotfix shipped came back to the main branch: hotfixes with what is told of their commits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from toolkit.facts.builds import identified, registry_of, with_names
from toolkit.facts.told import told

__all__ = ["with_merges"]

TIME = pl.Datetime("us", "UTC")
_ADDED: dict[str, Any] = {
    "revision": pl.String,
    "merged_at": TIME,
    "merged_as": pl.String,
    "merged_source": pl.String,
    "unmerged_until": TIME,
}
# Somebody looked and could not tell: the change is too large to compare, say.
_UNTOLD = "derived:not_compared"
# git abbreviates to no fewer letters of its own accord.
_SHORTEST = 7


def with_merges(hotfixes: pl.DataFrame, records: Mapping[str, pl.DataFrame], *, horizon: datetime) -> pl.DataFrame:
    """Adds revision (the commit, as told or as the registry has it), merged_at, merged_as, merged_source, unmerged_until.

    merged_at: when the commit was on the main branch. unmerged_until: up to when somebody saw that it was not; a row that does not say
    when it looked holds up to the horizon. Both null: nobody tells of it, or could (merged_source), or the deployment names none.
    """
    merges = told("merge", records, also=("observed_at", "inferred_by"))
    if merges.is_empty() or hotfixes.is_empty():
        return hotfixes.with_columns(pl.lit(None, kind).alias(name) for name, kind in _ADDED.items())
    rows = with_names(hotfixes.select("source", "source_id", "service", "version"), records).with_row_index("row")
    rows = identified(rows, registry_of(records, horizon)).select("row", "service", "revision")
    there = (pl.col("merged_at") <= horizon).fill_null(value=False)
    looked = pl.min_horizontal(pl.col("observed_at").fill_null(horizon), pl.lit(horizon, TIME))
    found = _pairs(rows, merges).with_columns(
        merged_at=pl.when(there).then("merged_at"),
        merged_as=pl.when(there).then("merged_as"),
        merged_source=pl.col("inferred_by").fill_null("declared"),
        unmerged_until=pl.when(there | pl.col("inferred_by").eq_missing(_UNTOLD)).then(None).otherwise(looked),
    )
    # Who saw it there is right, the first of them; else who looked last.
    found = found.sort("row", "merged_at", -pl.col("unmerged_until").to_physical(), "merged_as", "merged_source", nulls_last=True)
    rows = rows.join(found.unique("row", keep="first", maintain_order=True), on="row", how="left", maintain_order="left")
    return hotfixes.hstack(rows.select(pl.col(name).cast(kind) for name, kind in _ADDED.items()))


def _pairs(rows: pl.DataFrame, merges: pl.DataFrame) -> pl.DataFrame:
    """row, with each merge that speaks of its commit: for its service or for any. Either may abbreviate the commit."""
    asked = rows.drop_nulls("revision").select("row", "service", ours=pl.col("revision").str.to_lowercase())
    asked = asked.with_columns(head=pl.col("ours").str.head(_SHORTEST))
    merges = merges.rename({"service": "of"}).with_columns(theirs=pl.col("vcs_revision").str.to_lowercase())
    pairs = asked.join(merges.with_columns(head=pl.col("theirs").str.head(_SHORTEST)), on="head").filter(
        pl.col("of").is_null() | (pl.col("of") == pl.col("service"))
    )
    ours, theirs = pl.col("ours"), pl.col("theirs")
    commits = pl.all_horizontal(name.str.contains(rf"^[0-9a-f]{{{_SHORTEST},64}}$") for name in (ours, theirs))
    pairs = pairs.filter((ours == theirs) | (commits & (theirs.str.starts_with(ours) | ours.str.starts_with(theirs))))
    # An abbreviation with which two commits begin names neither.
    whole = pl.when(theirs.str.len_chars() > ours.str.len_chars()).then(theirs)
    return pairs.filter(whole.drop_nulls().n_unique().over("row") <= 1)
