"""What is wrong with telemetry: every rule that a sample breaks has a name and a count, and what cannot be trusted is not used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

__all__ = ["PROBLEMS", "RULES", "checked", "off_step"]

SERIES = ["deployment", "series", "variant"]
TIME = pl.Datetime("us", "UTC")
PROBLEMS = {
    "service": pl.String(),
    "deployment": pl.String(),
    "series": pl.String(),
    "variant": pl.String(),
    "rule": pl.String(),
    "n": pl.Int64(),
    "first_at": TIME,
    "used": pl.Boolean(),
    "text": pl.String(),
}
# What each rule means, and what happened to the samples. First those that cost a sample, then those that cost the series.
RULES = {
    "negative_count": "a count below zero: those samples count as missing",
    "more_bad_than_total": "more bad events than events: those samples count as missing",
    "not_a_number": "NaN or infinity: those samples count as missing",
    "duplicate": "the same sample more than once: it counts once",
    "conflicting": "one moment, two values: those moments count as missing",
    "unsorted": "samples out of order: they were sorted",
    "other_step": "the criterion's step is no multiple or part of the samples': evaluated as near to it as samples allow",
    "cumulative_counter": "counts only ever rise: a running counter, where events of the step are wanted; the series is not used",
    "counter_reset": "a running counter that fell back: its events cannot be told; the series is not used",
    "mixed_steps": "samples at more than one distance: the series is not used",
    "too_fine": "less than a second between samples: the series is not used; sum the events of a second or more",
    "no_step": "a single sample and no step: the series is not used",
    "unknown_deployment": "nobody has told of this deployment, or of its time: its samples are not used",
    "missing_baseline": "no baseline beside the canary: there is nothing to compare with; the series is not used",
}
_USED = {"negative_count", "more_bad_than_total", "not_a_number", "duplicate", "conflicting", "unsorted", "other_step"}
# So many counts, nearly all of them higher than the one before, are no chance.
RISING, MOSTLY, AT_LENGTH = 8, 0.9, 20
# A scrape is late by less than this share of a step; so many in a row at another distance are another step.
LATE, IN_A_ROW, OFTEN = 0.25, 5, 0.05
# So far may two steps be from going into one another.
EVEN = 0.01
FINEST = 1_000_000


def checked(rows: pl.DataFrame, starts: pl.DataFrame, arms: Sequence[tuple[str, str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that can be used, sorted, with `step` in microseconds the same for all of a deployment; and the problems.

    rows: samples with deployment, series, variant, deployed_at, and late: whether a row came after one of a later time. A deployment
    of which one needed series is not used drops out whole: half of what a criterion reads is not what it reads.
    """
    if rows.is_empty():
        return rows.with_columns(pl.col("step").cast(pl.Int64)), pl.DataFrame(schema=PROBLEMS)
    numbers = ("value", "bad", "total")
    rows = rows.with_columns(pl.col(name).cast(pl.Float64) for name in numbers)
    found = [_counted(rows.filter("late"), "unsorted")]
    rows = rows.sort(*SERIES, "at")
    same = pl.struct(*SERIES, "at", *numbers)
    repeated = rows.filter(~same.is_first_distinct())
    found.append(_counted(repeated, "duplicate"))
    rows = rows.filter(same.is_first_distinct())
    clash = pl.struct(*SERIES, "at").is_duplicated()
    found.append(_counted(rows.filter(clash), "conflicting"))
    rows = rows.filter(~clash)
    infinite = pl.any_horizontal((~pl.col(name).is_finite()).fill_null(value=False) for name in numbers)
    for rule, broken in (
        ("not_a_number", infinite),
        ("negative_count", ((pl.col("bad") < 0) | (pl.col("total") < 0)).fill_null(value=False)),
        ("more_bad_than_total", (pl.col("bad") > pl.col("total")).fill_null(value=False)),
    ):
        found.append(_counted(rows.filter(broken), rule))
        rows = rows.with_columns(pl.when(~broken).then(pl.col(name)).alias(name) for name in numbers)
    unusable = [*_running(rows), *_uneven(rows), *_alone(rows, arms)]
    found += unusable
    lost = pl.concat([frame.select("deployment") for frame in unusable]).unique()
    rows = rows.join(lost, on="deployment", how="anti")
    steps = rows.group_by("deployment").agg(_step().alias("step"))
    rows = rows.drop("step").join(steps, on="deployment", maintain_order="left")
    return rows, _as_problems(pl.concat(found), starts)


def off_step(rows: pl.DataFrame, starts: pl.DataFrame, wanted: int) -> pl.DataFrame:
    """Problems of series whose step and the criterion's own, in microseconds, do not go into one another."""
    share = pl.max_horizontal(pl.col("step") / wanted, wanted / pl.col("step"))
    return _as_problems(_counted(rows.filter((share - share.round()).abs() > EVEN), "other_step"), starts)


def _as_problems(found: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
    problems = found.join(starts.select("deployment", "service"), on="deployment", how="left")
    told = pl.col("rule").replace_strict(RULES, return_dtype=pl.String)
    problems = problems.with_columns(used=pl.col("rule").is_in(list(_USED)), text=told).select(*PROBLEMS)
    return problems.sort("deployment", "series", "variant", "rule")


def _counted(broken: pl.DataFrame, rule: str) -> pl.DataFrame:
    """deployment, series, variant, rule, n, first_at: how many rows of each series break a rule."""
    return _named(broken.group_by(SERIES).agg(n=pl.len(), first_at=pl.col("at").min()), rule)


def _named(series: pl.DataFrame, rule: str) -> pl.DataFrame:
    return series.select(*SERIES, rule=pl.lit(rule), n=pl.col("n").cast(pl.Int64), first_at=pl.col("first_at").cast(TIME))


def _running(rows: pl.DataFrame) -> Iterable[pl.DataFrame]:
    """Series that count from a start instead of in each step."""
    counts = rows.filter(pl.col("total").is_not_null()).with_columns(
        up=pl.col("total").diff().over(SERIES), worse=pl.col("bad").diff().over(SERIES)
    )
    shape = counts.group_by(SERIES).agg(
        n=pl.col("up").count(),
        rises=(pl.col("up") > 0).sum(),
        falls=(pl.col("up") < 0).sum(),
        odd=((pl.col("worse") < 0) & (pl.col("up") >= 0)).sum(),
        worse=(pl.col("worse") > 0).sum(),
        reset=pl.col("at").filter(pl.col("up") < 0).min(),
        first_at=pl.col("at").min(),
    )
    rising = (pl.col("n") >= RISING) & (pl.col("rises") >= MOSTLY * pl.col("n")) & (pl.col("odd") == 0)
    shape = shape.filter(rising & ((pl.col("worse") > 0) | (pl.col("n") >= AT_LENGTH)))
    fell = pl.col("falls") > 0
    yield _named(shape.filter(fell).with_columns(n="falls", first_at="reset"), "counter_reset")
    yield _named(shape.filter(~fell), "cumulative_counter")


def _step() -> pl.Expr:
    """Microseconds between samples: what they say themselves, else their most common distance."""
    told = (pl.col("step").drop_nulls().min() * 1e6).round().cast(pl.Int64, strict=False)
    gaps = pl.col("at").unique().sort().diff().drop_nulls().dt.total_microseconds()
    return pl.coalesce(told, gaps.mode().min())


def _uneven(rows: pl.DataFrame) -> Iterable[pl.DataFrame]:
    """Deployments whose series do not share one step."""
    own = rows.group_by(SERIES).agg(one=_step(), told=pl.col("step").drop_nulls().n_unique(), first_at=pl.col("at").min(), rows=pl.len())
    steps = pl.col("one").drop_nulls()
    own = own.with_columns(shared=steps.n_unique().over("deployment"), any=steps.min().over("deployment"))
    yield _named(own.filter(pl.col("any").is_null()).with_columns(n="rows"), "no_step")
    # A matrix of two hours in microseconds would be what an attacker asks for.
    yield _named(own.filter(pl.col("any") < FINEST).with_columns(n="rows"), "too_fine")
    gaps = rows.with_columns(gap=pl.col("at").diff().over(SERIES).dt.total_microseconds()).drop_nulls("gap")
    gaps = gaps.join(own.select(*SERIES, "one"), on=SERIES, maintain_order="left").drop_nulls("one")
    share = pl.col("gap") / pl.col("one")
    run = pl.struct(*SERIES, share.round()).rle_id()
    gaps = gaps.with_columns(
        off=((share - share.round()).abs() > LATE) | (share < 1 - LATE), wide=share.round() != 1, run=pl.len().over(run)
    )
    odd = gaps.group_by(SERIES).agg(
        pl.col("off").sum(), wide=(pl.col("wide") & (pl.col("run") >= IN_A_ROW)).sum(), allowed=OFTEN * pl.len()
    )
    own = (
        own.filter(pl.col("any").is_not_null()).join(odd, on=SERIES, how="left").with_columns(pl.col("off", "wide", "allowed").fill_null(0))
    )
    mixed = (pl.col("told") > 1) | (pl.col("shared") > 1) | (pl.col("off") > pl.col("allowed")) | (pl.col("wide") > 0)
    yield _named(own.filter(mixed).with_columns(n=pl.max_horizontal("off", "wide", pl.lit(1, pl.UInt32))), "mixed_steps")


def _alone(rows: pl.DataFrame, arms: Sequence[tuple[str, str]]) -> Iterable[pl.DataFrame]:
    """Canaries without a baseline, where one is read."""
    compared = [series for series, variant in arms if variant == "baseline" and (series, "canary") in arms]
    heard = rows.filter(pl.col("series").is_in(compared), pl.col("at") >= pl.col("deployed_at"))
    canaries = heard.filter(pl.col("variant") == "canary")
    usable = pl.col("value").is_not_null() | (pl.col("bad").is_not_null() & pl.col("total").is_not_null())
    baselines = heard.filter(pl.col("variant") == "baseline", usable)
    paired = baselines.select("deployment", "series").unique()
    yield _counted(canaries.join(paired, on=["deployment", "series"], how="anti"), "missing_baseline")
