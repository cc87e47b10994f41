"""Telemetry that cannot be trusted is named, counted, and never silently used."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.panels import START, deployments, samples
from toolkit.criteria import criterion_of
from toolkit.criteria.telemetry import RULES
from toolkit.passage import Passages, passages

ALERT = criterion_of({"name": "errors", "kind": "threshold", "limit": 0.1, "min_events": 0})
CANARY = criterion_of({"name": "errors", "kind": "canary", "limit": 0.1, "min_events": 0})
N = 30


def walk(*frames: pl.DataFrame, criterion: Any = ALERT) -> Passages:
    return passages(pl.concat(frames), deployments("d1", "d2"), criterion, numbers=())


def told(seen: Passages) -> list[tuple[str, int, bool]]:
    return seen.problems.select("rule", "n", "used").rows()


def counts(**given: Any) -> pl.DataFrame:
    return samples(**({"bad": [1.0] * N, "total": [100.0, 98.0] * (N // 2)} | given))


def test_sound_telemetry_has_no_problems() -> None:
    seen = walk(counts(), counts(deployment="d2"))
    assert told(seen) == []
    assert seen.watched["missing"].to_list() == [91, 91]


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("negative_count", {"bad": [1.0] * 10 + [-5.0, -1.0] + [1.0] * 18}),
        ("more_bad_than_total", {"bad": [1.0] * 10 + [500.0, 101.0] + [1.0] * 18}),
        ("not_a_number", {"bad": [1.0] * 10 + [math.nan, math.inf] + [1.0] * 18}),
    ],
)
def test_a_broken_sample_counts_as_missing(rule: str, broken: dict[str, Any]) -> None:
    seen = walk(counts(**broken))
    assert told(seen) == [(rule, 2, True)]
    assert seen.problems["first_at"].to_list() == [START + timedelta(minutes=10)]
    assert seen.watched["missing"].to_list() == [93]
    # Nothing of it reached the profile: 1 of 98 is the worst that was measured.
    assert seen.profiles["value"].max() == 1 / 98


def test_the_same_sample_twice_counts_once_and_two_values_for_one_moment_count_as_none() -> None:
    twice = pl.concat([counts(), counts()[3:5]])
    assert told(walk(twice)) == [("duplicate", 2, True), ("unsorted", 1, True)]
    assert walk(twice).profiles.equals(walk(counts()).profiles)
    clash = pl.concat([counts(), counts(bad=[90.0] * N)[3:5]])
    seen = walk(clash)
    assert told(seen) == [("conflicting", 4, True), ("unsorted", 1, True)]
    assert seen.profiles["value"].max() == 1 / 98


def test_order_changes_nothing_and_is_counted() -> None:
    mixed = counts().sample(fraction=1.0, shuffle=True, seed=1)
    seen = walk(mixed)
    assert [rule for rule, *_ in told(seen)] == ["unsorted"]
    assert seen.profiles.equals(walk(counts()).profiles)


def test_a_running_counter_is_not_taken_for_counts_of_a_step() -> None:
    random = np.random.default_rng(1)
    running = {"bad": np.cumsum(random.poisson(2, N)).astype(float), "total": np.cumsum(random.poisson(100, N)).astype(float)}
    seen = walk(counts(**running), counts(deployment="d2"))
    assert told(seen) == [("cumulative_counter", N - 1, False)]
    assert seen.watched["deployment"].to_list() == ["d2"]
    reset = {name: np.where(np.arange(N) < 18, values, values - values[17]) for name, values in running.items()}
    seen = walk(counts(**reset))
    assert told(seen) == [("counter_reset", 1, False)]
    assert seen.problems["first_at"].to_list() == [START + timedelta(minutes=18)]
    assert seen.profiles.is_empty()


def test_counts_that_happen_to_rise_are_no_running_counter() -> None:
    busier = counts(bad=[float(place % 3) for place in range(N)], total=[100.0 + place for place in range(N)])
    assert told(walk(busier)) == []
    random = np.random.default_rng(2)
    names = [f"d{place}" for place in range(300)]
    drawn = [(name, random.poisson(50, (2, 9)).astype(float)) for name in names]
    rows = pl.concat([samples(deployment=name, bad=np.minimum(*pair), total=np.maximum(*pair)) for name, pair in drawn])
    assert told(passages(rows, deployments(*names), ALERT)) == []


@pytest.mark.parametrize(
    "frames",
    [
        # Says 60 s, comes every 30.
        [counts(step=30)],
        # A minute apart, then half a minute.
        [counts(declared=None), counts(declared=None, step=30, start=START + timedelta(minutes=N))],
        # Half a minute apart, then a minute: no gaps of one sample each, but another step.
        [counts(declared=None, step=30), counts(declared=None, start=START + timedelta(minutes=N / 2))],
        # Says both.
        [counts(), counts(declared=30, start=START + timedelta(minutes=N))],
    ],
)
def test_mixed_steps_are_not_used(frames: list[pl.DataFrame]) -> None:
    seen = walk(*frames)
    assert [(rule, used) for rule, _, used in told(seen)] == [("mixed_steps", False)]
    assert seen.profiles.is_empty()
    assert seen.watched.is_empty()


def test_two_arms_at_two_steps_are_mixed() -> None:
    seen = walk(counts(variant="canary"), counts(variant="baseline", step=30, declared=30), criterion=CANARY)
    assert {rule for rule, *_ in told(seen)} == {"mixed_steps"}
    assert seen.watched.is_empty()


def test_lost_scrapes_and_late_ones_are_no_other_step() -> None:
    lost = counts(declared=None).filter(pl.int_range(pl.len()).is_in([4, 9, 10, 11, 20]).not_())
    assert told(walk(lost)) == []
    random = np.random.default_rng(3)
    late = counts().with_columns(pl.col("at") + pl.Series(random.integers(0, 8_000_000, N)).cast(pl.Duration("us")))
    assert told(walk(late)) == []
    assert walk(late).watched["missing"].to_list() == [120 - N]


def test_a_canary_without_a_baseline_is_not_judged() -> None:
    both = [counts(variant=variant, deployment="d2") for variant in ("canary", "baseline")]
    seen = walk(counts(variant="canary"), *both, criterion=CANARY)
    assert told(seen) == [("missing_baseline", N, False)]
    assert seen.watched["deployment"].to_list() == ["d2"]
    # A baseline of which no sample is sound is none either.
    broken = counts(variant="baseline", bad=[-1.0] * N)
    assert {rule for rule, *_ in told(walk(counts(variant="canary"), broken, criterion=CANARY))} == {"missing_baseline", "negative_count"}


def test_one_sample_without_a_step_has_no_time_of_its_own() -> None:
    assert told(walk(samples(bad=[1.0], total=[9.0], declared=None))) == [("no_step", 1, False)]


def test_samples_of_a_deployment_that_nobody_told_of_are_named() -> None:
    seen = walk(counts(), counts(deployment="ghost"))
    assert seen.problems.select("service", "deployment", "rule", "n", "used").rows() == [("shop", "ghost", "unknown_deployment", N, False)]
    assert seen.watched["deployment"].to_list() == ["d1"]


def test_a_criterion_whose_step_does_not_go_into_the_samples_says_so() -> None:
    def at(step: str) -> list[tuple[str, int, bool]]:
        own = criterion_of({"name": "errors", "kind": "threshold", "limit": 0.1, "min_events": 0, "step": step})
        return told(walk(counts(), criterion=own))

    assert at("45s") == at("90s") == [("other_step", N, True)]
    assert at("30s") == at("60s") == at("2m") == []


def test_a_step_of_microseconds_asks_for_no_matrix_of_that_size() -> None:
    assert told(walk(counts(step=1e-6, declared=1e-6))) == [("too_fine", N, False)]
    assert [rule for rule, *_ in told(walk(counts(declared=1e300)))] == []
    half = counts(step=0.5, declared=0.5)
    assert walk(half).watched.is_empty()


def test_every_problem_says_what_it_means() -> None:
    seen = walk(counts(step=30), counts(deployment="d2", bad=[-1.0] * N))
    assert seen.problems["service"].to_list() == ["shop", "shop"]
    assert seen.problems["text"].to_list() == [RULES["mixed_steps"], RULES["negative_count"]]
