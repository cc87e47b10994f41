"""Comparisons, detectability, shrinkage and change points, against independent libraries and worked figures."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.stats.changepoints import change_in_counts, change_in_rate
from toolkit.stats.clusters import rate_intervals
from toolkit.stats.comparisons import (
    compare_counts,
    compare_durations,
    compare_open_durations,
    compare_rates,
    false_discoveries,
    log_rank,
)
from toolkit.stats.detectability import (
    design_effect,
    more_count_needed,
    more_rows_needed,
    paired_size,
    rows_needed,
    rows_needed_against,
    smallest_count_reduction,
    smallest_rate_reduction,
    smallest_reduction,
    spread_of_logs,
    visible_difference,
)
from toolkit.stats.durations import sample
from toolkit.stats.exact import binomial_p, fisher_p, mann_whitney_p
from toolkit.stats.proportions import wilson
from toolkit.stats.shrinkage import shrunk_rates
from toolkit.stats.survival import compare_left, left_at


@pytest.mark.parametrize(("deviation", "minutes"), [(5 * 60 + 16, 33), (5 * 60 + 1, 31), (6 * 60 + 53, 43)])
def test_the_difference_that_500_rows_show(deviation: float, minutes: int) -> None:
    assert round(visible_difference(deviation, 500)) == minutes


@pytest.mark.parametrize(("reduction", "sigma", "n"), [(0.1, 1, 1415), (0.2, 1, 316), (0.3, 1, 124), (0.5, 1, 33), (0.2, 1.5, 710)])
def test_rows_needed_to_notice_a_reduction(reduction: float, sigma: float, n: int) -> None:
    assert rows_needed(reduction, sigma) == n
    assert smallest_reduction(n, sigma) <= reduction < smallest_reduction(n - 1, sigma)


def test_clustered_rows_are_needed_in_greater_number() -> None:
    assert rows_needed(0.2, 1, effect=2) == pytest.approx(2 * 316, abs=2)


def test_a_short_past_makes_the_date_never() -> None:
    assert rows_needed_against(157, 0.2, 1) is None
    assert rows_needed_against(158, 0.2, 1) is not None
    assert rows_needed_against(0, 0.2, 1) is None
    assert rows_needed_against(316, 0.2, 1) == pytest.approx(316, abs=2)


def test_power_is_as_promised() -> None:
    rng = np.random.default_rng(4)
    stats = pytest.importorskip("scipy.stats")
    before, after = rng.normal(0, 1, (3000, 124)), rng.normal(np.log(0.7), 1, (3000, 124))
    assert (stats.ttest_ind(before, after, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("rate", "before", "after"), [(0.12, 400, 400), (0.3, 60, 200), (0.8, 90, 90)])
def test_the_smallest_reduction_of_a_rate_agrees_with_statsmodels(rate: float, before: int, after: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power").NormalIndPower()
    effect_size = pytest.importorskip("statsmodels.stats.proportion").proportion_effectsize
    reduction = smallest_rate_reduction(rate, before, after)
    size = effect_size(rate, rate * (1 - reduction))
    assert power.power(size, before, 0.05, ratio=after / before) == pytest.approx(0.8, abs=1e-3)
    needed = more_rows_needed(rate, before, reduction)
    assert needed == pytest.approx(after, abs=1)


def test_the_smallest_reduction_of_a_count_has_the_power_promised() -> None:
    rng = np.random.default_rng(4)
    rate, weeks = 4.0, 26
    reduction = smallest_count_reduction(rate, weeks, weeks)
    before, after = rng.poisson(rate * weeks, 3000), rng.poisson(rate * (1 - reduction) * weeks, 3000)
    seen = [compare_counts(int(one), weeks, int(two), weeks).p < 0.05 for one, two in zip(before, after, strict=True)]
    # The exact test is a little more cautious than the normal one that is planned with.
    assert 0.74 < np.mean(seen) < 0.84
    assert more_count_needed(rate, weeks, reduction) == pytest.approx(weeks)


def test_where_not_even_a_fall_to_nothing_would_show_no_reduction_is_the_smallest() -> None:
    assert smallest_rate_reduction(0.04, 30, 30) > 1
    assert smallest_count_reduction(0.1, 20, 20) > 1
    assert more_rows_needed(0.04, 30, 0.3) is None
    assert more_count_needed(0.1, 20, 0.3) is None


def test_two_unequal_periods_tell_as_much_as_two_of_their_harmonic_mean() -> None:
    assert paired_size(10, 40) == 16
    assert pytest.approx(2 / 16) == 1 / 10 + 1 / 40


def test_rows_that_agree_within_their_cluster_count_for_less() -> None:
    values = [1.0, 1.0, 1.0, 3.0, 3.0, 3.0]
    # Two clusters of three equal rows: squares of cluster sums 2 × 3² over a spread of 6, times 2 ÷ 1.
    assert design_effect(values, list("aaabbb")) == pytest.approx(18 / 6 * 2)
    assert design_effect(values, list("abcdef")) == pytest.approx(1.2)
    assert design_effect(values, list("aaaaaa")) == 1


def test_a_teams_own_spread_is_used_from_thirty_rows() -> None:
    values = np.exp(np.random.default_rng(1).normal(3, 1.2, 400)).tolist()
    assert spread_of_logs(values).own
    assert spread_of_logs(values).sigmas[0] == pytest.approx(np.std(np.log(values), ddof=1))
    assert spread_of_logs(values[:29]).sigmas == (1.0, 1.5)


@pytest.mark.parametrize(("clusters", "covered"), [(2, 0.76), (5, 0.85), (20, 0.93)])
def test_few_clusters_cover_less_than_promised_which_is_why_they_are_marked(clusters: int, covered: float) -> None:
    rng = np.random.default_rng(12)
    trials, rows, mean, concentration = 1500, 5, 0.3, 1 / 0.1 - 1
    rates = rng.beta(mean * concentration, (1 - mean) * concentration, (trials, clusters))
    k = rng.binomial(rows, rates)
    cell, cluster = np.repeat(np.arange(trials), clusters), np.tile(np.arange(clusters), trials)
    found = rate_intervals(cell, cluster, k.ravel(), np.full(k.size, rows), cells=trials)
    # Ours only ever widens, so it covers at least what was simulated for the plain recipe.
    assert ((found.low <= mean) & (found.high >= mean)).mean() >= covered - 0.02


@pytest.mark.parametrize(
    ("one", "two"), [((0, 5), (5, 5)), ((3, 10), (9, 12)), ((56, 70), (48, 80)), ((1, 400), (9, 380)), ((4, 4), (4, 4))]
)
def test_fishers_test_agrees_with_scipy(one: tuple[int, int], two: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    table = [[k, n - k] for k, n in (one, two)]
    assert fisher_p(*one, *two) == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-6)


@pytest.mark.parametrize(("k", "n", "p"), [(0, 1, 0.5), (3, 20, 0.5), (15, 20, 0.4), (200, 1000, 0.25), (7, 7, 0.1)])
def test_the_binomial_test_agrees_with_scipy(k: int, n: int, p: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert binomial_p(k, n, p) == pytest.approx(stats.binomtest(k, n, p).pvalue, rel=1e-6)


@pytest.mark.parametrize(("n", "m", "ties"), [(5, 5, False), (6, 30, False), (9, 9, False), (40, 30, False), (5, 7, True), (40, 30, True)])
def test_the_rank_test_agrees_with_scipy(n: int, m: int, ties: bool) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n + m)
    for shift in (0, 1, 3):
        x, y = rng.normal(0, 2, n), rng.normal(shift, 2, m)
        x, y = (np.round(x), np.round(y)) if ties else (x, y)
        assert mann_whitney_p(x, y) == pytest.approx(stats.mannwhitneyu(x, y).pvalue, rel=1e-6)


def test_the_duration_ratio_is_the_median_of_all_pairs() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.lognormal(3, 1, 60), rng.lognormal(3, 1, 50) * 0.5
    found = compare_durations(x, y)
    assert found.effect == pytest.approx(np.median(np.divide.outer(y, x)), rel=0.01)
    assert found.low < 0.5 < found.high
    assert found.p < 0.05


def test_the_rank_interval_covers_as_promised() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        found = compare_durations(rng.lognormal(0, 1.5, 12), rng.lognormal(0, 1.5, 15))
        inside += found.low <= 1 <= found.high
    assert inside / 400 >= 0.93


def test_log_rank_agrees_with_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines.statistics")
    rng = np.random.default_rng(6)
    for n in (8, 40, 150):
        x, y = np.ceil(rng.lognormal(3, 1, n)), np.ceil(rng.lognormal(3.3, 1, n + 5))
        x_open, y_open = rng.random(n) < 0.2, rng.random(n + 5) < 0.3
        theirs = lifelines.logrank_test(x, y, ~x_open, ~y_open).p_value
        assert log_rank(x, x_open, y, y_open) == pytest.approx(theirs, abs=1e-9)


def test_open_durations_compare_by_medians_with_an_interval() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.lognormal(3, 1, 80), rng.lognormal(2, 1, 80)
    found = compare_open_durations(x, rng.random(80) < 0.1, y, rng.random(80) < 0.1)
    assert found.low < found.effect < found.high < 1
    assert found.p < 0.01


def test_rates_compare_by_fisher_and_newcombe() -> None:
    stats = pytest.importorskip("scipy.stats")
    found = compare_rates(56, 70, 48, 80)
    assert found.p == pytest.approx(stats.fisher_exact([[56, 14], [48, 32]]).pvalue)
    # Newcombe's published example: 56/70 − 48/80, method 10, is 0.0524 to 0.3339.
    assert (-found.high, -found.low) == pytest.approx((0.0524, 0.3339), abs=5e-4)


def test_counts_compare_exactly() -> None:
    found = compare_counts(20, 26, 10, 26)
    assert found.effect == pytest.approx(1 / 2)
    assert found.low < 0.5 < found.high
    assert found.p == pytest.approx(0.0987, abs=5e-4)
    assert np.isnan(compare_counts(0, 26, 0, 26).effect)


def test_false_discoveries_agree_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(5).random(40) ** 3
    assert false_discoveries(p.tolist()) == multitest.multipletests(p, 0.05, method="fdr_bh")[0].tolist()
    assert false_discoveries([0.001, float("nan")]) == [True, False]


def test_small_rates_borrow_from_the_others() -> None:
    found = shrunk_rates([0, 30, 28, 33, 1], [1, 100, 100, 100, 1])
    # One row that went well does not make 0 %; one that went badly no 100 %.
    assert 0.15 < found.value[0] < 0.31
    assert 0.29 < found.value[4] < 0.5
    assert found.value[1] == pytest.approx(0.30, abs=0.02)
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()


def test_rates_that_differ_are_left_alone() -> None:
    found = shrunk_rates([5, 95, 50], [100, 100, 100])
    assert found.value == pytest.approx([0.05, 0.95, 0.5], abs=0.03)


def test_shrinking_lowers_the_error_of_small_rates() -> None:
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth, n = rng.beta(6, 14, 200), rng.integers(1, 15, 200)
        k = rng.binomial(n, truth)
        found = shrunk_rates(k, n)
        assert ((found.value - truth) ** 2).mean() < 0.6 * ((k / n - truth) ** 2).mean()
        inside.append(((found.low <= truth) & (truth <= found.high)).mean())
    assert np.mean(inside) >= 0.92


def test_a_change_is_found_where_it_is() -> None:
    rng = np.random.default_rng(7)
    counts = np.r_[rng.poisson(9, 20), rng.poisson(3, 15)]
    found = change_in_counts(counts.tolist())
    assert found is not None
    assert abs(found.at - 20) <= 2
    assert found.p < 0.01
    assert found.before > 2 * found.after


def test_where_nothing_changed_nothing_is_found_more_often_than_promised() -> None:
    rng = np.random.default_rng(8)
    found = [change_in_rate(rng.binomial(12, 0.2, 20).tolist(), [12] * 20) for _ in range(120)]
    assert np.mean([point.p <= 0.05 for point in found if point is not None]) <= 0.1


def test_too_little_to_split_is_no_change() -> None:
    assert change_in_counts([1, 2, 3]) is None
    assert change_in_counts([0] * 10) is None
    assert change_in_rate([1, 1, 1, 1], [1, 1, 1, 1]) is None


# The share left at one age


def test_the_share_left_at_an_age_and_its_interval_are_those_of_lifelines() -> None:
    from lifelines import KaplanMeierFitter

    random = np.random.default_rng(7)
    spans, going = random.exponential(80, 200), random.random(200) < 0.4
    fitter = KaplanMeierFitter().fit(spans, ~going)
    found = left_at(sample(np.zeros(200), spans, going, cells=1), 90.0)
    assert found.value[0] == pytest.approx(float(fitter.survival_function_at_times(90).iloc[0]))
    bounds = fitter.confidence_interval_survival_function_
    at = bounds[bounds.index <= 90].iloc[-1]
    assert (found.low[0], found.high[0]) == pytest.approx((at.iloc[0], at.iloc[1]))


def test_cells_are_followed_each_for_itself() -> None:
    # One of two by day 10; nobody within 90 days; nobody followed for so long; it happened to all; no rows.
    spans = [10, 100, 100, 95, 30, 5, 7]
    going = [False, True, True, True, True, False, False]
    found = left_at(sample([0, 0, 1, 1, 2, 3, 3], spans, going, cells=5), 90.0)
    assert found.value[:2].tolist() == [0.5, 1.0]
    assert np.isnan(found.value[[2, 4]]).all()
    assert found.value[3] == 0
    assert found.followed[:4].tolist() == [100, 100, 30, 7]
    # Never a point: Wilson over the two that were followed, over the two that there were.
    assert (found.low[1], found.high[1]) == pytest.approx([float(end) for end in wilson(2, 2)])
    assert (found.low[3], found.high[3]) == pytest.approx([float(end) for end in wilson(0, 2)])


def test_two_shares_at_one_age_differ_by_their_difference() -> None:
    spans, few, many = [100.0] * 40, [True] * 36 + [False] * 4, [True] * 20 + [False] * 20
    times = [np.where(going, 100.0, 10.0) for going in (few, many)]
    before, after = (left_at(sample(np.zeros(40), at, going, cells=1), 90.0) for at, going in zip(times, (few, many), strict=True))
    found = compare_left(before, after)
    assert found.effect == pytest.approx(0.5 - 0.9)
    # Without censoring Greenwood's variance is the binomial one.
    spread = np.sqrt(0.9 * 0.1 / len(spans) + 0.5 * 0.5 / len(spans))
    assert (found.low, found.high) == pytest.approx((-0.4 - 1.95996 * spread, -0.4 + 1.95996 * spread), abs=1e-4)
    assert found.p < 0.001
