"""Against the window before: whether a number changed, by a test that fits its kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import polars as pl

from toolkit.metrics.coverage import covered_weeks
from toolkit.metrics.explanation import rows_of
from toolkit.metrics.measurement import chosen
from toolkit.metrics.metric import Count, Metric, Rate
from toolkit.metrics.reading import Published, connected, published
from toolkit.metrics.scope import Scope, scope_of
from toolkit.metrics.tally import Tally, tally
from toolkit.stats.comparisons import (
    Comparison,
    compare_counts,
    compare_durations,
    compare_open_durations,
    compare_rates,
    false_discoveries,
)
from toolkit.stats.durations import quantiles, sample
from toolkit.stats.shrinkage import shrunk_rates

__all__ = ["compare", "with_shrunk_rates"]

FEWEST = 5
COLUMNS: dict[str, Any] = {
    "metric": pl.String,
    "group": pl.String,
    "kind": pl.String,
    "before": pl.Float64,
    "after": pl.Float64,
    "effect": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "real": pl.Boolean,
    "n_before": pl.Int64,
    "n_after": pl.Int64,
    "unit": pl.String,
    "method": pl.String,
    "note": pl.String,
}


def compare(
    w: Any,
    *names: str,
    group: str | None = None,
    window: str = "26w",
    end: datetime | date | str | None = None,
    service: str | None = None,
    environment: str | None = None,
) -> pl.DataFrame:
    """Compares a window that ends at `end` (default: the horizon) with the one of the same length before it.

    Returns metric, group, kind, before, after, effect (durations and counts: after ÷ before; rates: after − before), low, high (95 %), p
    (two-sided), real (still after allowing for the number of comparisons: at most 5 % of what is called real is expected to be false),
    n_before, n_after, unit, method, note. effect null: not compared; the note says why. Teams and people are not compared with each other.
    """
    w = published(w)
    metrics, _ = chosen(names, group)
    after = scope_of(w, window=window, end=end, service=service, environment=environment)
    before = scope_of(w, window=window, end=after.start, service=service, environment=environment)
    rows = [row for fact in sorted({metric.fact for metric in metrics}) for row in _of_fact(w, fact, metrics, before, after)]
    order = {metric.name: place for place, metric in enumerate(metrics)}
    rows.sort(key=lambda row: order[row["metric"]])
    real = false_discoveries([float("nan") if row["p"] is None else row["p"] for row in rows])
    return pl.DataFrame([row | {"real": found} for row, found in zip(rows, real, strict=True)], schema=COLUMNS)


def _of_fact(w: Published, fact: str, metrics: list[Metric], before: Scope, after: Scope) -> Iterator[dict[str, Any]]:
    of_fact = [metric for metric in metrics if metric.fact == fact]
    if not connected(w, fact):
        for metric in of_fact:
            yield _row(metric, None, note="not measured")
        return
    one, two = tally(w, fact, of_fact, before), tally(w, fact, of_fact, after)
    for metric in of_fact:
        if metric.kind is Rate:
            yield _rates(metric, one, two)
        elif metric.kind is Count:
            yield _counts(w, metric, one, two, before, after)
        else:
            yield _durations(w, metric, before, after)


def _row(metric: Metric, found: Comparison | None, **more: Any) -> dict[str, Any]:
    row = {"metric": metric.name, "group": metric.group, "kind": metric.kind.value, "unit": metric.unit}
    result = (
        {name: _known(getattr(found, name)) for name in ("effect", "low", "high", "p")}
        if found
        else dict.fromkeys(("effect", "low", "high", "p"))
    )
    return dict.fromkeys(COLUMNS) | row | result | {"method": found.method if found and _known(found.p) is not None else None} | more


def _known(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def _few(n_before: int, n_after: int) -> str | None:
    return f"{min(n_before, n_after)} rows in one of them: not compared" if min(n_before, n_after) < FEWEST else None


def _rates(metric: Metric, before: Tally, after: Tally) -> dict[str, Any]:
    (k1, n1), (k2, n2) = ([int(side.totals[f"{what}.{metric.name}"].sum()) for what in ("k", "n")] for side in (before, after))
    note = _few(n1, n2)
    shares = {"before": k1 / n1 if n1 else None, "after": k2 / n2 if n2 else None}
    return _row(metric, None if note else compare_rates(k1, n1, k2, n2), **shares, n_before=n1, n_after=n2, note=note)


def _counts(w: Published, metric: Metric, before: Tally, after: Tally, *scopes: Scope) -> dict[str, Any]:
    (c1, n1), (c2, n2) = (_storms_once(metric, side) for side in (before, after))
    weeks = [sum(weeks for weeks, _ in covered_weeks(w, metric.fact, scope)) for scope in scopes]
    note = "storms count once" if (c1, c2) != (n1, n2) else None
    if min(weeks) <= 0:
        return _row(metric, None, n_before=n1, n_after=n2, note="one of the windows is not covered: not compared")
    values = {"before": n1 / weeks[0], "after": n2 / weeks[1]}
    return _row(metric, compare_counts(c1, weeks[0], c2, weeks[1]), **values, n_before=n1, n_after=n2, note=note)


def _storms_once(metric: Metric, side: Tally) -> tuple[int, int]:
    """Events with each storm as one, and all events."""
    events = side.sums.select("_storm", n=f"n.{metric.name}").filter(pl.col("n") > 0)
    storms = events.filter(pl.col("_storm") >= 0)
    return int(events.filter(pl.col("_storm") < 0)["n"].sum()) + storms["_storm"].n_unique(), int(events["n"].sum())


def _durations(w: Published, metric: Metric, before: Scope, after: Scope) -> dict[str, Any]:
    sides = [rows_of(w, metric, scope).filter(pl.col("_code") == 0) for scope in (before, after)]
    counted = [len(side) for side in sides]
    sides, note = _within_one_source(metric, sides)
    sides = [side if "open" in side.columns else side.with_columns(open=pl.lit(value=False)) for side in sides]
    n1, n2 = (len(side) for side in sides)
    (x, x_open), (y, y_open) = ((side["sample"].cast(pl.Float64).to_numpy(), side["open"].to_numpy()) for side in sides)
    values = {"before": _median(x, x_open), "after": _median(y, y_open), "n_before": n1, "n_after": n2}
    if metric.signed or (n1 and n2 and min(x.min(), y.min()) <= 0):
        return _row(metric, None, **values, note="may be zero or negative: no ratio")
    if few := _few(n1, n2):
        return _row(metric, None, **values, note=few)
    kept = f"{note}: {n1} of {counted[0]} and {n2} of {counted[1]} rows" if note and [n1, n2] != counted else None
    if not x_open.any() and not y_open.any():
        return _row(metric, compare_durations(x, y), **values, note=kept)
    clusters = [_clusters(side) for side in sides]
    found = compare_open_durations(x, x_open, y, y_open, before_cluster=clusters[0], after_cluster=clusters[1])
    return _row(metric, found, **values, note=kept)


def _within_one_source(metric: Metric, sides: list[pl.DataFrame]) -> tuple[list[pl.DataFrame], str | None]:
    """Rows whose times come from the same kind of source, the one most common in both windows: a declared moment and a derived one are
    not the same moment, and a team that starts to declare has not become faster."""
    sources = [f"{column}_source" for column in metric.inferred if f"{column}_source" in sides[0].columns]
    if metric.fact != "incidents" or not sources:
        return sides, None
    told = [side.with_columns(_how=pl.concat_str([pl.col(source).fill_null("") for source in sources], separator="|")) for side in sides]
    counts = [dict(side["_how"].value_counts().iter_rows()) for side in told]
    common = sorted(counts[0].keys() & counts[1].keys(), key=lambda how: (-min(counts[0][how], counts[1][how]), how))
    if not common:
        return [side.clear() for side in sides], "no source in common"
    ways = ", ".join(dict.fromkeys(way.split(":")[0] or "unknown" for way in common[0].split("|")))
    return [side.filter(pl.col("_how") == common[0]) for side in told], f"only times that are {ways}"


def _median(value: Any, still_open: Any) -> float | None:
    rows = sample([0] * len(value), value, still_open, cells=1)
    return _known(float(quantiles(rows, 0.5, least_for_interval=len(value) + 1).value[0]))


def _clusters(side: pl.DataFrame) -> Any:
    """The service of each row, where there are several; else each row is its own."""
    service = side["services"].list.first() if "services" in side.columns else side["service"]
    names = service.cast(pl.String).fill_null("")
    return names.to_numpy() if names.n_unique() > 1 else None


def with_shrunk_rates(measured: pl.DataFrame) -> pl.DataFrame:
    """Adds shrunk, shrunk_low, shrunk_high to rows of measure(by=…): what each small rate is worth in the light of the others of its
    metric and period. Null for other kinds and totals."""
    rates = measured.with_row_index("_row").filter((pl.col("kind") == Rate.value) & pl.col("by").is_not_null() & pl.col("n").is_not_null())
    parts = []
    for _, rows in rates.group_by("metric", "period", maintain_order=True):
        found = shrunk_rates(rows["k"].to_numpy(), rows["n"].to_numpy())
        shrunk = {"shrunk": found.value, "shrunk_low": found.low, "shrunk_high": found.high}
        parts.append(rows.select("_row").with_columns(pl.Series(name, values) for name, values in shrunk.items()))
    schema = {"_row": pl.UInt32, "shrunk": pl.Float64, "shrunk_low": pl.Float64, "shrunk_high": pl.Float64}
    joined = pl.concat(parts) if parts else pl.DataFrame(schema=schema)
    return measured.with_row_index("_row").join(joined, on="_row", how="left", maintain_order="left").drop("_row")
