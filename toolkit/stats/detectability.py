"""What a team of this size could notice at all: the smallest change that would show, and how long it would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["Spread", "rows_needed", "rows_needed_against", "smallest_reduction", "spread_of_logs", "visible_difference"]

# From so many rows a team's own spread is known well enough; below, both of these are shown.
OWN_SPREAD_FROM = 30
ASSUMED_SPREADS = (1.0, 1.5)


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the logs of durations to plan with; `own`: estimated from the team's rows."""

    sigmas: tuple[float, ...]
    own: bool


def spread_of_logs(values: Sequence[float]) -> Spread:
    """The spread of a team's durations (any unit, positive); from 30 rows on its own, else 1 and 1.5 both."""
    logs = [math.log(value) for value in values if value > 0]
    if len(logs) < OWN_SPREAD_FROM:
        return Spread(ASSUMED_SPREADS, own=False)
    mean = math.fsum(logs) / len(logs)
    return Spread((math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (len(logs) - 1)),), own=True)


def _multiplier(power: float, level: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)


def rows_needed(reduction: float, sigma: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05) -> int:
    """Rows in each of two periods, so that a reduction of the typical duration by this share (0.2: by a fifth) shows with this power in a
    two-sided test. sigma: of the logs; effect: design effect of clustered rows. Normal approximation on logs (Julious 2004)."""
    if not 0 < reduction < 1:
        raise ValueError("a reduction is a share between 0 and 1")
    return math.ceil(2 * effect * (_multiplier(power, level) * sigma / math.log1p(-reduction)) ** 2)


def rows_needed_against(
    past: int, reduction: float, sigma: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05
) -> int | None:
    """Rows needed from now on when the past is what it is. None: never, the past is too short however long one waits."""
    if not 0 < reduction < 1:
        raise ValueError("a reduction is a share between 0 and 1")
    wanted = (math.log1p(-reduction) / (_multiplier(power, level) * sigma)) ** 2 / effect
    left = wanted - 1 / past if past > 0 else 0.0
    return math.ceil(1 / left) if left > 0 else None


def smallest_reduction(n: int, sigma: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest reduction (a share) that shows with n rows in each of two periods; n = 0 gives 1, nothing shows."""
    return 1 - math.exp(-_multiplier(power, level) * sigma * math.sqrt(2 * effect / n)) if n > 0 else 1.0


def visible_difference(deviation: float, n: int, *, level: float = 0.05) -> float:
    """The difference of two means of n rows each that a one-sided test at this level calls real; in the unit of `deviation`."""
    return NormalDist().inv_cdf(1 - level) * math.sqrt(2 / n) * deviation
