"""What a recommendation hangs on: other criteria under the same cap, single services, single labels, and what its costs are said to be."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import beta, binom

from tests.study.recalibration import INCUMBENT, TERMS, USUAL, simulated
from tests.test_recalibration import cases
from toolkit.cli.entry import run
from toolkit.criteria.terms import Terms
from toolkit.hindsight import replay
from toolkit.labels import labels_of
from toolkit.recalibration.cases import Cases, Label
from toolkit.recalibration.choice import Chooser
from toolkit.recalibration.decision import Decision, decided
from toolkit.recalibration.flips import flips
from toolkit.recalibration.gather import gathered, horizon_of
from toolkit.recalibration.guards import Guards, guarded
from toolkit.recalibration.left_out import left_out
from toolkit.recalibration.question import Question, question_of
from toolkit.recalibration.recommend import recommend
from toolkit.recalibration.report import report
from toolkit.recalibration.together import stopped_elsewhere
from toolkit.recalibration.units import recalibrate
from toolkit.recalibration.weighing import weighed
from toolkit.recalibration.worth import worth_of
from toolkit.workspace import Workspace


@pytest.fixture(scope="module")
def usual() -> Cases:
    return simulated(USUAL, 400, 5)


@pytest.fixture(scope="module")
def question(usual: Cases) -> Question:
    return question_of(usual, INCUMBENT, TERMS)


@pytest.fixture(scope="module")
def whole(question: Question) -> Decision:
    return decided(question)


@pytest.fixture(scope="module")
def guards(question: Question, whole: Decision) -> Guards:
    return guarded(question, whole)


def stopping(found: Cases, share: float, *, name: str = "latency") -> Cases:
    """The same deployments, of whose good ones another criterion stops every so many."""
    stopped = np.zeros(len(found), bool)
    good = np.flatnonzero(found.label == Label.GOOD)
    stopped[good[:: round(1 / share)]] = True
    return replace(found, elsewhere=found.elsewhere | {name: stopped})


# Several criteria, one cap


def test_what_another_criterion_stops_is_stopped_under_every_limit() -> None:
    one = cases([(1, 0.2)], [(1, 0.4)], [(1, 0.1)], label=[Label.GOOD, Label.UNKNOWN, Label.BAD])
    both = replace(one, elsewhere={"latency": np.array([False, True, True])})
    assert one.bounding(3)[1].tolist() == [0.2, 0.4]
    assert both.bounding(3)[1].tolist() == [0.2, np.inf], "the bad one bounds nothing"


def test_the_bound_is_of_all_criteria_together(usual: Cases) -> None:
    both = stopping(usual, 1 / 100)
    good = question_of(both, INCUMBENT, TERMS).training & (usual.label == Label.GOOD)
    many = int(good.sum())
    k = next(k for k in range(1, many + 1) if binom.sf(k - 1, many, 0.95) <= 0.10 / 5)
    alone, found = recommend(usual, INCUMBENT, TERMS).bounds, recommend(both, INCUMBENT, TERMS).bounds
    raised = 0
    for n, bound in found.items():
        peaks = np.where(both.elsewhere["latency"], np.inf, usual.rises[n].peaks(len(usual)))[good]
        assert (bound or np.inf) == sorted(peaks)[k - 1]
        raised += (bound or np.inf) > (alone[n] or np.inf)
    assert raised, "three stopped elsewhere leave fewer for this one"


def test_both_figures_are_shown_and_the_cap_is_on_the_second(usual: Cases) -> None:
    both = stopping(usual, 1 / 100)
    found = recommend(both, INCUMBENT, TERMS)
    question = question_of(both, INCUMBENT, TERMS)
    assert found.test is not None
    assert found.test.together is not None
    assert found.others is not None
    place = decided(question).place
    good = question.test & (both.label == Label.GOOD)
    fires = np.isfinite(question.worth.fires[:, place])
    assert found.test.false_stops.k == int((good & fires).sum())
    assert found.test.together.k == int((good & (fires | both.elsewhere["latency"])).sum())
    assert found.test.capped is found.test.together
    assert found.others.each["latency"].k == int((question.training & both.elsewhere["latency"]).sum())


def test_others_that_are_over_the_cap_by_themselves_are_named(usual: Cases) -> None:
    found = recommend(stopping(usual, 1 / 8), INCUMBENT, TERMS)
    says = next(reason.says for reason in found.reasons if reason.code == "none_admissible")
    assert "latency" in says
    assert "over the cap already" in says
    assert found.chosen is None
    assert found.others is not None
    assert found.others.admissible_alone


def test_a_criterion_alone_is_recommended_as_if_no_other_kind_of_cap_existed(usual: Cases) -> None:
    nobody = replace(usual, elsewhere={"latency": np.zeros(len(usual), bool)})
    alone, beside = recommend(usual, INCUMBENT, TERMS), recommend(nobody, INCUMBENT, TERMS)
    assert (alone.others, alone.chosen, alone.gain, alone.bounds) == (None, beside.chosen, beside.gain, beside.bounds)
    assert alone.incumbent_test.together is None
    assert usual.digest() != nobody.digest(), "with another criterion in force it is another question"


SECOND = """
[[criterion]]
name = "canary errors at once"
kind = "canary"
series = "errors"
mode = "difference"
limit = 0.02
for = "0s"
min_events = 1
{more}
"""


@pytest.fixture
def two(told: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace with a second criterion, which stops at once and at less."""
    return with_second(told, tmp_path / "two", "")


def with_second(told: Workspace, folder: Path, more: str) -> Workspace:
    shutil.copytree(told.root, folder)
    path = folder / "policy" / "criteria.toml"
    text = (
        path.read_text().replace("# failed_requests_per", "failed_requests_per").replace("# alpha = 0.05", "candidates = [1]\nalpha = 0.2")
    )
    path.write_text(text.replace("# How a recal", SECOND.format(more=more) + "\n# How a recal"))
    return Workspace(folder)


def test_the_others_are_those_in_force_that_stop_deployments_of_the_same_services(told: Workspace, two: Workspace, tmp_path: Path) -> None:
    policy = two.policy
    assert policy is not None
    found = gathered(two, policy.named("canary errors"), policy.terms)
    rows = replay(two, "canary errors at once").rows
    fired = set(rows.filter(pl.col("t").is_not_null())["deployment"])
    assert list(found.elsewhere) == ["canary errors at once"]
    assert {found.deployment[row] for row in np.flatnonzero(found.elsewhere["canary errors at once"])} == fired
    assert fired
    labels, at = labels_of(told, watch=policy.terms.horizon), horizon_of(told)
    for place, more in enumerate(('action = "pause"', "until = 2025-01-02", 'service = "nobody"')):
        other = with_second(told, tmp_path / str(place), more)
        assert stopped_elsewhere(other, policy.named("canary errors"), labels, at) == {}, more


def test_a_criterion_that_only_pauses_shares_no_cap(two: Workspace) -> None:
    policy = two.policy
    assert policy is not None
    own, labels = policy.named("canary errors"), labels_of(two, watch=policy.terms.horizon)
    assert stopped_elsewhere(two, own, labels, horizon_of(two))
    assert stopped_elsewhere(two, own.model_copy(update={"action": "pause"}), labels, horizon_of(two)) == {}


# One service less


def test_without_a_service_all_steps_are_repeated_on_the_others(usual: Cases, question: Question, whole: Decision, guards: Guards) -> None:
    rows = guards.left_out
    assert [row.service for row in rows] == sorted(usual.services)
    assert sum(row.deployments for row in rows) == len(usual)
    for row in rows[:2]:
        # By hand: the same split and candidates, none of its deployments.
        kept = np.flatnonzero(usual.service != usual.services.index(row.service))
        part, training, test = usual.of(kept), question.training[kept], question.test[kept]
        worth = worth_of(part, question.grid, TERMS)
        chooser = Chooser(part.of(training), question.grid, worth_of(part.of(training), question.grid, TERMS), TERMS)
        plain = decided(Question(part, INCUMBENT, TERMS, training, test, question.grid, worth, chooser))
        assert (row.verdict, row.chosen) == (plain.verdict, question.setting(plain.place))
        assert row.changed == ((plain.verdict, plain.place) != (whole.verdict, whole.place))


def test_one_that_carries_all_the_gain_is_found_out(usual: Cases) -> None:
    # Harm in s3 alone: without it nothing is left to gain.
    harm = np.where((usual.service == 3)[:, None], usual.harm * 8, 0.0)
    question = question_of(replace(usual, harm=harm), INCUMBENT, TERMS)
    whole = decided(question)
    changed = {row.service for row in left_out(question, whole) if row.changed}
    assert "s3" in changed


def test_where_there_is_one_service_none_can_be_left_out(usual: Cases) -> None:
    question = question_of(replace(usual, service=np.zeros(len(usual), np.int64)), INCUMBENT, TERMS)
    assert left_out(question, decided(question)) == ()


# Labels that may be wrong


def test_so_many_flips_change_the_verdict_and_they_are_the_ones_named(question: Question, whole: Decision, guards: Guards) -> None:
    found = guards.flips
    assert found.at_most is not None
    assert found.at_most == len(found.deployments)
    rows = np.array([question.cases.deployment.index(name) for name in found.deployments])
    assert decided(question.relabelled(rows)).verdict == found.verdict
    assert found.verdict != whole.verdict


def test_where_the_bad_ones_are_just_enough_one_label_is_enough(usual: Cases, question: Question) -> None:
    question = question_of(usual, INCUMBENT, replace_terms(min_bad=question.counts.training_bad))
    told = flips(question, decided(question))
    assert (told.at_most, told.verdict.word if told.verdict is not None else None) == (1, "refuse")


def replace_terms(**more: object) -> Terms:
    return TERMS.model_copy(update=more)


def test_the_order_statistic_says_after_how_many_flips_a_limit_is_out(question: Question, whole: Decision, guards: Guards) -> None:
    """Slow count: of N peaks u over the limit, admissible while the k-th smallest is not over it."""
    found = guards.flips.bound
    assert whole.place is not None
    assert found is not None
    learnt = question.cases.of(question.training)
    n, limit = int(question.grid.n[whole.place]), question.grid.bound[whole.place]
    peaks = learnt.rises[n].peaks(len(learnt))
    good, loud_bad = learnt.label == Label.GOOD, int(((learnt.label == Label.BAD) & (peaks > limit)).sum())
    over, total = int((peaks[good] > limit).sum()), int(good.sum())

    def admissible(over: int, total: int) -> bool:
        return bool(binom.sf(total - over - 1, total, 0.95) <= 0.10 / 5)

    assert admissible(over, total)
    reached = [
        (x, y) for x in range(loud_bad + 1) for y in range(total - over + 1) if not admissible(over + x, total + x - y) and x + y <= found
    ]
    assert reached
    assert min(x + y for x, y in reached) == found


def test_the_counts_of_the_test_say_after_how_many_flips_its_cap_is_broken(question: Question, whole: Decision, guards: Guards) -> None:
    found = guards.flips.test
    assert found is not None
    stopped = np.isfinite(question.worth.fires[:, whole.place])
    label = question.cases.label
    k, n = (int((question.test & (label == Label.GOOD) & part).sum()) for part in (stopped, np.ones(len(label), bool)))
    loud = int((question.test & (label == Label.BAD) & stopped).sum())

    def broken(k: int, n: int) -> bool:
        # Clopper and Pearson's lower end with 10 % below it.
        return k > 0 and beta.ppf(0.10, k, n - k + 1) > 0.05

    assert not broken(k, n)
    enough = [x + y for x in range(loud + 1) for y in range(n - k + 1) if broken(k + x, n + x - y)]
    assert min(enough) == found


# Both costs


def test_each_cost_is_shown_at_half_and_at_twice(usual: Cases, question: Question, whole: Decision, guards: Guards) -> None:
    place = whole.place
    rows = {(row.cost, row.factor): row for row in guards.weighed}
    assert set(rows) == {(cost, factor) for cost in ("harm", "false_stop") for factor in (0.5, 2.0)}
    # Half the harm a minute is worth: one engineer minute for twice as many failed requests. Twice the price of a stop: 60 minutes.
    for (cost, factor), row in rows.items():
        said = {"failed_requests_per_engineer_minute": 40.0 / factor} if cost == "harm" else {"false_stop_minutes": 30 * factor}
        terms = replace_terms(**said)
        value = worth_of(usual, question.grid, terms).value[question.test]
        assert row.saved == pytest.approx(value[:, place].mean())
        assert row.incumbent_saved == pytest.approx(value[:, question.grid.incumbent].mean())
        learnt = usual.of(question.training)
        again = Chooser(learnt, question.grid, worth_of(learnt, question.grid, terms), terms).choose()
        assert row.chosen == question.setting(again)


def test_without_an_exchange_rate_there_is_nothing_to_weigh(usual: Cases) -> None:
    question = question_of(usual, INCUMBENT, replace_terms(failed_requests_per_engineer_minute=None))
    assert weighed(question, decided(question).place) == ()


# Told


def test_the_guards_are_one_look_and_stand_in_json_and_on_the_page(two: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recalibrate", "--workspace", str(two.root), "--criterion", "canary errors", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    looks = len(two.journal.entries("test_used"))
    assert looks <= len(told), "leaving out services looks at no other test"
    for row in told:
        assert list(row["others"]["each"]) == ["canary errors at once"]
        assert {"at_most", "verdict", "how", "deployments", "bound", "test"} == set(row["flips"])
        assert row["test"] is None or row["test"]["together"]["k"] >= row["test"]["false_stops"]["k"]
    page = report(recalibrate(Workspace(two.root), "canary errors"))
    assert page.count("**How firm that is:**") == len(told)
    assert page.count("Stopping deployments of the same services: canary errors at once.") == len(told)
    assert len(two.journal.entries("test_used")) == looks


def test_equal_input_gives_equal_guards() -> None:
    one, other = (question_of(simulated(USUAL, 150, 5), INCUMBENT, TERMS) for _ in range(2))
    assert guarded(one, decided(one)) == guarded(other, decided(other))
