"""Whether good deployments have become noisier or quieter: a promise from earlier ones holds only while they have not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.criteria.terms import Terms
from toolkit.recalibration.cases import Cases, Label

__all__ = ["Drift", "drifts", "van_elteren"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Drift:
    """Two periods held against each other: what they are, good deployments in each, two-sided p (None: too few to test)."""

    what: str
    earlier: int
    later: int
    p: float | None


def drifts(cases: Cases, test: npt.NDArray[np.bool_], n: int, terms: Terms) -> list[Drift]:
    """Training against test, and all earlier against the last days, on the peaks of good deployments at n."""
    good = (cases.label == Label.GOOD) & cases.seen
    peaks = cases.rises[n].peaks(len(cases))
    last = cases.day > (cases.day.max(initial=0.0) - terms.drift_days)
    found = []
    for what, later in (("training against test", test), (f"earlier against the last {terms.drift_days} days", last)):
        before, after = int((good & ~later).sum()), int((good & later).sum())
        few = min(before, after) < terms.drift_good
        found.append(Drift(what, before, after, None if few else van_elteren(peaks[good], later[good], cases.service[good])))
    return found


def van_elteren(value: Floats, later: npt.NDArray[np.bool_], stratum: Ints) -> float:
    """Two-sided p of the rank-sum test within strata, each weighted by 1 ÷ (its rows + 1), ties counted (van Elteren 1960).

    1 where no stratum has both groups. Values may be infinite.
    """
    from scipy.stats import rankdata

    shift = variance = 0.0
    for one in np.unique(stratum):
        here = stratum == one
        group, total = later[here], int(here.sum())
        m = int(group.sum())
        if m in (0, total):
            continue
        rank = rankdata(value[here])
        ties = np.unique(rank, return_counts=True)[1].astype(float)
        weight = 1 / (total + 1)
        shift += weight * (float(rank[group].sum()) - m * (total + 1) / 2)
        spread = m * (total - m) / 12 * ((total + 1) - float((ties**3 - ties).sum()) / (total * (total - 1)))
        variance += weight**2 * spread
    return 1.0 if variance <= 0 else math.erfc(abs(shift) / math.sqrt(2 * variance))
