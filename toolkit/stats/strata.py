"""Two groups held against each other within strata that differ anyway."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["van_elteren"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def van_elteren(value: Floats, later: npt.NDArray[np.bool_], stratum: Ints) -> float:
    """Two-sided p of the rank-sum test within strata, each weighted by 1 ÷ (its rows + 1), ties counted (van Elteren 1960).

    1 where no stratum has both groups. Values may be infinite.
    """
    shift = variance = 0.0
    for one in np.unique(stratum):
        here = stratum == one
        group, total = later[here], int(here.sum())
        m = int(group.sum())
        if m in (0, total):
            continue
        # Equal values share the mean of their ranks.
        _, place, ties = np.unique(value[here], return_inverse=True, return_counts=True)
        rank = (np.cumsum(ties) - (ties - 1) / 2)[place]
        ties = ties.astype(float)
        weight = 1 / (total + 1)
        shift += weight * (float(rank[group].sum()) - m * (total + 1) / 2)
        spread = m * (total - m) / 12 * ((total + 1) - float((ties**3 - ties).sum()) / (total * (total - 1)))
        variance += weight**2 * spread
    return 1.0 if variance <= 0 else math.erfc(abs(shift) / math.sqrt(2 * variance))
