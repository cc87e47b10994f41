"""How many good deployments must stay under a limit before a cap on false stops is a promise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["admissible_from", "order_for"]


@lru_cache(maxsize=4096)
def order_for(n: int, alpha: float, delta: float) -> int | None:
    """The smallest k with P(Bin(n, 1 − α) ≥ k) ≤ δ; None where even k = n does not do.

    The k-th smallest of n peaks then lies under the (1 − α) quantile with a chance of δ at most, whatever their distribution (Tong, Feng
    and Li 2018, Neyman–Pearson umbrella).
    """
    from scipy.stats import binom

    if n < 1:
        return None
    k = np.arange(1, n + 1)
    enough = binom.sf(k - 1, n, 1 - alpha) <= delta
    return int(k[enough][0]) if enough.any() else None


def admissible_from(peaks: npt.NDArray[np.float64], alpha: float, delta: float) -> float:
    """The smallest admissible bound: the k-th smallest peak; +∞ where there is none."""
    k = order_for(len(peaks), alpha, delta)
    return np.inf if k is None else float(np.partition(peaks, k - 1)[k - 1])
