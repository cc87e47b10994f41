"""What the practices' metrics count, and what they leave out, on facts by hand."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from handmade import (
    HORIZON,
    MONDAY,
    at,
    check,
    deployment,
    flag_change,
    followup,
    gate,
    incident,
    item,
    minutes,
    rollback,
    service,
    shipped,
    verdict,
    version,
    workspace,
)  # fmt: skip

from toolkit.cli.entry import run
from toolkit.metrics import METRICS, compare, explain, measure
from toolkit.metrics.measurement import GROUPS, PRACTICES
from toolkit.metrics.readiness import QUESTIONS
from toolkit.workspace import Workspace

DAY = timedelta(days=1)


def row(w: Any, name: str, **scope: Any) -> dict[str, Any]:
    return measure(w, name, **({"start": MONDAY} | scope)).row(0, named=True)


def k_of_n(w: Any, name: str, **scope: Any) -> tuple[int, int]:
    found = row(w, name, **scope)
    return found["k"], found["n"]


def of(**practices: list[dict[str, Any]]) -> Any:
    return workspace(practices=practices)


# Learning


def test_an_incident_repeats_if_it_comes_back_within_ninety_days_of_its_recovery() -> None:
    # Followed for 100 days each: one came back after 30 days, one after 95, one never.
    w = workspace(
        practices={
            "followups": [
                followup(at=at(0), recovered_at=at(0), next_repeat_at=at(30)),
                followup(at=at(0), recovered_at=at(0), next_repeat_at=at(95)),
                followup(at=at(0), recovered_at=at(0)),
            ]
        },
        horizon=at(100).isoformat(),
    )
    found = row(w, "incident_repetition_rate")
    assert found["value"] == pytest.approx(1 / 3)
    assert (found["k"], found["n"], found["censored"]) == (1, 3, 0)
    assert found["low"] < 1 / 3 < found["high"]
    assert explain(w, "incident_repetition_rate").formula.startswith("1 of 3 came back within 90 days, 0 not yet followed for so long")


def test_a_young_incident_counts_for_as_long_as_it_has_held() -> None:
    w = workspace(
        practices={
            "followups": [
                followup(at=at(0), recovered_at=at(0)),
                # Seen for ten days only: gone when the third came back.
                followup(at=at(90), recovered_at=at(90)),
                followup(at=at(0), recovered_at=at(0), next_repeat_at=at(20)),
            ]
        },
        horizon=at(100).isoformat(),
    )
    found = row(w, "incident_repetition_rate")
    # After 20 days two were at risk, and one of them came back: 1/2, not 1/3.
    assert (found["value"], found["censored"]) == (pytest.approx(1 / 2), 1)
    assert "1 of 3 not yet followed for 90 days" in found["note"]


def test_before_anybody_was_followed_for_ninety_days_nothing_is_known() -> None:
    found = row(of(followups=[followup(at=at(1))] * 6), "incident_repetition_rate")
    assert found["value"] is None
    assert "nobody followed for 90 days yet, 27.0 at most: unknown" in found["note"]


def test_open_incidents_have_not_begun_to_hold() -> None:
    rows = [followup(open=True, recovered_at=None), followup(planned=True), followup(before_coverage=True)]
    assert row(of(followups=rows), "incident_repetition_rate")["n"] == 0


def test_a_fix_holds_from_the_closing_of_the_last_item_on() -> None:
    closed = {"items": 2, "last_closed_at": at(5), "at": at(0), "recovered_at": at(0)}
    w = workspace(
        practices={
            "followups": [
                followup(**closed),
                # It came back before the last item was closed: that says nothing of the fix.
                followup(**closed, next_repeat_at=at(3)),
                followup(**closed, came_back_at=at(40)),
                followup(**closed | {"items_open": 1}),
                followup(at=at(0)),
            ]
        },
        horizon=at(100).isoformat(),
    )
    found = row(w, "fix_held_rate")
    assert found["value"] == pytest.approx(2 / 3)
    assert (found["k"], found["n"]) == (1, 3)
    left_out = dict(explain(w, "fix_held_rate").excluded.rows())
    assert left_out == {"no action items": 1, "action items still open": 1}


def test_a_review_counts_if_it_was_published_by_the_fifth_working_day() -> None:
    rows = [
        followup(review_published_at=at(8), review_until=at(9)),
        followup(review_published_at=at(9), review_until=at(9)),
        followup(review_until=at(9)),
        # Not over yet, though already published: in no rate, or only the quick ones would count.
        followup(review_published_at=at(8), review_until=HORIZON + DAY),
        followup(review_state="published", review_until=at(9)),
    ]
    w = of(followups=rows)
    assert k_of_n(w, "review_rate") == (1, 3)
    assert "1 not due yet: five working days are not over" in row(w, "review_rate")["note"]
    assert dict(explain(w, "review_rate").excluded.rows())["published, but when is not known"] == 1


def test_an_action_item_is_on_time_if_it_was_closed_by_its_due_date() -> None:
    rows = [
        item(due=at(8), closed=at(8)),
        item(due=at(8), closed=at(9)),
        item(due=at(8)),
        item(due=None),
        item(due=HORIZON + DAY, closed=at(2)),
    ]
    w = of(action_items=rows)
    assert k_of_n(w, "action_items_on_time") == (1, 3)
    assert "1 due and still open" in row(w, "action_items_on_time")["note"]


def test_action_items_are_counted_in_all_and_by_kind() -> None:
    w = of(action_items=[item(kind="test"), item(kind="test"), item(kind="prevent"), item(kind=None)])
    found = measure(w, "action_items_by_kind", start=MONDAY)
    # In four weeks.
    assert dict(found.select("by", "value").rows()) == {None: 4 / 4, "prevent": 1 / 4, "test": 2 / 4, "unknown": 1 / 4}
    by_service = measure(w, "action_items_by_kind", start=MONDAY, by="service")
    assert by_service.select("by", "n").rows() == [("shop", 4)]


def test_an_item_of_two_services_counts_under_each_and_once_in_all() -> None:
    w = of(action_items=[item(services=["shop", "cart"])])
    assert row(w, "action_items_by_kind")["n"] == 1
    assert row(w, "action_items_by_kind", service="cart")["n"] == 1
    assert measure(w, "action_items_by_kind", start=MONDAY, by="service")["by"].to_list() == ["cart", "shop"]


# Immutability


def test_a_version_with_two_digests_is_mutated() -> None:
    assert k_of_n(of(versions=[version(), version(mutated=True), version()]), "mutated_versions") == (1, 3)


def test_pinned_traceable_and_promoted_are_of_releases_and_hotfixes() -> None:
    rows = [
        shipped(),
        shipped(pinned=False, traceable=False, promoted_unchanged=False),
        shipped(staged=False, promoted_unchanged=None),
        shipped(promoted_unchanged=None, traceable=None),
        shipped(kind="rollback", pinned=False, traceable=False, promoted_unchanged=False),
        shipped(stopped=True, pinned=False),
    ]
    w = of(provenance=rows)
    assert k_of_n(w, "digest_pinned_rate") == (3, 4)
    # One names nothing.
    assert k_of_n(w, "traceable_rate") == (2, 3)
    # One was never in staging, of one the digest is not known.
    assert k_of_n(w, "promoted_unchanged_rate") == (1, 2)


# Gates


def test_gates_pass_or_fail_and_what_did_not_finish_is_neither() -> None:
    states = ["passed", "passed", "failed", "skipped", "cancelled", "in_progress"]
    w = of(gates=[gate(status=status) for status in states] + [gate(kind="chaos", status="failed")])
    found = measure(w, "gate_pass_rate", start=MONDAY)
    assert [(line["by"], line["k"], line["n"]) for line in found.to_dicts()] == [(None, 2, 4), ("chaos", 0, 1), ("unit", 2, 3)]
    assert "1 skipped" in found["note"][0]


def test_a_deployment_without_any_passed_gate_is_untested_once_gates_are_told_of() -> None:
    rows = [
        shipped(),
        shipped(tested=False, passed=[]),
        shipped(tested=False, passed=[], gates_since=at(2)),
        shipped(tested=False, passed=[], gates_since=None),
        shipped(tested=None, passed=None),
    ]
    w = of(provenance=rows, gates=[gate()])
    assert k_of_n(w, "untested_deployments") == (1, 2)
    left_out = dict(explain(w, "untested_deployments").excluded.rows())
    assert left_out == {"gates of its service were not told of yet": 2, "names neither digest, version nor commit": 1}


def test_the_way_back_is_proven_for_ninety_days() -> None:
    late = at(1) - timedelta(days=90)
    rows = [shipped(rollback_tested_at=late), shipped(rollback_tested_at=late - timedelta(microseconds=1)), shipped()]
    assert k_of_n(of(provenance=rows, gates=[gate()]), "rollback_tested_rate") == (1, 3)


def test_what_failed_escaped_through_every_gate_that_it_had_passed() -> None:
    rows = [
        check(failed_final="likely"),
        check(failed_final="likely", kind="contract"),
        check(failed_final="possible"),
        check(failed_final="certain", status="failed"),
        check(failed_final="certain", matured=False),
        check(change="rollback", failed_final="certain"),
    ]
    found = measure(of(checks=rows, gates=[gate()]), "escaped_by_gate", start=MONDAY)
    assert [(line["by"], line["k"], line["n"]) for line in found.to_dicts()] == [(None, 2, 3), ("contract", 1, 1), ("unit", 1, 2)]


def test_a_hotfix_skipped_a_gate_if_it_lacks_one_that_releases_pass() -> None:
    from handmade import deployment

    ships = [deployment(id=name, hotfix="certain") for name in "abc"]
    supply = [shipped(id="a", skipped=["contract"]), shipped(id="b", skipped=[]), shipped(id="c", skipped=None)]
    w = workspace(deployments=ships, practices={"provenance": supply, "gates": [gate()]})
    assert k_of_n(w, "skipped_gate_rate") == (1, 2)


# Flags


def test_flag_offs_are_a_share_of_all_attempts_to_restore() -> None:
    tries = [
        rollback(mechanism="flag"),
        rollback(mechanism="traffic"),
        rollback(),
        rollback(mechanism="revert_commit", code_level=True),
        rollback(mechanism="flag", drill=True, outcome="drill"),
        rollback(race=True, outcome="race"),
    ]
    assert k_of_n(workspace(rollbacks=tries), "flag_off_share") == (1, 3)


def test_only_the_first_flag_of_an_incident_says_how_long_it_took() -> None:
    tries = [
        rollback(mechanism="flag", incident="i", at=at(1, minutes=20)),
        rollback(mechanism="flag", incident="i", at=at(1, minutes=50)),
        rollback(mechanism="flag", at=at(2)),
        rollback(incident="i", at=at(1, minutes=6)),
    ]
    w = workspace(rollbacks=tries, incidents=[incident(id="i", at=at(1), detected_at=at(1, minutes=5))])
    found = row(w, "time_to_flag_off")
    assert (found["value"], found["n"]) == (15, 1)


def test_a_kill_switch_is_at_hand_if_it_was_known_by_the_end_of_the_incident() -> None:
    over = {"recovered_at": at(2), "environment": "production"}
    troubles = [
        incident(**over),
        incident(services=["cart"], **over),
        incident(recovered_at=at(2)),
        incident(at=at(1), recovered_at=at(1, hours=1)),
    ]
    switches = [
        flag_change(at=at(1, hours=5)),
        flag_change(service="cart", environment="staging", production=False),
        flag_change(service="cart", kill_switch=False),
    ]
    w = workspace(incidents=troubles, practices={"flag_changes": switches})
    # Not cart's, which is in staging; not the last one's, which was over before anybody knew of the switch.
    assert k_of_n(w, "kill_switch_coverage") == (2, 4)


# Canary


def test_the_judge_is_right_or_wrong_about_what_failed_and_about_what_did_not() -> None:
    said = [
        verdict(outcome="caught", decision="revert", failed_final="likely"),
        verdict(outcome="missed", failed_final="certain"),
        verdict(outcome="missed", failed_final="certain"),
        verdict(outcome="false_stop", decision="pause", failed_final="possible"),
        *[verdict()] * 3,
        verdict(outcome="overridden", overridden=True, decision="revert"),
        # Of no count: did not decide, spoke again later, too young, refused before production.
        verdict(outcome=None, decided=False),
        verdict(last=False),
        verdict(matured=False),
        verdict(outcome=None, decision="revert", stopped=True),
    ]
    w = of(verdicts=said)
    shares = {name: k_of_n(w, name) for name in ("caught", "missed", "false_stop", "quiet", "overridden")}
    # Of nine last words one was overridden; what a pipeline refused is in neither pair.
    assert shares == {"caught": (1, 3), "missed": (2, 3), "false_stop": (1, 4), "quiet": (3, 4), "overridden": (1, 9)}


# Ownership


def test_a_service_is_unowned_if_nobody_answers_for_it() -> None:
    assert k_of_n(of(services=[service("shop"), service("cart", owned=False)]), "unowned_services") == (1, 2)


def test_to_acknowledge_takes_from_detection_to_the_first_person() -> None:
    seen = {"detected_at": at(1), "detected_at_source": "declared"}
    troubles = [
        incident(**seen, acknowledged_at=at(1, minutes=4)),
        # Seen by whoever took it: no time to acknowledge at all.
        incident(detected_at=at(1), detected_at_source="derived:acknowledged", acknowledged_at=at(1)),
        incident(**seen),
        incident(detected_at=HORIZON - minutes(30), open=True),
        # Somebody decided, so somebody was there.
        incident(**seen, open=True, decided_at=at(1)),
    ]
    found = row(workspace(incidents=troubles), "time_to_acknowledge")
    assert (found["n"], found["censored"]) == (2, 1)


# Every practice


@pytest.mark.parametrize("name", sorted(name for name, metric in METRICS.items() if metric.group in PRACTICES))
def test_without_its_records_a_practice_is_not_measured_instead_of_zero(name: str) -> None:
    needs = METRICS[name].needs or ("incidents",)
    loaded = {"deployment": 9, "rollback": 9, "incident": 9} if METRICS[name].needs else {"deployment": 9, "incident": 0}
    found = row(workspace(incidents=[incident()], practices={"followups": []}, records=loaded), name)
    assert (found["value"], found["n"]) == (None, None)
    assert found["note"].startswith("not measured: connect")
    assert needs


def test_practices_are_asked_for_together_and_keep_their_order() -> None:
    found = measure(workspace(), group="practices")["group"].unique(maintain_order=True).to_list()
    assert found == list(PRACTICES)
    assert GROUPS[:4] == ("dora", "recovery", "rollback", "hotfix")


def test_what_came_back_is_compared_with_the_window_before() -> None:
    spell = timedelta(days=182)
    horizon = MONDAY + 4 * spell
    first = [followup(at=horizon - 2 * spell + DAY, recovered_at=horizon - 2 * spell + DAY) for _ in range(30)]
    then = horizon - spell + DAY
    second = [followup(at=then, recovered_at=then, next_repeat_at=then + 9 * DAY if number < 20 else None) for number in range(30)]
    w = workspace(practices={"followups": first + second}, horizon=horizon.isoformat())
    found = compare(w, "incident_repetition_rate").row(0, named=True)
    assert (found["before"], found["after"]) == (0, pytest.approx(2 / 3))
    assert found["effect"] == pytest.approx(2 / 3)
    assert found["low"] > 0
    assert found["real"]


# On the sample, by the command


def test_the_command_lists_practices_and_explains_each(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["metrics", "--group", "practices", "--window", "26w", "--json", "--workspace", str(demo)]) == 0
    rows = json.loads(capsys.readouterr().out)
    told = {row["metric"].removesuffix("_p90") for row in rows}
    assert told == {name for name, metric in METRICS.items() if metric.group in PRACTICES and metric.headline}
    assert all(row["value"] is not None for row in rows if row["by"] is None)
    assert {row["by"] for row in rows if row["metric"] == "gate_pass_rate"} > {None, "unit", "rollback", "chaos"}
    for name in sorted(told):
        found = explain(Workspace(demo), name, window="26w")
        assert len(found.counted) == found.row["n"] > 0, name


FACTS = [
    "followups", "action_items", "versions", "provenance", "checks", "gates", "verdicts", "flag_changes", "services", "communications",
    "update_gaps", "conformance",
]  # fmt: skip


@pytest.mark.parametrize("kind", FACTS)
def test_the_command_lists_the_facts_of_practices(demo: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert run(["facts", kind, "--service", "payments", "--workspace", str(demo)]) == 0
    assert "payments" in capsys.readouterr().out


def test_the_command_says_what_could_be_rolled_back_now(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["readiness", "--json", "--workspace", str(demo)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 12
    assert {row["ready"] for row in rows} >= {"yes", "no"}
    assert all(set(row["answers"]) == set(QUESTIONS) for row in rows)
    # The ledger hands out only what cannot be taken back; it arrives.
    blocked = next(row for row in rows if row["service"] == "notifications")
    assert (blocked["ready"], blocked["answers"]["migration"]["answer"]) == ("no", "no")
    shipped = Workspace(demo).ledger.read("deployments", ["source_id", "migration"])
    assert dict(shipped.rows())[blocked["answers"]["migration"]["evidence"][0]] == "irreversible"
    # Each answer that is a yes or rests on something seen has its evidence; that there is none of a thing has none.
    seen = [answer for row in rows for name, answer in row["answers"].items() if answer["answer"] == "yes" and name != "migration"]
    assert all(answer["evidence"] for answer in seen)
    assert run(["readiness", "--workspace", str(demo)]) == 0
    table = capsys.readouterr().out
    assert "back now?" in table
    assert "notifications" in table
    # Twelve services side by side show answers; asked about one, what shows them, too.
    assert "deployment:" not in table
    assert run(["readiness", "--service", "checkout", "--workspace", str(demo)]) == 0
    assert "(deployment:" in capsys.readouterr().out
    assert run(["readiness", "--service", "nope", "--workspace", str(demo)]) == 2
    assert "There are: accounts" in capsys.readouterr().err


# Up to when


def until(stream: str, end: int, **given: Any) -> dict[str, Any]:
    told = {"stream": stream, "source": "ci", "start": MONDAY.isoformat(), "end": at(end).isoformat(), "assumed": False, "gap": False}
    return told | given


def test_where_nobody_tells_of_gates_any_more_a_deployment_was_not_shipped_untested() -> None:
    # Gates are told of up to day 10. Day 5: tested, day 8: not, day 15: nobody knows.
    ships = [shipped(at=at(5), tested=True), shipped(at=at(8), tested=False), shipped(at=at(15), tested=False)]
    told = {"provenance": ships, "gates": [gate(at=at(5)), gate(at=at(8))]}
    assert k_of_n(workspace(practices=told), "untested_deployments") == (2, 3)
    w = workspace(practices=told, coverage=[until("gates", 10)])
    assert k_of_n(w, "untested_deployments") == (1, 2)
    explained = explain(w, "untested_deployments", start=MONDAY)
    assert (explained.end, len(explained.counted)) == (at(10), 2)
    # By week, the later ones stand there without a value.
    weeks = measure(w, "untested_deployments", start=MONDAY, every="1w")
    assert weeks["n"].to_list()[:3] == [1, 1, 0]
    assert weeks["value"].to_list()[2] is None
    # What reads no gates goes on to the horizon.
    assert row(workspace(deployments=[deployment(at=at(15))], coverage=[until("gates", 10)]), "deployment_frequency")["n"] == 1


def test_the_last_of_several_sources_bounds_a_stream_and_what_is_assumed_or_a_gap_bounds_nothing() -> None:
    told = {"provenance": [shipped(at=at(5), tested=True), shipped(at=at(15), tested=False)]}
    later = [until("gates", 10), until("gates", 20, source="other")]
    for coverage in (later, [until("gates", 10, assumed=True)], [until("reviews", 10)]):
        assert k_of_n(workspace(practices=told, coverage=coverage), "untested_deployments") == (1, 2)
    # What lies in the gap is in no number; what came after it is.
    assert k_of_n(workspace(practices=told, coverage=[until("gates", 10, gap=True)]), "untested_deployments") == (1, 1)


def test_an_incident_whose_five_working_days_end_after_the_reviews_do_is_not_unreviewed() -> None:
    # Both could have been reviewed within the time by the horizon; of reviews is told up to day 12.
    over = [followup(at=at(0), review_until=at(9)), followup(at=at(8), review_until=at(16))]
    assert row(of(followups=over), "review_rate")["n"] == 2
    w = workspace(practices={"followups": over}, coverage=[until("reviews", 12)])
    assert row(w, "review_rate")["n"] == 1
    assert explain(w, "review_rate", start=MONDAY).excluded.rows() == [("not due yet: five working days are not over", 1)]


def test_two_windows_are_compared_up_to_where_both_are_told_of() -> None:
    ships = [shipped(at=at(day), tested=True) for day in (1, 2, 8, 9)] + [shipped(at=at(15), tested=False)]
    found = [
        compare(workspace(practices={"provenance": ships}, **coverage), "untested_deployments", against="2026-01-12", start="2026-01-05")
        for coverage in ({}, {"coverage": [until("gates", 10)]})
    ]
    assert [rows["n_after"].to_list() for rows in found] == [[3], [2]]
