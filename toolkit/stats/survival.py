"""The share that is left at one age: Kaplan–Meier with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.stats.comparisons import Comparison
from toolkit.stats.durations import CLOSE, Sample, survival
from toolkit.stats.proportions import normal_quantile, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Left", "compare_left", "left_at"]


@dataclass(frozen=True)
class Left:
    """One entry per cell: the share to whom it had not happened by the age, its 95 % interval, and variance (Greenwood's); NaN: nobody was
    followed for so long. `followed` is the longest time seen."""

    value: Floats
    low: Floats
    high: Floats
    variance: Floats
    followed: Floats


def left_at(rows: Sample, age: float) -> Left:
    """Kaplan–Meier at `age` (the unit of the rows), with the log-log interval (Kalbfleisch and Prentice 1980).

    Where it has happened to nobody, or to everybody, that interval has no width: there it is Wilson's, over those who were still
    followed at that age (or over all), so that few rows do not look certain.
    """
    import numpy as np

    cells = len(rows.size)
    value, greenwood, followed = np.ones(cells), np.zeros(cells), np.full(cells, np.nan)
    some = rows.size > 0
    followed[some] = rows.value[(rows.first + rows.size - 1)[some]]
    cell, time, curve, sums = survival(rows)
    early = time <= age + CLOSE
    # Steps are in the order of time: the last one by then stays.
    value[cell[early]], greenwood[cell[early]] = curve[early], sums[early]
    reached = np.bincount(np.repeat(np.arange(cells), rows.size), rows.value >= age - CLOSE, cells)
    z = normal_quantile(0.95)
    inner = (value > CLOSE) & (value < 1 - CLOSE)
    log = np.log(np.where(inner, value, 0.5))
    spread = np.exp(z * np.sqrt(np.where(inner, greenwood, 0.0)) / -log)
    nobody = value > 0.5
    people = np.maximum(np.where(nobody, reached, rows.size), 1)
    edge_low, edge_high = wilson(np.where(nobody, people, 0), people)
    low = np.where(inner, np.exp(log * spread), edge_low)
    high = np.where(inner, np.exp(log / spread), edge_high)
    variance = np.where(inner, value**2 * np.where(inner, greenwood, 0.0), ((edge_high - edge_low) / (2 * z)) ** 2)
    # Once it has happened to all, nobody needs to be followed further.
    known = some & ((followed >= age - CLOSE) | (value <= CLOSE))
    value, low, high, variance = (np.where(known, numbers, np.nan) for numbers in (value, low, high, variance))
    return Left(value, low, high, variance, followed)


def compare_left(before: Left, after: Left) -> Comparison:
    """The difference of two shares at one age, of one cell each: normal, with the variances of both (Klein and others 2007)."""
    import math

    effect = float(after.value[0] - before.value[0])
    spread = math.sqrt(float(before.variance[0] + after.variance[0]))
    z = normal_quantile(0.95)
    p = math.erfc(abs(effect) / spread / math.sqrt(2)) if spread > 0 else float("nan")
    return Comparison(effect, effect - z * spread, effect + z * spread, p, "difference of Kaplan–Meier shares")
