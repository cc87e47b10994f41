"""Estimates agree with independent libraries and with figures that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.stats.clusters import BOOTSTRAP, DESIGN_EFFECT, INDEPENDENT, WILSON, rate_intervals
from toolkit.stats.durations import order_ranks, quantiles, sample, survival
from toolkit.stats.proportions import clopper_pearson, wilson

COUNTS = [(0, 1), (1, 1), (0, 7), (7, 7), (1, 3), (23, 31), (5, 500), (499, 500)]


@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_wilson_agrees_with_statsmodels(k: int, n: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    assert wilson(k, n) == pytest.approx(proportion.proportion_confint(k, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_clopper_pearson_agrees_with_statsmodels(k: int, n: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    assert clopper_pearson(k, n) == pytest.approx(proportion.proportion_confint(k, n, method="beta"), abs=1e-9)


def test_wilson_of_nothing_knows_nothing() -> None:
    assert wilson(0, 0) == (0, 1)


def test_the_interval_of_a_perfect_record_has_width() -> None:
    low, high = wilson(6, 6)
    assert high == 1
    assert low == pytest.approx(6 / (6 + 1.959964**2))


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_order_ranks_agree_with_scipys_binomial(p: float) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    n = np.r_[1:400, 5_000, 123_456]
    low, high = order_ranks(n, p)
    assert (low == binom.ppf(0.025, n, p)).all()
    assert (high == binom.ppf(0.975, n, p) + 1).all()


def median(values: list[float], still_open: list[bool] | None = None) -> tuple[float, float, float]:
    rows = sample(np.zeros(len(values), int), values, still_open or [False] * len(values), cells=1)
    found = quantiles(rows, 0.5, least_for_interval=6)
    return float(found.value[0]), float(found.low[0]), float(found.high[0])


def test_the_median_is_the_smallest_value_with_half_at_or_below() -> None:
    assert median([9, 1, 4, 2])[0] == 2


def test_a_median_has_an_interval_from_six_rows() -> None:
    assert np.isnan(median([1, 2, 3, 4, 5])[1:]).all()
    assert median([1, 2, 3, 4, 5, 6])[1:] == (1, 6)


@pytest.mark.parametrize(("n", "known"), [(35, False), (36, True)])
def test_a_p90_has_an_interval_from_36_rows(n: int, known: bool) -> None:
    rows = sample(np.zeros(n, int), np.arange(n), np.zeros(n, bool), cells=1)
    found = quantiles(rows, 0.9, least_for_interval=36)
    assert np.isfinite(found.low[0]) == np.isfinite(found.high[0]) == known


def test_an_interval_of_order_statistics_covers_as_promised() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(0, 1.5, (4000, 15))
    cell = np.repeat(np.arange(4000), 15)
    found = quantiles(sample(cell, values.ravel(), np.zeros(cell.size, bool), cells=4000), 0.5, least_for_interval=6)
    assert ((found.low <= 1) & (found.high >= 1)).mean() >= 0.94


def test_a_median_that_is_not_reached_is_unknown_and_says_how_far_it_was_seen() -> None:
    rows = sample([0, 0, 0], [5.0, 10.0, 20.0], [False, True, True], cells=1)
    found = quantiles(rows, 0.5, least_for_interval=6)
    assert np.isnan(found.value[0])
    assert found.beyond[0] == 20
    assert found.open[0] == 2


def test_an_open_row_at_the_moment_of_an_end_was_still_at_risk() -> None:
    # Of four, one ends at 3 while another is last seen at 3: 1 of 4 ended, then 1 of 2.
    _, time, curve, _ = survival(sample([0] * 4, [3.0, 3.0, 5.0, 6.0], [False, True, False, True], cells=1))
    assert time.tolist() == [3, 5, 6]
    assert curve == pytest.approx([3 / 4, 3 / 4 * 1 / 2, 3 / 8])


@pytest.mark.filterwarnings("ignore:Approximating")
def test_kaplan_meier_agrees_with_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines")
    qth_survival_times = pytest.importorskip("lifelines.utils").qth_survival_times

    rng = np.random.default_rng(11)
    sizes = [7, 12, 41, 120]
    cell = np.repeat(np.arange(4), sizes)
    # Whole minutes, so that ties occur.
    value = np.ceil(rng.lognormal(3, 1, cell.size))
    still_open = rng.random(cell.size) < 0.25
    still_open[np.searchsorted(cell, np.arange(4))] = True
    found = {p: quantiles(sample(cell, value, still_open, cells=4), p, least_for_interval=1) for p in (0.5, 0.9)}
    for number in range(4):
        here = cell == number
        fitted = lifelines.KaplanMeierFitter().fit(value[here], ~still_open[here])
        for p, quantile in found.items():
            assert _or_inf(quantile.value[number]) == fitted.percentile(1 - p)
            # Where the curve is 0 the bands are not defined (survfit says NA); lifelines writes 0 there.
            bands = fitted.confidence_interval_[fitted.survival_function_["KM_estimate"].to_numpy() > 0]
            ends = qth_survival_times(1 - p, bands)
            assert _or_inf(quantile.low[number]) == ends.iloc[0, 0]
            assert _or_inf(quantile.high[number]) == ends.iloc[0, 1]


def _or_inf(value: float) -> float:
    return float("inf") if np.isnan(value) else float(value)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.sampled_from([0.5, 0.9]))
@settings(deadline=None)
def test_kaplan_meier_without_open_rows_gives_the_order_statistic(values: list[int], p: float) -> None:
    rows = sample([0] * len(values), values, [False] * len(values), cells=1)
    _, time, curve, _ = survival(rows)
    reached = time[curve <= 1 - p + 1e-9][0]
    assert quantiles(rows, p, least_for_interval=6).value[0] == reached


def test_rows_that_are_their_own_clusters_get_wilson() -> None:
    found = rate_intervals([0, 1], [INDEPENDENT] * 2, [23, 0], [31, 0], cells=2)
    assert (found.low[0], found.high[0]) == wilson(23, 31)
    assert found.method.tolist() == [WILSON, WILSON]


def test_few_clusters_shrink_the_rows_by_the_design_effect() -> None:
    # Rates 5/5 and 0/5 twice: the rows of a service agree, so twenty rows are worth about four.
    found = rate_intervals([0] * 4, [0, 1, 2, 3], [5, 0, 5, 0], [5, 5, 5, 5], cells=1)
    squares = 4 * (5 - 0.5 * 5) ** 2
    effect = squares / (20 * 0.5 * 0.5) * 4 / 3
    assert found.method[0] == DESIGN_EFFECT
    assert found.effect[0] == pytest.approx(effect)
    assert (found.low[0], found.high[0]) == pytest.approx([float(end) for end in wilson(10 / effect, 20 / effect)])


def test_clusters_that_agree_better_than_chance_do_not_buy_rows() -> None:
    found = rate_intervals([0] * 4, [0, 1, 2, 3], [1] * 4, [2] * 4, cells=1)
    assert found.effect[0] == 1


def test_a_storm_weighs_as_one_among_single_rows() -> None:
    together = rate_intervals([0, 0], [INDEPENDENT, 7], [10, 0], [10, 10], cells=1)
    apart = rate_intervals([0, 0], [INDEPENDENT, INDEPENDENT], [10, 0], [10, 10], cells=1)
    assert together.clusters[0] == 11
    assert together.high[0] - together.low[0] > apart.high[0] - apart.low[0]


def clustered(services: int, rows: int, correlation: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    mean, concentration = 0.3, 1 / correlation - 1
    rates = rng.beta(mean * concentration, (1 - mean) * concentration, services)
    return rng.binomial(rows, rates), np.full(services, rows)


def test_the_cluster_bootstrap_covers_where_wilson_does_not() -> None:
    rng = np.random.default_rng(3)
    trials, services, rows = 400, 40, 20
    sums = [clustered(services, rows, 0.3, rng) for _ in range(trials)]
    k, n = np.concatenate([k for k, _ in sums]), np.concatenate([n for _, n in sums])
    cell, cluster = np.repeat(np.arange(trials), services), np.tile(np.arange(services), trials)
    found = rate_intervals(cell, cluster, k, n, cells=trials)
    naive = wilson(found.k, found.n)
    assert (found.method == BOOTSTRAP).all()
    assert ((found.low <= 0.3) & (found.high >= 0.3)).mean() >= 0.91
    assert ((naive[0] <= 0.3) & (naive[1] >= 0.3)).mean() <= 0.75


def test_the_cluster_bootstrap_is_near_the_linearised_interval() -> None:
    rng = np.random.default_rng(8)
    k, n = clustered(300, 12, 0.2, rng)
    found = rate_intervals(np.zeros(300, int), np.arange(300), k, n, cells=1)
    p = k.sum() / n.sum()
    error = np.sqrt(((k - p * n) ** 2).sum()) / n.sum()
    assert found.low[0] == pytest.approx(p - 1.96 * error, abs=0.15 * error)
    assert found.high[0] == pytest.approx(p + 1.96 * error, abs=0.15 * error)


def test_the_same_rows_give_the_same_interval_in_any_order() -> None:
    rng = np.random.default_rng(8)
    k, n = clustered(50, 12, 0.2, rng)
    order = rng.permutation(50)
    one = rate_intervals(np.zeros(50, int), np.arange(50), k, n, cells=1)
    other = rate_intervals(np.zeros(50, int), np.arange(50)[order], k[order], n[order], cells=1)
    assert (one.low[0], one.high[0]) == (other.low[0], other.high[0])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 30), st.integers(0, 9), st.integers(0, 9)), max_size=60))
@settings(deadline=None)
def test_an_interval_holds_its_rate_and_never_has_zero_width(rows: list[tuple[int, int, int, int]]) -> None:
    sums: dict[tuple[int, int], list[int]] = {}
    for cell, cluster, hits, misses in rows:
        into = sums.setdefault((cell, cluster), [0, 0])
        into[0] += hits
        into[1] += hits + misses
    keys = list(sums)
    found = rate_intervals([c for c, _ in keys], [c for _, c in keys], [sums[c][0] for c in keys], [sums[c][1] for c in keys], cells=4)
    some = found.n > 0
    rate = found.k[some] / found.n[some]
    assert (found.low[some] <= rate + 1e-9).all()
    assert (rate <= found.high[some] + 1e-9).all()
    assert (found.high - found.low > 0).all()
    assert (found.low >= 0).all()
    assert (found.high <= 1).all()
