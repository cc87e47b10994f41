"""From sample rows in any order to panels: one for each step between samples, deployments side by side."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from toolkit.criteria.criterion import Criterion
from toolkit.criteria.panel import Arm, Panel
from toolkit.criteria.telemetry import PROBLEMS, RULES, checked, off_step

__all__ = ["HORIZON", "laid_out"]

# How long a deployment is watched.
HORIZON = timedelta(minutes=120)
TIME = pl.Datetime("us", "UTC")
MICROSECOND = timedelta(microseconds=1)


def laid_out(
    samples: pl.DataFrame, deployments: pl.DataFrame, criterion: Criterion, *, horizon: timedelta = HORIZON
) -> tuple[list[Panel], pl.DataFrame]:
    """Panels of what a criterion reads, and the problems of the telemetry. A series that cannot be trusted is not in them.

    samples: service, series, variant, deployment, at, value, bad, total, step. deployments: deployment, service, deployed_at, ends_at.
    """
    wanted = pl.DataFrame(criterion.arms(), schema={"series": pl.String, "variant": pl.String}, orient="row")
    ours = samples.with_columns(pl.col("variant").cast(pl.String), pl.col("at").cast(TIME), pl.col("step").cast(pl.Float64))
    ours = ours.join(wanted, on=["series", "variant"], how="semi", maintain_order="left")
    late = pl.col("at").diff().over("service", "series", "variant", "deployment") < pl.duration(microseconds=0)
    ours = ours.with_columns(late=late.fill_null(value=False))
    ends = pl.col("ends_at") if "ends_at" in deployments.columns else pl.lit(None)
    starts = deployments.select("deployment", "service", pl.col("deployed_at").cast(TIME), ends.cast(TIME).alias("ends_at"))
    starts = starts.drop_nulls("deployed_at").unique("deployment", keep="first", maintain_order=True)
    rows, problems = checked(_assigned(ours, starts, criterion.lookback(), horizon), starts, criterion.arms())
    problems = pl.concat([problems, _unknown(ours, starts)])
    if criterion.step is not None:
        problems = pl.concat([problems, off_step(rows, starts, criterion.step // MICROSECOND)])
    rows = _evaluated(rows, criterion)
    if criterion.hears_silence:
        rows = pl.concat([rows, _silent(rows, starts, problems)], how="diagonal")
    return list(_panels(rows, starts, criterion, horizon)), problems


def _unknown(samples: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
    """Samples that name a deployment of which nothing is known."""
    lost = samples.drop_nulls("deployment").join(starts, on="deployment", how="anti")
    rows = lost.group_by("service", "deployment", "series", "variant").agg(n=pl.len().cast(pl.Int64), first_at=pl.col("at").min())
    rule = "unknown_deployment"
    rows = rows.with_columns(rule=pl.lit(rule), used=pl.lit(value=False), text=pl.lit(RULES[rule]))
    return rows.select(pl.col(name).cast(kind) for name, kind in PROBLEMS.items()).sort("deployment", "series", "variant")


def _assigned(samples: pl.DataFrame, starts: pl.DataFrame, lookback: timedelta, horizon: timedelta) -> pl.DataFrame:
    """Samples with the deployment they watch and its deployed_at; a series of the whole service is looked at by each of its deployments
    that has none of its own, around its own time."""
    begin, end = pl.col("deployed_at") - lookback, pl.col("deployed_at") + horizon
    own = samples.drop_nulls("deployment").join(starts.select("deployment", "deployed_at"), on="deployment", maintain_order="left")
    pieces = [own.filter((pl.col("at") >= begin) & (pl.col("at") <= end))]
    common = samples.filter(pl.col("deployment").is_null()).drop("deployment")
    for (service, series, variant), part in common.group_by("service", "series", "variant", maintain_order=True):
        theirs = own.filter(pl.col("series") == series, pl.col("variant") == variant)["deployment"].unique()
        mine = starts.filter(pl.col("service") == service, ~pl.col("deployment").is_in(theirs.implode()))
        lined = part.sort("at", maintain_order=True)
        at = lined["at"].to_physical().to_numpy()
        bounds = mine.select(begin.alias("begin").to_physical(), end.alias("end").to_physical())
        first = np.searchsorted(at, bounds["begin"].to_numpy(), side="left")
        size = np.searchsorted(at, bounds["end"].to_numpy(), side="right") - first
        place = np.repeat(first - (np.cumsum(size) - size), size) + np.arange(int(size.sum()))
        pieces.append(lined[place].hstack(mine.select("deployment", "deployed_at")[np.repeat(np.arange(len(mine)), size)]))
    return pl.concat(pieces, how="diagonal")


def _evaluated(rows: pl.DataFrame, criterion: Criterion) -> pl.DataFrame:
    """Rows at the criterion's own step where it has one: events summed over it, the last value; or repeated where it looks more often
    than samples come."""
    if criterion.step is None or rows.is_empty():
        return rows
    wanted = criterion.step // MICROSECOND
    keys = ["deployment", "series", "variant"]
    rows = rows.with_columns(
        times=(wanted / pl.col("step")).round().cast(pl.Int64), repeats=(pl.col("step") / wanted).round().cast(pl.Int64)
    )
    seldom = rows.filter(pl.col("times") > 1)
    # An evaluation sees what came since the one before it.
    turn = -((pl.col("deployed_at").dt.epoch("us") - pl.col("at").dt.epoch("us")) // wanted)
    summed = (
        seldom.with_columns(turn=turn)
        .group_by(*keys, "turn", maintain_order=True)
        .agg(
            pl.col("service", "deployed_at").first(),
            pl.col("at").max(),
            pl.col("value").last(),
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in ("bad", "total")),
        )
        .with_columns(at=(pl.col("deployed_at").dt.epoch("us") + pl.col("turn") * wanted).cast(TIME), step=pl.lit(wanted, pl.Int64))
        .drop("turn")
    )
    often = rows.filter(pl.col("repeats") > 1)
    often = often.with_columns(more=pl.int_ranges(0, pl.col("repeats"))).explode("more")
    often = often.with_columns(at=pl.col("at") + pl.duration(microseconds=pl.col("more") * wanted), step=pl.lit(wanted, pl.Int64)).drop(
        "more"
    )
    same = rows.filter((pl.col("times") <= 1) & (pl.col("repeats") <= 1))
    return pl.concat([same, summed, often], how="diagonal").drop("times", "repeats", "more", strict=False).sort(*keys, "at")


def _silent(rows: pl.DataFrame, starts: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """A row without a sample for each deployment of a watched service that was never heard of."""
    steps = rows.group_by("service").agg(pl.col("step").min())
    heard = pl.concat([rows.select("deployment"), problems.select("deployment")]).unique()
    quiet = starts.join(steps, on="service").join(heard, on="deployment", how="anti")
    return quiet.select("deployment", "service", "deployed_at", "step", at="deployed_at")


def _panels(rows: pl.DataFrame, starts: pl.DataFrame, criterion: Criterion, horizon: timedelta) -> Iterator[Panel]:
    for (step,), part in rows.group_by("step", maintain_order=True):
        yield _panel(part, starts, criterion, horizon // MICROSECOND, int(str(step)))


def _panel(rows: pl.DataFrame, starts: pl.DataFrame, criterion: Criterion, horizon: int, step: int) -> Panel:
    begun = (
        rows.group_by("deployment")
        .agg(anchor=pl.col("at").min())
        .join(starts, on="deployment")
        .sort("deployment")
        .select("deployment", "ends_at", anchor=pl.col("anchor").dt.epoch("us"), begun=pl.col("deployed_at").dt.epoch("us"))
        .with_columns(first=-((pl.col("anchor") - pl.col("begun")) // step))
        .with_columns(offset=pl.col("anchor") + pl.col("first") * step - pl.col("begun"))
        .with_row_index("column")
    )
    placed = rows.join(begun.select("deployment", "column", "anchor", "first"), on="deployment", maintain_order="left")
    placed = placed.with_columns(row=((pl.col("at").dt.epoch("us") - pl.col("anchor")) / step).round().cast(pl.Int64) - pl.col("first"))
    earliest = placed.select(pl.col("row").min())["row"].item()
    lookback = min(-(-(criterion.lookback() // MICROSECOND) // step), max(0, -earliest))
    height = lookback + horizon // step + 1
    placed = placed.filter((pl.col("row") >= -lookback) & (pl.col("row") < height - lookback))
    watch = pl.min_horizontal(pl.lit(horizon), pl.col("ends_at").dt.epoch("us") - pl.col("begun"))
    ends = begun.select(ends=((watch - pl.col("offset")) // step + 1).clip(0, height - lookback))["ends"]
    arms: dict[tuple[str, str], Arm] = {}
    for series, variant in criterion.arms():
        part = placed.filter(pl.col("series") == series, pl.col("variant") == variant)
        where = (part["row"].to_numpy() + lookback, part["column"].to_numpy())
        filled = []
        for name in ("bad", "total", "value"):
            matrix = np.full((height, len(begun)), np.nan)
            matrix[where] = part[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
            filled.append(matrix)
        arms[series, variant] = Arm(*filled)
    return Panel(
        deployments=tuple(begun["deployment"]),
        step=step / 1e6,
        first=lookback,
        rows=height,
        offsets=begun["offset"].to_numpy() / 1e6,
        ends=ends.to_numpy().astype(np.int64),
        arms=arms,
    )
