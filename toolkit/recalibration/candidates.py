"""Limits that may be recommended: where decisions change, rounded as people write them, and no further from the incumbent than one step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np
import numpy.typing as npt

from toolkit.criteria import Criterion
from toolkit.criteria.canary import Canary
from toolkit.criteria.terms import Terms
from toolkit.recalibration.cases import Cases

__all__ = ["Grid", "floor_of", "grid_of", "rounded_up"]

DIGITS = 3
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# More limits than these differ in nothing that a year of deployments could show.
MOST = 120


@dataclass(frozen=True)
class Grid:
    """Candidates: number n and bound of each (what a state has to exceed), and how far each is from the incumbent (|ln| of both ratios
    together; 0: the incumbent). `incumbent`: its place."""

    n: Ints
    bound: Floats
    distance: Floats
    incumbent: int

    def __len__(self) -> int:
        return len(self.n)


def rounded_up(bound: float, digits: int = DIGITS) -> float:
    """The bound with so many digits, never smaller: a limit that people can read promises no less than the one that was found. By its
    decimals as they are written: 0.07 stays what it is."""
    if not math.isfinite(bound) or bound == 0:
        return bound
    exact = Decimal(repr(float(bound)))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_CEILING))


def floor_of(criterion: Criterion, terms: Terms) -> tuple[float, float]:
    """The smallest bound ever recommended, and one step of it."""
    ratio = isinstance(criterion, Canary) and criterion.mode == "ratio"
    step = terms.material_ratio if ratio else terms.material_difference
    if getattr(criterion, "below", False):
        return -math.inf, step
    return (1 + step if ratio else step), step


def grid_of(cases: Cases, criterion: Criterion, terms: Terms) -> Grid:
    """Candidates for every n that was replayed, in the order of n and bound; the incumbent is one of them."""
    own = criterion.bound(criterion.setting())
    number = criterion.n(cases.step * 60)
    least, step = floor_of(criterion, terms)
    # Of a positive limit a factor, of any other one step: a cycle must not leave what is known.
    size = abs(own)
    low, high = sorted((own / terms.max_factor, own * terms.max_factor)) if criterion.setting() > 0 else (own - step, own + step)
    low = max(low, least)
    found = []
    for n, rises in sorted(cases.rises.items()):
        values = np.unique(rises.value[(rises.value >= low) & (rises.value < high)])
        if len(values) > MOST:
            values = values[np.linspace(0, len(values) - 1, MOST).round().astype(int)]
        bounds = {rounded_up(float(value)) for value in values} | {rounded_up(low), -rounded_up(-high)}
        found += [(n, bound) for bound in sorted(bounds) if low <= bound <= high and (n, bound) != (number, own)]
    found.append((number, own))
    found.sort()
    ns, bounds_of = np.asarray([n for n, _ in found]), np.asarray([bound for _, bound in found])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(np.abs(bounds_of) / size)) if size > 0 else np.abs(bounds_of - own) / step
    return Grid(ns, bounds_of, apart + np.abs(np.log(ns / number)), found.index((number, own)))
