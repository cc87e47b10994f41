"""When a rate changed: a likelihood-ratio scan with a permutation p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ChangePoint", "change_in_counts", "change_in_rate"]

PERMUTATIONS = 1999
SEED = 20240229


@dataclass(frozen=True)
class ChangePoint:
    """The best split: from period `at` on (0-based) the rate is `after`, earlier it is `before`. p: how often shuffled periods split as
    well."""

    at: int
    before: float
    after: float
    p: float


def change_in_counts(counts: Sequence[float], exposure: Sequence[float] | None = None) -> ChangePoint | None:
    """Poisson scan over periods. exposure: length of each (default 1). None: fewer than 4 periods, or no events. Storms count once."""
    import numpy as np

    events = np.asarray(counts, float)
    return _scan(events, np.ones(len(events)) if exposure is None else np.asarray(exposure, float), bernoulli=False)


def change_in_rate(k: Sequence[float], n: Sequence[float]) -> ChangePoint | None:
    """Bernoulli scan over periods with k of n in each. None: fewer than 4 periods with rows, or all alike."""
    import numpy as np

    return _scan(np.asarray(k, float), np.asarray(n, float), bernoulli=True)


def _scan(events: Floats, exposure: Floats, *, bernoulli: bool) -> ChangePoint | None:
    import numpy as np

    if np.count_nonzero(exposure > 0) < 4 or events.sum() == 0 or (bernoulli and events.sum() == exposure.sum()):
        return None
    ratios = _ratios(events[None, :], exposure[None, :], bernoulli=bernoulli)[0]
    best = int(np.argmax(ratios))
    order = np.argsort(np.random.default_rng(SEED).random((PERMUTATIONS, len(events))), axis=1)
    shuffled = _ratios(events[order], exposure[order], bernoulli=bernoulli).max(axis=1)
    p = (1 + np.count_nonzero(shuffled >= ratios[best] - 1e-9)) / (1 + PERMUTATIONS)
    cut = best + 1
    before, after = events[:cut].sum() / exposure[:cut].sum(), events[cut:].sum() / exposure[cut:].sum()
    return ChangePoint(cut, float(before), float(after), float(p))


def _ratios(events: Floats, exposure: Floats, *, bernoulli: bool) -> Floats:
    """Log-likelihood gained by each split, per row of periods; splits with nothing on one side gain nothing."""
    import numpy as np

    k, n = np.cumsum(events, axis=1), np.cumsum(exposure, axis=1)
    total_k, total_n = k[:, -1:], n[:, -1:]

    def fit(k: Floats, n: Floats) -> Floats:
        safe = np.where(n > 0, n, 1.0)
        hits = k * np.log(np.where(k > 0, k, 1.0) / safe)
        misses = (n - k) * np.log(np.where(n > k, n - k, 1.0) / safe) if bernoulli else 0.0
        return np.where(n > 0, hits + misses, 0.0)

    gained = fit(k[:, :-1], n[:, :-1]) + fit(total_k - k[:, :-1], total_n - n[:, :-1]) - fit(total_k, total_n)
    return np.where((n[:, :-1] > 0) & (n[:, :-1] < total_n), gained, 0.0)
