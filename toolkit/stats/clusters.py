"""Intervals for rates whose rows come in clusters: one bad night must not count as thirty independent trials."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from toolkit.stats.proportions import wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["BOOTSTRAP", "DESIGN_EFFECT", "INDEPENDENT", "METHODS", "WILSON", "RateIntervals", "rate_intervals"]

INDEPENDENT = -1
WILSON, DESIGN_EFFECT, BOOTSTRAP = 0, 1, 2
METHODS = ("Wilson", "Wilson on n ÷ design effect", "cluster bootstrap")

ENOUGH_CLUSTERS = 20
DRAWS = 2000
# Sums of independent clusters are independent: beyond this many, clusters share a column, and the cost stays bounded.
COLUMNS = 2000
SEED = 20240229
_AT_A_TIME = 50


@dataclass(frozen=True)
class RateIntervals:
    """One entry per cell: k, n, the interval, which of METHODS gave it, the number of clusters and the design effect used."""

    k: Floats
    n: Floats
    low: Floats
    high: Floats
    method: Ints
    clusters: Ints
    effect: Floats


def rate_intervals(cell: ArrayLike, cluster: ArrayLike, k: ArrayLike, n: ArrayLike, *, cells: int) -> RateIntervals:
    """95 % intervals for the rate of each cell, from sums per (cell, cluster).

    cell: 0 … cells−1. cluster: a number ≥ 0, the same number for the same cluster in every cell; INDEPENDENT for rows that are each a
    cluster of their own. k, n: sums over the cluster's rows. Wilson where every cluster is one row; else, from 20 clusters on, percentiles
    of a cluster bootstrap (multinomial weights; Field and Welsh 2007); else Wilson on n ÷ design effect (Kish 1965), at least 1.
    Clusters only ever widen an interval, so none has zero width. Deterministic: the same input gives the same numbers.
    """
    import numpy as np

    cell, cluster = np.asarray(cell, np.int64), np.asarray(cluster, np.int64)
    k, n = np.asarray(k, float), np.asarray(n, float)
    kept = n > 0
    cell, cluster, k, n = cell[kept], cluster[kept], k[kept], n[kept]

    def total(values: Floats) -> Floats:
        return np.bincount(cell, values, cells).astype(np.float64)

    alone = cluster == INDEPENDENT
    k_cell, n_cell = total(k), total(n)
    clusters = total(np.where(alone, n, 1.0))
    clustered = total((~alone & (n > 1)).astype(float)) > 0

    rate = np.divide(k_cell, n_cell, out=np.zeros(cells), where=n_cell > 0)
    p = rate[cell]
    squares = total(np.where(alone, k * (1 - p) ** 2 + (n - k) * p**2, (k - p * n) ** 2))
    spread = n_cell * rate * (1 - rate)
    # Not to be estimated from one cluster, nor where every row agrees: then 1.
    known = clustered & (spread > 0) & (clusters > 1)
    effect = np.ones(cells)
    effect[known] = np.maximum(1.0, squares[known] / spread[known] * clusters[known] / (clusters[known] - 1))
    effective = np.where(n_cell > 0, np.maximum(n_cell / effect, np.minimum(n_cell, 1.0)), 0.0)
    low, high = wilson(rate * effective, effective)
    method = np.where(clustered, DESIGN_EFFECT, WILSON)

    many = clustered & (clusters >= ENOUGH_CLUSTERS)
    if many.any():
        plain_low, plain_high = wilson(k_cell, n_cell)
        drawn_low, drawn_high = _bootstrap(cell, cluster, k, n, np.flatnonzero(many))
        low[many] = np.minimum(drawn_low, plain_low[many])
        high[many] = np.maximum(drawn_high, plain_high[many])
        method[many] = BOOTSTRAP
        effect[many] = 1.0
    return RateIntervals(k_cell, n_cell, low, high, method, clusters.astype(np.int64), effect)


def _bootstrap(cell: Ints, cluster: Ints, k: Floats, n: Floats, wanted: Ints) -> tuple[Floats, Floats]:
    """Percentiles of k ÷ n over resampled clusters, for the wanted cells: one weight matrix for all, times the sums per cluster."""
    import numpy as np

    place = np.full(int(cell.max()) + 1, -1)
    place[wanted] = np.arange(len(wanted))
    inside = place[cell] >= 0
    cell, cluster, k, n = place[cell[inside]], cluster[inside], k[inside], n[inside]
    cell, cluster, k, n = _with_single_rows(cell, cluster, k, n)
    column = np.unique(cluster, return_inverse=True)[1] % COLUMNS
    columns = int(column.max()) + 1
    weights = _weights(columns)
    low, high = np.empty(len(wanted)), np.empty(len(wanted))
    step = 256
    for first in range(0, len(wanted), step):
        here = (cell >= first) & (cell < first + step)
        width = min(step, len(wanted) - first)
        at = (cell[here] - first) * columns + column[here]
        sums_k = np.bincount(at, k[here], columns * width).reshape(width, columns).astype(np.float32)
        sums_n = np.bincount(at, n[here], columns * width).reshape(width, columns).astype(np.float32)
        drawn_n = sums_n @ weights
        # A draw without any row of the cell says nothing about it: NaN, which sorts last.
        drawn = np.divide(sums_k @ weights, drawn_n, out=np.full(drawn_n.shape, np.nan, np.float32), where=drawn_n > 0)
        drawn.sort(axis=1)
        known = np.count_nonzero(~np.isnan(drawn), axis=1)
        cells = np.arange(width)
        low[first : first + width] = drawn[cells, (0.025 * (known - 1)).astype(np.int64)]
        high[first : first + width] = drawn[cells, np.ceil(0.975 * (known - 1)).astype(np.int64)]
    return low, high


def _with_single_rows(cell: Ints, cluster: Ints, k: Floats, n: Floats) -> tuple[Ints, Ints, Floats, Floats]:
    """Independent rows written out, each with a cluster number of its own."""
    import numpy as np

    alone = cluster == INDEPENDENT
    if not alone.any():
        return cell, cluster, k, n
    rows, hits = n[alone].astype(np.int64), k[alone].astype(np.int64)
    position = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
    fresh = np.arange(rows.sum()) + max(int(cluster.max()), INDEPENDENT) + 1
    return (
        np.concatenate([cell[~alone], np.repeat(cell[alone], rows)]),
        np.concatenate([cluster[~alone], fresh]),
        np.concatenate([k[~alone], (position < np.repeat(hits, rows)).astype(float)]),
        np.concatenate([n[~alone], np.ones(rows.sum())]),
    )


@lru_cache(maxsize=12)
def _weights(columns: int) -> NDArray[np.float32]:
    """How often each cluster is drawn (rows) in each draw (columns): multinomial, the same for the same number of clusters."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    weights = np.empty((DRAWS, columns), np.float32)
    # Some draws at a time: they count into memory that is near.
    for first in range(0, DRAWS, _AT_A_TIME):
        drawn = rng.integers(0, columns, (_AT_A_TIME, columns), dtype=np.int64)
        drawn += columns * np.arange(_AT_A_TIME)[:, None]
        weights[first : first + _AT_A_TIME] = np.bincount(drawn.ravel(), minlength=_AT_A_TIME * columns).reshape(_AT_A_TIME, columns)
    return np.ascontiguousarray(weights.T)
