"""Intervals for k of n, and for a count."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["clopper_pearson", "normal_quantile", "wilson"]


def normal_quantile(confidence: float) -> float:
    """The two-sided normal quantile: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(k: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson score interval (Wilson 1927). k, n: counts, n may be fractional; returns (low, high) in [0, 1]; n = 0 gives (0, 1)."""
    import numpy as np

    k, n = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    z2 = normal_quantile(confidence) ** 2
    safe = np.where(n > 0, n, 1.0)
    p = k / safe
    centre = (p + z2 / (2 * safe)) / (1 + z2 / safe)
    half = np.sqrt(z2 * (p * (1 - p) / safe + z2 / (4 * safe**2))) / (1 + z2 / safe)
    # At p = 0 and p = 1 one end is exact; rounding would leave 1e-17 of it.
    low = np.where(p <= 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(p >= 1, 1.0, np.clip(centre + half, 0, 1))
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def clopper_pearson(k: ArrayLike, n: ArrayLike, *, tail: float = 0.025) -> tuple[Floats, Floats]:
    """Exact interval (Clopper and Pearson 1934) with `tail` of probability beyond each end; a one-sided 90 % promise is one end at
    tail = 0.1. k, n: whole counts; returns (low, high) in [0, 1]; n = 0 gives (0, 1)."""
    import numpy as np
    from scipy.special import betaincinv

    k, n = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    return low, high
