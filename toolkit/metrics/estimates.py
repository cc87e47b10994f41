"""From sums to rows: the estimate, its interval, the method that gave it, and the note that keeps it honest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from toolkit.metrics.coverage import covered_weeks
from toolkit.metrics.metric import Count, Kind, Metric, Rate, Within
from toolkit.metrics.reading import CONNECT, Published, connected
from toolkit.metrics.scope import Scope
from toolkit.metrics.tally import Tally
from toolkit.stats.clusters import BOOTSTRAP, DESIGN_EFFECT, METHODS, RateIntervals, rate_intervals
from toolkit.stats.durations import Quantiles, quantiles, sample
from toolkit.stats.survival import left_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "DEFINITION", "FEW", "NO_ROWS", "P90", "SERVICES_ONLY", "estimated", "not_measured", "rated"]

DEFINITION = "knowngood"
P90 = "_p90"
COLUMNS: dict[str, Any] = {
    "metric": pl.String,
    "group": pl.String,
    "kind": pl.String,
    "by": pl.String,
    "period": pl.Datetime("us", "UTC"),
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "k": pl.Int64,
    "censored": pl.Int64,
    "unit": pl.String,
    "method": pl.String,
    "definition": pl.String,
    "note": pl.String,
}

FEW = 5
NO_ROWS = "no rows"
# Of fewer than five clusters nothing follows about others.
SERVICES_ONLY = "for these services only"
MEDIAN_INTERVAL = 6
P90_PRINTED = 10
P90_INTERVAL = 36


def not_measured(metric: Metric, missing: str) -> pl.DataFrame:
    """The one row of a metric whose records (or fact) nobody has connected."""
    names = [metric.name, metric.name + P90] if metric.kind is Kind.DURATION else [metric.name]
    note = f"not measured: connect {CONNECT[missing]}"
    given = {"group": metric.group, "kind": metric.kind.value, "unit": metric.unit, "definition": DEFINITION, "note": note}
    return pl.DataFrame([{"metric": name, **given} for name in names], schema=COLUMNS)


def estimated(w: Published, metric: Metric, sums: Tally, scope: Scope) -> pl.DataFrame:
    """The metric's rows: one per value of `by` and period."""
    cells = _labelled(sums.per_cell(metric), sums, scope)
    if metric.alongside is not None:
        keys = ["by", "_period"] if scope.by else ["_period"]
        beside = metric.alongside(w, scope).rename({"_by": "by"}, strict=False) if connected(w, "incidents") else None
        if beside is None:
            cells = cells.with_columns(by_chance=pl.lit(None, pl.Float64))
        else:
            cells = cells.join(beside.with_columns(pl.col("_period").cast(pl.Int32)), on=keys, how="left", maintain_order="left")
            cells = cells.with_columns(pl.col("by_chance").fill_null(0.0))
    if metric.kind is Count:
        return _finished(_counts(w, metric, cells, scope), metric.name, metric)
    if metric.kind is Rate:
        return _finished(_rates(metric, cells, sums), metric.name, metric)
    if metric.kind is Within:
        return _finished(_within(metric, cells, sums), metric.name, metric)
    return _durations(metric, cells, sums)


def _labelled(cells: pl.DataFrame, sums: Tally, scope: Scope) -> pl.DataFrame:
    """Adds `by`, `period`, `_period` and whether the window cuts the period."""
    number = pl.col("_cell") % sums.periods
    bounds = pl.Series(scope.bounds, dtype=pl.Datetime("us", "UTC"))
    values = pl.Series(sums.values, dtype=pl.String)
    partial = pl.Series(scope.partial(), dtype=pl.Boolean)
    return cells.with_columns(
        by=pl.lit(values).gather(pl.col("_cell") // sums.periods) if len(values) else pl.lit(None, pl.String),
        period=pl.lit(bounds).gather(number) if scope.every else pl.lit(None, pl.Datetime("us", "UTC")),
        _period=number.cast(pl.Int32),
        _partial=pl.lit(partial).gather(number) if scope.every else pl.lit(value=False),
    )


def _counts(w: Published, metric: Metric, cells: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    weeks, gaps = zip(*covered_weeks(w, metric.fact, scope), strict=True)
    cells = cells.with_columns(
        _weeks=pl.lit(pl.Series(weeks, dtype=pl.Float64)).gather("_period"),
        _gap=pl.lit(pl.Series(gaps, dtype=pl.Boolean)).gather("_period"),
    )
    # A period with a gap is unknown; the whole window is counted over the weeks that were covered.
    known = (pl.col("_weeks") > 0) & ~(pl.col("_gap") & pl.lit(scope.every is not None))
    return cells.with_columns(
        value=pl.when(known).then(pl.col("n") / pl.col("_weeks")),
        method=pl.when(known).then(pl.lit("count ÷ covered weeks")),
        note=_sentences(
            *_shown(metric),
            pl.when(~known & pl.col("_gap")).then(pl.lit("gap in coverage: unknown")),
            pl.when(~known & ~pl.col("_gap")).then(pl.lit("not covered: unknown")),
            pl.when(known & pl.col("_gap")).then(pl.lit("weeks without coverage left out")),
            *_marks(),
        ),
    )


def _rates(metric: Metric, cells: pl.DataFrame, sums: Tally) -> pl.DataFrame:
    return rated(
        cells,
        rate_intervals(*sums.clusters(metric), cells=sums.cells),
        *_shown(metric),
        *([pl.when(metric.remark != "").then(metric.remark)] if metric.remark is not None else []),
        *_marks(provisional="provisional" in metric.among),
    )


def rated(cells: pl.DataFrame, found: RateIntervals, *remarks: pl.Expr) -> pl.DataFrame:
    """Adds k, value, low, high, method and note to cells that have n. remarks: what else the note says."""
    cells = cells.with_columns(
        k=pl.Series(found.k).cast(pl.Int64),
        low=pl.Series(found.low),
        high=pl.Series(found.high),
        _effect=pl.Series(found.effect),
        _clusters=pl.Series(found.clusters),
        _method=pl.Series(found.method),
    )
    some, clustered = pl.col("n") > 0, pl.col("_method") == DESIGN_EFFECT
    cells = cells.with_columns(
        value=pl.when(some).then(pl.col("k") / pl.col("n")),
        low=pl.when(some).then("low"),
        high=pl.when(some).then("high"),
        method=pl.when(some).then(pl.lit(pl.Series(METHODS)).gather("_method")),
    )
    return cells.with_columns(
        note=_sentences(
            *_few(),
            pl.when(clustered & (pl.col("_clusters") < FEW)).then(pl.lit(SERVICES_ONLY)),
            pl.when(clustered & (pl.col("_effect") > 1)).then(
                pl.format("design effect {} over {} clusters", pl.col("_effect").round(2), "_clusters")
            ),
            pl.when(pl.col("_method") == BOOTSTRAP).then(pl.format("{} clusters", "_clusters")),
            *remarks,
        )
    )


def _durations(metric: Metric, cells: pl.DataFrame, sums: Tally) -> pl.DataFrame:
    spans = sums.spans[metric.name]
    rows = sample(spans["_cell"].to_numpy(), spans["value"].to_numpy(), spans["open"].to_numpy(), cells=sums.cells)
    median = quantiles(rows, 0.5, least_for_interval=MEDIAN_INTERVAL)
    ninetieth = quantiles(rows, 0.9, least_for_interval=P90_INTERVAL)
    return pl.concat(
        [
            _finished(_quantile(metric, cells, median, least=1), metric.name, metric),
            _finished(_quantile(metric, cells, ninetieth, least=P90_PRINTED), metric.name + P90, metric),
        ]
    )


def _within(metric: Metric, cells: pl.DataFrame, sums: Tally) -> pl.DataFrame:
    spans, days = sums.spans[metric.name], metric.within / timedelta(days=1)
    rows = sample(spans["_cell"].to_numpy(), spans["value"].to_numpy(), spans["open"].to_numpy(), cells=sums.cells)
    found = left_at(rows, days)
    ends = (found.value, found.low, found.high) if metric.held else (1 - found.value, 1 - found.high, 1 - found.low)
    open_before = spans.filter(pl.col("open") & (pl.col("value") < days)).group_by("_cell").agg(censored=pl.len().cast(pl.Int64))
    happened = sums.totals.select("_cell", k=pl.col(f"k.{metric.name}").cast(pl.Int64))
    value, low, high = (_known(numbers) for numbers in ends)
    cells = cells.with_columns(value=value, low=low, high=high, _followed=_known(found.followed))
    cells = cells.join(open_before, on="_cell", how="left", maintain_order="left").join(happened, on="_cell", how="left")
    known, some = pl.col("value").is_not_null(), pl.col("n") > 0
    return cells.with_columns(
        pl.col("censored").fill_null(0),
        method=pl.when(known).then(pl.lit(f"Kaplan–Meier at {days:.0f} days, log-log interval")),
        note=_sentences(
            pl.when(some & ~known).then(
                pl.format(f"nobody followed for {days:.0f} days yet, {{}} at most: unknown", pl.col("_followed").round(1))
            ),
            *_few(),
            pl.when(some).then(pl.format(f"{{}} {metric.happening} so far", "k")),
            pl.when(pl.col("censored") > 0).then(pl.format(f"{{}} of {{}} not yet followed for {days:.0f} days", "censored", "n")),
            *_shown(metric),
            *_marks(),
        ),
    )


def _quantile(metric: Metric, cells: pl.DataFrame, found: Quantiles, *, least: int) -> pl.DataFrame:
    some, printed = pl.col("n") > 0, pl.col("n") >= least
    beyond = pl.when(found_null := pl.col("value").is_null()).then("_beyond")
    cells = cells.with_columns(
        value=_known(found.value),
        low=_known(found.low),
        high=_known(found.high),
        censored=pl.Series(found.open).cast(pl.Int64),
        _beyond=_known(found.beyond),
        _survival=pl.Series(found.survival),
    )
    far = beyond.round(1).cast(pl.String)
    cells = cells.with_columns(
        note=_sentences(
            pl.when(some & printed & found_null).then(pl.format(f"> {{}} {metric.unit}: not reached", far)),
            *_few(),
            pl.when((pl.col("n") >= FEW) & ~printed).then(pl.lit(f"fewer than {least} rows: no 90th percentile")),
            pl.when(pl.col("censored") > 0).then(pl.format("{} of {} still open", "censored", "n")),
            *_shown(metric),
            *([metric.remark] if metric.remark is not None else []),
            *_marks(),
        )
    )
    return cells.with_columns(
        value=pl.when(printed).then("value"),
        low=pl.when(printed).then("low"),
        high=pl.when(printed).then("high"),
        method=pl.when(some & printed).then(
            pl.when("_survival").then(pl.lit("Kaplan–Meier, log-log interval")).otherwise(pl.lit("order statistics"))
        ),
    )


def _known(values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(values, nan_to_null=True)


def _few() -> list[pl.Expr]:
    return [
        pl.when(pl.col("n") == 0).then(pl.lit(NO_ROWS)),
        pl.when((pl.col("n") > 0) & (pl.col("n") < FEW)).then(pl.format("{} rows: dots, no estimate", "n")),
    ]


def _shown(metric: Metric) -> list[pl.Expr]:
    """Counts of left-out rows that belong beside the number."""
    columns: Mapping[int, str] = dict(enumerate(metric.shown))
    return [
        pl.when(pl.col(f"shown_{place}") > 0).then(
            pl.format(f"{{}} of {reason}" if "kind" in reason else f"{{}} {reason}", f"shown_{place}")
        )
        for place, reason in columns.items()
    ]


def _marks(*, provisional: bool = False) -> list[pl.Expr]:
    marks: list[pl.Expr] = [pl.when("_partial").then(pl.lit("partial period"))]
    if provisional:
        marks.append(pl.when(pl.col("provisional") > 0).then(pl.format("provisional: {} may still be undone", "provisional")))
    return marks


def _sentences(*parts: pl.Expr) -> pl.Expr:
    joined = pl.concat_str(*parts, separator="; ", ignore_nulls=True)
    return pl.when(joined != "").then(joined)


def _finished(cells: pl.DataFrame, name: str, metric: Metric) -> pl.DataFrame:
    given = {"metric": name, "group": metric.group, "kind": metric.kind.value, "unit": metric.unit, "definition": DEFINITION}
    rows = cells.with_columns(pl.lit(value).alias(column) for column, value in given.items())
    there = set(rows.columns)
    missing = [pl.lit(None).alias(column) for column in COLUMNS if column not in there]
    return rows.with_columns(missing).select(pl.col(column).cast(kind) for column, kind in COLUMNS.items())
