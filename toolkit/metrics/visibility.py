"""What a comparison could have shown at all: the smallest visible change, and from when on a given one would be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from toolkit.stats.detectability import (
    design_effect,
    more_count_needed,
    more_rows_needed,
    paired_size,
    rows_needed_against,
    smallest_count_reduction,
    smallest_rate_reduction,
    smallest_reduction,
    spread_of_logs,
)

__all__ = ["NEVER", "REDUCTION", "Visible", "of_counts", "of_durations", "of_rates"]

NEVER = "never"
# The change whose date is told, unless another is asked for.
REDUCTION = 0.3
WEEK = timedelta(days=7)
FARTHEST = timedelta(days=36_500)


@dataclass(frozen=True)
class Visible:
    """smallest, at_most: the smallest reduction, a share, that would have shown with 80 % power (two of them where the spread is assumed,
    not known); null: not even a fall to nothing. on: the day from which `reduction` would show, NEVER, or null where rows do not come."""

    smallest: float | None
    at_most: float | None
    on: str | None


Window = tuple[datetime, datetime]


def of_durations(
    before: Sequence[float],
    after: Sequence[float],
    *,
    clusters: tuple[Sequence[object], Sequence[object]],
    window: Window | None,
    reduction: float = REDUCTION,
) -> Visible:
    """Spans in any unit. The spread is the team's own from 30 rows on, within each window; else 1 and 1.5 are both assumed."""
    logs = [[math.log(value) for value in side] for side in (before, after)]
    middles = [math.fsum(side) / len(side) if side else 0.0 for side in logs]
    around = [[log - middle for log in side] for side, middle in zip(logs, middles, strict=True)]
    spread = spread_of_logs([math.exp(log) for side in around for log in side])
    effect = design_effect([log for side in around for log in side], [cluster for side in clusters for cluster in side])
    size = paired_size(len(before), len(after))
    found = [smallest_reduction(size, sigma, effect=effect) for sigma in spread.sigmas]
    # With two spreads the later date is the one to rely on.
    needed = rows_needed_against(len(before), reduction, max(spread.sigmas), effect=effect)
    return Visible(_share(min(found)), _share(max(found)), _day(needed, len(after), window))


def of_rates(
    rate: float, before: float, after: float, *, effect: float = 1.0, window: Window | None, reduction: float = REDUCTION
) -> Visible:
    """k of n on both sides; rate: of the past."""
    found = smallest_rate_reduction(rate, before, after, effect=effect)
    return Visible(_share(found), _share(found), _day(more_rows_needed(rate, before, reduction, effect=effect), after, window))


def of_counts(rate: float, before: float, after: float, *, window: Window | None, reduction: float = REDUCTION) -> Visible:
    """Counts per week; before, after: covered weeks."""
    found = smallest_count_reduction(rate, before, after)
    needed = more_count_needed(rate, before, reduction) if rate > 0 else None
    return Visible(_share(found), _share(found), _day(needed, after, window) if rate > 0 else None)


def _share(reduction: float) -> float | None:
    return reduction if reduction <= 1 else None


def _day(needed: float | None, now: float, window: Window | None) -> str | None:
    """When there will be as many as needed, at the pace of the window that began when the change did."""
    if window is None:
        return None
    if needed is None:
        return NEVER
    if now <= 0:
        return None
    start, end = window
    wait = (end - start) * (needed / now)
    return f"{start + wait:%Y-%m-%d}" if wait < FARTHEST else NEVER
