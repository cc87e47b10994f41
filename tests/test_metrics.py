"""What the metrics count, what they leave out, and what they say beside the number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from handmade import HORIZON, MONDAY, at, deployment, incident, minutes, rollback, workspace

from toolkit.errors import UsageError
from toolkit.metrics import METRICS, measure
from toolkit.stats.proportions import wilson


def row(w: Any, name: str, **scope: Any) -> dict[str, Any]:
    return measure(w, name, **({"start": MONDAY} | scope)).row(0, named=True)


def value(w: Any, name: str, **scope: Any) -> float | None:
    return row(w, name, **scope)["value"]


# Deployments


def test_deployment_frequency_counts_what_may_have_brought_something_new() -> None:
    kinds = ["release", "out_of_order", "unknown", "rollback", "redeploy", "reapply"]
    ships = [deployment(kind=kind) for kind in kinds] + [deployment(kind="unknown", hotfix="certain"), deployment(successful=False)]
    # release, out of order, unknown and the hotfix, in four weeks
    assert value(workspace(deployments=ships), "deployment_frequency") == 4 / 4


def test_a_week_without_deployments_is_zero() -> None:
    w = workspace(deployments=[deployment(at=at(1)), deployment(at=at(15))])
    found = measure(w, "deployment_frequency", start=MONDAY, every="1w")
    assert found["value"].to_list() == [1, 0, 1, 0]
    assert found["period"].to_list() == [MONDAY + timedelta(weeks=week) for week in range(4)]


def test_a_week_with_a_gap_in_coverage_is_unknown() -> None:
    coverage = [
        {"stream": "deployments", "source": "ci", "start": MONDAY.isoformat(), "end": HORIZON.isoformat(), "assumed": False, "gap": False},
        {"stream": "deployments", "source": "ci", "start": at(8).isoformat(), "end": at(10).isoformat(), "assumed": False, "gap": True},
    ]
    w = workspace(deployments=[deployment(at=at(1)), deployment(at=at(11))], coverage=coverage)
    found = measure(w, "deployment_frequency", start=MONDAY, every="1w")
    assert found["value"].to_list() == [1, None, 0, 0]
    assert found["note"][1] == "gap in coverage: unknown"
    # Over the whole window: two in four weeks less two days.
    assert value(w, "deployment_frequency") == pytest.approx(2 / (26 / 7))


def test_before_coverage_began_nothing_is_known() -> None:
    coverage = [{"stream": "deployments", "source": "ci", "start": at(7), "end": HORIZON, "assumed": True, "gap": False}]
    w = workspace(deployments=[deployment(at=at(7))], coverage=coverage)
    assert measure(w, "deployment_frequency", start=MONDAY, every="1w")["value"].to_list() == [None, 1, 0, 0]


def test_the_change_failure_rate_is_certain_and_likely_of_matured_changes() -> None:
    ships = [
        *[deployment(failed_final=level) for level in ("certain", "likely", "possible", None)],
        deployment(failed_final="certain", matured=False),
        deployment(failed_final="likely", kind="rollback"),
        deployment(failed_final="likely", kind="rollback", drill=True),
    ]
    found = row(workspace(deployments=ships), "change_failure_rate")
    assert (found["k"], found["n"]) == (2, 4)
    assert (found["low"], found["high"]) == pytest.approx([float(end) for end in wilson(2, 4)])
    assert "1 not yet matured" in found["note"]


def test_beside_the_change_failure_rate_stands_its_band() -> None:
    ships = [deployment(failed_final=level) for level in ("certain", "likely", "possible", None)]
    w = workspace(deployments=ships)
    assert "certain only 25.0 %, with possible 75.0 %" in row(w, "change_failure_rate")["note"]
    assert value(w, "change_failure_rate_certain") == 1 / 4
    assert value(w, "change_failure_rate_possible") == 3 / 4


def test_a_refused_pipeline_is_stopped_and_leaves_the_rate_unchanged() -> None:
    ships = [deployment(failed_final="likely"), deployment(), deployment(successful=False, status="failed", stopped=True)]
    w = workspace(deployments=ships)
    assert value(w, "change_failure_rate") == 1 / 2
    assert "1 stopped before production" in row(w, "change_failure_rate")["note"]
    assert value(w, "stopped_deployments") == 1 / 4


def test_an_unsuccessful_release_that_was_undone_did_fail() -> None:
    ships = [deployment(successful=False, status="cancelled", failed_final="likely", undone_by="r1"), deployment()]
    w = workspace(deployments=ships)
    assert value(w, "change_failure_rate") == 1 / 2
    assert value(w, "rollback_rate") == 1 / 2


def test_links_by_chance_are_incidents_times_the_share_of_time_near_a_deployment() -> None:
    # Two deployments 30 min apart and one alone: 2.5 h of 28 days near one; ten incidents anywhere.
    ships = [deployment(at=at(1)), deployment(at=at(1, minutes=30)), deployment(at=at(9)), deployment(service="other")]
    troubles = [incident(at=at(12)) for _ in range(10)] + [incident(cause_evidence="certain"), incident(not_a_deployment=True)]
    w = workspace(deployments=ships * 1, incidents=troubles * 3)
    expected = 30 * 2.5 / (28 * 24)
    assert expected == pytest.approx(0.11, abs=0.01)
    assert "about 0.1 links expected by chance" in row(w, "change_failure_rate")["note"]


def test_recovery_of_a_failed_deployment_starts_with_the_incident_where_that_came_later() -> None:
    began = at(1)
    ships = [
        deployment(failed_final="likely", incident="i1", incident_started_at=began + minutes(10), recovered_at=began + minutes(30)),
        deployment(failed_final="likely", recovered_at=began + minutes(50)),
        deployment(failed_final="likely"),
        deployment(recovered_at=began + minutes(1)),
    ]
    found = measure(workspace(deployments=ships), "failed_deployment_recovery_time", start=MONDAY)
    assert found["n"][0] == 2
    assert found["value"][0] == 20


def test_a_failed_deployment_whose_incident_is_open_counts_with_the_time_so_far() -> None:
    ships = [deployment(failed_final="certain", incident="i1", incident_started_at=HORIZON - minutes(90), at=at(1))]
    found = row(workspace(deployments=ships), "failed_deployment_recovery_time")
    assert (found["value"], found["n"], found["censored"]) == (None, 1, 1)
    assert "> 90.0 minutes: not reached" in found["note"]


def test_the_rework_rate_is_hotfixes_of_deployments() -> None:
    ships = [deployment(hotfix="certain"), deployment(hotfix="likely"), deployment(hotfix="possible"), deployment(), deployment()]
    assert value(workspace(deployments=ships), "deployment_rework_rate") == 2 / 5


def test_a_first_deployment_has_no_lead_time() -> None:
    ships = [deployment(), deployment(lead_time=timedelta(hours=2)), deployment(lead_time=timedelta(hours=1), kind="rollback")]
    found = row(workspace(deployments=ships), "change_lead_time")
    assert (found["value"], found["n"]) == (120, 1)


def test_staging_is_no_production_unless_it_is_asked_for() -> None:
    ships = [deployment(), deployment(environment="staging", production=False)]
    w = workspace(deployments=ships)
    assert row(w, "deployment_frequency")["n"] == 1
    assert row(w, "deployment_frequency", environment="staging")["n"] == 1


def test_an_unknown_kind_is_in_no_rate_and_is_shown() -> None:
    found = row(workspace(deployments=[deployment(), deployment(kind="unknown")]), "change_failure_rate")
    assert found["n"] == 1
    assert "1 of unknown kind" in found["note"]


def test_young_rows_make_a_period_provisional() -> None:
    found = row(workspace(deployments=[deployment(provisional=True)]), "change_failure_rate")
    assert "provisional" in found["note"]


# Incidents


def test_phases_are_medians_in_minutes() -> None:
    w = workspace(incidents=[incident(detect=minutes(number)) for number in (1, 4, 2, 9)])
    assert value(w, "time_to_detect") == 2


def test_a_p90_is_printed_from_ten_rows() -> None:
    nine, ten = (workspace(incidents=[incident(whole=minutes(number)) for number in range(1, n + 1)]) for n in (9, 10))
    assert value(nine, "time_to_recover_p90") is None
    assert value(ten, "time_to_recover_p90") == 9


def test_planned_maintenance_never_counts() -> None:
    found = row(workspace(incidents=[incident(), incident(planned=True, whole=minutes(500))]), "time_to_recover")
    assert (found["n"], found["value"]) == (1, 45)


def test_an_incident_begun_before_coverage_is_left_out() -> None:
    assert row(workspace(incidents=[incident(), incident(before_coverage=True)]), "time_to_recover")["n"] == 1


def test_an_open_incident_counts_in_its_current_phase_only() -> None:
    still = incident(open=True, censored_phase="decide", decide=minutes(100), act=None, whole=minutes(105))
    w = workspace(incidents=[incident(), still])
    assert row(w, "time_to_detect")["censored"] == 0
    assert row(w, "time_to_decide")["censored"] == 1
    assert (row(w, "time_to_act")["n"], row(w, "time_to_act")["censored"]) == (1, 0)
    assert row(w, "time_to_recover")["censored"] == 1


def test_kaplan_meier_is_used_and_named_where_rows_are_open() -> None:
    w = workspace(incidents=[incident(whole=minutes(number), open=number == 20) for number in (10, 20, 30)])
    found = row(w, "time_to_recover")
    # 10 ends 1 of 3, 30 ends the only one left: half is reached at 30.
    assert found["value"] == 30
    assert found["method"] == "Kaplan–Meier, log-log interval"


def test_recovered_undecided_is_no_decision_of_zero_minutes() -> None:
    w = workspace(incidents=[incident(), incident(recovered_undecided=True, decide=None, act=None)])
    assert row(w, "time_to_decide")["n"] == 1


def test_under_a_second_counts_as_a_second() -> None:
    assert value(workspace(incidents=[incident(detect=timedelta(milliseconds=3))]), "time_to_detect") == 1 / 60


def test_silent_minutes_may_be_negative() -> None:
    w = workspace(incidents=[incident(criterion_met_at=at(1), silent_minutes=minutes(-4)), incident()])
    found = row(w, "silent_decision_minutes")
    assert (found["value"], found["n"]) == (-4, 1)


def test_the_machine_detection_rate_is_of_incidents_that_say_who_noticed() -> None:
    w = workspace(incidents=[incident(detected_by=who) for who in ("machine", "customer", "person", None)])
    assert value(w, "machine_detection_rate") == 1 / 3


def test_the_first_action_is_the_first_real_attempt_of_the_incident() -> None:
    first, second, third = incident(id="a"), incident(id="b"), incident(id="c")
    tries = [
        rollback(incident="a", at=at(2), outcome="succeeded"),
        rollback(incident="a", at=at(1), outcome="ineffective"),
        rollback(incident="b", at=at(1), outcome="drill", drill=True),
        rollback(incident="b", at=at(2), outcome="succeeded", mechanism="flag"),
    ]
    found = row(workspace(incidents=[first, second, third], rollbacks=tries), "first_action_success_rate")
    assert (found["k"], found["n"]) == (1, 2)


def test_an_incident_of_two_services_counts_once_in_totals_and_under_each() -> None:
    w = workspace(incidents=[incident(services=["shop", "cart"]), incident(services=["cart"])])
    assert row(w, "time_to_recover")["n"] == 2
    by = measure(w, "time_to_recover", start=MONDAY, by="service").filter(pl.col("metric") == "time_to_recover")
    assert dict(by.select("by", "n").rows()) == {"cart": 2, "shop": 1}
    assert row(w, "time_to_recover", service="shop")["n"] == 1


def test_an_incident_of_two_services_of_a_team_is_one_of_the_team() -> None:
    owners = [{"service": "shop", "team": "buying"}, {"service": "cart", "team": "buying"}]
    w = workspace(incidents=[incident(services=["shop", "cart"]), incident(services=["mail"])], owners=owners)
    by = measure(w, "time_to_recover", start=MONDAY, by="team").filter(pl.col("metric") == "time_to_recover")
    assert dict(by.select("by", "n").rows()) == {"buying": 1, "unowned": 1}


def test_a_row_belongs_to_who_owned_the_service_then() -> None:
    owners = [
        {"service": "shop", "team": "old", "valid_to": at(7)},
        {"service": "shop", "team": "new", "valid_from": at(7)},
    ]
    w = workspace(deployments=[deployment(at=at(6)), deployment(at=at(7)), deployment(at=at(8))], owners=owners)
    by = measure(w, "deployment_frequency", start=MONDAY, by="team")
    assert dict(by.select("by", "n").rows()) == {"old": 1, "new": 2}


def test_an_incident_without_a_service_counts_in_totals_only() -> None:
    w = workspace(incidents=[incident(services=[]), incident()])
    assert row(w, "time_to_recover")["n"] == 2
    assert row(w, "machine_detection_rate")["n"] == 0
    by = measure(w, "time_to_recover", start=MONDAY, by="service").filter(pl.col("metric") == "time_to_recover")
    assert dict(by.select("by", "n").rows()) == {"shop": 1}


def test_severities_in_scope_come_from_the_settings() -> None:
    troubles = [incident(severity="sev1"), incident(severity="sev4")]
    assert row(workspace(incidents=troubles, severities=["sev1"]), "time_to_recover")["n"] == 1


# Rollbacks


def test_rollback_success_leaves_out_drills_races_pending_and_other_means() -> None:
    tries = [
        rollback(),
        rollback(outcome="failed", status="failed"),
        rollback(outcome="ineffective"),
        rollback(outcome="drill", drill=True),
        rollback(outcome="race", race=True),
        rollback(outcome="pending"),
        rollback(mechanism="revert_commit", code_level=True),
        rollback(mechanism="flag", outcome="ineffective"),
    ]
    found = row(workspace(rollbacks=tries), "rollback_success_rate")
    assert (found["k"], found["n"]) == (1, 3)
    assert "flag-offs apart: 0 of 1" in found["note"]
    assert value(workspace(rollbacks=tries), "failed_rollbacks") == 2 / 4


def test_three_flag_offs_of_which_the_third_works_are_one_of_three() -> None:
    tries = [rollback(mechanism="flag", outcome=outcome) for outcome in ("ineffective", "ineffective", "succeeded")]
    assert value(workspace(rollbacks=tries), "flag_off_success_rate") == 1 / 3


def test_an_episode_counts_by_its_first_attempt() -> None:
    tries = [
        rollback(episode="e", outcome="ineffective"),
        rollback(episode="e", episode_order=2),
        rollback(),
    ]
    assert value(workspace(rollbacks=tries), "first_time_rollback_success_rate") == 1 / 2


def test_a_rollback_takes_from_the_decision_or_else_the_start_to_its_end() -> None:
    tries = [rollback(decided_at=at(1) - minutes(10), at=at(1)), rollback()]
    found = measure(workspace(rollbacks=tries), "time_to_roll_back", start=MONDAY)
    # 15 min from the decision, 5 from the start: half at or below 5.
    assert found["value"][0] == 5
    assert "1 of 2 from the start" in found["note"][0]


def test_one_service_with_a_perfect_record_has_an_interval() -> None:
    found = row(workspace(rollbacks=[rollback() for _ in range(6)]), "rollback_success_rate")
    assert found["value"] == found["high"] == 1
    assert found["low"] == pytest.approx(0.61, abs=0.005)
    assert found["method"] == "Wilson"


def test_over_several_services_the_services_are_clusters() -> None:
    tries = [
        rollback(service=service, outcome=outcome) for service, outcome in zip("aaabbb", ["succeeded"] * 3 + ["failed"] * 3, strict=True)
    ]
    found = row(workspace(rollbacks=tries), "rollback_success_rate")
    assert found["method"] == "Wilson on n ÷ design effect"
    assert "for these services only" in found["note"]
    assert found["low"] < float(wilson(3, 6)[0])


def test_a_storm_is_one_cluster() -> None:
    alone = [rollback(service=f"s{number}") for number in range(6)]
    stormy = [rollback(service=f"s{number}", storm="x", outcome="failed") for number in range(6, 9)]
    assert row(workspace(rollbacks=alone), "rollback_success_rate")["method"] == "Wilson"
    assert "over 7 clusters" in row(workspace(rollbacks=alone + stormy), "rollback_success_rate")["note"]


def test_twenty_services_get_a_cluster_bootstrap_and_the_same_numbers_again() -> None:
    tries = [rollback(service=f"s{number % 25}", outcome="failed" if number % 7 == 0 else "succeeded") for number in range(100)]
    one, two = (row(workspace(rollbacks=rows), "rollback_success_rate") for rows in (tries, tries[::-1]))
    assert one["method"] == "cluster bootstrap"
    assert (one["low"], one["high"]) == (two["low"], two["high"])


def test_missed_rollbacks_had_a_criterion_and_a_deployment_as_cause() -> None:
    caused = {"criterion_met_at": at(1), "cause_deployment": "d1"}
    troubles = [
        incident(**caused, remedy="hotfix"),
        incident(**caused, remedy="rollback"),
        incident(**caused, remedy="flag"),
        incident(**caused, remedy="none"),
        incident(**caused, remedy=None, open=True),
        incident(criterion_met_at=at(1), remedy="none"),
        incident(cause_deployment="d1", remedy="none"),
    ]
    assert value(workspace(incidents=troubles), "missed_rollbacks") == 2 / 4


def test_known_good_regret_and_automation_are_of_attempts() -> None:
    tries = [
        rollback(to_known_good=True, trigger="auto"),
        rollback(to_known_good=False, trigger="manual", regretted=True),
        rollback(to_known_good=None, trigger=None),
        rollback(status="failed", outcome="failed", to_known_good=True, trigger="unknown"),
    ]
    w = workspace(rollbacks=tries)
    assert value(w, "known_good_rate") == 2 / 3
    assert value(w, "rollback_regret_rate") == 1 / 3
    assert value(w, "automated_rollback_rate") == 1 / 2


# Hotfixes


def test_a_hotfix_takes_from_detection_to_deployment() -> None:
    trouble = incident(id="i", at=at(1), detected_at=at(1))
    ships = [
        deployment(hotfix="certain", hotfix_incident="i", at=at(1, hours=2)),
        deployment(hotfix="possible", hotfix_incident="i", at=at(1, hours=1)),
        deployment(hotfix="certain"),
    ]
    found = row(workspace(deployments=ships, incidents=[trouble]), "hotfix_lead_time")
    assert (found["value"], found["n"]) == (120, 1)


def test_hotfixes_fail_and_have_a_size() -> None:
    ships = [
        deployment(hotfix="certain", failed_final="likely", changes_lines=10, changes_files=2, changes_review_minutes=7),
        deployment(hotfix="likely"),
        deployment(hotfix="likely", matured=False),
    ]
    w = workspace(deployments=ships)
    assert value(w, "hotfix_failure_rate") == 1 / 2
    assert (value(w, "hotfix_scope"), row(w, "hotfix_scope")["unit"]) == (10, "lines")
    assert (value(w, "hotfix_scope_files"), row(w, "hotfix_scope_files")["unit"]) == (2, "files")
    assert (value(w, "hotfix_review_time"), row(w, "hotfix_review_time")["unit"]) == (7, "minutes")


# Every question


def test_what_nobody_connected_says_so() -> None:
    w = workspace(deployments=[deployment()], records={"deployment": 1, "incident": 0})
    found = row(w, "time_to_decide")
    assert found["value"] is None
    assert found["note"].startswith("not measured: connect incidents")
    assert row(w, "skipped_gate_rate")["note"].startswith("not measured: connect")


def test_a_rate_of_nothing_is_unknown() -> None:
    found = row(workspace(deployments=[deployment(matured=False)]), "change_failure_rate")
    assert found["n"] == 0
    assert [found[column] for column in ("value", "low", "high", "method")] == [None] * 4


def test_fewer_than_five_rows_are_dots() -> None:
    assert "4 rows: dots" in row(workspace(incidents=[incident()] * 4), "time_to_detect")["note"]
    assert row(workspace(incidents=[incident()] * 5), "time_to_detect")["note"] is None


def test_a_window_is_open_at_its_end_but_what_happened_at_the_horizon_has_happened() -> None:
    w = workspace(deployments=[deployment(at=HORIZON - timedelta(days=7)), deployment(at=HORIZON), deployment(at=at(1))])
    assert row(w, "deployment_frequency", start=None, window="1w")["n"] == 2
    assert measure(w, "deployment_frequency", start=MONDAY, every="1w")["n"].to_list() == [1, 0, 0, 2]
    assert row(w, "deployment_frequency", end=HORIZON - timedelta(days=7))["n"] == 1


def test_weeks_begin_on_monday_in_the_workspaces_zone() -> None:
    # Sunday 20:00 in New York is Monday 01:00 UTC.
    w = workspace(deployments=[deployment(at=datetime(2026, 1, 12, 1, tzinfo=UTC))], time_zone="America/New_York")
    found = measure(w, "deployment_frequency", start="2026-01-05", end="2026-01-19", every="1w")
    assert found["n"].to_list() == [1, 0]
    assert found["period"][0] == datetime(2026, 1, 5, 5, tzinfo=UTC)


def test_a_period_that_the_window_cuts_is_marked() -> None:
    w = workspace(deployments=[deployment()])
    found = measure(w, "deployment_frequency", start=MONDAY + timedelta(days=1), every="1mo")
    assert ["partial" in (note or "") for note in found["note"]] == [True, True]
    assert found["value"][0] == pytest.approx(1 / (26 / 7))


def test_a_name_nobody_knows_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"No metric named 'mttr'\. There are: deployment_frequency"):
        measure(workspace(), "mttr")


@pytest.mark.parametrize(
    "scope",
    [
        {"window": "26"},
        {"by": "person"},
        {"every": "1d"},
        {"window": "1w", "start": MONDAY},
        {"start": HORIZON},
        {"group": "speed"},
    ],
)
def test_a_scope_that_makes_no_sense_is_refused(scope: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        measure(workspace(deployments=[deployment()]), **scope)


@pytest.mark.parametrize("by", ["service", "team", "class"])
def test_a_scope_without_rows_gives_no_groups(by: Any) -> None:
    w = workspace(deployments=[deployment()], incidents=[incident()], rollbacks=[rollback()])
    assert measure(w, start=MONDAY, by=by, service="nobody").drop_nulls("n").is_empty()


def test_an_empty_workspace_measures_nothing_without_failing() -> None:
    found = measure(workspace())
    assert found["value"].null_count() == len(found)
    assert found["note"].str.starts_with("not measured").all()


def test_every_metric_says_what_it_is() -> None:
    for name, metric in METRICS.items():
        assert metric.definition.endswith("."), name
        assert metric.title
        assert metric.reasons[: len(metric.excluded)] == list(metric.excluded)
