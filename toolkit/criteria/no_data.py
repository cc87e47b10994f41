"""Nothing is heard any more: a deployment without telemetry is not a healthy one."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

import numpy as np
from pydantic import Field

from toolkit.criteria.criterion import Criterion
from toolkit.criteria.panel import Floats, Panel
from toolkit.criteria.running import run_length
from toolkit.criteria.spans import Stretch, written

__all__ = ["NoData"]


class NoData(Criterion):
    """Fires when the first missing sample of a gap is so long ago. Its limit is that time, in seconds; clocks are not strict: a gap as
    long as the limit fires. It asks for a pause unless its action is revert."""

    kind: Literal["no_data"] = "no_data"
    action: Literal["revert", "pause"] = "pause"
    duration: Stretch = Field(alias="for", description="How long nothing may be heard.")

    @property
    def hears_silence(self) -> bool:
        """A deployment without any sample is what it is for."""
        return True

    def setting(self) -> float:
        """The time in force, in seconds."""
        return self.duration.total_seconds()

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:  # noqa: ARG002
        """The same criterion with another time, in seconds."""
        return self if limit is None else self.model_copy(update={"duration": timedelta(seconds=limit)})

    def bound(self, limit: float) -> float:
        """The largest number under the limit: to exceed it is to reach the limit."""
        return float(np.nextafter(limit, -np.inf))

    def scores(self, panel: Panel) -> Floats:
        """Seconds since the first missing sample of the gap; −∞ while samples come."""
        missing = ~panel.after(self.series, self.variant).seen & panel.asked
        run = run_length(missing)
        return np.where(missing, (run - 1) * panel.step, -np.inf)

    def __str__(self) -> str:
        return f"{self.name}: nothing heard for {written(self.duration)}"
