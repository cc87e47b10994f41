"""The replay of every limit at once against the controllers themselves, tick by tick: no detection may differ."""

from __future__ import annotations

import json
import math
import subprocess
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.controllers import argo_rollouts, burn_rate, flagger, prometheus
from tests.panels import arm, deployments, fired, panel, samples
from toolkit.criteria import criterion_of
from toolkit.passage import detections, passages

LIMITS = [0.0, 0.05, 0.1, 0.15, 0.5]
# Values that tie with the limits, values between them, and nothing.
VALUES = [0.0, 0.05, 0.1, 0.12, 0.15, 0.5, 0.7, math.nan]
LENGTHS = (1, 2, 3, 7, 24)
ACROSS = 250


def series(seed: int, rows: int) -> np.ndarray:
    """Random walks among few values: ties, gaps and stretches in which one value stays."""
    random = np.random.default_rng(seed)
    drawn = random.choice(VALUES, size=(rows, ACROSS))
    stay = random.random((rows, ACROSS)) < 0.6
    for row in range(1, rows):
        drawn[row] = np.where(stay[row], drawn[row - 1], drawn[row])
    return drawn


def watching(kind: str, **given: object):
    return criterion_of({"name": "c", "kind": kind, "limit": 0.1, **given})


@pytest.mark.parametrize("below", [False, True])
def test_a_prometheus_alert_fires_when_the_replay_says_so(below: bool) -> None:
    compared = 0
    for rows in LENGTHS:
        values = series(rows, rows)
        where = panel(all=arm(value=values))
        for duration in ("0s", "1s", "60s", "61s", "2m", "5m"):
            alert = watching("threshold", below=below, **{"for": duration})
            found = fired(alert, where, LIMITS, alert.n(60.0))
            for place, row in enumerate(found):
                seconds = alert.duration.total_seconds()
                wanted = [prometheus.fires_at(values[:, place].tolist(), limit, seconds, 60.0, below=below) for limit in LIMITS]
                assert row == wanted
                compared += len(wanted)
    assert compared == len(LENGTHS) * 6 * ACROSS * len(LIMITS)


def test_prometheus_itself_fires_where_the_replay_says(promtool: str, tmp_path: Path) -> None:
    rows, across, durations = 16, 40, ("0s", "1m", "90s", "3m")
    values = series(700, rows)[:, :across]
    where = panel(all=arm(value=values))
    alerts = {duration: watching("threshold", min_events=0, **{"for": duration}) for duration in durations}
    rules = [{"alert": f"held {duration}", "expr": "errors > 0.1", "for": duration} for duration in durations]
    told = [
        # A scrape that failed is a stale marker: without one Prometheus would repeat the last sample for five minutes.
        {"series": f'errors{{d="{place}"}}', "values": " ".join("stale" if math.isnan(v) else f"{v:g}" for v in values[:, place])}
        for place in range(across)
    ]
    checks = []
    for duration, alert in alerts.items():
        found = fired(alert, where, [0.1], alert.n(60))
        for minute in range(rows):
            # Firing at its first time and, since then, as long as it holds: asked for at the first time alone.
            firing = [place for place, (at,) in enumerate(found) if at == minute]
            earlier = [place for place, (at,) in enumerate(found) if at is not None and at < minute]
            over = values[minute] > 0.1
            state = alert.states(alert.scores(where), (alert.n(60),))[alert.n(60)][minute] > 0.1
            wanted = sorted({*firing, *(place for place in earlier if state[place])})
            assert all(over[place] for place in wanted)
            labels = [{"exp_labels": {"d": str(place)}} for place in wanted]
            checks.append({"eval_time": f"{minute}m", "alertname": f"held {duration}", "exp_alerts": labels})
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    tests = {
        "rule_files": ["rules.json"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": told, "alert_rule_test": checks}],
    }
    (tmp_path / "test.json").write_text(json.dumps(tests))
    done = subprocess.run([promtool, "test", "rules", "test.json"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[:2000] + done.stderr[:2000]
    # It would have noticed.
    checks[-1]["exp_alerts"] = [] if checks[-1]["exp_alerts"] else [{"exp_labels": {"d": "0"}}]
    (tmp_path / "test.json").write_text(json.dumps(tests))
    assert subprocess.run([promtool, "test", "rules", "test.json"], cwd=tmp_path, capture_output=True, timeout=120, check=False).returncode


def test_samples_that_never_came_reset_the_clock_as_nan_does() -> None:
    rows = 24
    values = series(500, rows)
    present = np.random.default_rng(6).random(values.shape) < 0.8
    names = [f"d{place}" for place in range(ACROSS)]
    frames = [
        samples(deployment=name, value=values[:, place].tolist()).filter(pl.Series(present[:, place])) for place, name in enumerate(names)
    ]
    alert = watching("threshold", min_events=0, **{"for": "2m"})
    scattered = pl.concat(frames).sample(fraction=1.0, shuffle=True, seed=4)
    seen = passages(scattered, deployments(*names), alert, numbers=(), horizon=timedelta(minutes=rows - 1))
    found = {(name, limit): t for name, _, limit, t in detections(seen.profiles, alert, LIMITS).iter_rows()}
    for place, name in enumerate(names):
        heard = np.where(present[:, place], values[:, place], math.nan).tolist()
        for limit in LIMITS:
            at = prometheus.fires_at(heard, limit, 120, 60)
            assert found.get((name, limit)) == (None if at is None else timedelta(minutes=at))


@pytest.mark.parametrize("failure_limit", [0, 1, 2, 4])
def test_argo_rollouts_fails_a_run_when_the_replay_says_so(failure_limit: int) -> None:
    for rows in LENGTHS:
        values = series(100 + rows, rows)
        where = panel(all=arm(value=values))
        only_failure = watching("failed_checks", k=failure_limit + 1, controller="argo_rollouts", no_data="passes")
        only_success = watching("failed_checks", k=failure_limit + 1, controller="argo_rollouts", no_data="fails")
        for criterion in (only_failure, only_success):
            found = fired(criterion, where, LIMITS, criterion.k)
            for place, row in enumerate(found):
                for limit, at in zip(LIMITS, row, strict=True):
                    conditions = (
                        {"failure": lambda v, limit=limit: v > limit}
                        if criterion is only_failure
                        else {"success": lambda v, limit=limit: v <= limit}
                    )
                    ended = argo_rollouts.ends_at(values[:, place].tolist(), failure_limit=failure_limit, **conditions)
                    assert at == (ended[0] if ended else None)


@pytest.mark.parametrize("failure_limit", [0, 1, 2])
def test_an_undecided_measurement_hands_the_rollout_to_a_person(failure_limit: int) -> None:
    for rows in LENGTHS:
        values = series(200 + rows, rows)
        both = watching("failed_checks", k=failure_limit + 1, controller="argo_rollouts", success_limit=0.05)
        limits = [limit for limit in LIMITS if limit >= 0.05]
        found = fired(both, panel(all=arm(value=values)), limits, both.k)
        for place, row in enumerate(found):
            for limit, at in zip(limits, row, strict=True):
                ended = argo_rollouts.ends_at(
                    values[:, place].tolist(),
                    failure_limit=failure_limit,
                    success=lambda v: v <= 0.05,
                    failure=lambda v, limit=limit: v > limit,
                )
                assert at == (ended[0] if ended and ended[1] == "Failed" else None)


def test_the_fifth_error_in_a_row_ends_a_run_at_any_limit() -> None:
    for rows in (*LENGTHS, 60):
        values = series(300 + rows, rows)
        erring = watching("failed_checks", k=2, controller="argo_rollouts", no_data="error")
        # Retries come every 10 s, and so do these samples.
        found = fired(erring, panel(step=10.0, all=arm(value=values)), LIMITS, 2)
        for place, row in enumerate(found):
            measured = [argo_rollouts.ERROR if math.isnan(v) else v for v in values[:, place].tolist()]
            for limit, at in zip(LIMITS, row, strict=True):
                ended = argo_rollouts.ends_at(measured, failure_limit=1, failure=lambda v, limit=limit: v > limit)
                assert at == (ended[0] if ended else None)


@pytest.mark.parametrize("steps", [None, 1, 3, 10])
@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_flagger_rolls_back_when_the_replay_says_so(threshold: int, steps: int | None) -> None:
    for rows in LENGTHS:
        values = series(400 + rows, rows)
        canary = watching("failed_checks", k=threshold, controller="flagger", no_data="fails", steps=steps)
        found = fired(canary, panel(all=arm(value=values)), LIMITS, threshold)
        for place, row in enumerate(found):
            assert row == [flagger.rolls_back_at(values[:, place].tolist(), limit, threshold, steps=steps) for limit in LIMITS]


def test_flagger_acts_a_tick_after_the_last_failure_and_not_at_the_last_tick() -> None:
    #           tick  0    1    2    3    4
    checks = [[0.9, 0.9, 0.9, 0.9, 0.0], [0.9, 0.0, 0.9, 0.9, 0.9]]
    canary = watching("failed_checks", k=3, controller="flagger", no_data="fails")
    found = fired(canary, panel(all=arm(value=np.transpose(checks))), [0.1], 3)
    # Tick 0 checks nothing: failures at 1, 2, 3 roll back at 4. A third failure at the last tick stops nothing.
    assert found == [[4], [None]]


@pytest.mark.parametrize("slo", ["0.9", "0.99", "0.999"])
def test_a_burn_rate_alert_fires_when_the_replay_says_so(slo: str) -> None:
    random = np.random.default_rng(7)
    pairs = [{"long": "12m", "short": "3m", "budget": 0.02}, {"long": "24m", "short": "6m", "budget": 0.05}]
    alert = criterion_of({"name": "b", "kind": "burn_rate", "slo": float(slo), "period": "4h", "pairs": pairs, "min_events": 1})
    multipliers = [0.25, 0.5, 1.0, 2.0]
    budget = 1 - Fraction(slo)
    windows = [(12, 3, Fraction(2, 100) * 20), (24, 6, Fraction(5, 100) * 10)]
    for rows, first in ((1, 0), (5, 0), (40, 24), (60, 10)):
        total = random.choice([0, 10, 100], size=(rows, ACROSS))
        bad = np.minimum(total, random.choice([0, 0, 0, 1, 2, 4, 5, 40], size=(rows, ACROSS)))
        found = fired(alert, panel(first=first, all=arm(bad=bad, total=total)), multipliers, 1)
        for place, row in enumerate(found):
            for multiplier, at in zip(multipliers, row, strict=True):
                assert at == burn_rate.fires_at(
                    bad[:, place].tolist(),
                    total[:, place].tolist(),
                    first=first,
                    windows=windows,
                    budget=budget,
                    multiplier=Fraction(multiplier),
                )


def minutes_until(step: float, *, clears: bool = False) -> float:
    """15 % errors for ten minutes against 99.9 %, the pair 1 h / 5 m: minutes from their start until it fires, or from their end until it
    clears."""
    rows, before = int(5400 / step), int(3600 / step)
    at = (np.arange(rows) - before + 1) * step
    burning = (at > 0) & (at <= 600)
    total = np.full((rows, 1), 1000.0)
    alert = criterion_of({"name": "b", "kind": "burn_rate", "slo": 0.999, "pairs": [{"long": "1h", "budget": 0.02}], "min_events": 1})
    state = alert.scores(panel(step=step, all=arm(bad=np.where(burning, 150.0, 0.0)[:, None], total=total)))[:, 0] > alert.bound(1.0)
    if clears:
        after = at > 600
        return float(at[after][~state[after]][0] - 600) / 60
    return float(at[state][0]) / 60


def test_the_golden_times_of_a_burn_rate_alert() -> None:
    # Burning at 150 times, the long window is over 14.4 after 14.4 / 150 of its hour: 5.76 min. The short one is under it again when
    # what is left of the errors is 14.4 / 150 of its 5 minutes: after 4.52 min.
    assert 60 * 14.4 / 150 == 5.76
    assert round(5 * (1 - 14.4 / 150), 2) == 4.52
    assert round(minutes_until(1), 2) == 5.77
    assert round(minutes_until(1, clears=True), 2) == 4.53
    assert minutes_until(60) == 6
    assert minutes_until(60, clears=True) == 5


def test_factors_are_computed_from_the_period() -> None:
    def factors(days: int) -> list[float]:
        pairs = [{"long": "1h", "budget": 0.02}, {"long": "6h", "budget": 0.05}, {"long": "3d", "budget": 0.10}]
        alert = criterion_of({"name": "b", "kind": "burn_rate", "slo": 0.999, "period": f"{days}d", "pairs": pairs})
        return [round(float(alert.factor(pair)), 3) for pair in alert.pairs]

    assert factors(30) == [14.4, 6, 1]
    assert factors(28) == [13.44, 5.6, 0.933]
    default = criterion_of({"name": "b", "kind": "burn_rate", "slo": 0.999})
    assert [pair.brief for pair in default.pairs] == [timedelta(minutes=5), timedelta(minutes=30)]
