"""What a team of this size could notice at all: the smallest change that would show, and how long it would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = [
    "Spread",
    "design_effect",
    "more_count_needed",
    "more_rows_needed",
    "paired_size",
    "rows_needed",
    "rows_needed_against",
    "smallest_count_reduction",
    "smallest_rate_reduction",
    "smallest_reduction",
    "spread_of_logs",
    "visible_difference",
]

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


def smallest_reduction(n: float, sigma: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest reduction (a share) that shows with n rows in each of two periods; n = 0 gives 1, nothing shows."""
    return 1 - math.exp(-_multiplier(power, level) * sigma * math.sqrt(2 * effect / n)) if n > 0 else 1.0


def paired_size(one: float, two: float) -> float:
    """Rows in each of two equal periods that tell as much as `one` and `two` rows do: their harmonic mean."""
    return 2 * one * two / (one + two) if one > 0 and two > 0 else 0.0


def smallest_rate_reduction(
    rate: float, before: float, after: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05
) -> float:
    """The smallest reduction (a share of the rate) that shows with so many rows on each side; above 1: not even a fall to nothing would.
    By the arcsine of the root, whose spread is that of its rows alone (Cohen 1988, §6)."""
    if not rate > 0 or before <= 0 or after <= 0:
        return math.inf
    angle, step = math.asin(math.sqrt(rate)), _multiplier(power, level) * math.sqrt(effect * (1 / before + 1 / after)) / 2
    return 1 - math.sin(angle - step) ** 2 / rate if step <= angle else math.inf


def smallest_count_reduction(
    rate: float, before: float, after: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05
) -> float:
    """The smallest reduction (a share) of a count per week that shows with so many weeks on each side; above 1: not even a fall to
    nothing would. By the root, whose spread is ½ for any Poisson count (Bartlett 1936)."""
    if not rate > 0 or before <= 0 or after <= 0:
        return math.inf
    root, step = math.sqrt(rate), _multiplier(power, level) * math.sqrt(effect * (1 / before + 1 / after)) / 2
    return 1 - (1 - step / root) ** 2 if step <= root else math.inf


def more_rows_needed(
    rate: float, before: float, reduction: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05
) -> int | None:
    """Rows needed after a past of `before` rows, so that this reduction of a rate shows. None: never, the past is too short."""
    if not rate > 0 or before <= 0:
        return None
    gap = math.asin(math.sqrt(rate)) - math.asin(math.sqrt(rate * (1 - reduction)))
    left = (2 * gap / _multiplier(power, level)) ** 2 / effect - 1 / before
    return math.ceil(1 / left) if left > 0 else None


def more_count_needed(
    rate: float, before: float, reduction: float, *, effect: float = 1.0, power: float = 0.8, level: float = 0.05
) -> float | None:
    """Weeks needed after a past of `before` weeks, so that this reduction of a count per week shows. None: never."""
    if not rate > 0 or before <= 0:
        return None
    gap = math.sqrt(rate) * (1 - math.sqrt(1 - reduction))
    left = (2 * gap / _multiplier(power, level)) ** 2 / effect - 1 / before
    return 1 / left if left > 0 else None


def design_effect(values: Sequence[float], clusters: Sequence[object]) -> float:
    """How many times as uncertain the mean of clustered values is as that of independent ones (Kish 1965); at least 1. From one cluster
    it cannot be estimated: 1."""
    groups: dict[object, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(value)
    if len(groups) < 2:
        return 1.0
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values)
    between = math.fsum(math.fsum(value - mean for value in group) ** 2 for group in groups.values())
    return max(1.0, between / spread * len(groups) / (len(groups) - 1)) if spread > 0 else 1.0


def visible_difference(deviation: float, n: int, *, level: float = 0.05) -> float:
    """The difference of two means of n rows each that a one-sided test at this level calls real; in the unit of `deviation`."""
    return NormalDist().inv_cdf(1 - level) * math.sqrt(2 / n) * deviation
