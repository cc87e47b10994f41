"""What a reviewer decides is laid over what sources said: the facts follow, say so, and keep what they were before."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tests.builders import HORIZON, deployment, event, frames, history, incident, m, override, t
from tests.test_histories import failures, outcomes
from tests.twins import by_engine, by_oracle
from toolkit.facts import facts_of

Row = dict[str, Any]
Stitch = Callable[..., SimpleNamespace]


@pytest.fixture(params=[by_oracle, by_engine], ids=["oracle", "engine"])
def stitch(request: pytest.FixtureRequest) -> Stitch:
    """Stitches rows, once by each implementation; the facts come back by id."""

    def stitched(*rows: Row) -> SimpleNamespace:
        facts = request.param(history(*rows), HORIZON)
        return SimpleNamespace(
            **{name: {row["id"]: row for row in facts[name]} for name in ("deployments", "rollbacks", "incidents")},
            evidence=facts["evidence"],
        )

    return stitched


# 09:00 v1   09:50 v2   10:00 impact   10:10 noticed   10:20 v1 again   10:30 recovered
TROUBLE = (deployment("v1", "9:00"), deployment("v2", "9:50"), incident("10:10", "10:30", started_at="10:00"), deployment("v1", "10:20"))


def test_a_time_that_a_reviewer_gives_is_the_time_and_the_phases_follow(stitch: Stitch) -> None:
    row = stitch(*TROUBLE).incidents["inc"]
    assert (row["detect"], row["decide"], row["act"]) == (m(10), m(10), m(10))
    row = stitch(*TROUBLE, override("detected_at", "10:04"), override("started_at", "9:55")).incidents["inc"]
    assert (row["detected_at"], row["detected_at_source"], row["started_at_source"]) == (t("10:04"), "override", "override")
    assert (row["detect"], row["decide"], row["act"], row["whole"]) == (m(9), m(16), m(10), m(35))


def test_a_reviewers_time_beats_the_timeline_even_where_that_is_earlier(stitch: Stitch) -> None:
    events = (event("detected", "10:02"), event("acknowledged", "10:03"), event("decided", "10:15"))
    row = stitch(*TROUBLE, *events, override("detected_at", "10:06"), override("decided_at", "10:18")).incidents["inc"]
    assert (row["detected_at"], row["decided_at"], row["decided_at_source"]) == (t("10:06"), t("10:18"), "override")


def test_a_reviewers_recovery_is_a_mitigation_stamp(stitch: Stitch) -> None:
    # Closed five hours after a rollback that held: only the ticket's closing is known, and the rollback is judged by holding.
    late = (deployment("v1", "9:00"), deployment("v2", "9:50"), deployment("v1", "10:20", 5))
    ticket = incident("10:10", None, resolved_at="15:20")
    facts = stitch(*late, ticket)
    assert (outcomes(facts), [row["outcome_source"] for row in facts.rollbacks.values()]) == (["succeeded"], ["derived:held"])
    facts = stitch(*late, ticket, override("recovered_at", "10:40"))
    row = facts.incidents["inc"]
    assert (row["recovered_at"], row["recovered_at_source"], row["act"]) == (t("10:40"), "override", m(20))
    assert [row["outcome_source"] for row in facts.rollbacks.values()] == ["derived:recovered"]
    # And one that came too late shows that the rollback did not help.
    assert outcomes(stitch(*late, ticket, override("recovered_at", "12:00"))) == ["ineffective"]


def test_one_reviewers_stamp_does_not_make_a_source_one_that_stamps(stitch: Stitch) -> None:
    other = (deployment("w1", "9:00", service="cart"), deployment("w2", "9:50", service="cart"), deployment("w1", "10:20", service="cart"))
    ticket = incident("10:10", None, id="other", services=["cart"], resolved_at="15:20")
    rows = (*TROUBLE[:2], TROUBLE[3], incident("10:10", None, resolved_at="15:20"), *other, ticket)
    facts = stitch(*rows, override("recovered_at", "10:30"))
    sources = {row["incident"]: row["outcome_source"] for row in facts.rollbacks.values()}
    assert sources == {"inc": "derived:recovered", "other": "derived:held"}


def test_a_recovery_belongs_to_the_stretch_between_reopenings_in_which_it_lies(stitch: Stitch) -> None:
    # 10:10 noticed   10:30 over   11:00 again   11:40 over
    rows = (incident("10:10", "10:30"), event("reopened", "11:00"), event("mitigated", "11:40"))
    assert stitch(*rows, override("recovered_at", "10:50")).incidents["inc"]["recovered_at"] == t("11:40")
    assert stitch(*rows, override("recovered_at", "11:20")).incidents["inc"]["recovered_at"] == t("11:20")


def test_a_reviewers_cause_is_certain_and_frees_the_deployment_that_time_had_blamed(stitch: Stitch) -> None:
    # 09:00 v1   09:40 v2   09:50 v3   10:00 impact: by time it was v3; the reviewer found that it was v2.
    rows = (deployment("v1", "9:00"), deployment("v2", "9:40"), deployment("v3", "9:50"), incident("10:10", "10:30", started_at="10:00"))
    assert failures(stitch(*rows)) == ["v3 9:50"]
    facts = stitch(*rows, override("cause", "v2 9:40"))
    assert failures(facts) == ["v2 9:40"]
    row = facts.incidents["inc"]
    assert (row["cause_deployment"], row["cause_evidence"], row["cause_source"]) == ("v2 9:40", "certain", "override")
    assert facts.deployments["v2 9:40"]["failed"] == "certain"


def test_not_a_deployment_takes_every_deployment_off_the_list_and_a_named_one_puts_it_back(stitch: Stitch) -> None:
    facts = stitch(deployment("v2", "9:50"), incident("10:10"), override("cause", "not_a_deployment"))
    assert failures(facts) == []
    assert (facts.incidents["inc"]["cause_deployment"], facts.incidents["inc"]["cause_source"]) == (None, "override")
    facts = stitch(deployment("v2", "9:50"), incident("10:10", cause="not_a_deployment"), override("cause", "v2 9:50"))
    assert failures(facts) == ["v2 9:50"]
    assert facts.incidents["inc"]["not_a_deployment"] is False


def test_a_reviewer_may_say_that_a_deployment_failed(stitch: Stitch) -> None:
    facts = stitch(deployment("v1", "9:00"), deployment("v2", "9:50"), override("failed", "certain", of="v2 9:50"))
    row = facts.deployments["v2 9:50"]
    assert (row["failed"], row["failed_final"], row["failed_source"], row["failed_at"]) == ("certain", "certain", "override", t("9:50"))


def test_a_refused_pipeline_that_a_reviewer_calls_a_failure_is_no_longer_only_stopped(stitch: Stitch) -> None:
    refused = (deployment("v1", "9:00"), deployment("v2", "9:50", 5, status="failed"))
    assert stitch(*refused).deployments["v2 9:50"]["stopped"] is True
    row = stitch(*refused, override("failed", "certain", of="v2 9:50")).deployments["v2 9:50"]
    assert (row["stopped"], row["failed_final"]) == (False, "certain")


@pytest.mark.parametrize("why", ["by time", "by undoing", "declared"])
def test_not_failed_takes_the_ground_from_all_evidence_and_leaves_it_to_be_seen(stitch: Stitch, why: str) -> None:
    rows = {
        "by time": (deployment("v2", "9:50"), incident("10:10", "10:30")),
        "by undoing": (deployment("v1", "9:00"), deployment("v2", "9:50"), deployment("v1", "10:20")),
        "declared": (deployment("v2", "9:50"), incident("10:10", "10:30", suspected_deployment="v2 9:50")),
    }[why]
    before = stitch(*rows)
    assert failures(before) == ["v2 9:50"]
    facts = stitch(*rows, override("failed", "none", of="v2 9:50"))
    row = facts.deployments["v2 9:50"]
    assert (row["failed"], row["failed_final"]) == (before.deployments["v2 9:50"]["failed"], None)
    assert (row["failed_source"], row["failed_at"]) == ("override", None)
    assert [one["overruled"] for one in facts.evidence] == [True]
    assert all(one["cause_deployment"] is None for one in facts.incidents.values())


def test_what_was_restored_is_known_good_when_a_reviewer_clears_it(stitch: Stitch) -> None:
    # v1 ran for days; an incident half an hour after it was likely its failure, so going back to it was not to known good.
    rows = (deployment("v1", "9:00"), incident("9:30", "9:40"), deployment("v2", "3d 9:00"), deployment("v1", "3d 9:30"))
    (attempt,) = stitch(*rows).rollbacks.values()
    assert attempt["to_known_good"] is False
    (attempt,) = stitch(*rows, override("failed", "none", of="v1 9:00")).rollbacks.values()
    assert attempt["to_known_good"] is True


def test_a_reviewer_folds_a_duplicate_and_takes_one_apart(stitch: Stitch) -> None:
    rows = (incident("10:10", "10:30"), incident("10:12", "10:40", id="again"))
    assert list(stitch(*rows, override("duplicate_of", "inc", of="again")).incidents) == ["inc"]
    told = (incident("10:10", "10:30"), incident("10:12", "10:40", id="again", duplicate_of="inc"))
    assert list(stitch(*told).incidents) == ["inc"]
    assert sorted(stitch(*told, override("duplicate_of", "none", of="again")).incidents) == ["again", "inc"]


def test_a_reviewer_names_the_record_of_one_source_exactly(stitch: Stitch) -> None:
    both = (deployment("v2", "9:40", id="d", source="a"), deployment("v3", "9:50", id="d", source="b"))
    facts = stitch(*both, incident("10:10", source="b"), override("cause", "d", source="b", at_source="a"))
    assert failures(facts) == ["a/d"]


def test_a_cause_of_a_source_that_has_no_such_record_decides_nothing(stitch: Stitch) -> None:
    rows = (deployment("v2", "9:50", id="d", source="b"), incident("10:10", cause="not_a_deployment", source="b"))
    facts = stitch(*rows, override("cause", "d", source="b", at_source="a"))
    assert failures(facts) == []
    assert facts.incidents["inc"]["not_a_deployment"] is True


# As published


def test_every_decision_is_published_with_what_was_before() -> None:
    rows = (*TROUBLE, override("cause", "v1 9:00"), override("started_at", "9:55"), override("failed", "none", of="v2 9:50"))
    said = facts_of(frames(history(*rows)), horizon=HORIZON)["overrides"]
    assert said.select("record", "id", "field", "value", "before", "found", "applied").rows() == [
        ("deployment", "v2 9:50", "failed", "none", "likely", True, True),
        ("incident", "inc", "cause", "v1 9:00", "v2 9:50", True, True),
        ("incident", "inc", "started_at", "2026-03-02T09:55:00.000000Z", "2026-03-02T10:00:00.000000Z", True, True),
    ]


def test_what_was_before_does_not_hang_on_other_services() -> None:
    other = (deployment("v9", "9:59", service="cart"), incident("10:00", id="theirs", services=["cart"]))
    decided = (override("cause", "v1 9:00"), override("recovered_at", "10:20"))
    alone = facts_of(frames(history(*TROUBLE, *decided)), horizon=HORIZON)
    together = facts_of(frames(history(*TROUBLE, *decided, *other)), horizon=HORIZON)
    assert alone["overrides"].equals(together["overrides"])
    assert together["overrides"]["before"].to_list() == ["v2 9:50", "2026-03-02T10:30:00.000000Z"]


@pytest.mark.parametrize(
    ("decision", "id", "text"),
    [
        (override("started_at", "9:00", of="nobody"), "made/nobody", "its started_at was overridden, and there is no such incident"),
        (override("failed", "none", of="nobody"), "made/nobody", "its failed was overridden, and there is no such deployment"),
        (override("cause", "nobody"), "inc", "its cause was overridden by made/nobody, which is not there"),
        (override("duplicate_of", "nobody"), "inc", "its duplicate_of was overridden by made/nobody, which is not there"),
    ],
)
def test_a_decision_about_what_is_not_there_is_a_finding(decision: Row, id: str, text: str) -> None:
    facts = facts_of(frames(history(*TROUBLE, decision)), horizon=HORIZON)
    assert facts["health"].select("id", "rule", "text").rows() == [(id, "override_of_nothing", text)]
    assert facts["overrides"]["found"].to_list() == [False]


@pytest.mark.parametrize(
    ("rows", "decision", "id"),
    [
        ((deployment("s1", "9:50", environment="staging"), *TROUBLE), override("cause", "s1 9:50"), "inc"),
        ((*TROUBLE, incident("10:12", id="again", duplicate_of="inc")), override("detected_at", "10:05", of="again"), "again"),
        ((*TROUBLE, deployment("v9", None, None, id="timeless")), override("failed", "certain", of="timeless"), "timeless"),
        (TROUBLE, override("started_at", "99d 10:00"), "inc"),
    ],
)
def test_a_decision_that_no_fact_follows_is_a_finding(rows: tuple[Row, ...], decision: Row, id: str) -> None:
    facts = facts_of(frames(history(*rows, decision)), horizon=HORIZON)
    found = facts["health"].filter(pl.col("rule") == "override_without_effect")
    assert found["id"].to_list() == [id]
    assert facts["overrides"].select("found", "applied").rows() == [(True, False)]


def test_without_decisions_nothing_is_listed_and_the_order_of_decisions_changes_nothing() -> None:
    assert facts_of(frames(history(*TROUBLE)), horizon=HORIZON)["overrides"].is_empty()
    decisions = [override("cause", "v1 9:00"), override("started_at", "9:55"), override("failed", "none", of="v2 9:50")]
    one, other = (facts_of(frames(history(*TROUBLE, *order)), horizon=HORIZON) for order in (decisions, decisions[::-1]))
    assert all(one[name].equals(other[name]) for name in one)
