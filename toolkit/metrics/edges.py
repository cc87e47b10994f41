"""How much a number owes to where its window happens to begin and end: the same data, the window a day longer, shorter, earlier."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from toolkit.metrics.estimates import P90
from toolkit.metrics.measurement import measure
from toolkit.metrics.reading import published
from toolkit.metrics.scope import scope_of

__all__ = ["swings"]

DAY = timedelta(days=1)
SCHEMA: dict[str, Any] = {
    "metric": pl.String,
    "unit": pl.String,
    **dict.fromkeys(("value", "low", "high", "least", "most", "swing"), pl.Float64),
    "hangs": pl.Boolean,
}


def swings(w: Any, *names: str, window: str = "26w") -> pl.DataFrame:
    """Measures the window up to the horizon, and the same with its start a day earlier and later, its end a day earlier.

    Returns metric, unit, value, low, high, least, most (of all four), swing (most − least), hangs (some of them leave the interval of the
    first: the number hangs on the window's edge). Numbers that are unknown in one of them are left out.
    """
    w = published(w)
    scope = scope_of(w, window=window)
    if scope.end - scope.start <= 2 * DAY:
        return pl.DataFrame(schema=SCHEMA)
    moved = [(scope.start, scope.end), (scope.start - DAY, scope.end), (scope.start + DAY, scope.end), (scope.start, scope.end - DAY)]
    # The end itself is the horizon where nothing is said, and then what happened at it counts.
    ends = [end if end != scope.horizon else None for _, end in moved]
    found = [
        measure(w, *names, start=start, end=end).select("metric", "unit", "value", "low", "high")
        for (start, _), end in zip(moved, ends, strict=True)
    ]
    values = (
        pl.concat([rows.select("metric", "value") for rows in found])
        .group_by("metric")
        .agg(least=pl.col("value").min(), most=pl.col("value").max(), known=pl.col("value").count())
    )
    rows = found[0].filter(~pl.col("metric").str.ends_with(P90)).join(values, on="metric", how="left", maintain_order="left")
    rows = rows.filter(pl.col("known") == len(moved)).with_columns(swing=pl.col("most") - pl.col("least"))
    hangs = (pl.col("least") < pl.col("low")).fill_null(value=False) | (pl.col("most") > pl.col("high")).fill_null(value=False)
    return rows.with_columns(hangs=hangs).select(list(SCHEMA))
