"""Flagger's loop: one tick per interval, failures looked at before the tick's analysis."""

from __future__ import annotations

import math
from collections.abc import Sequence


def rolls_back_at(checks: Sequence[float], limit: float, threshold: int, *, steps: int | None = None) -> int | None:
    """The tick at which Flagger rolls back. checks: what the metric would say at each tick, NaN for no data, which is a failed check.
    steps: passed checks until the canary is promoted; None: it is watched to the end."""
    failed = passed = 0
    for tick, value in enumerate(checks):
        if tick == 0:
            # The canary has just been scaled up: the weight moves, nothing is checked.
            continue
        if failed >= threshold:
            return tick
        if math.isnan(value) or value > limit:
            # The weight is held.
            failed += 1
            continue
        passed += 1
        if steps is not None and passed >= steps:
            return None
    return None
