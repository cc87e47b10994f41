"""Any of several criteria."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from toolkit.criteria.composite import Composite

__all__ = ["AnyOf"]


class AnyOf(Composite):
    """Fires when any member does."""

    kind: Literal["any_of"] = "any_of"

    def combined(self, states: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The furthest of the members."""
        return np.maximum.reduce(list(states))
