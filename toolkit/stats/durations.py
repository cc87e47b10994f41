"""Quantiles of durations, with intervals: order statistics where every row has ended, Kaplan–Meier where some are still open."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from toolkit.stats.proportions import normal_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

__all__ = ["Quantiles", "Sample", "order_ranks", "quantiles", "sample", "survival"]

# Sums of logs miss a half by a few units in the last place.
CLOSE = 1e-9
SLICED = 20_000


@dataclass(frozen=True)
class Sample:
    """Rows sorted by (cell, value, ended before open); `first` and `size` say where each cell's rows are."""

    value: Floats
    open: Bools
    first: Ints
    size: Ints


@dataclass(frozen=True)
class Quantiles:
    """One entry per cell; NaN: not reached or, for low and high, no such bound. `beyond` is the longest time seen."""

    value: Floats
    low: Floats
    high: Floats
    n: Ints
    open: Ints
    beyond: Floats
    survival: Bools


def sample(cell: ArrayLike, value: ArrayLike, still_open: ArrayLike, *, cells: int) -> Sample:
    """Sort rows once for all quantiles. cell: 0 … cells−1; value: any unit; still_open: the value is the time so far."""
    import numpy as np

    cell, value = np.asarray(cell, np.int64), np.asarray(value, float)
    still_open = np.asarray(still_open, bool)
    size = np.bincount(cell, minlength=cells)
    first = np.cumsum(size) - size
    if cells <= SLICED and not still_open.any():
        # Sorting slice by slice is three times as fast as one sort by two keys.
        value = value[np.argsort(cell.astype(np.uint16), kind="stable")] if cells > 1 else value.copy()
        for start, length in zip(first.tolist(), size.tolist(), strict=True):
            value[start : start + length].sort()
        return Sample(value, still_open, first, size)
    order = np.lexsort((still_open, value, cell))
    return Sample(value[order], still_open[order], first, size)


def quantiles(rows: Sample, p: float, *, least_for_interval: int) -> Quantiles:
    """The p-quantile of each cell: the smallest value with at least p of the rows at or below it, and its 95 % interval.

    Complete cells: order statistics (David and Nagaraja 2003, §7.1), both ends or none. Cells with open rows: Kaplan–Meier with log-log
    bands (Kalbfleisch and Prentice 1980), read across (Brookmeyer and Crowley 1982); an end that the band does not reach is NaN. No
    interval below `least_for_interval` rows, so that an open row never buys one.
    """
    import numpy as np

    cells = len(rows.size)
    value, low, high, beyond = (np.full(cells, np.nan) for _ in range(4))
    filled = rows.size > 0
    last = rows.first + rows.size - 1
    beyond[filled] = rows.value[last[filled]]
    rank = np.maximum(np.ceil(rows.size * p - CLOSE).astype(np.int64), 1)
    value[filled] = rows.value[(rows.first + rank - 1)[filled]]
    lower, upper = order_ranks(rows.size, p)
    bounded = (lower >= 1) & (upper <= rows.size) & (rows.size >= least_for_interval)
    low[bounded] = rows.value[(rows.first + lower - 1)[bounded]]
    high[bounded] = rows.value[(rows.first + upper - 1)[bounded]]

    opened = np.bincount(np.repeat(np.arange(cells), rows.size), rows.open, cells).astype(np.int64)
    with_open = opened > 0
    if with_open.any():
        at, through_low, through_high = _crossings(rows, with_open, 1 - p)
        enough = rows.size >= least_for_interval
        value = np.where(with_open, at, value)
        low = np.where(with_open, np.where(enough, through_low, np.nan), low)
        high = np.where(with_open, np.where(enough, through_high, np.nan), high)
    return Quantiles(value, low, high, rows.size, opened, beyond, with_open)


def order_ranks(n: ArrayLike, p: float, *, tail: float = 0.025) -> tuple[Ints, Ints]:
    """Ranks (from 1) of the order statistics that hold the p-quantile with 95 %; rank 0 or n + 1: no such row."""
    import numpy as np

    distinct, back = np.unique(np.asarray(n, np.int64), return_inverse=True)
    ends = np.array([_binomial_quantiles(int(size), p, (tail, 1 - tail)) for size in distinct], np.int64).reshape(-1, 2)
    return ends[back, 0], ends[back, 1] + 1


@lru_cache(maxsize=65_536)
def _binomial_quantiles(n: int, p: float, levels: tuple[float, ...]) -> tuple[int, ...]:
    """For each level the smallest k with P(Binomial(n, p) ≤ k) ≥ level."""
    # By sums of log ratios: importing scipy would take longer than all measuring.
    import numpy as np

    if n == 0:
        return (0,) * len(levels)
    reach = 9 * np.sqrt(n * p * (1 - p)) + 9
    k = np.arange(max(0, int(n * p - reach)), min(n, int(n * p + reach)) + 1)
    ratio = np.log((n - k[:-1]) / (k[:-1] + 1)) + np.log(p / (1 - p))
    log_mass = np.r_[0.0, np.cumsum(ratio)]
    mass = np.exp(log_mass - log_mass.max())
    below = np.cumsum(mass) / mass.sum()
    return tuple(int(k[np.searchsorted(below, level - CLOSE)]) for level in levels)


def survival(rows: Sample) -> tuple[Ints, Floats, Floats, Floats]:
    """Kaplan–Meier steps of every cell at its distinct times: (cell, time, survival, Greenwood's sum of d ÷ r(r−d))."""
    import numpy as np

    cell = np.repeat(np.arange(len(rows.size)), rows.size)
    if len(cell) == 0:
        return cell, rows.value, rows.value, rows.value
    starts = np.flatnonzero(np.r_[True, (cell[1:] != cell[:-1]) | (rows.value[1:] != rows.value[:-1])])
    step_cell, time = cell[starts], rows.value[starts]
    ended = np.add.reduceat((~rows.open).astype(float), starts)
    at_risk = (rows.first + rows.size)[step_cell] - starts
    out = ended >= at_risk
    # Only a cell's last step can end everybody: it is set to zero afterwards, so that no −∞ enters the running sums.
    left = np.where(out, 1.0, at_risk - ended)
    log_step = np.where(out, 0.0, np.log(left / at_risk))
    greenwood_step = np.where(out, np.inf, ended / (at_risk * left))
    log_survival = _running(log_step, step_cell)
    greenwood = np.where(out, np.inf, _running(np.where(out, 0.0, greenwood_step), step_cell))
    return step_cell, time, np.where(out, 0.0, np.exp(log_survival)), greenwood


def _running(values: Floats, cell: Ints) -> Floats:
    """Running sum that starts anew with every cell."""
    import numpy as np

    sums = np.cumsum(values)
    starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    before = np.r_[0.0, sums][starts]
    return sums - np.repeat(before, np.diff(np.r_[starts, len(cell)]))


def _crossings(rows: Sample, wanted: Bools, level: float) -> tuple[Floats, Floats, Floats]:
    """Per cell the first times at which the curve, its lower and its upper band are at or below the level; NaN: never."""
    import numpy as np

    keep = np.repeat(wanted, rows.size)
    size = np.where(wanted, rows.size, 0)
    part = Sample(rows.value[keep], rows.open[keep], np.cumsum(size) - size, size)
    cell, time, curve, greenwood = survival(part)
    z = normal_quantile(0.95)
    inner = (curve > 0) & (curve < 1)
    log_curve = np.log(np.where(inner, curve, 0.5))
    spread = np.exp(z * np.sqrt(np.where(inner, greenwood, 0.0)) / -log_curve)
    # Where the curve is 0 the bands are not defined; where it is 1 they are 1.
    lower = np.where(inner, np.exp(log_curve * spread), np.inf)
    upper = np.where(inner, np.exp(log_curve / spread), np.inf)

    def first_at_or_below(band: Floats) -> Floats:
        result = np.full(len(size), np.nan)
        hit = np.flatnonzero(band <= level + CLOSE)
        where, index = np.unique(cell[hit], return_index=True)
        result[where] = time[hit[index]]
        return result

    return first_at_or_below(curve), first_at_or_below(lower), first_at_or_below(upper)
