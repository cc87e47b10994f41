"""The new version against the old one beside it: difference, ratio, or a judge of ranks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from toolkit.criteria.criterion import Clocked, Variant, Word, evaluations
from toolkit.criteria.judge import Judged, judge
from toolkit.criteria.panel import Panel, gap, ratio, signal
from toolkit.criteria.spans import Span, Stretch

__all__ = ["Canary"]

Floats = npt.NDArray[np.float64]


class Canary(Clocked):
    """Fires when canary − baseline, or canary ÷ baseline, has been over the limit for so long.

    A sample not more than `floor` above the baseline is over no limit, in both modes; a ratio over a baseline of zero is over every one.
    Both arms need the minimum of events.
    mode "mann_whitney": a judge compares all samples since deployed_at, every `interval`, and gives 0 to 100; it fires when the score is
    under the limit.
    """

    kind: Literal["canary"] = "canary"
    variant: Variant = "canary"
    mode: Literal["difference", "ratio", "mann_whitney"] = Field(default="difference", description="What is held against the limit.")
    floor: Annotated[float, Field(ge=0)] = Field(default=0.0, description="A difference up to this counts as none.")
    duration: Span = Field(default=timedelta(0), alias="for", description="How long the limit must be exceeded.")
    metrics: tuple[Word, ...] = Field(default=(), description="mann_whitney: the series it judges; empty: the one watched.")
    critical: tuple[Word, ...] = Field(default=(), description="mann_whitney: series whose failure alone gives 0.")
    interval: Stretch = Field(default=timedelta(minutes=10), description="mann_whitney: how often it judges.")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(default=0.98, description="mann_whitney: of the interval of the shift.")
    tolerance: Annotated[float, Field(ge=0)] = Field(default=0.25, description="mann_whitney: share of the shift that is no shift.")
    effect_size: Annotated[float, Field(gt=0)] = Field(default=1.0, description="mann_whitney: ratio of the means that it takes at least.")
    nan_strategy: Literal["remove", "replace"] = Field(default="remove", description="mann_whitney: missing samples are left out, or 0.")

    @property
    def approximate(self) -> str | None:
        """Why its replay is not exact, if it is not."""
        return "the judge's verdict is not monotone in its settings: simulated for these" if self.mode == "mann_whitney" else None

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        if self.mode == "mann_whitney" and (self.below or not 0 <= self.limit <= 100):
            raise ValueError("the judge's limit is a score from 0 to 100, under which it fails: leave `below` out")
        if self.mode == "mann_whitney" and self.duration:
            raise ValueError("the judge looks at all samples since the deployment: leave `for` out, say `interval`")
        unknown = set(self.critical) - set(self.judged)
        if unknown:
            raise ValueError(f"critical names {sorted(unknown)}, which is not among metrics: add it there")
        return self

    @property
    def judged(self) -> tuple[str, ...]:
        """Series that the judge sees."""
        return self.metrics or (self.series,)

    def bound(self, limit: float) -> float:
        """What a state has to exceed; a judge's score has to fall under it."""
        return -limit if self.below or self.mode == "mann_whitney" else limit

    def limit_of(self, value: float) -> float:
        """The limit of a state."""
        return self.bound(value)

    def n(self, step: float) -> int:
        """Evaluations in a row."""
        return 1 if self.mode == "mann_whitney" else evaluations(self.duration, step)

    def numbers(self, candidates: Iterable[int], step: float) -> tuple[int, ...]:
        """Its own number and the candidates; a judge has none."""
        return (1,) if self.mode == "mann_whitney" else super().numbers(candidates, step)

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:
        """The same criterion with another limit or number of evaluations."""
        changed: dict[str, object] = {} if limit is None else {"limit": limit}
        if n is not None and self.mode != "mann_whitney":
            changed["duration"] = timedelta(seconds=(n - 1) * (step or 60.0))
        return self.model_copy(update=changed)

    def arms(self) -> tuple[tuple[str, Variant], ...]:
        """Both arms of every series."""
        named = self.judged if self.mode == "mann_whitney" else (self.series,)
        return tuple((series, variant) for series in named for variant in (self.variant, "baseline"))

    def scores(self, panel: Panel) -> Floats:
        """Difference, ratio, or the judge's score turned round."""
        if self.mode == "mann_whitney":
            return self._judged(panel)
        new, old = panel.after(self.series, self.variant), panel.after(self.series, "baseline")
        sign = -1.0 if self.below else 1.0
        levels = [signal(arm, min_events=self.min_events) for arm in (new, old)]
        told = np.isfinite(levels[0]) & np.isfinite(levels[1])
        counted = told & ~np.isnan(new.bad) & ~np.isnan(old.bad)
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = sign * np.where(counted, gap(new, old), levels[0] - levels[1])
        if self.mode == "difference":
            score = apart
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                score = sign * np.where(counted, ratio(new, old), levels[0] / levels[1])
            score = np.where((levels[1] == 0) & (sign > 0), np.inf, score)
        return np.where(told & (apart > self.floor), score, -np.inf)

    def _judged(self, panel: Panel) -> Floats:
        every = max(1, round(self.interval.total_seconds() / panel.step))
        pairs = [(panel.after(name, self.variant), panel.after(name, "baseline")) for name in self.judged]
        levels = [tuple(np.where(np.isneginf(x), np.nan, x) for x in (signal(a, min_events=0) for a in pair)) for pair in pairs]
        found = np.full(panel.asked.shape, -np.inf)
        for place in range(len(panel.deployments)):
            for row in range(every, min(int(panel.ends[place]), len(found)), every):
                metrics = [
                    Judged(new[: row + 1, place], old[: row + 1, place], critical=name in self.critical)
                    for name, (new, old) in zip(self.judged, levels, strict=True)
                ]
                verdict = judge(
                    metrics,
                    confidence=self.confidence,
                    tolerance=self.tolerance,
                    effect_size=self.effect_size,
                    nan_strategy=self.nan_strategy,
                )
                found[row : row + every, place] = -verdict.score
        return found
