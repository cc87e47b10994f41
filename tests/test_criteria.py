"""Kinds of criteria: what each one fires on, to the letter."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.panels import START, arm, deployments, fired, panel, samples
from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.judge import Judged, judge, label, shift
from toolkit.criteria.panel import Panel, gap, quotient, ratio
from toolkit.criteria.running import kth_largest, rolling_minima
from toolkit.criteria.spans import span, written
from toolkit.passage import detections, passages, peaks

NAN, INF = math.nan, math.inf


def watching(kind: str, **given: Any) -> Criterion:
    return criterion_of({"name": "c", "kind": kind, "limit": 0.1, "min_events": 0, **given})


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def at(criterion: Criterion, where: Panel, limit: float | None = None) -> int | None:
    """The evaluation at which a criterion fires on the one deployment of a panel."""
    return fired(criterion, where, [criterion.setting() if limit is None else limit], criterion.n(where.step))[0][0]


# Limits, clocks, counts


def test_a_limit_is_strict_and_a_clock_is_not() -> None:
    where = panel(all=arm(value=column(0.1, 0.1, 0.2, 0.2, 0.2)))
    assert at(watching("threshold"), where) == 2
    # Over the limit since evaluation 2; at evaluation 4 that is 2 minutes, which is not more than `for` but as long.
    assert at(watching("threshold", **{"for": "2m"}), where) == 4
    assert watching("threshold", **{"for": "2m"}).n(60) == 3
    assert [watching("threshold", **{"for": written}).n(60) for written in ("0s", "1s", "60s", "61s", "5m")] == [1, 2, 2, 3, 6]


def test_below_turns_the_limit_round() -> None:
    where = panel(all=arm(value=column(0.9, 0.99, 0.5)))
    assert at(watching("threshold", limit=0.9, below=True), where) == 2
    assert at(watching("threshold", limit=0.95, below=True), where) == 0


def test_comparisons_of_counts_are_exact() -> None:
    # 3 of 30 are 0.1, and 0.1 is not more than 0.1.
    assert at(watching("threshold"), panel(all=arm(bad=column(3), total=column(30)))) is None
    assert at(watching("threshold"), panel(all=arm(bad=column(4), total=column(39)))) == 0


def test_ties_of_a_burn_rate_never_fire() -> None:
    ties, in_floats = 0, 0
    for slo in ("0.9", "0.95", "0.99", "0.995", "0.999"):
        for budget, hours in (("0.02", 1), ("0.05", 6), ("0.10", 72)):
            rate = (1 - Fraction(slo)) * Fraction(budget) * Fraction(720, hours)
            for scale in range(1, 16):
                bad, total = rate.numerator * scale, rate.denominator * scale
                if bad > total:
                    continue
                pair = {"long": f"{hours}h", "short": f"{hours}h", "budget": float(budget)}
                alert = criterion_of({"name": "b", "kind": "burn_rate", "slo": float(slo), "pairs": [pair], "min_events": 0})
                step = 3600.0 * hours
                assert fired(alert, panel(step=step, all=arm(bad=column(bad), total=column(total))), [1.0], 1) == [[None]]
                assert fired(alert, panel(step=step, all=arm(bad=column(bad), total=column(total - 1))), [1.0], 1) == [[0]]
                ties += 1
                in_floats += bad / total / (1 - float(slo)) > float(budget) * 720 / hours
    # What plain floating point would have got wrong.
    assert ties > 150
    assert in_floats >= 30


@given(st.integers(0, 2**40), st.integers(1, 2**40), st.integers(1, 999), st.integers(1, 1000))
def test_a_quotient_is_rounded_once(above: int, below: int, up: int, down: int) -> None:
    exact = Fraction(above, below) * Fraction(up, down)
    assert quotient(np.array([float(above)]), np.array([float(below)]), Fraction(up, down))[0] == float(exact)


def test_a_sample_with_too_few_events_neither_passes_nor_fails_and_resets_the_clock() -> None:
    where = panel(all=arm(bad=column(10, 10, 10, 10, 10), total=column(40, 40, 29, 40, 40)))
    alert = watching("threshold", min_events=30, **{"for": "2m"})
    assert at(alert, where) is None
    assert at(watching("threshold", min_events=29, **{"for": "2m"}), where) == 2
    # It is no failed check either, not even where a missing one would be.
    assert at(watching("failed_checks", k=5, min_events=30, no_data="fails"), where) is None
    assert at(watching("failed_checks", k=4, min_events=30, no_data="fails"), where) == 4
    assert criterion_of({"name": "c", "kind": "threshold", "limit": 0.1}).min_events == 30


def test_of_more_checks_than_there_are_none_is_the_last() -> None:
    where = panel(all=arm(value=column(1, 1, 1)))
    assert at(watching("failed_checks", k=10**9), where) is None
    assert at(watching("consecutive", k=10**9), where) is None
    assert at(watching("threshold", **{"for": "10000d"}), where) is None


def test_health_checks_fail_in_a_row() -> None:
    where = panel(all=arm(value=column(1, 1, 0, 1, 1, 1)))
    assert at(watching("consecutive", k=3), where) == 5
    assert at(watching("failed_checks", k=3), where) == 3
    gap = panel(all=arm(value=column(1, NAN, 1, 0)))
    assert at(watching("consecutive", k=3), gap) is None
    assert at(watching("consecutive", k=3, no_data="fails"), gap) == 2


# Canary


def beside(new: Any, old: Any) -> Panel:
    return panel(canary=new, baseline=old)


def test_a_canary_is_held_against_its_baseline_exactly() -> None:
    # 8/40 − 4/40 = 0.1, which is not over 0.1; in floats 0.2 − 0.1 is, or is not, as it happens: 3/10 − 2/10 is 0.09999999999999998.
    tie = beside(arm(bad=column(8), total=column(40)), arm(bad=column(4), total=column(40)))
    assert at(watching("canary"), tie) is None
    assert 7 / 10 - 6 / 10 < 0.1 < 4 / 10 - 3 / 10
    over = beside(arm(bad=column(4), total=column(10)), arm(bad=column(3), total=column(10)))
    assert at(watching("canary"), over) is None
    assert at(watching("canary", limit=0.0999), over) == 0


@given(st.lists(st.integers(1, 2**50), min_size=4, max_size=4))
def test_shares_are_compared_exactly_however_many_events_there_are(events: list[int]) -> None:
    n, m = max(events[:2]), max(events[2:])
    b, c = min(events[:2]), min(events[2:])
    new, old = (arm(bad=column(float(bad)), total=column(float(total))) for bad, total in ((b, n), (c, m)))
    assert gap(new, old)[0, 0] == float(Fraction(b, n) - Fraction(c, m))
    assert ratio(new, old)[0, 0] == float(Fraction(b, n) / Fraction(c, m))


def test_a_ratio_over_nothing_is_over_every_limit_unless_it_is_under_the_floor() -> None:
    where = beside(arm(bad=column(0, 1, 5), total=column(100, 100, 100)), arm(bad=column(0, 0, 0), total=column(100, 100, 100)))
    assert at(watching("canary", mode="ratio", limit=1000.0), where) == 1
    # One in a hundred is not more than the floor; five are.
    assert at(watching("canary", mode="ratio", limit=1000.0, floor=0.01), where) == 2
    assert at(watching("canary", mode="difference", limit=0.0, floor=0.01), where) == 2
    twice = beside(arm(bad=column(4, 5), total=column(100, 100)), arm(bad=column(2, 2), total=column(100, 100)))
    assert at(watching("canary", mode="ratio", limit=2.0), twice) == 1


def test_both_arms_need_the_minimum_of_events() -> None:
    few = beside(arm(bad=column(9, 9, 9), total=column(29, 30, 30)), arm(bad=column(0, 0, 0), total=column(30, 29, 30)))
    assert at(watching("canary", min_events=30), few) == 2


# Anomaly


def test_an_anomaly_is_scored_against_what_came_before_it() -> None:
    values = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 9.0, 1.0]
    alert = watching("anomaly", halflife="4m", limit=3.0)
    # By hand: a = 1 − 2^(−1/4); no score in the first four minutes.
    a, mean, variance, scores = 1 - 2 ** (-1 / 4), values[0], 0.0, [-INF]
    for place, x in enumerate(values[1:], 1):
        d = x - mean
        scores.append(d / math.sqrt(variance) if place >= 4 and variance > 0 else -INF)
        mean, variance = mean + a * d, (1 - a) * (variance + a * d * d)
    found = alert.scores(panel(all=arm(value=column(*values))))[:, 0]
    np.testing.assert_allclose(found, scores, rtol=1e-12)
    assert [place for place, score in enumerate(scores) if score > 3] == [6]
    assert at(alert, panel(all=arm(value=column(*values)))) == 6


def test_what_never_varied_has_no_score() -> None:
    assert at(watching("anomaly", halflife="2m"), panel(all=arm(value=column(*[5.0] * 9, 50.0)))) is None


def test_the_past_before_the_deployment_is_learnt_from_and_not_alerted_on() -> None:
    values = [1.0, 2.0, 1.0, 2.0, 1.0, 30.0, 1.0, 2.0, 30.0, 1.0]
    where = panel(first=6, all=arm(value=column(*values)))
    # The spike at 5 lies before. It widened the variance, so that the one at 8, evaluation 2 of the deployment, is no surprise …
    assert at(watching("anomaly", halflife="2m", limit=5.0), where) is None
    assert at(watching("anomaly", halflife="2m", limit=5.0), panel(first=5, all=arm(value=column(*values)))) == 0
    # … unless the baseline was frozen when the first one was alerted on.
    frozen = watching("anomaly", halflife="2m", limit=5.0, on_alert="freeze")
    assert at(frozen, where) == 2
    assert frozen.approximate
    # One that began anew then has no score so soon.
    assert at(watching("anomaly", halflife="3m", limit=5.0, on_alert="reset"), where) is None


# No data


def test_no_data_fires_when_the_first_missing_sample_is_long_enough_ago() -> None:
    quiet = criterion_of({"name": "q", "kind": "no_data", "for": "2m"})
    where = panel(all=arm(value=column(1, NAN, NAN, 1, NAN, NAN, NAN, NAN)))
    # Missing at 4, 5, 6: at 6 the first one is two minutes ago.
    assert at(quiet, where) == 6
    assert at(quiet, where, limit=180.0) == 7
    assert quiet.action == "pause"


def test_a_deployment_that_was_never_heard_of_is_what_no_data_is_for() -> None:
    starts = deployments("heard", "silent")
    quiet = criterion_of({"name": "q", "kind": "no_data", "for": "2m"})
    seen = passages(samples(deployment="heard", value=[1.0] * 121), starts, quiet)
    assert detections(seen.profiles, quiet, [quiet.setting()])["deployment"].to_list() == ["silent"]
    assert set(seen.watched["deployment"]) == {"heard", "silent"}


# Several at once


def made_of(kind: str, **more: Any) -> Criterion:
    members = [
        {"name": "errors", "kind": "threshold", "limit": 0.1, "series": "errors", "min_events": 0},
        {"name": "latency", "kind": "threshold", "limit": 200.0, "series": "latency", "min_events": 0},
    ]
    return criterion_of({"name": "both", "kind": kind, "members": members, "path": [0.5, 1.0, 2.0, 4.0], **more})


def two(errors: list[float], latency: list[float]) -> Panel:
    where = panel(all=arm(value=column(*errors)))
    arms = {("errors", "all"): arm(value=column(*errors)), ("latency", "all"): arm(value=column(*latency))}
    return Panel(where.deployments, 60.0, 0, where.rows, where.offsets, where.ends, arms)


def test_any_of_moves_all_limits_together() -> None:
    where = two([0.0, 0.15, 0.0], [0.0, 0.0, 900.0])
    # At once as written: 0.15 is over 0.1; at twice: only 900 is over 400.
    assert fired(made_of("any_of"), where, [0.5, 1.0, 2.0, 4.0], 1) == [[1, 1, 2, 2]]


def test_all_of_asks_for_the_same_moment() -> None:
    apart = two([0.2, 0.0, 0.0], [0.0, 300.0, 0.0])
    together = two([0.0, 0.2, 0.0], [0.0, 300.0, 0.0])
    assert at(made_of("all_of"), apart) is None
    assert at(made_of("all_of"), together) == 1
    # [1, 0] and [0, 1]: each has held, but never both.
    assert at(made_of("any_of"), apart) == 0


def test_a_cumulative_member_stays_met() -> None:
    members = [
        {"name": "checks", "kind": "failed_checks", "k": 2, "limit": 0.1, "series": "errors", "min_events": 0},
        {"name": "latency", "kind": "threshold", "limit": 200.0, "series": "latency", "min_events": 0},
    ]
    both = criterion_of({"name": "both", "kind": "all_of", "members": members})
    assert at(both, two([0.2, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 300.0])) == 3


@given(st.data())
def test_a_composite_fires_at_each_point_of_its_path_when_its_members_do(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 12))
    errors, latency = (
        data.draw(st.lists(st.sampled_from(levels), min_size=rows, max_size=rows))
        for levels in ((0.0, 0.1, 0.15, 0.5, NAN), (0.0, 200.0, 300.0, 900.0, NAN))
    )
    for kind, both in (("any_of", any), ("all_of", all)):
        composite = made_of(kind)
        found = fired(composite, two(errors, latency), [0.5, 1.0, 2.0, 4.0], 1)[0]
        for factor, where in zip((0.5, 1.0, 2.0, 4.0), found, strict=True):
            holds = [both((e > 0.1 * factor, late > 200.0 * factor)) for e, late in zip(errors, latency, strict=True)]
            assert where == (holds.index(True) if True in holds else None)


def test_members_that_would_move_apart_are_refused() -> None:
    negative = {"name": "a", "kind": "canary", "limit": -0.1}
    with pytest.raises(ValidationError, match="a limit below 0 would become stricter"):
        criterion_of({"name": "c", "kind": "any_of", "members": [negative]})


# The judge


def test_the_judges_shift_is_that_of_rs_wilcox_test() -> None:
    found = shift(np.array([10.0, 20, 30, 40]), np.array([1.0, 2, 3, 4]), confidence=0.95)
    assert (found.estimate, found.low, found.high) == (22.5, 6.0, 39.0)


def test_the_judge_lets_sparse_errors_pass() -> None:
    # Four errors in six samples against none at all: wrong, and what it says.
    assert label(Judged(np.array([0.0, 1, 2, 1, 0, 0]), np.zeros(6))) == "pass"


def test_the_judge_lets_seven_samples_of_ten_at_a_hundred_times_the_baseline_pass() -> None:
    verdicts = [label(Judged(np.repeat([100.0, 1.0], [bad, 10 - bad]), np.ones(10))) for bad in range(11)]
    assert verdicts == ["pass"] * 8 + ["high"] * 3


def test_a_score_is_the_share_of_metrics_that_pass() -> None:
    fine, bad = Judged(np.arange(20.0), np.arange(20.0)), Judged(np.arange(20.0) + 100, np.arange(20.0))
    silent = Judged(np.full(20, NAN), np.arange(20.0))
    assert judge([fine, fine, fine, bad]).score == 75
    assert judge([fine, fine, fine, silent]).score == 75
    assert judge([fine, silent]).score == 0
    critical = Judged(bad.canary, bad.baseline, critical=True)
    assert judge([fine, fine, fine, critical]).score == 0
    assert label(silent, nan_strategy="replace") == "pass"
    assert label(Judged(np.arange(20.0) - 100, np.arange(20.0), direction="either")) == "low"
    # Lifted by a tenth of a per cent: beyond chance, and smaller than anybody cares.
    close = Judged(np.arange(1000.0, 1020.0) + 30, np.arange(1000.0, 1020.0))
    assert (label(close), label(close, effect_size=1.1)) == ("high", "pass")


def test_the_judge_in_a_canary_is_simulated_and_says_so() -> None:
    random = np.random.default_rng(3)
    old = random.normal(1, 0.1, (40, 2))
    new = old.copy() + random.normal(0, 0.01, old.shape)
    new[:, 1] += 5
    judged = watching("canary", mode="mann_whitney", limit=75.0, interval="10m")
    assert judged.approximate
    assert fired(judged, beside(arm(value=new), arm(value=old)), [75.0], 1) == [[None], [10]]


# Profiles


def test_a_profile_holds_its_rises_and_nothing_else() -> None:
    alert = watching("threshold")
    values = [0.0, 0.3, 0.2, 0.3, 0.5, 0.1]
    seen = passages(samples(value=values), deployments("d1"), alert, numbers=(1, 2), horizon=timedelta(minutes=5))
    minutes = [(n, t / timedelta(minutes=1), value) for n, t, value in seen.profiles.select("n", "t", "value").rows()]
    assert minutes == [(1, 0, 0.0), (1, 1, 0.3), (1, 4, 0.5), (2, 1, 0.0), (2, 2, 0.2), (2, 4, 0.3)]
    assert peaks(seen.profiles, seen.watched, 2).row(0) == ("d1", 0.3)
    found = detections(seen.profiles, alert, [0.0, 0.2, 0.3, 0.5], n=1)
    assert [(limit, t / timedelta(minutes=1)) for limit, t in found.select("limit", "t").rows()] == [(0.0, 1), (0.2, 1), (0.3, 4)]


def test_time_is_counted_from_the_deployment_to_the_sample() -> None:
    late = deployments("d1", deployed_at=START + timedelta(seconds=90))
    seen = passages(samples(value=[9.0, 9.0, 1.0, 2.0]), late, watching("threshold"), numbers=())
    # What was measured before the deployment is not its doing; the first sample after it came 30 s later.
    assert [(t.total_seconds(), value) for t, value in seen.profiles.select("t", "value").rows()] == [(30, 1.0), (90, 2.0)]


def test_a_series_of_the_whole_service_is_looked_at_by_each_deployment_in_its_own_time() -> None:
    starts = pl.concat([deployments("first"), deployments("second", deployed_at=START + timedelta(minutes=4))])
    rows = samples(deployment=None, value=[1.0, 2.0, 1.0, 1.0, 5.0, 1.0])
    seen = passages(rows, starts, watching("threshold"), numbers=(), horizon=timedelta(minutes=3))
    assert peaks(seen.profiles, seen.watched, 1).sort("deployment").rows() == [("first", 2.0), ("second", 5.0)]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3]), min_size=1, max_size=15), st.integers(1, 6))
def test_running_minima_and_kth_largest_are_what_sorting_gives(values: list[float], n: int) -> None:
    matrix = column(*values)
    lows, tops = rolling_minima(matrix, (n,))[n][:, 0], kth_largest(matrix, (n,))[n][:, 0]
    for t in range(len(values)):
        window, so_far = values[max(0, t - n + 1) : t + 1], sorted(values[: t + 1], reverse=True)
        assert lows[t] == (min(window) if len(window) == n else -INF)
        assert tops[t] == (so_far[n - 1] if len(so_far) >= n else -INF)


def test_an_evaluation_step_of_its_own_sums_events_and_repeats_what_comes_seldom() -> None:
    rows = samples(bad=[0, 0, 10, 0, 0, 10], total=[50] * 6)
    every_two = watching("threshold", step="2m", limit=0.09)
    seen = passages(rows, deployments("d1"), every_two, numbers=(), horizon=timedelta(minutes=5))
    # Evaluated at 0, 2, 4 and, of what is left, 6: 0 of 50, 10 of 100, 0 of 100, 10 of 50.
    assert [(t / timedelta(minutes=1), value) for t, value in seen.profiles.select("t", "value").rows()] == [(0, 0.0), (2, 0.1)]
    half = watching("threshold", step="30s", **{"for": "1m"})
    seen = passages(samples(value=[0.0, 0.5, 0.5, 0.0]), deployments("d1"), half, numbers=(), horizon=timedelta(minutes=4))
    # Three evaluations in a row: at 60, 90 and 120 s.
    assert detections(seen.profiles, half, [0.1]).row(0)[3] == timedelta(seconds=120)


def test_durations_read_as_they_are_written() -> None:
    for text in ("30s", "5m", "1h30m", "3d", "500ms"):
        assert written(span(text)) == text
    for wrong in ("", "5", "5 min", "m", "1h 30m", "-5m"):
        with pytest.raises(ValueError, match="is no duration"):
            span(wrong)
