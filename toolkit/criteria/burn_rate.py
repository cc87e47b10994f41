"""Error budget burnt too fast over both windows of a pair (Google, The Site Reliability Workbook, chapter 5)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from toolkit.criteria.criterion import Criterion, Limit
from toolkit.criteria.panel import Arm, Panel, quotient
from toolkit.criteria.running import rolling_sum
from toolkit.criteria.spans import Stretch, written

__all__ = ["BurnRate", "Pair"]

Floats = npt.NDArray[np.float64]
# The short window is a twelfth of the long one.
TWELFTH = 12


def _share(value: Decimal) -> Decimal:
    if not 0 < value < 1:
        raise ValueError(f"{value} is no share: write 99.9 % as 0.999 and 2 % as 0.02")
    return value


Share = Annotated[Decimal, AfterValidator(_share)]


class Pair(BaseModel):
    """Two windows and the share of the period's budget that burning at the factor for the long one would use up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    long: Stretch = Field(description="Window that says it matters.")
    short: Stretch | None = Field(default=None, description="Window that says it goes on; a twelfth of the long one where empty.")
    budget: Share = Field(description="Share of the budget.")

    @model_validator(mode="after")
    def _shorter(self) -> Self:
        if self.short is not None and self.short > self.long:
            raise ValueError(f"the short window {written(self.short)} is longer than the long one {written(self.long)}: swap them")
        return self

    @property
    def brief(self) -> timedelta:
        """The short window."""
        return self.short if self.short is not None else self.long / TWELFTH


DEFAULT = tuple(Pair(long=timedelta(hours=hours), budget=Decimal(budget)) for hours, budget in ((1, "0.02"), (6, "0.05"), (72, "0.10")))


class BurnRate(Criterion):
    """Fires when the budget burns faster than a pair's factor over both of its windows; any pair. Windows look back before deployed_at.

    factor = budget share × period ÷ long window. Its limit multiplies all factors: 1 is as agreed, 0.5 fires at half of them.
    """

    kind: Literal["burn_rate"] = "burn_rate"
    objective: Literal["errors", "latency", "error_budget", "critical_path", "availability", "saturation"] | None = "error_budget"
    slo: Share = Field(description="Share of good events that is promised: 0.999.")
    period: Stretch = Field(default=timedelta(days=30), description="Period of the budget.")
    pairs: tuple[Pair, ...] = Field(
        DEFAULT[:2], min_length=1, description="Windows and budget shares; default: 1h and 6h, those that page."
    )
    limit: Limit = Field(default=1.0, gt=0, description="Multiplies the factors; 1 is as agreed.")

    def setting(self) -> float:
        """The multiplier in force."""
        return self.limit

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:  # noqa: ARG002
        """The same criterion with another multiplier."""
        return self if limit is None else self.model_copy(update={"limit": limit})

    def lookback(self) -> timedelta:
        """The longest window."""
        return max(pair.long for pair in self.pairs)

    def factor(self, pair: Pair) -> Fraction:
        """How many times faster than evenly the budget burns when the pair's share goes within its long window."""
        microsecond = timedelta(microseconds=1)
        return Fraction(pair.budget) * Fraction(self.period // microsecond, pair.long // microsecond)

    def error_rate(self, pair: Pair) -> Fraction:
        """The share of bad events over which a pair fires."""
        return (1 - Fraction(self.slo)) * self.factor(pair)

    def scores(self, panel: Panel) -> Floats:
        """The worst pair's lesser window, in multiples of its factor."""
        arm = panel.arm(self.series, self.variant)
        pairs = [np.minimum(*(self._burn(arm, pair, window, panel) for window in (pair.long, pair.brief))) for pair in self.pairs]
        return np.maximum.reduce(pairs)

    def _burn(self, arm: Arm, pair: Pair, window: timedelta, panel: Panel) -> Floats:
        rows = max(1, round(window.total_seconds() / panel.step))
        counted = ~(np.isnan(arm.bad) | np.isnan(arm.total))
        bad, total = (rolling_sum(np.where(counted, part, np.nan), rows)[panel.first :] for part in (arm.bad, arm.total))
        burn = quotient(bad, total, 1 / self.error_rate(pair))
        # Too few events in a window say nothing.
        return np.where(total >= max(self.min_events, 1), burn, -np.inf)
