"""Exact two-sided p values; with numpy alone, because importing scipy.stats takes longer than a page may."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["binomial_p", "fisher_p", "mann_whitney_p"]

# Outcomes as likely as the one seen count as at least as extreme; rounding must not split them.
AS_LIKELY = 1 + 1e-7
# Up to so many rows on the smaller side the ranks are counted out instead of approximated.
COUNTED_OUT = 8


def _two_sided(log_ratio: Floats, seen: int) -> float:
    """Sum of all probabilities up to that of the outcome seen; log_ratio: of each outcome to the one before."""
    import numpy as np

    log_mass = np.r_[0.0, np.cumsum(log_ratio)]
    mass = np.exp(log_mass - log_mass.max())
    return float(min(1.0, mass[mass <= mass[seen] * AS_LIKELY].sum() / mass.sum()))


def binomial_p(k: int, n: int, p: float) -> float:
    """That a binomial of n at p (0 < p < 1) is as unlikely as k."""
    import numpy as np

    i = np.arange(n)
    return _two_sided(np.log((n - i) / (i + 1)) + math.log(p / (1 - p)), k)


def fisher_p(k_one: int, n_one: int, k_two: int, n_two: int) -> float:
    """Fisher's exact test of k of n on two sides (Fisher 1935)."""
    import numpy as np

    hits = k_one + k_two
    least, most = max(0, hits - n_two), min(hits, n_one)
    i = np.arange(least, most)
    ratio = np.log((hits - i) * (n_one - i)) - np.log((i + 1) * (n_two - hits + i + 1))
    return _two_sided(ratio, k_one - least)


def mann_whitney_p(x: Floats, y: Floats) -> float:
    """Mann–Whitney test (1947): counted out for few rows without ties, else normal with corrections for ties and continuity."""
    import numpy as np

    n, m = len(x), len(y)
    both, counts = np.unique(np.r_[x, y], return_counts=True)
    ends = np.cumsum(counts)
    ranks = ends - (counts - 1) / 2
    u = ranks[np.searchsorted(both, x)].sum() - n * (n + 1) / 2
    u = max(u, n * m - u)
    if min(n, m) <= COUNTED_OUT and len(both) == n + m:
        ways = _ways(n, m)
        return float(min(1.0, 2 * ways[math.ceil(u) :].sum() / ways.sum()))
    ties = (counts.astype(float) ** 3 - counts).sum() / ((n + m) * (n + m - 1))
    spread = math.sqrt(n * m / 12 * (n + m + 1 - ties))
    return min(1.0, math.erfc((u - n * m / 2 - 0.5) / spread / math.sqrt(2))) if spread > 0 else 1.0


def _ways(n: int, m: int) -> Floats:
    """In how many orders of n and m rows each value of U comes out."""
    import numpy as np

    few, many = min(n, m), max(n, m)
    # The Gaussian binomial coefficient, factor by factor: ∏ (1 − q^(many+i)) ÷ (1 − q^i).
    size = few * many + 1
    ways = np.zeros(size)
    ways[0] = 1.0
    for i in range(1, few + 1):
        step = many + i
        if step < size:
            ways[step:] -= ways[: size - step].copy()
        for start in range(i):
            ways[start::i] = np.cumsum(ways[start::i])
    return ways
