"""Whether good deployments have become noisier or quieter: a promise from earlier ones holds only while they have not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.criteria.terms import Terms
from toolkit.recalibration.cases import Cases, Label
from toolkit.stats.strata import van_elteren

__all__ = ["Drift", "drifts"]


@dataclass(frozen=True)
class Drift:
    """Two periods held against each other: what they are, good deployments in each, two-sided p (None: too few to test)."""

    what: str
    earlier: int
    later: int
    p: float | None


def drifts(cases: Cases, training: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_], n: int, terms: Terms) -> list[Drift]:
    """Training against test, and all earlier against the last days, on the peaks of good deployments at n."""
    good = (cases.label == Label.GOOD) & cases.seen
    peaks = cases.rises[n].peaks(len(cases))
    last = cases.day > (cases.day.max(initial=0.0) - terms.drift_days)
    found = []
    held = (("training against test", training, test), (f"earlier against the last {terms.drift_days} days", ~last, last))
    for what, earlier, later in held:
        before, after = int((good & earlier).sum()), int((good & later).sum())
        few, rows = min(before, after) < terms.drift_good, good & (earlier | later)
        found.append(Drift(what, before, after, None if few else van_elteren(peaks[rows], later[rows], cases.service[rows])))
    return found
