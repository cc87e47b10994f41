"""Whether two periods differ: durations, rates and counts, each by a test that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.stats.durations import CLOSE, quantiles, sample
from toolkit.stats.exact import binomial_p, fisher_p, mann_whitney_p
from toolkit.stats.proportions import clopper_pearson, normal_quantile, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Comparison", "compare_counts", "compare_durations", "compare_open_durations", "compare_rates", "false_discoveries", "log_rank"]

SEED = 20240229
DRAWS = 2000
THINNED = 2000
AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """After against before. effect: the ratio after ÷ before (of durations and counts) or the difference (of rates); low, high: its 95 %
    interval; NaN: unknown. p: two-sided. method: which test."""

    effect: float
    low: float
    high: float
    p: float
    method: str


def compare_durations(before: ArrayLike, after: ArrayLike) -> Comparison:
    """Complete durations: Hodges–Lehmann ratio on logs with its rank interval (Lehmann 1975), Mann–Whitney p. Any unit, positive."""
    import numpy as np

    x, y = np.log(np.asarray(before, float)), np.log(np.asarray(after, float))
    method = "Hodges–Lehmann on logs"
    if len(x) == 0 or len(y) == 0:
        return Comparison(np.nan, np.nan, np.nan, np.nan, method)
    n, m = len(x), len(y)
    shifts = np.sort(np.subtract.outer(_thinned(y), _thinned(x)).ravel())
    # Rank of the shift that bounds the interval; where it is 0 so few rows bound nothing.
    share = 0.5 - normal_quantile(0.95) * np.sqrt((n + m + 1) / (12 * n * m))
    rank = int(np.floor(share * len(shifts) + CLOSE))
    low, high = (shifts[rank - 1], shifts[len(shifts) - rank]) if rank >= 1 else (-np.inf, np.inf)
    p = mann_whitney_p(x, y)
    ends = (float(np.exp(low)) if np.isfinite(low) else np.nan, float(np.exp(high)) if np.isfinite(high) else np.nan)
    return Comparison(float(np.exp(np.median(shifts))), *ends, p, method)


def _thinned(values: Floats) -> Floats:
    """At most THINNED values, evenly spaced by rank: all pairs of a million rows fit nowhere, and these pairs lie as all of them do."""
    import numpy as np

    if len(values) <= THINNED:
        return values
    return np.sort(values)[((np.arange(THINNED) + 0.5) * len(values) / THINNED).astype(np.int64)]


def compare_open_durations(
    before: ArrayLike,
    before_open: ArrayLike,
    after: ArrayLike,
    after_open: ArrayLike,
    *,
    before_cluster: ArrayLike | None = None,
    after_cluster: ArrayLike | None = None,
) -> Comparison:
    """Durations of which some are still open: log-rank p (Mantel 1966), and the ratio of Kaplan–Meier medians with percentiles of a
    bootstrap of clusters (default: rows)."""
    import numpy as np

    x, x_open, y, y_open = np.asarray(before, float), np.asarray(before_open, bool), np.asarray(after, float), np.asarray(after_open, bool)
    method = "log-rank; ratio of Kaplan–Meier medians, cluster bootstrap"
    if len(x) == 0 or len(y) == 0:
        return Comparison(np.nan, np.nan, np.nan, np.nan, method)
    rng = np.random.default_rng(SEED)
    one, two = _median(x, x_open), _median(y, y_open)
    ones, twos = _drawn_medians(x, x_open, before_cluster, rng), _drawn_medians(y, y_open, after_cluster, rng)
    # A draw whose median is not reached is longer than any: after ÷ before is then +∞ or 0; both unknown: it says nothing.
    ratio = np.where(np.isnan(twos) & np.isnan(ones), np.nan, np.where(np.isnan(twos), np.inf, np.where(np.isnan(ones), 0.0, twos / ones)))
    known = np.sort(ratio[~np.isnan(ratio)])
    low, high = (known[int(0.025 * (len(known) - 1))], known[int(np.ceil(0.975 * (len(known) - 1)))]) if len(known) else (np.nan, np.nan)
    return Comparison(two / one, float(low), float(high) if np.isfinite(high) else np.nan, log_rank(x, x_open, y, y_open), method)


def _median(value: Floats, still_open: NDArray[np.bool_]) -> float:
    import numpy as np

    return float(
        quantiles(sample(np.zeros(len(value), np.int64), value, still_open, cells=1), 0.5, least_for_interval=len(value) + 1).value[0]
    )


def _drawn_medians(value: Floats, still_open: NDArray[np.bool_], cluster: ArrayLike | None, rng: np.random.Generator) -> Floats:
    """Kaplan–Meier medians of DRAWS resamples of clusters, as weights on the sorted rows; NaN: not reached."""
    import numpy as np

    order = np.lexsort((still_open, value))
    names = np.unique(np.arange(len(value)) if cluster is None else np.asarray(cluster), return_inverse=True)[1][order]
    ended, time = ~still_open[order], value[order]
    clusters = int(names.max()) + 1
    found = np.empty(DRAWS)
    step = max(1, AT_ONCE // len(value))
    for first in range(0, DRAWS, step):
        size = min(step, DRAWS - first)
        drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size)
        weight = drawn[:, names].astype(np.float64)
        at_risk = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
        curve = np.cumprod(1 - np.divide(weight * ended, at_risk, out=np.zeros_like(weight), where=at_risk > 0), axis=1)
        reached = curve <= 0.5 + CLOSE
        found[first : first + size] = np.where(reached.any(axis=1), time[np.argmax(reached, axis=1)], np.nan)
    return found


def log_rank(before: Floats, before_open: NDArray[np.bool_], after: Floats, after_open: NDArray[np.bool_]) -> float:
    """Two-sided p of the log-rank test; 1 where no row has ended."""
    import numpy as np

    times = np.unique(np.r_[before[~before_open], after[~after_open]])
    ends = [
        np.bincount(np.searchsorted(times, value[~still]), minlength=len(times))
        for value, still in ((before, before_open), (after, after_open))
    ]
    at_risk = [len(value) - np.searchsorted(np.sort(value), times, side="left") for value in (before, after)]
    d, r = ends[0] + ends[1], at_risk[0] + at_risk[1]
    expected = d * at_risk[0] / r
    some = r > 1
    variance = (d * (at_risk[0] / r) * (1 - at_risk[0] / r) * (r - d))[some] / (r[some] - 1)
    total = variance.sum()
    # A squared normal: chi-squared with one degree of freedom.
    return math.erfc(abs(float(ends[0].sum() - expected.sum())) / math.sqrt(2 * float(total))) if total > CLOSE else 1.0


def compare_rates(k_before: int, n_before: int, k_after: int, n_after: int) -> Comparison:
    """k of n: difference after − before with Newcombe's interval (1998, method 10), p by Fisher's exact test."""
    import numpy as np

    method = "Fisher's exact test"
    if n_before == 0 or n_after == 0:
        return Comparison(np.nan, np.nan, np.nan, np.nan, method)
    one, two = k_before / n_before, k_after / n_after
    (low, high) = wilson([k_before, k_after], [n_before, n_after])
    below = np.hypot(two - low[1], high[0] - one)
    above = np.hypot(high[1] - two, one - low[0])
    p = fisher_p(k_before, n_before, k_after, n_after)
    return Comparison(two - one, float(two - one - below), float(two - one + above), p, method)


def compare_counts(before: int, weeks_before: float, after: int, weeks_after: float) -> Comparison:
    """Counts over time: the ratio of rates, exact by conditioning on the total (Przyborowski and Wilenski 1940). Count a storm once."""
    import numpy as np

    method = "exact conditional binomial"
    total = before + after
    if total == 0 or weeks_before <= 0 or weeks_after <= 0:
        return Comparison(np.nan, np.nan, np.nan, np.nan, method)
    exposure = weeks_after / (weeks_before + weeks_after)
    low, high = (float(end) for end in clopper_pearson(after, total))
    odds = weeks_before / weeks_after

    def ratio(share: float) -> float:
        return share / (1 - share) * odds if share < 1 else np.nan

    return Comparison(ratio(after / total), ratio(low), ratio(high), binomial_p(after, total, exposure), method)


def false_discoveries(p: Sequence[float], *, share: float = 0.05) -> list[bool]:
    """Which of a page's findings to call real so that at most this share of them is expected to be false (Benjamini and Hochberg 1995).
    Unknown (NaN) ones are none."""
    known = sorted((value, place) for place, value in enumerate(p) if value == value)
    last = max((rank for rank, (value, _) in enumerate(known, start=1) if value <= share * rank / len(known)), default=0)
    real = {place for _, place in known[:last]}
    return [place in real for place in range(len(p))]
