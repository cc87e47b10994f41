"""Histories that every rule must survive: each once by the plain oracle and once by the engine."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import deployment, event, flag_off, incident, m, rollback, t, told
from tests.twins import TWINS, Stitch, stitched_by
from toolkit.stats.proportions import wilson


@pytest.fixture(params=TWINS, ids=[twin.__name__ for twin in TWINS])
def stitch(request: pytest.FixtureRequest) -> Stitch:
    """Stitches rows; the facts come back by id: facts.deployments["v2 10:00"]."""
    return partial(stitched_by, request.param)


def failures(facts: SimpleNamespace) -> list[str]:
    """Who failed, certainly or likely."""
    return [name for name, row in facts.deployments.items() if row["failed_final"] in {"certain", "likely"}]


def kinds(facts: SimpleNamespace) -> list[str]:
    return [row["kind"] for row in sorted(facts.deployments.values(), key=lambda row: row["at"])]


def outcomes(facts: SimpleNamespace) -> list[str]:
    return [row["outcome"] for row in sorted(facts.rollbacks.values(), key=lambda row: row["at"])]


def test_a_rollback_undoes_the_deployment_that_was_current_and_lists_every_release_since_the_restored_one(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   11:00 v3   11:30 v1
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v3", "11:00"), deployment("v1", "11:30"))
    back = facts.deployments["v1 11:30"]
    assert kinds(facts) == ["release", "release", "release", "rollback"]
    assert back["undoes"] == "v3 11:00"
    assert back["restores"] == "v1 09:00"
    # Others blame the first of these, all of them, or the last.
    assert back["undoes_all"] == ["v2 10:00", "v3 11:00"]
    assert failures(facts) == ["v3 11:00"]


def test_a_rollback_to_what_nobody_had_seen_says_nothing_of_what_was_current(stitch: Stitch) -> None:
    # 10:05 v2   10:10 v3 fails   10:00-10:30 v1, declared a rollback: whether v1 is older than v2 is not known
    facts = stitch(
        deployment("v2", "10:05"),
        deployment("v3", "10:10", status="failed"),
        deployment("v1", "10:00", minutes=30, kind="rollback"),
    )
    assert facts.deployments["v1 10:00"]["undoes"] == "v3 10:10"
    assert facts.deployments["v1 10:00"]["restores"] is None
    assert failures(facts) == ["v3 10:10"]


def test_the_same_version_again_after_an_aborted_release_undoes_that_release(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2 aborted at 20 %   10:20 v1
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00", 10, status="cancelled"), deployment("v1", "10:20"))
    assert kinds(facts) == ["release", "release", "rollback"]
    assert facts.deployments["v1 10:20"]["undoes"] == "v2 10:00"
    assert failures(facts) == ["v2 10:00"]


def test_a_rollback_looks_through_redeploys_to_the_release(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   10:30 v2   11:00 v1
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v2", "10:30"), deployment("v1", "11:00"))
    assert kinds(facts) == ["release", "release", "redeploy", "rollback"]
    assert failures(facts) == ["v2 10:00"]
    assert facts.deployments["v2 10:00"]["exposure"] == m(30) + m(30)
    assert facts.deployments["v2 10:30"]["exposure"] is None


def test_an_alert_twenty_three_hours_later_is_a_possible_failure_and_says_nothing_about_detection(stitch: Stitch) -> None:
    # 09:00 v1   next day 08:00 alert, nobody says when it began
    facts = stitch(deployment("v1", "09:00"), incident("1d 8:00", "1d 9:00"))
    assert facts.deployments["v1 09:00"]["failed"] == "possible"
    assert failures(facts) == []
    assert facts.incidents["inc"]["cause_evidence"] == "possible"
    assert facts.incidents["inc"]["started_at"] is None
    assert facts.incidents["inc"]["detect"] is None


def test_an_incident_during_a_canary_is_that_canarys_and_nothing_is_negative(stitch: Stitch) -> None:
    # 09:50 ─────canary───── 10:30
    #       10:00 ─inc─ 10:20
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "09:50", 40), incident("10:00", "10:20", started_at="10:00"))
    canary, inc = facts.deployments["v2 09:50"], facts.incidents["inc"]
    assert inc["cause_deployment"] == "v2 09:50"
    assert canary["failed"] == "likely"
    assert canary["recovered_at"] - max(canary["started_at"], canary["incident_started_at"]) == m(20)
    assert inc["whole"] == m(20)
    assert all(inc[phase] is None or inc[phase] >= m(0) for phase in ("detect", "decide", "act"))


def test_an_incident_blames_the_latest_deployment_alone(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   10:20 v3   10:30 inc
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v3", "10:20"), incident("10:30", "10:50"))
    assert failures(facts) == ["v3 10:20"]


def test_of_three_flags_turned_off_only_the_one_that_ended_it_succeeded(stitch: Stitch) -> None:
    # 09:55 inc   10:00 off   10:10 off   10:20 off   10:25 mitigated
    offs = [flag_off(at, incident="inc") for at in ("10:00", "10:10", "10:20")]
    facts = stitch(incident("9:55", "10:25"), *offs)
    assert outcomes(facts) == ["ineffective", "ineffective", "succeeded"]
    assert outcomes(facts).count("succeeded") / len(offs) == 1 / 3


def test_a_flag_turned_off_and_a_rollback_that_overlap_are_one_attempt(stitch: Stitch) -> None:
    # 10:05 off (five minutes)   10:06 ─rollback─ 10:11
    facts = stitch(incident("10:00", "10:15"), flag_off("10:05", incident="inc"), rollback(None, "10:06"))
    assert list(facts.rollbacks) == ["rollback:rb"]
    attempt = facts.rollbacks["rollback:rb"]
    assert sorted(attempt["parts"]) == ["flag_change:off 10:05", "rollback:rb"]
    assert (attempt["started_at"], attempt["completed_at"]) == (t("10:05"), t("10:11"))
    assert attempt["mechanism"] == "redeploy"


def test_a_ticket_closed_hours_after_a_rollback_that_held_is_no_failure_of_the_rollback(stitch: Stitch) -> None:
    # 10:00 inc   10:05 rollback   15:10 somebody closes the ticket; the source never stamps a mitigation
    facts = stitch(
        deployment("v1", "09:00"), deployment("v2", "09:50"), deployment("v1", "10:05", 5), incident("10:00", None, resolved_at="15:10")
    )
    attempt = facts.rollbacks["deployment:v1 10:05"]
    assert attempt["incident"] == "inc"
    assert (attempt["outcome"], attempt["outcome_source"]) == ("succeeded", "derived:held")


def test_what_comes_back_and_is_undone_again_was_reapplied_but_not_regretted(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   11:00 v1   13:00 v2   14:00 v1
    facts = stitch(
        *(deployment(version, at) for version, at in [("v1", "9:00"), ("v2", "10:00"), ("v1", "11:00"), ("v2", "13:00"), ("v1", "14:00")])
    )
    assert kinds(facts) == ["release", "release", "rollback", "reapply", "rollback"]
    first = facts.rollbacks["deployment:v1 11:00"]
    assert first["reapplied_at"] == t("13:00")
    assert first["regretted"] is False
    assert failures(facts) == ["v2 10:00", "v2 13:00"]


def test_what_comes_back_and_runs_a_day_makes_the_rollback_regretted_and_its_evidence_weak(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   11:00 v1   13:00 v2, and nothing more
    facts = stitch(*(deployment(version, at) for version, at in [("v1", "9:00"), ("v2", "10:00"), ("v1", "11:00"), ("v2", "13:00")]))
    assert facts.rollbacks["deployment:v1 11:00"]["regretted"] is True
    assert facts.deployments["v2 10:00"]["failed"] == "likely"
    assert facts.deployments["v2 10:00"]["failed_final"] == "possible"


def test_an_incident_in_staging_leaves_production_untouched(stitch: Stitch) -> None:
    # production: 10:00 v2          staging: 10:00 v2   10:10 inc
    facts = stitch(
        deployment("v2", "10:00"),
        deployment("v2", "10:00", id="staged", environment="staging"),
        incident("10:10", "10:30", environment="staging"),
    )
    assert facts.deployments["v2 10:00"]["failed"] is None
    assert facts.deployments["staged"]["failed"] == "likely"


def test_a_drill_inside_an_incident_changes_nothing(stitch: Stitch) -> None:
    # 09:00 v1   09:50 v2   10:00 inc   10:10 drill to v1   10:20 v2 again   10:50 mitigated by a flag
    rows = [deployment("v1", "09:00"), deployment("v2", "09:50"), incident("10:00", "10:50"), flag_off("10:45", incident="inc")]
    drill = [rollback("v1", "10:10", drill=True), deployment("v1", "10:10", 5), deployment("v2", "10:20")]
    without, with_drill = stitch(*rows), stitch(*rows, *drill)
    assert with_drill.rollbacks["deployment:v1 10:10"]["outcome"] == "drill"
    assert with_drill.incidents == without.incidents
    assert with_drill.evidence == without.evidence
    assert failures(with_drill) == failures(without) == ["v2 09:50"]
    assert with_drill.rollbacks["flag_change:off 10:45"] == without.rollbacks["flag_change:off 10:45"]


def test_an_incident_reopened_ten_minutes_after_the_rollback_makes_it_ineffective(stitch: Stitch) -> None:
    # 10:00 inc   10:05–10:10 rollback   10:10 mitigated   10:20 reopened   12:00 mitigated
    facts = stitch(
        deployment("v1", "09:00"), deployment("v2", "09:50"), deployment("v1", "10:05", 5),
        incident("10:00", "10:10"), event("reopened", "10:20"), event("mitigated", "12:00"),
    )  # fmt: skip
    assert facts.rollbacks["deployment:v1 10:05"]["outcome"] == "ineffective"
    inc = facts.incidents["inc"]
    assert (inc["reopened"], inc["recovered_at"], inc["whole"]) == (1, t("12:00"), m(120))


def test_a_pipeline_that_refuses_is_stopped_and_no_failure(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2 refused   12:00 v3 fine
    rows = [deployment("v1", "09:00"), deployment("v2", "10:00", status="failed"), deployment("v3", "12:00")]
    facts = stitch(*rows)
    assert facts.deployments["v2 10:00"]["stopped"] is True
    counted = [row for row in facts.deployments.values() if not row["stopped"]]
    assert len(failures(facts)) / len(counted) == 0 / 2


def test_five_fine_rollbacks_of_one_service_prove_no_certainty(stitch: Stitch) -> None:
    # every day: 10:00 a new version, 11:00 back to v0
    rows = [deployment("v0", "09:00")]
    for day in range(5):
        rows += [deployment(f"v{day + 1}", f"{day}d 10:00"), deployment("v0", f"{day}d 11:00")]
    k = outcomes(stitch(*rows)).count("succeeded")
    low, high = wilson(k, 5)
    assert k / 5 == 5 / 5
    assert low < high


def test_an_incident_of_two_services_is_one_incident_with_a_failure_in_each(stitch: Stitch) -> None:
    # shop 10:00 v2   cart 10:05 v7   10:10 inc in both
    facts = stitch(
        deployment("v2", "10:00"), deployment("v7", "10:05", service="cart"), incident("10:10", "10:40", services=["shop", "cart"])
    )
    assert len(facts.incidents) == 1
    assert sorted(failures(facts)) == ["v2 10:00", "v7 10:05"]
    assert facts.incidents["inc"]["cause_deployment"] == "v7 10:05"


def test_the_first_deployment_of_a_service_has_no_lead_time(stitch: Stitch) -> None:
    facts = stitch(deployment("v1", "10:00", committed_at="9:00"), deployment("v2", "12:00", committed_at="11:00"))
    assert facts.deployments["v1 10:00"]["lead_time"] is None
    assert facts.deployments["v2 12:00"]["lead_time"] == m(60)


def test_a_source_that_sends_only_the_version_still_shows_a_rollback(stitch: Stitch) -> None:
    # 09:00 v1 @a   10:00 v2 @b   11:00 v1 by a webhook that knows no digest
    facts = stitch(
        deployment("v1", "09:00", artifact_digest="a"),
        deployment("v2", "10:00", artifact_digest="b"),
        deployment("v1", "11:00", source="webhook"),
    )
    assert kinds(facts) == ["release", "release", "rollback"]
    assert facts.deployments["v1 11:00"]["restores"] == "v1 09:00"


def test_going_back_twice_within_an_incident_blames_both_releases(stitch: Stitch) -> None:
    # 08:00 v1   2d v2   4d 10:00 v3   10:10 inc   10:20 v2   10:40 v1   10:50 mitigated
    facts = stitch(
        deployment("v1", "8:00"), deployment("v2", "2d 8:00"), deployment("v3", "4d 10:00"),
        incident("4d 10:10", "4d 10:50"), deployment("v2", "4d 10:20"), deployment("v1", "4d 10:40"),
    )  # fmt: skip
    assert failures(facts)[:2] == ["v2 2d 8:00", "v3 4d 10:00"]
    # The deployment that restored v2 was undone in its turn.
    assert failures(facts)[2:] == ["v2 4d 10:20"]
    assert outcomes(facts) == ["ineffective", "succeeded"]


def test_a_ticket_opened_after_the_rollback_belongs_to_it_and_the_restored_version_is_innocent(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   10:10 v1   10:30 a ticket, recovered in hindsight
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", "10:10"), incident("10:30", "10:35"))
    attempt = facts.rollbacks["deployment:v1 10:10"]
    assert (attempt["incident"], attempt["incident_source"]) == ("inc", "derived:late_ticket")
    assert attempt["outcome"] == "succeeded"
    assert failures(facts) == ["v2 10:00"]


def test_a_ticket_nobody_closes_does_not_swallow_the_rollbacks_of_a_month(stitch: Stitch) -> None:
    # 0d inc, never mitigated; from the second week on every week: 10:00 a new version, 11:00 back to v0
    rows = [deployment("v0", "08:00"), incident("09:00", None)]
    for week in range(4):
        rows += [deployment(f"v{week + 1}", f"{8 + 7 * week}d 10:00"), deployment("v0", f"{8 + 7 * week}d 11:00")]
    facts = stitch(*rows)
    assert [row["incident"] for row in facts.rollbacks.values()] == [None] * 4
    assert outcomes(facts).count("succeeded") / len(outcomes(facts)) == 4 / 4


def test_the_current_version_restarted_three_days_after_a_refused_pipeline_is_a_redeploy(stitch: Stitch) -> None:
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00", status="failed"), deployment("v1", "3d 10:00"))
    assert kinds(facts) == ["release", "release", "redeploy"]
    assert facts.rollbacks == {}


def test_an_abort_reported_after_the_rollback_that_undid_it_is_still_undone_by_it(stitch: Stitch) -> None:
    # 09:00 v1   10:00 ──v2, cancelled── 10:30
    #                   10:10 v1 10:15
    facts = stitch(deployment("v1", "09:00"), deployment("v2", "10:00", 30, status="cancelled"), deployment("v1", "10:10", 5))
    back = facts.deployments["v1 10:10"]
    assert (back["kind"], back["undoes"]) == ("rollback", "v2 10:00")


def test_a_traffic_switch_back_enters_the_lineage_so_that_the_bad_version_again_is_a_reapply(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   10:20 traffic back to v1, no deployment   12:00 v2
    facts = stitch(
        deployment("v1", "09:00"), deployment("v2", "10:00"), rollback("v1", "10:20", 5, mechanism="traffic"), deployment("v2", "12:00")
    )
    assert facts.deployments["v2 12:00"]["kind"] == "reapply"
    attempt = facts.rollbacks["rollback:rb"]
    assert (attempt["undoes"], attempt["restores"], attempt["reapplied_at"]) == ("v2 10:00", "v1 09:00", t("12:00"))
    assert facts.deployments["v2 10:00"]["superseded_at"] == t("10:25")


def test_a_traffic_switch_back_beyond_current_after_an_aborted_release_blames_current_too(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   11:00–11:20 v3 aborted   11:10–11:15 traffic back to v1
    facts = stitch(
        deployment("v1", "09:00"),
        deployment("v2", "10:00"),
        deployment("v3", "11:00", 20, status="failed"),
        rollback("v1", "11:10", 5, mechanism="traffic", from_version="v3"),
    )
    assert sorted(failures(facts)) == ["v2 10:00", "v3 11:00"]


def test_what_takes_no_time_joins_an_attempt_that_ends_in_that_moment(stitch: Stitch) -> None:
    # 10:30 asked for v3   10:45 v3 is out   10:45 another rollback, over at once
    facts = stitch(
        deployment("v3", "10:45"),
        rollback("v3", "10:30", minutes=0, id="asked"),
        rollback(None, "10:45", minutes=0, id="another"),
    )
    assert [set(row["parts"]) for row in facts.rollbacks.values()] == [{"deployment:v3 10:45", "rollback:asked", "rollback:another"}]


def test_what_begins_in_the_moment_in_which_an_attempt_ends_is_another_attempt(stitch: Stitch) -> None:
    # 10:30 asked for v3   10:35-10:45 v3 carries it out   10:45 another rollback
    facts = stitch(
        deployment("v3", "10:35", 10),
        rollback("v3", "10:30", minutes=10, id="asked"),
        rollback(None, "10:45", id="another"),
    )
    assert [set(row["parts"]) for row in facts.rollbacks.values()] == [{"deployment:v3 10:35", "rollback:asked"}, {"rollback:another"}]


def test_every_deployment_that_carries_out_a_drill_is_part_of_it(stitch: Stitch) -> None:
    # 10:35 a drill back to v1   10:45 v1   10:50 v1   11:10 v1
    facts = stitch(
        rollback("v1", "10:35", minutes=0, id="drill", drill=True),
        *(deployment("v1", clock) for clock in ("10:45", "10:50", "11:10")),
    )
    (drill,) = facts.rollbacks.values()
    assert drill["outcome"] == "drill"
    assert len(drill["parts"]) == 4


def test_an_attempt_does_not_restore_what_it_brought_in_itself(stitch: Stitch) -> None:
    # 10:00 v2   10:40 v3   10:45-10:50 v2, carrying out a rollback until 11:45   11:00 a switch to v2, which runs already
    facts = stitch(
        deployment("v2", "10:00"),
        deployment("v3", "10:40"),
        deployment("v2", "10:45", minutes=5),
        rollback(None, "10:45", minutes=60, id="asked"),
        rollback("v2", "11:00", minutes=0, id="switch"),
    )
    (attempt,) = facts.rollbacks.values()
    assert attempt["restores"] == "v2 10:00"
    assert attempt["undoes"] == "v3 10:40"


def test_an_attempt_has_not_ended_while_the_deployment_that_carries_it_runs(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   10:10–10:20 declared rollback to v1   10:12 … v1 in progress
    facts = stitch(
        deployment("v1", "09:00"),
        deployment("v2", "10:00"),
        rollback("v1", "10:10", 10),
        deployment("v1", "10:12", None, status="in_progress"),
    )
    assert outcomes(facts) == ["pending"]


def test_a_name_that_two_sources_use_is_the_one_of_the_incidents_own_source(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2   10:20 v1, called d1   2d v3, a hotfix that another source calls d1 as well; the incident says: fixed by d1
    facts = stitch(
        deployment("v1", "09:00"),
        deployment("v2", "10:00"),
        deployment("v1", "10:20", id="d1"),
        deployment("v3", "2d 10:00", id="d1", source="other", kind="hotfix"),
        incident("10:10", "10:40", fixed_by="d1"),
    )
    assert facts.deployments["other/d1"]["hotfix"] == "certain"
    assert facts.deployments["other/d1"]["hotfix_incident"] is None
    assert facts.rollbacks["deployment:made/d1"]["incident_source"] == "declared"


def test_a_declared_cause_without_any_time_is_the_cause_all_the_same(stitch: Stitch) -> None:
    # 09:00 v1   09:10 inc, caused by a deployment of which nobody knows when it was
    facts = stitch(deployment("v1", "09:00"), deployment("v2", None, id="untimed"), incident("9:10", suspected_deployment="untimed"))
    inc = facts.incidents["inc"]
    assert (inc["cause_deployment"], inc["cause_evidence"], inc["cause_source"]) == ("untimed", "certain", "declared")
    # It has no moment, so nothing begins with it; and nobody else is blamed by time.
    assert inc["started_at"] is None
    assert facts.evidence == []
    assert failures(facts) == []


def test_planned_maintenance_names_no_fix_not_even_as_a_duplicate(stitch: Stitch) -> None:
    # 10:00 v1   10:10 inc   20d a rollback, which a planned duplicate of inc calls its fix
    facts = stitch(
        deployment("v1", "10:00"),
        incident("10:10"),
        incident("10:10", id="copy", severity="maintenance", duplicate_of="inc", fixed_by="rb"),
        rollback("v0", "20d 10:00"),
    )
    assert facts.incidents["inc"]["duplicates"] == ["copy"]
    assert facts.rollbacks["rollback:rb"]["incident"] is None


def test_what_was_overtaken_never_ran_so_its_rollback_is_not_regretted(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v2 fails   10:10 v1   11:00 ───────── v2 ───────── 12:00
    #                                            11:10 v3 11:20
    facts = stitch(
        deployment("v1", "09:00"),
        deployment("v2", "10:00", status="failed"),
        deployment("v1", "10:10"),
        deployment("v2", "11:00", 60),
        deployment("v3", "11:10", 10),
    )
    assert facts.deployments["v2 11:00"]["overlapped"]
    attempt = facts.rollbacks["deployment:v1 10:10"]
    assert (attempt["reapplied_at"], attempt["regretted"]) == (t("12:00"), False)


def test_a_failed_rollback_is_no_hotfix_whatever_its_label_so_nothing_undoes_it(stitch: Stitch) -> None:
    # 09:00 v1   10:00 v0, declared a rollback and labelled a hotfix, fails   10:30 v1 again
    facts = stitch(
        deployment("v1", "09:00"),
        deployment("v0", "10:00", status="failed", kind="rollback", labels=["hotfix"]),
        deployment("v1", "10:30"),
    )
    assert facts.deployments["v0 10:00"]["hotfix"] is None
    assert facts.deployments["v1 10:30"]["kind"] == "redeploy"
    assert facts.deployments["v0 10:00"]["stopped"]


SHIPPED = (
    deployment("v1", "09:00"),
    deployment("v2", "10:00", source="pipeline"),
    deployment("v2", "10:00", source="other", service="web"),
    deployment("v1", "10:06", trigger="auto"),
)


@pytest.mark.parametrize(
    ("words", "race"),
    [
        # 09:00 v1   10:00 v2   10:06 v1 by automation: two machines disagree …
        ([], True),
        # … unless a judge had asked for it, or could not tell.
        ([("10:05", "revert", "v2 10:00", {})], False),
        ([("10:05", "pause", "v2 10:00", {})], False),
        ([("10:05", "inconclusive", "v2 10:00", {})], False),
        ([("10:05", "error", "v2 10:00", {})], False),
        # It may act in the same moment, and whatever else was said before or after.
        ([("10:06", "revert", "v2 10:00", {})], False),
        ([("10:02", "proceed", "v2 10:00", {}), ("10:05", "revert", "v2 10:00", {}), ("10:30", "proceed", "v2 10:00", {})], False),
        # A go is no reason to go back, nor is a word that came afterwards.
        ([("10:05", "proceed", "v2 10:00", {})], True),
        ([("10:07", "revert", "v2 10:00", {})], True),
        # One that names nothing is about what had begun last.
        ([("10:05", "revert", None, {})], False),
        ([("09:55", "revert", None, {})], True),
        ([("10:05", "revert", None, {"environment": "staging"})], True),
        # What another deployment was told, of the same name even, is no reason here.
        ([("10:05", "revert", "v1 09:00", {})], True),
        ([("10:05", "revert", "v2 10:00", {"source": "pipeline"})], False),
        ([("10:05", "revert", "v2 10:00", {"source": "other", "service": "web"})], True),
        ([("10:05", "revert", "v2 10:00", {"service": "web"})], True),
    ],
)
def test_automation_that_was_told_to_stop_a_deployment_is_no_race(stitch: Stitch, words: list[Any], race: bool) -> None:
    said = [
        told("verdict", f"j{number}", at=at, decision=decision, deployment=named, **{"source": "pipeline"} | given)
        for number, (at, decision, named, given) in enumerate(words)
    ]
    facts = stitch(*SHIPPED, *said)
    (attempt,) = facts.rollbacks.values()
    assert attempt["race"] is race
    # A race is no evidence against what it took back; an answer to a judge is.
    assert ("likely" in [row["failed_final"] for row in facts.deployments.values()]) is not race


def test_what_came_after_it_was_undone_was_not_what_was_undone(stitch: Stitch) -> None:
    # 10:00 and 10:05 traffic to v2, of which no deployment is known   11:00 back from there, whereto nobody says   11:25 v2
    facts = stitch(
        rollback("v2", "10:00", minutes=0, id="one"),
        rollback("v2", "10:05", minutes=0, id="two"),
        rollback(None, "11:00", minutes=0, id="back"),
        deployment("v2", "11:25"),
    )
    assert facts.deployments["v2 11:25"]["failed"] is None


def test_of_several_incidents_that_name_one_fix_the_last_one_begun_is_meant(stitch: Stitch) -> None:
    #      9:00 old    10:00 new    10:30 rb, the fix of all    11:00 later
    named = {"mechanism": "traffic", "id": "rb"}
    at = {"old": "9:00", "new": "10:00", "later": "11:00", "unknown": None}
    of_all = [incident(when, "11:30", id=name, fixed_by="rb") for name, when in at.items()]
    facts = stitch(rollback("v1", "10:30", **named), *of_all)
    assert facts.rollbacks["rollback:rb"]["incident"] == "new"
    # Where none had begun, the first by name.
    facts = stitch(rollback("v1", "8:30", **named), *of_all)
    assert facts.rollbacks["rollback:rb"]["incident"] == "later"


TITLES = {
    # first, again: a repeat
    ("Checkout 5xx (#12)", "checkout: 7XX!"): True,
    ("Größe_2", "GRÖßE"): True,
    ("Down", "down ⚠\ufe0f ½"): True,
    ("नमस्ते 1", "नमस्ते"): True,
    ("Checkout errors", "Checkout error"): False,
    ("cafe\u0301 down", "cafe down"): False,
    # Where nothing is left, nothing is the same.
    ("12", "12"): False,
    ("#!", "#!"): False,
}


def test_a_title_says_the_same_whatever_its_case_its_numbers_and_its_punctuation(stitch: Stitch) -> None:
    rows = [
        incident(at, f"{at}5", id=f"{number} {at}", title=title, services=[f"s{number}"])
        for number, pair in enumerate(TITLES)
        for at, title in zip(("10:0", "11:0"), pair, strict=True)
    ]
    facts = stitch(*rows)
    again = {pair: facts.incidents[f"{number} 11:0"]["repeat_of"] for number, pair in enumerate(TITLES)}
    assert again == {pair: f"{number} 10:0" if repeats else None for number, (pair, repeats) in enumerate(TITLES.items())}
