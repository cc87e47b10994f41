"""Unlike what came before: z scores against an exponentially weighted mean and variance."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from toolkit.criteria.criterion import Level
from toolkit.criteria.panel import Floats, Panel, signal
from toolkit.criteria.spans import Span, Stretch

__all__ = ["Anomaly"]

# So many half-lives back, a sample weighs a thousandth.
REMEMBERED = 10


class Anomaly(Level):
    """Fires when z = (x − mean) ÷ sd of what came before is over the limit. The first half-life has no score, nor has sd 0.

    With a = 1 − 2^(−step ÷ halflife) and d = x − mean: mean' = mean + a·d, var' = (1 − a)·(var + a·d²) (West 1979).
    refractory: how long it stays quiet after an alert; the clock of a deployment begins at deployed_at, so no earlier alert silences it.
    on_alert: whether the baseline goes on learning after an alert of its own, is frozen, or begins anew.
    """

    kind: Literal["anomaly"] = "anomaly"
    halflife: Stretch = Field(default=timedelta(hours=1), description="After so long a sample weighs half.")
    refractory: Span = Field(default=timedelta(0), description="How long it stays quiet after an alert.")
    on_alert: Literal["continue", "freeze", "reset"] = Field(default="continue", description="What its own alert does to the baseline.")

    @property
    def approximate(self) -> str | None:
        """Why its replay is not exact, if it is not."""
        if self.on_alert == "continue":
            return None
        return "exact at its own limit; under another, its baseline would have followed other alerts"

    @property
    def tied(self) -> bool:
        """A baseline that follows its own alerts does."""
        return self.on_alert != "continue"

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:  # noqa: ARG002
        """The same criterion with another limit."""
        return self if limit is None else self.model_copy(update={"limit": limit})

    def lookback(self) -> timedelta:
        """As far as a sample has weight."""
        return REMEMBERED * self.halflife

    def scores(self, panel: Panel) -> Floats:
        """z of each sample against those before it. A baseline that follows its own alerts follows those of the limit in force."""
        return self._walk(panel, None if self.on_alert == "continue" else self.limit)

    def _walk(self, panel: Panel, limit: float | None) -> Floats:
        level = signal(panel.arm(self.series, self.variant), min_events=self.min_events)
        level = np.where(np.isneginf(level), np.nan, level) * (-1 if self.below else 1)
        a = 1 - 2.0 ** (-panel.step / self.halflife.total_seconds())
        warm = self.halflife.total_seconds() / panel.step
        found = np.full(level.shape, -np.inf)
        mean: Floats = np.full(level.shape[1], np.nan)
        variance = np.zeros(level.shape[1])
        age: npt.NDArray[np.float64] = np.zeros(level.shape[1])
        for row, x in enumerate(level):
            seen = ~np.isnan(x)
            d = x - mean
            told = seen & (age >= warm) & (variance > 0)
            found[row][told] = d[told] / np.sqrt(variance[told])
            alert = np.zeros_like(seen) if limit is None else found[row] > self.bound(limit)
            first = seen & np.isnan(mean)
            update = seen & ~first & ~alert
            mean = np.where(first, x, np.where(update, mean + a * d, mean))
            variance = np.where(update, (1 - a) * (variance + a * d * d), variance)
            if self.on_alert == "reset":
                mean, variance = np.where(alert, np.nan, mean), np.where(alert, 0.0, variance)
            age = np.where(np.isnan(mean) | (alert & (self.on_alert == "reset")), 0.0, age + 1)
        return found[panel.first :]
