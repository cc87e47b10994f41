"""What a candidate would have been worth on each deployment, in engineer minutes, against what people did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.criteria.terms import Terms
from toolkit.recalibration.candidates import Grid
from toolkit.recalibration.cases import Cases, Label

__all__ = ["Worth", "worth_of"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Worth:
    """cases × candidates. fires: minutes, infinite where it never does. value: engineer minutes; 0 for what nobody judged. caught: a bad
    deployment stopped after its incident began and before people did; early: before it began. judged: rows that are good or bad."""

    fires: Floats
    value: Floats
    caught: Flags
    early: Flags
    judged: Flags

    def of(self, kept: Any) -> Worth:
        """Of the cases of a mask or of positions."""
        return Worth(self.fires[kept], self.value[kept], self.caught[kept], self.early[kept], self.judged[kept])


def worth_of(cases: Cases, grid: Grid, terms: Terms, *, exchange: float | None = None, fires: Floats | None = None) -> Worth:
    """A bad deployment that is stopped earlier saves the harm from then until people stopped it, else until the end of the watch; a good
    one that is stopped costs the engineers' minutes of the terms. A stop takes effect one evaluation after it fires.

    exchange: units of harm that are worth an engineer minute (default: the terms'); without one, savings count nothing.
    fires: where they are known from the same profiles.
    """
    exchange = exchange if exchange is not None else terms.failed_requests_per_engineer_minute
    fires = _fires(cases, grid) if fires is None else fires
    bad, good = cases.label == Label.BAD, cases.label == Label.GOOD
    end = terms.horizon.total_seconds() / 60
    human = np.where(np.isnan(cases.human), end, np.minimum(cases.human, end))[:, None]
    onset = cases.onset[:, None]
    stopped = np.isfinite(fires)
    early = bad[:, None] & stopped & (fires < onset)
    acts = fires + cases.step
    caught = bad[:, None] & stopped & ~early & ~np.isnan(onset) & (acts < human)
    value = np.zeros_like(fires)
    value[good[:, None] & stopped] = -(terms.false_stop_minutes + terms.false_stop_delay)
    if exchange is not None:
        row, column = np.nonzero(caught)
        saved = _harm(cases, row, human[row, 0]) - _harm(cases, row, acts[row, column])
        value[row, column] = np.maximum(saved, 0.0) / exchange
    return Worth(fires, value, caught, early, bad | good)


def _fires(cases: Cases, grid: Grid) -> Floats:
    """When each candidate fires on each case."""
    fires = np.full((len(cases), len(grid)), np.inf)
    for n in np.unique(grid.n):
        here = grid.n == n
        fires[:, here] = cases.rises[int(n)].fires(grid.bound[here], len(cases))
    return fires


def _harm(cases: Cases, row: npt.NDArray[np.int64], minute: Floats) -> Floats:
    """What users had borne by a minute."""
    place = np.clip(np.ceil(minute / cases.step - 1e-9).astype(np.int64), 0, cases.harm.shape[1] - 1)
    return cases.harm[row, place]
