"""Bounds in time, each to the minute: by the oracle and by the engine, all of them in one history of many services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import DAY_ONE, deployment, event, flag_off, history, incident, rollback, told
from tests.oracle.fuzz import apart
from tests.twins import TWINS, Twin

# Beyond all windows; what lies at the edge of the data says so by its day.
HORIZON = DAY_ONE + timedelta(days=130)

Row = dict[str, Any]
History = list[Row]
Look = Callable[[SimpleNamespace], Any]
Rule = Callable[[str], tuple[History, Look]]

BOUNDS: dict[str, tuple[Rule, str, Any]] = {}


def at(answers: Mapping[str, Any]) -> Callable[[Rule], Rule]:
    """What a history says when something in it stands at one clock, and when at another a minute away."""

    def kept(rule: Rule) -> Rule:
        BOUNDS.update((f"{rule.__name__} {clock}", (rule, clock, answer)) for clock, answer in answers.items())
        return rule

    return kept


@pytest.fixture(scope="module", params=TWINS, ids=[twin.__name__ for twin in TWINS])
def stitched(request: pytest.FixtureRequest) -> dict[str, list[Row]]:
    """All histories side by side, each under names of its own."""
    twin: Twin = request.param
    together: dict[str, list[Row]] = {}
    for name, (rule, clock, _) in BOUNDS.items():
        for record, rows in apart(history(*rule(clock)[0]), f"{name}|").items():
            together.setdefault(record, []).extend(rows)
    return twin(together, HORIZON)


@pytest.fixture
def facts(stitched: dict[str, list[Row]], name: str) -> SimpleNamespace:
    """Those of one history, by its own names."""
    own = {
        table: [named(row, f"{name}|") for row in rows if f"{name}|" in row["id"]] for table, rows in stitched.items() if table in TABLES
    }
    return SimpleNamespace(**{table: {row["id"]: row for row in rows} for table, rows in own.items()})


TABLES = ("deployments", "rollbacks", "incidents")


def named(row: Row, prefix: str) -> Row:
    return {key: value.replace(prefix, "") if isinstance(value, str) else value for key, value in row.items()}


@at({"11:00": "likely", "11:01": "possible"})
def near_is_up_to_an_hour_after_a_deployment(began: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   the incident begins
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), incident("11:05", "11:30", started_at=began)]
    return rows, lambda facts: facts.deployments["v2 10:00"]["failed_final"]


@at({"1d 9:59": "possible", "1d 10:00": None})
def an_incident_may_be_of_a_deployment_for_a_day(began: str) -> tuple[History, Look]:
    # 10:00 v1   the next day the incident begins
    return [deployment("v1", "10:00"), incident(began, started_at=began)], lambda facts: facts.deployments["v1 10:00"]["failed"]


@at({"129d 0:00": True, "129d 0:01": False})
def a_deployment_has_matured_after_a_day(deployed: str) -> tuple[History, Look]:
    # deployed   130d 00:00 the data ends
    return [deployment("v1", deployed)], lambda facts: facts.deployments[f"v1 {deployed}"]["matured"]


@at({"123d 0:00": False, "123d 0:01": True})
def what_is_said_of_a_deployment_is_provisional_for_a_week(deployed: str) -> tuple[History, Look]:
    # deployed   130d 00:00 the data ends
    return [deployment("v1", deployed)], lambda facts: facts.deployments[f"v1 {deployed}"]["provisional"]


@at({"7d 9:59": "likely", "7d 10:00": "possible"})
def what_is_undone_within_a_week_had_likely_failed(undone: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   a week later v1 again
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", undone)]
    return rows, lambda facts: facts.deployments["v2 10:00"]["failed"]


@at({"11:29": "inc", "11:30": None})
def a_ticket_is_of_the_rollback_before_it_until_an_hour_is_over(detected: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   10:30 v1   the ticket comes
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", "10:30"), incident(detected, "11:45")]
    return rows, lambda facts: facts.rollbacks["deployment:v1 10:30"]["incident"]


@at({"11:09": "likely", "11:10": None})
def what_came_new_in_trouble_is_a_hotfix_where_recovery_follows_within_the_hour(recovered: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 trouble   10:10 v2   recovered
    rows = [deployment("v1", "09:00"), incident("10:00", recovered), deployment("v2", "10:10")]
    return rows, lambda facts: facts.deployments["v2 10:10"]["hotfix"]


@at({"11:29": 2, "11:30": 1})
def a_deployment_of_its_target_carries_out_a_rollback_that_was_asked_for_within_the_hour(started: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   10:30–10:35 asked for v1   v1 is deployed
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), rollback("v1", "10:30"), deployment("v1", started)]
    return rows, lambda facts: max(len(row["parts"]) for row in facts.rollbacks.values())


@at({"10:09": 1, "10:10": 2})
def a_flag_off_lasts_five_minutes(started: str) -> tuple[History, Look]:
    # 10:00 trouble   10:05 off   a rollback begins
    rows = [incident("10:00", "10:30"), flag_off("10:05", incident="inc"), rollback(None, started)]
    return rows, lambda facts: len(facts.rollbacks)


@at({"10:09": True, "10:10": False})
def what_automation_takes_back_within_ten_minutes_is_a_race(undone: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   v1 again, by itself
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", undone, trigger="auto")]
    return rows, lambda facts: facts.rollbacks[f"deployment:v1 {undone}"]["race"]


@at({"1d 10:00": False, "1d 10:01": True})
def a_verdict_that_names_nothing_is_about_what_had_begun_a_day_before_at_most(spoken: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 ──v2── 1d 10:00   revert!   1d 10:05 v1, by itself
    rows = [
        deployment("v1", "09:00"),
        deployment("v2", "10:00", minutes=24 * 60),
        told("verdict", "judge", at=spoken, decision="revert", source="made"),
        deployment("v1", "1d 10:05", trigger="auto"),
    ]
    return rows, lambda facts: facts.rollbacks["deployment:v1 1d 10:05"]["race"]


@at({"11:59": True, "12:00": False})
def an_attempt_is_of_the_episode_that_began_less_than_two_hours_before(again: str) -> tuple[History, Look]:
    # 10:00 a rollback   another
    rows = [rollback(None, "10:00", id="one"), rollback(None, again, id="other")]
    return rows, lambda facts: facts.rollbacks["rollback:one"]["episode"] == facts.rollbacks["rollback:other"]["episode"]


@at({"11:19": "succeeded", "11:20": "ineffective"})
def a_rollback_has_an_hour_for_the_recovery(recovered: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   10:10 trouble   10:20 v1   recovered
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), incident("10:10", recovered), deployment("v1", "10:20")]
    return rows, lambda facts: facts.rollbacks["deployment:v1 10:20"]["outcome"]


@at({"11:19": "ineffective", "11:20": "succeeded"})
def a_rollback_holds_when_nothing_begins_for_an_hour(began: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   10:20 v1   trouble
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", "10:20"), incident("12:00", started_at=began)]
    return rows, lambda facts: facts.rollbacks["deployment:v1 10:20"]["outcome"]


@at({"129d 23:00": "succeeded", "129d 23:01": "pending"})
def nothing_is_said_of_a_rollback_before_its_hour_is_over(back: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   v1 again   130d 00:00 the data ends
    rows = [deployment("v1", "129d 09:00"), deployment("v2", "129d 10:00"), deployment("v1", back)]
    return rows, lambda facts: facts.rollbacks[f"deployment:v1 {back}"]["outcome"]


# A day of its own for each: a storm goes over services, and so over histories.
@at({"40d 10:29": 1, "41d 10:30": 0})
def three_services_within_half_an_hour_are_a_storm(third: str) -> tuple[History, Look]:
    day, _ = third.split()
    rows = [rollback(None, clock, id=one, service=one) for one, clock in {"a": f"{day} 10:00", "b": f"{day} 10:05", "c": third}.items()]
    return rows, lambda facts: len({row["storm"] for row in facts.rollbacks.values()} - {None})


@at({"50d 10:30": 1, "51d 10:31": 2})
def storms_half_an_hour_apart_are_one(second: str) -> tuple[History, Look]:
    # 10:00 three services, and three others
    day, _ = second.split()
    rows = [rollback(None, clock, id=one, service=one) for clock, some in ((f"{day} 10:00", "abc"), (second, "def")) for one in some]
    return rows, lambda facts: len({row["storm"] for row in facts.rollbacks.values()} - {None})


UNDONE = (deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", "11:00"))


@at({"1d 12:59": False, "1d 13:00": True})
def a_rollback_is_regretted_when_what_it_undid_came_back_and_ran_a_day(superseded: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   11:00 v1   13:00 v2   v3
    rows = [*UNDONE, deployment("v2", "13:00"), deployment("v3", superseded)]
    return rows, lambda facts: facts.rollbacks["deployment:v1 11:00"]["regretted"]


@at({"1d 12:59": False, "1d 13:00": True})
def a_day_is_run_well_if_it_is_over_before_the_failure(began: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   11:00 v1   13:00 v2   trouble, of which somebody says that it was v2
    rows = [*UNDONE, deployment("v2", "13:00"), incident(began, suspected_deployment="v2 13:00")]
    return rows, lambda facts: facts.rollbacks["deployment:v1 11:00"]["regretted"]


@at({"129d 0:00": True, "129d 0:01": False})
def a_day_is_run_well_if_it_is_over_before_the_data_ends(back: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2   11:00 v1   v2 again   130d 00:00 the data ends
    return [*UNDONE, deployment("v2", back)], lambda facts: facts.rollbacks["deployment:v1 11:00"]["regretted"]


@at({"1d 9:59": False, "1d 10:00": True})
def known_good_is_what_ran_a_day(back: str) -> tuple[History, Look]:
    # 10:00 v1   1d 09:30 v2 fails   v1, which has run since
    rows = [deployment("v1", "10:00"), deployment("v2", "1d 9:30", status="failed"), deployment("v1", back)]
    return rows, lambda facts: facts.rollbacks[f"deployment:v1 {back}"]["to_known_good"]


@at({"10:59": False, "11:00": True})
def known_good_is_what_ran_an_hour_until_a_release_took_its_place(superseded: str) -> tuple[History, Look]:
    # 10:00 v1   v2   12:00 v1
    rows = [deployment("v1", "10:00"), deployment("v2", superseded), deployment("v1", "12:00")]
    return rows, lambda facts: facts.rollbacks["deployment:v1 12:00"]["to_known_good"]


@at({"90d 11:00": "one", "90d 11:01": None})
def an_incident_repeats_one_that_was_over_ninety_days_before_at_most(again: str) -> tuple[History, Look]:
    # 10:00 one 11:00   90 days later the same alert
    rows = [incident("10:00", "11:00", id="one", alert="burn"), incident(again, id="other", alert="burn")]
    return rows, lambda facts: facts.incidents["other"]["repeat_of"]


@at({"1d 10:00": "rollback", "1d 10:01": "redeploy"})
def the_same_version_again_undoes_what_failed_a_day_before_at_most(again: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 v2 fails   v1
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00", status="failed"), deployment("v1", again)]
    return rows, lambda facts: facts.deployments[f"v1 {again}"]["kind"]


@at({"1d 12:00": "rollback", "1d 12:01": "redeploy"})
def of_two_that_failed_one_may_have_begun_first_and_ended_last(again: str) -> tuple[History, Look]:
    # 09:00 v1   10:00 ── v2 fails ── 12:00   v1
    #               10:30 v3 fails
    rows = [
        deployment("v1", "09:00"),
        deployment("v2", "10:00", minutes=120, status="failed"),
        deployment("v3", "10:30", status="failed"),
        deployment("v1", again),
    ]
    return rows, lambda facts: facts.deployments[f"v1 {again}"]["kind"]


@at({"90d 9:59": "unknown", "90d 10:00": "out_of_order"})
def a_lower_version_may_be_older_than_what_is_known_for_ninety_days(lower: str) -> tuple[History, Look]:
    # 10:00 v2.0   90 days later v1.9
    return [deployment("v2.0", "10:00"), deployment("v1.9", lower)], lambda facts: facts.deployments[f"v1.9 {lower}"]["kind"]


@at({"1d 10:29": 1, "1d 10:30": 2})
def reopened_within_a_day_it_is_the_same_incident(reopened: str) -> tuple[History, Look]:
    # 10:00 trouble 10:30   reopened
    return [incident("10:00", "10:30"), event("reopened", reopened)], lambda facts: len(facts.incidents)


@at({"7d 10:00": "inc", "7d 10:01": None})
def an_incident_of_which_nothing_is_heard_counts_as_open_for_a_week(started: str) -> tuple[History, Look]:
    # 10:00 trouble, and nothing more   a week later a rollback
    return [incident("10:00"), rollback(None, started)], lambda facts: facts.rollbacks["rollback:rb"]["incident"]


@pytest.mark.parametrize("name", BOUNDS)
def test_to_the_minute(facts: SimpleNamespace, name: str) -> None:
    rule, clock, answer = BOUNDS[name]
    assert rule(clock)[1](facts) == answer
