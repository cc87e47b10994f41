"""All of several criteria at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from toolkit.criteria.composite import Composite

__all__ = ["AllOf"]


class AllOf(Composite):
    """Fires when all members hold at the same evaluation; what a cumulative member has counted stays counted."""

    kind: Literal["all_of"] = "all_of"

    def combined(self, states: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The least of the members: of what holds now, not of what ever held."""
        return np.minimum.reduce(list(states))
