"""Recalibration: what is promised holds, what cannot be promised is not, and every reason is said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, mannwhitneyu

from tests.study.recalibration import HOPELESS, INCUMBENT, TERMS, USUAL, simulated, studied
from toolkit.criteria import criterion_of
from toolkit.criteria.terms import Terms
from toolkit.recalibration.bound import admissible_from, order_for
from toolkit.recalibration.candidates import grid_of, rounded_up
from toolkit.recalibration.cases import Cases, Label, Rises
from toolkit.recalibration.choice import Chooser, lower_bound
from toolkit.recalibration.question import split
from toolkit.recalibration.recommend import recommend
from toolkit.recalibration.verdict import AT_MOST, Reason, Verdict, verdict_of
from toolkit.recalibration.worth import worth_of
from toolkit.stats.strata import van_elteren


def cases(
    *profiles: list[tuple[float, float]],
    label: list[int] | None = None,
    onset: list[float] | None = None,
    human: list[float] | None = None,
    rate: list[float] | None = None,
    complete: list[bool] | None = None,
    stopped: list[bool] | None = None,
    service: list[int] | None = None,
    step: float = 1.0,
) -> Cases:
    """Deployments an hour apart; each profile is its rises (minute, value) at n = 3; harm grows by `rate` a minute from the onset on."""
    many = len(profiles)
    rises = [(row, t, value) for row, profile in enumerate(profiles) for t, value in profile]
    begun = np.array(onset if onset is not None else [math.nan] * many)
    minute = np.arange(121)
    harm = np.nan_to_num(np.maximum(minute - begun[:, None], 0) * np.array(rate or [0.0] * many)[:, None])
    return Cases(
        deployment=[f"d{row}" for row in range(many)],
        services=["shop", "search", "mail"],
        day=np.arange(many) / 24,
        service=np.array(service or [0] * many),
        cluster=np.arange(many),
        label=np.array(label or [Label.GOOD] * many, np.int64),
        seen=np.ones(many, bool),
        complete=np.array(complete if complete is not None else [True] * many),
        stopped=np.array(stopped if stopped is not None else [False] * many),
        onset=begun,
        human=np.array(human if human is not None else [math.nan] * many),
        harm=harm,
        step=step,
        rises={3: Rises(*(np.array(part, kind) for part, kind in zip(zip(*rises, strict=True), (np.int64, float, float), strict=True)))},
    )


# The bound


@pytest.mark.parametrize(("m", "least"), [(1, 45), (5, 77), (10, 90)])
def test_so_many_good_deployments_can_bound_five_per_cent(m: int, least: int) -> None:
    assert order_for(least, 0.05, 0.10 / m) == least, "the largest peak of all"
    assert order_for(least - 1, 0.05, 0.10 / m) is None
    assert Terms().min_good(m) == least


def test_the_order_is_the_smallest_whose_chance_of_breaking_the_cap_is_delta() -> None:
    for n in (50, 77, 200, 999):
        k = order_for(n, 0.05, 0.02)
        if k is not None:
            assert binom.sf(k - 1, n, 0.95) <= 0.02
            assert binom.sf(k - 2, n, 0.95) > 0.02


def test_the_bound_is_broken_no_more_often_than_delta() -> None:
    rng = np.random.default_rng(3)
    # Uniform peaks: a limit x stops 1 − x of the good ones.
    broken = [1 - admissible_from(rng.random(120), 0.05, 0.10) > 0.05 for _ in range(2000)]
    naive = [1 - np.quantile(rng.random(120), 0.95) > 0.05 for _ in range(2000)]
    assert np.mean(broken) <= 0.10 + 3 * math.sqrt(0.09 / 2000)
    assert np.mean(naive) > 0.40, "the 95th percentile of what was seen breaks it every other time"


def test_a_stop_that_nobody_reviewed_counts_as_a_peak_over_every_limit() -> None:
    one = cases([(1, 0.2)], [(1, 0.4)], label=[Label.GOOD, Label.UNKNOWN], complete=[True, False], stopped=[False, True])
    rows, peaks = one.bounding(3)
    assert (rows.tolist(), peaks.tolist()) == ([0, 1], [0.2, math.inf])


def test_an_unknown_with_complete_telemetry_counts_with_its_own_peak_and_an_immature_one_not_at_all() -> None:
    one = cases([(1, 0.2)], [(1, 0.4)], [(1, 0.9)], label=[Label.GOOD, Label.UNKNOWN, Label.IMMATURE])
    assert one.bounding(3)[1].tolist() == [0.2, 0.4]


# Candidates


@pytest.mark.parametrize(
    ("bound", "rounded"), [(0.012341, 0.0124), (0.0124, 0.0124), (0.07, 0.07), (1.0001, 1.01), (99.91, 100.0), (-0.98765, -0.987)]
)
def test_a_limit_is_rounded_up_to_three_digits(bound: float, rounded: float) -> None:
    assert rounded_up(bound) == pytest.approx(rounded)
    assert rounded_up(bound) >= bound


def test_no_candidate_is_further_from_the_incumbent_than_a_factor_two_nor_under_the_floor() -> None:
    found = cases([(0, 0.001), (1, 0.03), (2, 0.05), (3, 0.5)])
    grid = grid_of(found, INCUMBENT, TERMS)
    assert INCUMBENT.setting() == 0.08
    assert grid.bound.min() >= 0.04
    assert grid.bound.max() <= 0.16
    assert (grid.n[grid.incumbent], grid.bound[grid.incumbent], grid.distance[grid.incumbent]) == (5, 0.08, 0.0)
    odd = grid_of(found, INCUMBENT.at(limit=0.0333), TERMS)
    assert (odd.bound.min(), odd.bound.max()) == (0.0167, 0.0666), "three digits, and within the factor"
    low = criterion_of({"name": "e", "kind": "canary", "limit": 0.012, "series": "errors", "for": "2m"})
    assert grid_of(found, low, TERMS).bound.min() >= 0.01, "one point is the smallest difference that matters"


# Worth


def test_a_stop_saves_the_harm_until_people_stopped_it_from_one_evaluation_after_it_fires() -> None:
    # Harm of 40 requests a minute from minute 10; it fires at 14, acts at 15; people stopped it at 30: 15 minutes × 40 ÷ 40 = 15.
    one = cases([(14, 0.1)], label=[Label.BAD], onset=[10.0], human=[30.0], rate=[40.0])
    assert value_at(one, 0.08) == 15.0


def test_without_a_human_decision_the_end_of_the_watch_counts() -> None:
    one = cases([(14, 0.1)], label=[Label.BAD], onset=[10.0], rate=[40.0])
    assert value_at(one, 0.08) == 120 - 15


def test_a_stop_before_the_incident_began_is_early_and_saves_nothing() -> None:
    one = cases([(5, 0.1)], label=[Label.BAD], onset=[10.0], human=[30.0], rate=[40.0])
    assert value_at(one, 0.08) == 0.0


def test_a_stop_after_people_had_decided_saves_nothing() -> None:
    one = cases([(40, 0.1)], label=[Label.BAD], onset=[10.0], human=[30.0], rate=[40.0])
    assert value_at(one, 0.08) == 0.0


def test_a_false_stop_costs_the_engineers_minutes_and_a_peak_at_the_limit_is_none() -> None:
    assert value_at(cases([(5, 0.1)]), 0.08) == -30.0
    assert value_at(cases([(5, 0.08)]), 0.08) == 0.0


def value_at(one: Cases, limit: float) -> float:
    grid = replace(grid_of(one, INCUMBENT, TERMS), n=np.array([3]), bound=np.array([limit]), distance=np.zeros(1), incumbent=0)
    return float(worth_of(one, grid, TERMS).value[0, 0])


def test_each_bound_fires_at_the_first_rise_over_it() -> None:
    rises = Rises(np.array([0, 0, 0, 2]), np.array([1.0, 4.0, 9.0, 2.0]), np.array([0.1, 0.3, 0.9, 0.3]))
    bounds = [0.3, 0.05, 0.95, 0.2]
    slow = [
        [min([t for r, t, v in zip(rises.row, rises.t, rises.value, strict=True) if r == row and v > b], default=math.inf) for b in bounds]
        for row in range(3)
    ]
    assert rises.fires(bounds, 3).tolist() == slow == [[9.0, 1.0, math.inf, 4.0], [math.inf] * 4, [math.inf, 2.0, math.inf, 2.0]]


# Choosing


def test_the_choice_equals_one_made_by_plain_counting() -> None:
    found = simulated(USUAL, 300, 4)
    training, _ = split(found, INCUMBENT, TERMS)
    learnt = found.of(training)
    grid = grid_of(learnt, INCUMBENT, TERMS)
    worth = worth_of(learnt, grid, TERMS)
    good = learnt.label == Label.GOOD
    allowed = []
    for place in range(len(grid)):
        peaks = sorted(learnt.rises[int(grid.n[place])].peaks(len(learnt))[good])
        k = next(k for k in range(1, len(peaks) + 1) if binom.sf(k - 1, len(peaks), 0.95) <= 0.10 / 5)
        if grid.bound[place] >= peaks[k - 1]:
            allowed.append(place)
    best = max(allowed, key=lambda place: worth.value[:, place].sum())
    near = []
    for place in allowed:
        apart = worth.value[:, best] - worth.value[:, place]
        error = apart.std(ddof=1) / math.sqrt(len(apart))
        if apart.mean() <= error + 1e-12:
            near.append((grid.distance[place], -worth.value[:, place].sum(), place))
    assert Chooser(learnt, grid, worth, TERMS).choose() == min(near)[2]


def test_the_lower_bound_is_that_of_clusters_and_not_of_rows() -> None:
    rows = np.random.default_rng(1).normal(1.0, 2.0, 200)
    mean, low = lower_bound(rows, np.ones(200))
    assert (mean, low) == (pytest.approx(rows.mean()), pytest.approx(rows.mean() - 1.6448536 * rows.std(ddof=1) / math.sqrt(200)))
    twice = lower_bound(rows * 2, np.full(200, 2.0))
    assert twice == (pytest.approx(mean), pytest.approx(low)), "each row twice in a cluster of its own says nothing new"


def test_the_test_is_the_last_share_and_what_touches_it_is_in_neither() -> None:
    found = simulated(USUAL, 100, 1)
    training, test = split(found, INCUMBENT, TERMS)
    # One an hour, watched for two: the 70th is the first of the test, the 69th lies within two hours of it.
    assert np.flatnonzero(test).tolist() == list(range(70, 100))
    assert np.flatnonzero(~training & ~test).tolist() == [69]


# Drift


def test_in_one_stratum_drift_is_the_rank_sum_test() -> None:
    rng = np.random.default_rng(5)
    value = np.round(rng.normal(size=60), 1)
    later = rng.random(60) < 0.4
    expected = mannwhitneyu(value[later], value[~later], use_continuity=False, method="asymptotic").pvalue
    assert van_elteren(value, later, np.zeros(60, int)) == pytest.approx(expected)


def test_services_that_differ_are_no_drift() -> None:
    rng = np.random.default_rng(6)
    service = np.r_[np.zeros(80, int), np.ones(80, int)]
    later = np.r_[rng.random(80) < 0.2, rng.random(80) < 0.8]
    value = rng.normal(size=160) + 5 * service
    assert van_elteren(value, later, service) > 0.05
    assert van_elteren(value, later, np.zeros(160, int)) < 0.001


# Verdicts


def test_the_worst_reason_wins_and_all_are_listed() -> None:
    assert verdict_of([]) is Verdict.ADOPT
    assert verdict_of([Reason("drift", ""), Reason("no_gain", "")]) is Verdict.KEEP
    assert [AT_MOST[code].word for code in ("too_few_bad", "no_gain", "atom")] == ["refuse", "keep", "shadow"]


def test_sixty_deployments_of_which_five_are_bad_are_refused() -> None:
    found = simulated(USUAL, 60, 2)
    labels = np.full(60, Label.GOOD)
    labels[::12] = Label.BAD
    found = replace(found, label=labels, onset=np.where(labels == Label.BAD, 5.0, np.nan))
    result = recommend(found, INCUMBENT, TERMS)
    assert result.verdict is Verdict.REFUSE
    assert {"too_few_good", "too_few_bad"} <= {reason.code for reason in result.reasons}


def test_a_test_that_was_looked_at_before_allows_a_dry_run_at_most() -> None:
    found = simulated(USUAL, 1500, 5)
    first = recommend(found, INCUMBENT, TERMS)
    again = recommend(found, INCUMBENT, TERMS, used=frozenset({first.test_digest}))
    assert first.verdict is Verdict.ADOPT
    assert again.verdict is Verdict.SHADOW
    assert [reason.code for reason in again.reasons] == ["test_already_used"]


def test_without_an_exchange_rate_the_nearest_admissible_limit_is_run_dry() -> None:
    result = recommend(simulated(USUAL, 1500, 5), INCUMBENT, Terms())
    assert result.chosen == result.incumbent, "the incumbent keeps the cap, and nothing is nearer"
    assert "no_cost" in {reason.code for reason in result.reasons}
    assert result.verdict <= Verdict.SHADOW


def test_services_that_were_not_learnt_from_are_named() -> None:
    found = simulated(USUAL, 600, 5)
    service = found.service.copy()
    service[found.service == 7] = 6
    service[-20:] = 7
    result = recommend(replace(found, service=service), INCUMBENT, TERMS)
    assert "s7" in next(reason.says for reason in result.reasons if reason.code == "new_services")


def test_unreviewed_stops_leave_nothing_admissible_and_the_way_out_is_said() -> None:
    found = simulated(USUAL, 600, 5)
    rows = np.flatnonzero(found.label == Label.GOOD)[::8]
    label, stopped, complete = found.label.copy(), found.stopped.copy(), found.complete.copy()
    label[rows], stopped[rows], complete[rows] = Label.UNKNOWN, True, False
    result = recommend(replace(found, label=label, stopped=stopped, complete=complete), INCUMBENT, TERMS)
    assert result.verdict is Verdict.REFUSE
    assert "Review them" in next(reason.says for reason in result.reasons if reason.code == "not_identified")


def test_equal_input_gives_an_equal_recommendation() -> None:
    assert recommend(simulated(USUAL, 400, 7), INCUMBENT, TERMS) == recommend(simulated(USUAL, 400, 7), INCUMBENT, TERMS)


# A small run of the study


def test_adopted_limits_keep_the_cap_and_beat_the_incumbent() -> None:
    found = studied(USUAL, 1000, simulations=4)
    assert found.over_cap == 0
    assert found.worse == 0
    assert found.incumbent.benefit < found.benefit <= found.best.benefit


def test_where_nothing_can_be_gained_nothing_passes() -> None:
    found = studied(HOPELESS, 400, simulations=8)
    assert found.gain_passed == 0
    assert found.verdicts["adopt"] == 0
