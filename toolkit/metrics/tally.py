"""Sum samples up, all metrics of a fact in one pass: counts per cell and cluster, and the spans of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from toolkit.metrics.metric import Duration, Metric, Within
from toolkit.metrics.reading import ACROSS, Published, rows_in_scope
from toolkit.metrics.scope import SEVERAL_SERVICES, Scope
from toolkit.stats.clusters import INDEPENDENT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["Tally", "clustered", "numbered", "tally"]

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Tally:
    """What the rows of one fact say. A cell is a value of `by` and a period: cell = position of the value × periods + period.

    sums: one row per (_cell, _service, _storm), whole numbers, _storm −1 for none, with n.<metric>, k.<metric> and <metric>.<beside>.
    spans: per Duration and Within its cell, value and open. values: what `by` can be; [None] for a total.
    """

    metrics: Sequence[Metric]
    values: list[str | None]
    periods: int
    sums: pl.DataFrame
    spans: dict[str, pl.DataFrame]

    @property
    def cells(self) -> int:
        return len(self.values) * self.periods

    @cached_property
    def totals(self) -> pl.DataFrame:
        """The sums of every cell, in the order of cells."""
        cells = pl.LazyFrame({"_cell": pl.int_range(self.cells, dtype=pl.Int32, eager=True)})
        whole = self.sums.lazy().drop("_service", "_storm").group_by("_cell").sum()
        return cells.join(whole, on="_cell", how="left", maintain_order="left").with_columns(pl.exclude("_cell").fill_null(0)).collect()

    def per_cell(self, metric: Metric) -> pl.DataFrame:
        """One row per cell: n, what stands beside, and shown_<i>, the counts of the reasons that belong beside the number."""
        mine = [column for column in self.totals.columns if column.startswith(f"{metric.name}.")]
        return self.totals.select("_cell", n=f"n.{metric.name}", **{column.split(".", 1)[1]: column for column in mine})

    def clusters(self, metric: Metric) -> tuple[Ints, Ints, Ints, Ints]:
        """cell, cluster, k, n."""
        return clustered(self.sums.select(["_cell", "_service", "_storm"], k=f"k.{metric.name}", n=f"n.{metric.name}"), cells=self.cells)


def clustered(sums: pl.DataFrame, *, cells: int) -> tuple[Ints, Ints, Ints, Ints]:
    """cell, cluster, k, n: the storm is a cluster; in a cell of several services each service is one; else each row is its own.

    sums: one row per _cell (0 … cells−1), _service and _storm (−1: no storm), with k and n; rows with n = 0 are in no cluster."""
    import numpy as np

    sums = sums.filter(pl.col("n") > 0)
    cell, service, storm, k, n = (sums[column].to_numpy().astype(np.int64) for column in ("_cell", "_service", "_storm", "k", "n"))
    services = int(service.max(initial=0)) + 1
    stormy = bool((storm >= 0).any())
    # Without storms each row is another service of its cell already.
    its_services = np.unique(cell * services + service) // services if stormy else cell
    several = np.bincount(its_services, minlength=cells)[cell] > 1
    cluster = np.where(storm >= 0, storm + services, np.where(several, service, INDEPENDENT))
    if not stormy:
        return cell, cluster, k, n
    width = services + int(storm.max()) + 2
    keys, into = np.unique(cell * width + cluster + 1, return_inverse=True)
    k, n = (np.bincount(into, values, len(keys)).astype(np.int64) for values in (k, n))
    return keys // width, keys % width - 1, k, n


def tally(w: Published, fact: str, metrics: Sequence[Metric], scope: Scope) -> Tally:
    """Reads the fact once and sums up all of its metrics."""
    storms = fact == "rollbacks" or (fact, "storm") in ACROSS
    columns = {"service"} if fact not in SEVERAL_SERVICES else set()
    for metric in metrics:
        columns |= metric.columns()
    steps: list[pl.Expr] = []
    for number, metric in enumerate(metrics):
        steps.append(metric.code().alias(f"c{number}"))
        steps.append(metric.value().alias(f"v{number}"))
        if metric.still_open is not None:
            steps.append(metric.still_open.fill_null(value=False).alias(f"o{number}"))
    frame = rows_in_scope(w, fact, columns | ({"storm"} if storms else set()), scope)
    rows = frame.with_columns(steps).collect()
    rows, values = _with_cell(rows, scope)
    sums = rows.group_by("_cell", "_service", "_storm").agg(
        aggregate for number, metric in enumerate(metrics) for aggregate in _sums(number, metric)
    )
    spans = {
        metric.name: rows.lazy()
        .filter(pl.col(f"c{number}") == 0)
        .select(
            "_cell",
            value=pl.col(f"v{number}").cast(pl.Float64),
            open=f"o{number}" if metric.still_open is not None else pl.lit(value=False),
        )
        .collect()
        for number, metric in enumerate(metrics)
        if metric.spans
    }
    return Tally(metrics, values, len(scope.bounds), sums, spans)


def _with_cell(rows: pl.DataFrame, scope: Scope) -> tuple[pl.DataFrame, list[str | None]]:
    """Small whole numbers for cell, service and storm: grouping by them is several times as fast as by text."""
    periods = len(scope.bounds)
    values: list[str | None] = [None]
    cell = pl.col("_period")
    if scope.by is not None:
        values = sorted(rows["_by"].unique().to_list())
        position = rows["_by"].cast(pl.Enum([str(value) for value in values])).to_physical().cast(pl.Int32)
        cell = pl.lit(position) * periods + pl.col("_period")
    return numbered(rows).with_columns(cell.cast(pl.Int32).alias("_cell")), values


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds _service and _storm: service and storm as numbers; −1 is no storm."""
    # In the order of their names: a seeded bootstrap must not depend on which row came first.
    named = rows["service"].cast(pl.String).fill_null("")
    services = named.cast(pl.Enum(named.unique().sort())).to_physical().alias("_service")
    storm = pl.col("storm").rank("dense").cast(pl.Int32).fill_null(-1) if "storm" in rows.columns else pl.lit(-1, pl.Int32)
    return rows.with_columns(services, storm.alias("_storm"))


def _sums(number: int, metric: Metric) -> list[pl.Expr]:
    code, name = pl.col(f"c{number}"), metric.name
    aggregates = [(code == 0).sum().alias(f"n.{name}")]
    if metric.kind is Within:
        happened = ~pl.col(f"o{number}") & (pl.col(f"v{number}") <= metric.within / DAY)
        aggregates.append((happened & (code == 0)).sum().alias(f"k.{name}"))
    elif metric.kind is not Duration:
        aggregates.append((pl.col(f"v{number}") & (code == 0)).sum().alias(f"k.{name}"))
    for place, reason in enumerate(metric.shown):
        aggregates.append((code == metric.reasons.index(reason) + 1).sum().alias(f"{name}.shown_{place}"))
    for beside, row in metric.among.items():
        aggregates.append((row & (code == 0)).sum().alias(f"{name}.{beside}"))
    for beside, row in metric.beside.items():
        aggregates.append(row.sum().alias(f"{name}.{beside}"))
    return aggregates
