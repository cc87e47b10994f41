"""A burn rate alert, evaluated at each sample with whole numbers and no division."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def fires_at(
    bad: Sequence[int],
    total: Sequence[int],
    *,
    first: int,
    windows: Sequence[tuple[int, int, Fraction]],
    budget: Fraction,
    multiplier: Fraction = Fraction(1),
    min_events: int = 1,
) -> int | None:
    """Evaluations after `first` until both windows of a pair burn faster than its factor. windows: samples in the long and in the short
    window, factor. Samples before `first` are history."""
    for now in range(first, len(bad)):
        for long, short, factor in windows:
            if all(_burns(bad, total, now, window, factor * multiplier * budget, min_events) for window in (long, short)):
                return now - first
    return None


def _burns(bad: Sequence[int], total: Sequence[int], now: int, window: int, rate: Fraction, min_events: int) -> bool:
    since = max(0, now - window + 1)
    b, n = sum(bad[since : now + 1]), sum(total[since : now + 1])
    return n >= min_events and b * rate.denominator > n * rate.numerator
