"""A signal over its limit at N evaluations in a row: what a Prometheus alert with `for` says."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator

from toolkit.criteria.criterion import Clocked, evaluations
from toolkit.criteria.spans import Span

__all__ = ["Threshold"]


class Threshold(Clocked):
    """Fires when the signal has been over the limit for so long: at N = ceil(for ÷ step) + 1 evaluations in a row. A missing sample, or
    one with too few events, resets the clock."""

    kind: Literal["threshold"] = "threshold"
    duration: Span = Field(default=timedelta(0), alias="for", description="How long the limit must be exceeded.")

    @field_validator("duration")
    @classmethod
    def _not_negative(cls, value: timedelta) -> timedelta:
        if value < timedelta(0):
            raise ValueError("a clock does not run backwards")
        return value

    def n(self, step: float) -> int:
        """Evaluations in a row."""
        return evaluations(self.duration, step)

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:
        """The same criterion with another limit or number of evaluations."""
        changed: dict[str, object] = {} if limit is None else {"limit": limit}
        if n is not None:
            changed["duration"] = timedelta(seconds=(n - 1) * (step or 60.0))
        return self.model_copy(update=changed)
