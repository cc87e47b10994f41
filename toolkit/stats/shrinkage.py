"""Many small rates at once: each borrows from the others as much as the others agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Shrunk", "shrunk_rates"]


@dataclass(frozen=True)
class Shrunk:
    """Posterior mean and 95 % interval of each rate; the mean of all and the concentration (high: they agree) behind them."""

    value: Floats
    low: Floats
    high: Floats
    mean: float
    concentration: float


@lru_cache(maxsize=1)
def _grid() -> tuple[Floats, Floats]:
    import numpy as np

    means = (np.arange(100) + 0.5) / 100
    concentrations = np.geomspace(0.5, 2000, 50)
    mean, concentration = np.meshgrid(means, concentrations, indexing="ij")
    return mean.ravel(), concentration.ravel()


def shrunk_rates(k: ArrayLike, n: ArrayLike) -> Shrunk:
    """Hierarchical beta-binomial on a grid of (mean, concentration κ), flat in the mean, prior of κ ∝ (1 + κ/10)⁻² (Gelman et al., BDA3
    §5.3, with a proper prior). k, n: counts per service; n = 0 gets what the others say."""
    import numpy as np
    from scipy.special import betaln

    k, n = np.asarray(k, float), np.asarray(n, float)
    mean, kappa = _grid()
    alpha, beta = mean * kappa, (1 - mean) * kappa
    fit = np.zeros_like(mean)
    # Equal (k, n) occur often among many services: each is worked out once.
    pairs, back, times = np.unique(np.stack([k, n]), axis=1, return_inverse=True, return_counts=True)
    for (hits, rows), many in zip(pairs.T, times, strict=True):
        fit += many * (betaln(alpha + hits, beta + rows - hits) - betaln(alpha, beta))
    # The grid of κ is geometric: its steps grow with κ.
    weight = np.exp(fit - fit.max()) * kappa * (1 + kappa / 10) ** -2
    weight /= weight.sum()
    likely = weight > weight.max() * 1e-6
    mean, kappa, alpha, beta, weight = mean[likely], kappa[likely], alpha[likely], beta[likely], weight[likely] / weight[likely].sum()
    value, low, high = (np.empty(pairs.shape[1]) for _ in range(3))
    for place, (hits, rows) in enumerate(pairs.T):
        a, b = alpha + hits, beta + rows - hits
        value[place] = (weight * a / (a + b)).sum()
        low[place], high[place] = (_quantile(level, a, b, weight) for level in (0.025, 0.975))
    back = back.ravel()
    return Shrunk(value[back], low[back], high[back], float((weight * mean).sum()), float(np.exp((weight * np.log(kappa)).sum())))


def _quantile(level: float, a: Floats, b: Floats, weight: Floats) -> float:
    """Of a mixture of betas."""
    from scipy.optimize import brentq
    from scipy.special import betainc

    return float(brentq(lambda rate: float(weight @ betainc(a, b, rate)) - level, 0.0, 1.0, xtol=1e-9))
