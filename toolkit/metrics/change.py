"""Against the window before: whether a number changed, by a test that fits its kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from toolkit.errors import UsageError
from toolkit.metrics.coverage import covered_weeks, followed, watched
from toolkit.metrics.explanation import rows_of
from toolkit.metrics.measurement import chosen
from toolkit.metrics.metric import METRICS, Count, Metric, Rate, Within
from toolkit.metrics.reading import Published, lacking, published
from toolkit.metrics.scope import Moment, Scope, scope_of
from toolkit.metrics.tally import Tally, tally
from toolkit.metrics.verdict import verdict
from toolkit.metrics.visibility import REDUCTION, Visible, of_counts, of_durations, of_rates
from toolkit.stats.clusters import rate_intervals
from toolkit.stats.comparisons import (
    Comparison,
    compare_counts,
    compare_durations,
    compare_open_durations,
    compare_rates,
    false_discoveries,
)
from toolkit.stats.durations import quantiles, sample
from toolkit.stats.proportions import wilson
from toolkit.stats.shrinkage import shrunk_rates
from toolkit.stats.survival import compare_left, left_at

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
    "smallest": pl.Float64,
    "smallest_at_most": pl.Float64,
    "visible_on": pl.String,
    "verdict": pl.String,
    "note": pl.String,
}


def compare(
    w: Any,
    *names: str,
    group: str | None = None,
    against: str = "previous",
    window: str | None = "26w",
    start: Moment | None = None,
    end: Moment | None = None,
    service: str | None = None,
    environment: str | None = None,
    reduction: float = REDUCTION,
) -> pl.DataFrame:
    """Compares two windows, or two services in one.

    against: `previous`: the window that ends at `end` (default: the horizon) with the one of the same length before it. A date: what came
    from then on with as long a time before it (or with all since `start`). `A:B`: service B with service A, in the same window.

    Returns metric, group, kind, before, after, effect (durations and counts: after ÷ before; rates: after − before), low, high (95 %), p
    (two-sided), real (still after allowing for the number of comparisons: at most 5 % of what is called real is expected to be false),
    n_before, n_after, unit, method; smallest, smallest_at_most (the smallest reduction, a share, that would have shown; two where the
    spread is assumed), visible_on (the day from which `reduction` will show, or "never": the past is too short); verdict (a sentence),
    note. effect null: not compared; the note says why. Teams and people are not compared with each other.
    """
    w = published(w)
    metrics = [watched(w, metric) for metric in chosen(names, group)[0]]
    before, after = _sides(w, against, window, start, end, service, environment)
    # Two services have no pace in common by which a date could be told.
    pace = None if before.service != after.service else (after.start, after.end)
    asked = _Asked(pace, reduction)
    rows = [row for fact in sorted({metric.fact for metric in metrics}) for row in _of_fact(w, fact, metrics, before, after, asked)]
    order = {metric.name: place for place, metric in enumerate(metrics)}
    rows.sort(key=lambda row: order[row["metric"]])
    real = false_discoveries([float("nan") if row["p"] is None else row["p"] for row in rows])
    told = [row | {"real": found} for row, found in zip(rows, real, strict=True)]
    compared = sum(row["p"] is not None for row in told)
    return pl.DataFrame([row | {"verdict": verdict(METRICS[row["metric"]], row, compared)} for row in told], schema=COLUMNS)


@dataclass(frozen=True)
class _Asked:
    """From when to when rows have come in since the change (none: it is no change in time), and the reduction whose date is wanted."""

    pace: tuple[datetime, datetime] | None
    reduction: float


def _sides(
    w: Published,
    against: str,
    window: str | None,
    start: Moment | None,
    end: Moment | None,
    service: str | None,
    environment: str | None,
) -> tuple[Scope, Scope]:
    place: dict[str, Any] = {"service": service, "environment": environment}
    if against == "previous":
        if start is not None:
            window = None
        after = scope_of(w, window=window, start=start, end=end, **place)
        length = after.end - after.start
        return scope_of(w, start=after.start - length, end=after.start, **place), after
    if ":" in against and not against[:1].isdigit():
        one, _, two = against.partition(":")
        if service is not None or not one or not two:
            raise UsageError("Two services are named as A:B, without a service beside it.")
        _known_service(w, one, two)
        span: dict[str, Any] = {"window": None if start is not None else window, "start": start, "end": end, "environment": environment}
        return scope_of(w, service=one, **span), scope_of(w, service=two, **span)
    after = scope_of(w, start=against, end=end, **place)
    return scope_of(w, start=start if start is not None else after.start - (after.end - after.start), end=after.start, **place), after


def _known_service(w: Published, *names: str) -> None:
    known = set()
    for fact, column in (("deployments", pl.col("service")), ("incidents", pl.col("services").explode())):
        known |= set(getattr(w.facts, fact).select(column.cast(pl.String).unique()).collect().to_series().drop_nulls())
    for name in names:
        if name not in known:
            raise UsageError(f"No service named {name!r}. There are: {', '.join(sorted(known)[:30])}.")


def _of_fact(w: Published, fact: str, metrics: list[Metric], before: Scope, after: Scope, asked: _Asked) -> Iterator[dict[str, Any]]:
    missing = [metric for metric in metrics if metric.fact == fact and lacking(w, metric, after) is not None]
    yield from (_row(metric, None, note="not measured") for metric in missing)
    of_fact = [metric for metric in metrics if metric.fact == fact and metric not in missing]
    if not of_fact:
        return
    sides = {metric.name: (followed(w, metric, before), followed(w, metric, after)) for metric in of_fact}
    sums = {
        pair: [tally(w, fact, [metric for metric in of_fact if sides[metric.name] == pair], scope) for scope in pair]
        for pair in dict.fromkeys(sides.values())
    }
    for metric in of_fact:
        pair = sides[metric.name]
        one, two = sums[pair]
        if metric.kind is Rate:
            yield _rates(metric, one, two, asked)
        elif metric.kind is Count:
            yield _counts(w, metric, one, two, *pair, asked=asked)
        elif metric.kind is Within:
            yield _ages(metric, one, two, asked)
        else:
            yield _durations(w, metric, *pair, asked)


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


def _seen(found: Visible) -> dict[str, Any]:
    return {"smallest": found.smallest, "smallest_at_most": found.at_most, "visible_on": found.on}


def _rates(metric: Metric, before: Tally, after: Tally, asked: _Asked) -> dict[str, Any]:
    (k1, n1), (k2, n2) = ([int(side.totals[f"{what}.{metric.name}"].sum()) for what in ("k", "n")] for side in (before, after))
    note = _few(n1, n2)
    shares = {"before": k1 / n1 if n1 else None, "after": k2 / n2 if n2 else None}
    row = _row(metric, None if note else compare_rates(k1, n1, k2, n2), **shares, n_before=n1, n_after=n2, note=note)
    effect = max(_width_effect(metric, side) for side in (before, after))
    return row | _seen(of_rates(k1 / max(n1, 1), n1, n2, effect=effect, window=asked.pace, reduction=asked.reduction))


def _width_effect(metric: Metric, side: Tally) -> float:
    """How many times wider than for independent rows the rate's interval is, squared: the design effect, whichever way it came about."""
    found = rate_intervals(*side.clusters(metric), cells=side.cells)
    low, high = wilson(found.k, found.n)
    return float(max(1.0, (((found.high - found.low) / (high - low)) ** 2).max()))


def _ages(metric: Metric, before: Tally, after: Tally, asked: _Asked) -> dict[str, Any]:
    """Two Kaplan–Meier shares at one age: their difference, with Greenwood's variances."""
    found = []
    for side in (before, after):
        spans = side.spans[metric.name]
        rows = sample([0] * len(spans), spans["value"].to_numpy(), spans["open"].to_numpy(), cells=1)
        found.append(left_at(rows, metric.within / timedelta(days=1)))
    shares = [_known(float(one.value[0] if metric.held else 1 - one.value[0])) for one in found]
    n1, n2 = (len(side.spans[metric.name]) for side in (before, after))
    values = {"before": shares[0], "after": shares[1], "n_before": n1, "n_after": n2}
    note = _few(n1, n2) or ("one of the windows was not followed long enough" if None in shares else None)
    if note:
        return _row(metric, None, **values, note=note)
    difference = compare_left(*found)
    if not metric.held:
        difference = replace(difference, effect=-difference.effect, low=-difference.high, high=-difference.low)
    # As of a rate: what was followed less long shows a little less.
    seen = of_rates(shares[0] or 0.0, n1, n2, window=asked.pace, reduction=asked.reduction)
    return _row(metric, difference, **values) | _seen(seen)


def _counts(w: Published, metric: Metric, before: Tally, after: Tally, *scopes: Scope, asked: _Asked) -> dict[str, Any]:
    (c1, n1), (c2, n2) = (_storms_once(metric, side) for side in (before, after))
    weeks = [sum(weeks for weeks, _ in covered_weeks(w, metric.fact, scope)) for scope in scopes]
    note = "storms count once" if (c1, c2) != (n1, n2) else None
    if min(weeks) <= 0:
        return _row(metric, None, n_before=n1, n_after=n2, note="one of the windows is not covered: not compared")
    values = {"before": n1 / weeks[0], "after": n2 / weeks[1]}
    row = _row(metric, compare_counts(c1, weeks[0], c2, weeks[1]), **values, n_before=n1, n_after=n2, note=note)
    return row | _seen(of_counts(c1 / weeks[0], weeks[0], weeks[1], window=asked.pace, reduction=asked.reduction))


def _storms_once(metric: Metric, side: Tally) -> tuple[int, int]:
    """Events with each storm as one, and all events."""
    events = side.sums.select("_storm", n=f"n.{metric.name}").filter(pl.col("n") > 0)
    storms = events.filter(pl.col("_storm") >= 0)
    return int(events.filter(pl.col("_storm") < 0)["n"].sum()) + storms["_storm"].n_unique(), int(events["n"].sum())


def _durations(w: Published, metric: Metric, before: Scope, after: Scope, asked: _Asked) -> dict[str, Any]:
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
    clusters = [_clusters(side) for side in sides]
    # An open row's time so far is too short to tell the spread, but it is one row less that has ended.
    ended = [(value[~still], _names(side)[~still]) for side, (value, still) in zip(sides, ((x, x_open), (y, y_open)), strict=True)]
    seen = of_durations(
        ended[0][0].tolist(),
        ended[1][0].tolist(),
        clusters=(ended[0][1].tolist(), ended[1][1].tolist()),
        window=asked.pace,
        reduction=asked.reduction,
    )
    if not x_open.any() and not y_open.any():
        return _row(metric, compare_durations(x, y), **values, note=kept) | _seen(seen)
    found = compare_open_durations(x, x_open, y, y_open, before_cluster=clusters[0], after_cluster=clusters[1])
    return _row(metric, found, **values, note=kept) | _seen(seen)


def _within_one_source(metric: Metric, sides: list[pl.DataFrame]) -> tuple[list[pl.DataFrame], str | None]:
    """Rows whose times come from the same kind of source, the one most common in both windows: a declared moment and a derived one are
    not the same moment, and a team that starts to declare has not become faster."""
    sources = [f"{column}_source" for column in metric.inferred if f"{column}_source" in sides[0].columns]
    if metric.fact != "incidents" or not sources or not all(len(side) for side in sides):
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


def _names(side: pl.DataFrame) -> Any:
    """The service of each row; of an incident its first."""
    service = side["services"].list.first() if "services" in side.columns else side["service"]
    return service.cast(pl.String).fill_null("").to_numpy()


def _clusters(side: pl.DataFrame) -> Any:
    """The service of each row, where there are several; else each row is its own."""
    names = _names(side)
    return names if len(set(names.tolist())) > 1 else None


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
