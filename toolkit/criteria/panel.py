"""Samples laid out for evaluation: a matrix a series, evaluations down, deployments across, and where each deployment begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["Arm", "Floats", "Ints", "Panel", "gap", "quotient", "ratio", "signal"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Whole numbers up to here are exact as floats, and the quotient of two of them is rounded once.
EXACT = 2.0**53


@dataclass(frozen=True)
class Arm:
    """One series of one variant: bad and total events in the step, or a value. NaN where there is none."""

    bad: Floats
    total: Floats
    value: Floats

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Whether a sample was there."""
        return ~(np.isnan(self.value) & (np.isnan(self.total) | np.isnan(self.bad)))

    def of(self, rows: slice) -> Arm:
        """Some of the rows."""
        return Arm(self.bad[rows], self.total[rows], self.value[rows])


@dataclass(frozen=True)
class Panel:
    """Deployments with one step between evaluations. Rows before `first` are look-back; row `first` is the first evaluation at or
    after deployed_at, `offsets` seconds after it. `ends`: how many evaluations from there on are asked for. All matrices of
    `arms` (by series and variant) are rows × deployments."""

    deployments: tuple[str, ...]
    step: float
    first: int
    rows: int
    offsets: Floats
    ends: Ints
    arms: Mapping[tuple[str, str], Arm]

    def arm(self, series: str, variant: str) -> Arm:
        """An arm, look-back included; empty where nobody measured it."""
        if (series, variant) in self.arms:
            return self.arms[series, variant]
        nothing = np.full((self.rows, len(self.deployments)), np.nan)
        return Arm(nothing, nothing, nothing)

    def after(self, series: str, variant: str) -> Arm:
        """An arm from the first evaluation on."""
        return self.arm(series, variant).of(slice(self.first, None))

    @property
    def whole(self) -> bool:
        """Whether every evaluation is asked for."""
        return bool((self.ends >= self.rows - self.first).all())

    @property
    def asked(self) -> npt.NDArray[np.bool_]:
        """Which evaluations from the first on are asked for."""
        return np.arange(self.rows - self.first)[:, None] < self.ends


def signal(arm: Arm, *, min_events: int) -> Floats:
    """Share of bad events, else the value. NaN where there is no sample; −∞ where it has fewer events than the minimum: such a sample is
    neither passed nor failed, whichever way the limit lies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        counted = ~np.isnan(arm.bad) & ~np.isnan(arm.total)
        level = np.where(counted, arm.bad / arm.total, arm.value)
    few = arm.total < min_events
    return np.where(few & ~np.isnan(level) | few & counted, -np.inf, level)


def gap(new: Arm, old: Arm) -> Floats:
    """Difference of two shares of counts, rounded once."""

    def exact(b: Fraction, n: Fraction, c: Fraction, m: Fraction) -> Fraction:
        return b / n - c / m

    with np.errstate(invalid="ignore", over="ignore"):
        up, down = new.bad * old.total - old.bad * new.total, new.total * old.total
    return _once(up, down, exact, new, old)


def ratio(new: Arm, old: Arm) -> Floats:
    """Quotient of two shares of counts, rounded once; over nothing it is infinite."""

    def exact(b: Fraction, n: Fraction, c: Fraction, m: Fraction) -> Fraction:
        return b * m / (n * c)

    with np.errstate(over="ignore"):
        up, down = new.bad * old.total, old.bad * new.total
    return _once(up, down, exact, new, old)


def _once(up: Floats, down: Floats, exact: Callable[[Fraction, Fraction, Fraction, Fraction], Fraction], new: Arm, old: Arm) -> Floats:
    """up ÷ down where the products are exact, else by Python's own integers."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found = up / down
        large = np.maximum.reduce([new.bad * old.total, old.bad * new.total, new.total * old.total]) >= EXACT
    for place in np.argwhere(large & np.isfinite(new.total) & np.isfinite(old.total) & (down != 0)):
        at = tuple(place)
        found[at] = float(exact(*(Fraction(float(part[at])) for part in (new.bad, new.total, old.bad, old.total))))
    return found


def quotient(above: Floats, below: Floats, scale: Fraction = Fraction(1)) -> Floats:
    """above ÷ below × scale of whole numbers, rounded once: two exact values that differ by more than the last bit stay apart, and
    equal ones stay equal. Where a product leaves the exact range, the same by Python's own integers."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        up, down = above * scale.numerator, below * scale.denominator
        found = up / down
    large = (np.abs(up) >= EXACT) | (np.abs(down) >= EXACT)
    for place in np.argwhere(large & np.isfinite(above) & np.isfinite(below) & (below != 0)):
        at = tuple(place)
        found[at] = float(Fraction(float(above[at])) / Fraction(float(below[at])) * scale)
    return found
