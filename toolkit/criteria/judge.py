"""A judge of canaries by ranks, as Kayenta's Mann–Whitney judge gives its verdicts, wrong ones included."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Judged", "Label", "Shift", "Verdict", "judge", "label", "shift"]

Floats = npt.NDArray[np.float64]
Label = Literal["pass", "high", "low", "missing"]


@dataclass(frozen=True)
class Judged:
    """One metric's samples of both arms, NaN where missing; which way is bad; whether its failure alone decides."""

    canary: Floats
    baseline: Floats
    direction: Literal["increase", "decrease", "either"] = "increase"
    critical: bool = False


@dataclass(frozen=True)
class Shift:
    """How far the canary lies above the baseline (Hodges–Lehmann), with its interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A score from 0 to 100, and how each metric was labelled."""

    score: float
    labels: tuple[Label, ...]


def shift(canary: Floats, baseline: Floats, *, confidence: float = 0.98) -> Shift:
    """Shift of the canary against the baseline and its interval, asymptotic with ties and correction for continuity (Bauer 1972; R's
    wilcox.test). Both samples without NaN, not all equal to one value."""
    steps = np.unique(canary[:, None] - baseline)
    between = (steps[:-1] + steps[1:]) / 2
    quantile = -NormalDist().inv_cdf((1 - confidence) / 2)

    def falling(by: float) -> float:
        return -_standing(canary, baseline, by)

    def crossing(target: float) -> float:
        """Where the standing, which falls in steps, gets from above the target to below it; the middle where it stays on it."""
        first = bisect_left(between, -target, key=falling)
        stays = first < len(between) and falling(between[first]) == -target
        last = bisect_right(between, -target, lo=first, key=falling) if stays else first
        return float(steps[first] + steps[last]) / 2

    return Shift(crossing(0.0), crossing(quantile), crossing(-quantile))


def _standing(canary: Floats, baseline: Floats, by: float) -> float:
    """The rank sum of the canary, moved down by so much, in standard deviations from its mean."""
    n, m = len(canary), len(baseline)
    moved = np.concatenate([canary - by, baseline])
    _, place, sizes = np.unique(moved, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    excess = float(ranks[:n].sum()) - n * (n + 1) / 2 - n * m / 2
    ties = float((sizes.astype(float) ** 3 - sizes).sum()) / ((n + m) * (n + m - 1))
    spread = math.sqrt(n * m / 12 * (n + m + 1 - ties))
    return 0.0 if spread == 0 else (excess - 0.5 * np.sign(excess)) / spread


def label(
    metric: Judged,
    *,
    confidence: float = 0.98,
    tolerance: float = 0.25,
    effect_size: float = 1.0,
    nan_strategy: Literal["remove", "replace"] = "remove",
) -> Label:
    """pass, high, low or missing. High: the whole interval of the shift lies above tolerance × |shift|, and the mean of the canary is at
    least effect_size times the baseline's."""
    arms = (metric.canary, metric.baseline)
    new, old = (arm[~np.isnan(arm)] if nan_strategy == "remove" else np.nan_to_num(arm, nan=0.0) for arm in arms)
    if not len(new) or not len(old):
        return "missing"
    if np.array_equal(np.sort(new), np.sort(old)) or len(np.unique(np.concatenate([new, old]))) == 1:
        return "pass"
    found = shift(new, old, confidence=confidence)
    allowed = tolerance * abs(found.estimate)
    mean = float(old.mean())
    ratio = float(new.mean()) / mean if mean else math.inf
    if metric.direction != "decrease" and found.low > allowed and ratio >= effect_size:
        return "high"
    if metric.direction != "increase" and found.high < -allowed and ratio <= 1 / effect_size:
        return "low"
    return "pass"


def judge(
    metrics: Sequence[Judged],
    *,
    confidence: float = 0.98,
    tolerance: float = 0.25,
    effect_size: float = 1.0,
    nan_strategy: Literal["remove", "replace"] = "remove",
) -> Verdict:
    """100 × passed ÷ all metrics; 0 when a critical one does not pass, or half of them have no data."""
    labels = tuple(
        label(metric, confidence=confidence, tolerance=tolerance, effect_size=effect_size, nan_strategy=nan_strategy) for metric in metrics
    )
    failed = any(metric.critical and found != "pass" for metric, found in zip(metrics, labels, strict=True))
    if not labels or failed or 2 * labels.count("missing") >= len(labels):
        return Verdict(0.0, labels)
    return Verdict(100 * labels.count("pass") / len(labels), labels)
