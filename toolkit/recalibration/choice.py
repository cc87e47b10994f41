"""Choose among limits: admissible by the bound, best in value, as near to the incumbent as the data cannot tell apart; and whether the
way of choosing gains anything on deployments that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.criteria.terms import Terms
from toolkit.recalibration.bound import order_for
from toolkit.recalibration.candidates import Grid
from toolkit.recalibration.cases import Cases
from toolkit.recalibration.worth import Worth

__all__ = ["Chooser", "Gain", "lower_bound"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
SEED = 20250301
ONE_SIDED = 1.6448536269514722


@dataclass(frozen=True)
class Gain:
    """What choosing this way gains over the incumbent on deployments left out of the choice: mean in engineer minutes a deployment, its
    one-sided 95 % lower bound, and the share of resamples in which nothing was admissible."""

    mean: float
    low: float
    none_admissible: float


class Chooser:
    """Steps 2 to 5 on training cases: everything that a resample asks again is laid out once."""

    def __init__(self, cases: Cases, grid: Grid, worth: Worth, terms: Terms) -> None:
        self.grid, self.terms = grid, terms
        self.rows = np.flatnonzero(worth.judged)
        self.value = worth.value[self.rows]
        self.groups, self.group = np.unique(cases.cluster, return_inverse=True)
        self.group_of_row = self.group[self.rows]
        count = len(self.groups)
        # A candidate's value by cluster: sums of sums are all that a resample needs.
        self.sums = np.zeros((count, len(grid)))
        np.add.at(self.sums, self.group_of_row, self.value)
        self.sizes = np.bincount(self.group_of_row, minlength=count).astype(float)
        # Most clusters are good deployments that no candidate stops: they count, and have nothing to add up.
        self.active = np.flatnonzero(self.sums.any(axis=1))
        self.ns = [int(n) for n in np.unique(grid.n)]
        self.peaks = {n: _sorted_peaks(cases, n, self.group) for n in self.ns}

    def bounds(self, weight: Ints | None = None) -> dict[int, float]:
        """For each n the smallest admissible bound, with each cluster counted so many times; +∞ where there is none."""
        found = {}
        for n, (peaks, group) in self.peaks.items():
            times = np.ones(len(peaks), np.int64) if weight is None else weight[group]
            so_far = np.cumsum(times)
            total = int(so_far[-1]) if len(so_far) else 0
            k = order_for(total, self.terms.alpha, self.terms.delta / len(self.ns))
            found[n] = np.inf if k is None else float(peaks[np.searchsorted(so_far, k)])
        return found

    def admissible(self, bounds: dict[int, float]) -> Flags:
        """Which candidates keep the cap."""
        least = np.asarray([bounds[int(n)] for n in self.grid.n])
        return np.isfinite(least) & (self.grid.bound >= least) | np.isneginf(least)

    def choose(self, weight: Ints | None = None, *, by_value: bool = True) -> int | None:
        """The candidate's place; None where nothing is admissible. by_value: without an exchange rate, only nearness counts."""
        allowed = np.flatnonzero(self.admissible(self.bounds(weight)))
        if not len(allowed):
            return None
        if not by_value:
            return int(allowed[np.argmin(self.grid.distance[allowed])])
        times = np.ones(len(self.groups)) if weight is None else weight.astype(float)
        here = self.active[times[self.active] > 0]
        sums, drawn_here = self.sums[np.ix_(here, allowed)], times[here]
        total = drawn_here @ sums
        apart = sums[:, [int(np.argmax(total))]] - sums
        rows, drawn = float(times @ self.sizes), float(times.sum())
        behind = (drawn_here @ apart) / rows
        # Clustered standard error of the paired difference, Σ w (a − s·b)² spelt out; a cluster drawn twice counts twice.
        squares = drawn_here @ apart**2 - 2 * behind * ((drawn_here * self.sizes[here]) @ apart) + behind**2 * float(times @ self.sizes**2)
        error = np.sqrt(np.maximum(squares, 0.0) * (drawn / max(drawn - 1, 1))) / rows
        level = np.flatnonzero(behind <= error + 1e-12)
        nearest = level[np.lexsort((-total[level], self.grid.distance[allowed][level]))][0]
        return int(allowed[nearest])

    def gain(self) -> Gain:
        """Resamples clusters; each resample chooses, and its choice is scored on the rows it left out. Choices scored on the rows that
        they were made on would look well with nothing in them."""
        rng = np.random.default_rng(SEED)
        count = len(self.groups)
        sum_of, times_of = np.zeros(count), np.zeros(count)
        own = self.sums[:, self.grid.incumbent]
        none = 0
        for _ in range(self.terms.bootstrap):
            weight = np.bincount(rng.integers(0, count, count), minlength=count)
            place = self.choose(weight)
            out = weight == 0
            times_of[out] += 1
            if place is None:
                none += 1
                continue
            sum_of[out] += (self.sums[:, place] - own)[out]
        gained = np.divide(sum_of, times_of, out=np.zeros(count), where=times_of > 0)
        mean, low = lower_bound(gained, self.sizes)
        return Gain(mean, low, none / self.terms.bootstrap)


def lower_bound(sums: Floats, sizes: Floats) -> tuple[float, float]:
    """Mean a row and its one-sided 95 % lower bound, from sums by cluster and rows by cluster."""
    kept = sizes > 0
    sums, sizes = sums[kept], sizes[kept]
    rows, count = float(sizes.sum()), len(sums)
    if count < 2:
        return (float(sums.sum()) / rows if rows else 0.0), -np.inf
    mean = float(sums.sum()) / rows
    error = np.sqrt(np.sum((sums - sizes * mean) ** 2) * count / (count - 1)) / rows
    return mean, mean - ONE_SIDED * float(error)


def _sorted_peaks(cases: Cases, n: int, group: Ints) -> tuple[Floats, Ints]:
    rows, peaks = cases.bounding(n)
    order = np.argsort(peaks, kind="stable")
    return peaks[order], group[rows][order]
