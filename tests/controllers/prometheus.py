"""A Prometheus alert: pending from the first evaluation that holds, firing once it has held for `for`."""

from __future__ import annotations

import math
from collections.abc import Sequence


def fires_at(values: Sequence[float], limit: float, duration: float, step: float, *, below: bool = False) -> int | None:
    """The evaluation at which the alert fires. values: NaN where the query returned nothing or NaN."""
    active_since: float | None = None
    for tick, value in enumerate(values):
        now = tick * step
        holds = not math.isnan(value) and (value < limit if below else value > limit)
        if not holds:
            active_since = None
            continue
        if active_since is None:
            active_since = now
        if now - active_since >= duration:
            return tick
    return None
