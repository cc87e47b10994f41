"""What people read of a recalibration: three bars with intervals, what is counted apart, and what counts at all."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from tests.study.recalibration import INCUMBENT, TERMS, USUAL, simulated
from tests.test_recalibration import cases
from toolkit.recalibration.bars import HARM, bars
from toolkit.recalibration.candidates import grid_of
from toolkit.recalibration.cases import Cases, Label
from toolkit.recalibration.decision import decided
from toolkit.recalibration.drift import drifts
from toolkit.recalibration.examination import Examination, examined
from toolkit.recalibration.guards import guarded
from toolkit.recalibration.question import question_of
from toolkit.recalibration.recommend import answered, recommend
from toolkit.recalibration.report import report
from toolkit.recalibration.units import Unit
from toolkit.recalibration.verdict import AT_MOST
from toolkit.recalibration.worth import worth_of
from toolkit.stats.strata import van_elteren


def seen(found: Cases, limit: float) -> Examination:
    """What a limit at three in a row did to all of them."""
    grid = replace(grid_of(found, INCUMBENT, TERMS), n=np.array([3]), bound=np.array([limit]), distance=np.zeros(1), incumbent=0)
    return examined(found, worth_of(found, grid, TERMS), 0, 0, TERMS, np.ones(len(found), bool))


# What counts


def test_a_bad_one_whose_incident_began_beyond_the_watch_or_never_is_not_among_those_needed() -> None:
    found = simulated(USUAL, 100, 3)
    bad = np.flatnonzero(found.label == Label.BAD)
    onset = found.onset.copy()
    onset[bad[0]], onset[bad[1]] = 121.0, math.nan
    before, after = (question_of(one, INCUMBENT, TERMS).counts for one in (found, replace(found, onset=onset)))
    assert after.bad == before.bad, "bad they stay"
    assert after.training_bad + after.test_bad == before.training_bad + before.test_bad - 2


def test_what_was_never_measured_bounds_nothing_even_where_automation_stopped_it() -> None:
    one = cases([(1, 0.2)], [], label=[Label.GOOD, Label.UNKNOWN], complete=[True, False], stopped=[False, True])
    assert one.bounding(3)[1].tolist() == [0.2, math.inf], "its telemetry ended at the stop"
    assert replace(one, seen=np.array([True, False])).bounding(3)[1].tolist() == [0.2], "it has none"


def test_drift_holds_what_was_learnt_from_against_the_test_and_leaves_out_what_lies_between() -> None:
    found = simulated(USUAL, 100, 1)
    question = question_of(found, INCUMBENT, TERMS)
    first, _ = drifts(found, question.training, question.test, 5, TERMS)
    good = (found.label == Label.GOOD) & (question.training | question.test)
    assert first.earlier + first.later == int(good.sum()) < int((found.label == Label.GOOD).sum())
    peaks = found.rises[5].peaks(len(found))
    assert first.p == van_elteren(peaks[good], question.test[good], found.service[good])


def test_where_every_limit_keeps_the_cap_the_bound_is_the_smallest_that_was_tried() -> None:
    found = simulated(USUAL, 400, 5)
    quiet = replace(found, rises=found.rises | {10: replace(found.rises[10], value=np.full(len(found.rises[10].value), -np.inf))})
    assert recommend(quiet, INCUMBENT, TERMS).bounds[10] == 0.04


# Minutes of harm


def test_harm_lasts_from_the_onset_until_the_limit_people_or_the_end_of_the_watch_ends_it() -> None:
    # Fires at 14 and acts at 15; never, and people stop it at 30; never, and nobody does; before its incident began at 20: people at 50.
    one = cases(
        [(14, 0.1)], [(14, 0.01)], [], [(5, 0.1)],
        label=[Label.BAD] * 4, onset=[10.0, 10.0, 100.0, 20.0], human=[30.0, 30.0, math.nan, 50.0],
    )  # fmt: skip
    assert seen(one, 0.08).harm == (((15 - 10) + (30 - 10) + (120 - 100) + (50 - 20)) / 4, None, None)


def test_a_deployment_does_no_harm_before_it_was_there() -> None:
    assert seen(cases([(1, 0.01)], label=[Label.BAD], onset=[-60.0], human=[30.0]), 0.08).harm[0] == 30


def test_from_five_on_the_mean_has_students_interval() -> None:
    ends = [32.0, 40.0, 51.0, 47.0, 60.0, 35.0]
    one = cases(*[[(1, 0.01)] for _ in ends], label=[Label.BAD] * len(ends), onset=[10.0] * len(ends), human=ends)
    minutes = np.array(ends) - 10
    wide = student.ppf(0.975, 5) * minutes.std(ddof=1) / math.sqrt(6)
    assert seen(one, 0.08).harm == pytest.approx((minutes.mean(), minutes.mean() - wide, minutes.mean() + wide))


# The page


@pytest.fixture(scope="module")
def unit() -> Unit:
    question = question_of(simulated(USUAL, 400, 5), INCUMBENT, TERMS)
    whole = decided(question)
    return Unit("class critical", INCUMBENT, answered(question, whole), TERMS, guarded(question, whole))


def test_three_bars_stand_in_force_against_best_with_their_intervals(unit: Unit) -> None:
    found = unit.found
    assert found.test is not None
    assert [(one.what, one.whose) for one in bars(unit)] == [
        (what, whose) for what in ("caught", "false stops", HARM) for whose in ("in force", "best admissible")
    ]
    for one, seen in zip(bars(unit), [found.incumbent_test, found.test] * 3, strict=True):
        expected = {
            "caught": (seen.caught.k / seen.caught.n, seen.caught.low, seen.caught.high),
            "false stops": (seen.false_stops.k / seen.false_stops.n, seen.false_stops.low, seen.false_stops.high),
            HARM: seen.harm,
        }
        assert (one.value, one.low, one.high) == expected[one.what]
        assert one.says in report([unit])


def test_where_the_limit_in_force_is_the_best_each_bar_stands_alone(unit: Unit) -> None:
    same = replace(unit, found=replace(unit.found, chosen=unit.found.incumbent))
    assert [one.whose for one in bars(same)] == ["in force"] * 3


def test_early_stops_are_told_apart(unit: Unit) -> None:
    assert unit.found.test is not None
    early = replace(unit, found=replace(unit.found, test=replace(unit.found.test, early=3)))
    assert "3 bad ones would have been stopped before the incident began" in report([early])


def test_every_reason_stands_in_the_docs_with_what_it_leaves_at_most(root: Path) -> None:
    lines = (root / "docs" / "criteria.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    told = {code: row[-1] for row in rows if row[-1] in ("refuse", "keep", "shadow") for code in re.findall(r"`(\w+)`", row[0])}
    assert told == {code: verdict.word for code, verdict in AT_MOST.items()}
