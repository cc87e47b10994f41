"""k failing checks in a row: what health checks and readiness probes say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from toolkit.criteria.criterion import Counted, Level
from toolkit.criteria.panel import Panel
from toolkit.criteria.running import rolling_minima

__all__ = ["Consecutive"]

Matrix = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


class Consecutive(Level):
    """Fires at the k-th failing check in a row. no_data: whether a missing answer is a failed check, as it is to a probe that times out."""

    counts: ClassVar[Counted] = "failed checks in a row"

    kind: Literal["consecutive"] = "consecutive"
    k: int = Field(default=3, ge=1, description="Failing checks in a row that stop.")
    no_data: Literal["passes", "fails"] = Field(default="passes", description="What a missing sample is.")

    def n(self, step: float) -> int:  # noqa: ARG002  # a count of checks has no clock
        """Failing checks in a row."""
        return self.k

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:  # noqa: ARG002
        """The same criterion with another limit or number of checks."""
        changed: dict[str, object] = {} if limit is None else {"limit": limit}
        return self.model_copy(update=changed if n is None else changed | {"k": n})

    def scores(self, panel: Panel) -> Floats:
        """The signal; a missing sample is over any limit where it is a failed check."""
        level = self.oriented(panel)
        return np.where(np.isnan(level), np.where(panel.asked & (self.no_data == "fails"), np.inf, -np.inf), level)

    def states(self, scores: Matrix, ns: Iterable[int]) -> Mapping[int, Matrix]:
        """The lowest of the last k scores."""
        return rolling_minima(scores, ns)
