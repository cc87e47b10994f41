"""How records of practices become facts: small histories, told by their times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from builders import HORIZON, deployment, event, flag_off, frames, history, incident, override, rollback, t, told
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.facts import facts_of
from toolkit.facts.practices import practice_facts
from toolkit.metrics.readiness import could_roll_back
from toolkit.synthetic import synthesize

Row = dict[str, Any]


def facts(*rows: Row, horizon: datetime = HORIZON, zone: str = "UTC") -> dict[str, pl.DataFrame]:
    records = frames(history(*rows))
    tables = facts_of(records, horizon=horizon)
    return tables | practice_facts(records, tables, horizon=horizon, zone=zone)


def one(frame: pl.DataFrame, name: str, id: str | None = None) -> Any:
    """A column of the only row, or of the row with this id."""
    rows = frame if id is None else frame.filter(pl.col("id") == id)
    assert len(rows) == 1
    return rows[name][0]


# Builds: what is what


def built(version: str, digest: str, **given: Any) -> Row:
    return told("artifact", f"{version} {digest}", version=version, artifact_digest=digest, **{"built_at": "9:00"} | given)


def passed(kind: str = "unit", at: str = "9:30", status: str = "passed", **named: Any) -> Row:
    return told("gate", f"{kind} {at}", kind=kind, status=status, started_at=at, finished_at=at, **named)


def test_a_version_is_mutated_from_its_second_digest_on() -> None:
    found = facts(
        built("v1", "a"),
        deployment("v1", "10:00", artifact_digest="a"),
        deployment("v1", "1d 10:00", artifact_digest="b", environment="staging"),
        built("v2", "c"),
        built("latest", "d"),
        built("latest", "e"),
    )["versions"]
    assert found.select("version", "mutated", "at").rows() == [("v2", False, t("9:00")), ("v1", True, t("1d 10:00"))]


def test_a_deployment_is_traceable_through_the_registry_to_the_commit_it_names() -> None:
    found = facts(
        built("v1", "a", vcs_revision="c1"),
        built("v2", "b", vcs_revision="c2"),
        built("v2", "b2", vcs_revision="c2"),
        built("v3", "c"),
        deployment("v1", "10:00"),
        deployment("v1", "11:00", id="other commit", vcs_revision="c9"),
        deployment("v2", "12:00", id="which of two"),
        deployment("v2", "13:00", id="this one", artifact_digest="b2"),
        deployment("v3", "14:00", id="no commit known"),
        deployment("v4", "15:00", id="unknown build"),
        deployment("latest", "16:00", id="names nothing"),
    )["provenance"]
    assert dict(found.select("id", "traceable").rows()) == {
        "v1 10:00": True,
        "other commit": False,
        "which of two": False,
        "this one": True,
        "no commit known": False,
        "unknown build": False,
        "names nothing": None,
    }


def test_promoted_unchanged_is_the_same_digest_as_the_same_version_had_in_staging_before() -> None:
    found = facts(
        built("v1", "a"),
        *[
            deployment(version, "9:00", environment="staging", artifact_digest=digest)
            for version, digest in zip("wxyz", "abcd", strict=True)
        ],
        deployment("u", "11:30", environment="staging", artifact_digest="e"),
        deployment("w", "10:00", artifact_digest="a", id="same"),
        deployment("x", "10:30", artifact_digest="B", id="rebuilt"),
        deployment("y", "11:00", id="who knows"),
        deployment("u", "11:15", artifact_digest="e", id="staged later"),
    )["provenance"]
    expected = {"same": (True, True), "rebuilt": (True, False), "who knows": (True, None), "staged later": (False, None)}
    assert {row[0]: row[1:] for row in found.select("id", "staged", "promoted_unchanged").rows()} == expected


def test_an_unsuccessful_rehearsal_promotes_nothing() -> None:
    found = facts(built("v1", "a"), deployment("v1", "9:00", environment="staging", status="failed"), deployment("v1", "10:00"))[
        "provenance"
    ]
    assert one(found, "staged") is False


def test_what_either_of_two_sources_knows_of_a_deployment_is_known() -> None:
    found = facts(
        built("v1", "a", vcs_revision="c1"),
        deployment("v1", "10:00", id="ci"),
        deployment("v1", "10:01", id="cluster", source="other", artifact_digest="a"),
        said("proceed", "10:02", "cluster", source="other"),
    )
    assert found["provenance"].select("id", "pinned", "traceable").rows() == [("ci", True, True)]
    assert one(found["verdicts"], "of_deployment") == "ci"


# Gates


def test_a_gate_belongs_to_a_deployment_by_digest_version_or_commit_even_if_only_the_registry_ties_them() -> None:
    found = facts(
        built("v1", "a", vcs_revision="c1"),
        passed("unit", vcs_revision="c1"),
        passed("contract", artifact_digest="a"),
        passed("chaos", version="v2"),
        deployment("v1", "10:00"),
    )["provenance"]
    assert sorted(one(found, "passed")) == ["contract", "unit"]


def test_the_same_version_under_another_digest_was_not_tested() -> None:
    found = facts(passed("unit", artifact_digest="a", version="v1"), deployment("v1", "10:00", artifact_digest="b"))["provenance"]
    assert one(found, "passed").to_list() == []


def test_the_last_run_before_the_deployment_counts() -> None:
    runs = [passed(at="8:00", version="v1"), passed(at="9:00", status="failed", version="v1"), passed(at="11:00", version="v1")]
    found = facts(*runs, deployment("v1", "10:00"))
    assert one(found["checks"], "status") == "failed"
    assert one(found["provenance"], "tested") is False
    assert one(facts(*runs, deployment("v1", "11:00"))["provenance"], "tested") is True


def test_before_gates_of_its_service_are_told_of_nothing_is_known() -> None:
    found = facts(passed(at="11:00", version="v9"), deployment("v1", "10:00"), deployment("v2", "12:00"))["provenance"]
    assert dict(found.select("id", "tested").rows()) == {"v1 10:00": None, "v2 12:00": False}


def test_a_gate_is_usual_once_half_of_the_releases_before_had_passed_it() -> None:
    found = facts(
        *[passed("unit", f"8:0{number}", version=f"v{number}") for number in (1, 2, 3)],
        passed("contract", "8:00", version="v2"),
        deployment("v1", "9:00"),
        deployment("v2", "10:00"),
        deployment("v3", "11:00"),
        deployment("v3.1", "12:00", kind="hotfix"),
    )["provenance"]
    # Before v3: unit 2 of 2, contract 1 of 2. Before v3.1: unit 3 of 3, contract 1 of 3.
    assert one(found, "usual", "v3 11:00").to_list() == ["contract", "unit"]
    assert one(found, "skipped", "v3 11:00").to_list() == ["contract"]
    assert one(found, "skipped", "v3.1 12:00").to_list() == ["unit"]


def test_the_way_back_is_proven_by_a_test_that_passed_or_a_drill_that_worked() -> None:
    drill = [deployment("v1", "9:00"), deployment("v2", "10:00"), rollback("v1", "11:00", drill=True)]
    test = passed("rollback", "12:00")
    found = facts(*drill, test, passed("rollback", "13:00", status="failed"), deployment("v3", "11:30"), deployment("v4", "14:00"))[
        "provenance"
    ]
    # The drill ended at 11:05.
    assert one(found, "rollback_tested_at", "v3 11:30") == t("11:05")
    assert one(found, "rollback_tested_at", "v4 14:00") == t("12:00")
    assert one(found, "rollback_tested_at", "v1 9:00") is None


# Verdicts


def said(decision: str, at: str, deployment: str | None = None, **given: Any) -> Row:
    return told(
        "verdict", f"{decision} {at}", decision=decision, at=at, deployment=deployment, environment="production", tool="judge", **given
    )


def test_a_verdict_that_names_no_deployment_is_about_the_latest_that_had_begun() -> None:
    found = facts(
        deployment("v1", "10:00", 30), deployment("v2", "12:00", 30), said("proceed", "10:20"), said("proceed", "12:10", "v1 10:00"),
        said("proceed", "9:00"), said("proceed", "1d 12:00"), said("proceed", "1d 12:01"), deployment("v3", "12:05", service="cart"),
    )["verdicts"]  # fmt: skip
    expected = {
        "proceed 9:00": (None, None),
        "proceed 10:20": ("v1 10:00", "derived:latest"),
        "proceed 12:10": ("v1 10:00", "declared"),
        # A day later to the minute.
        "proceed 1d 12:00": ("v2 12:00", "derived:latest"),
        "proceed 1d 12:01": (None, None),
    }
    assert {row[0]: row[1:] for row in found.select("id", "of_deployment", "deployment_source").rows()} == expected


def test_a_verdict_is_held_against_what_became_of_the_deployment() -> None:
    calm = {
        "sure": ("revert", {}, "false_stop"),
        "glad": ("proceed", {}, "quiet"),
        "dumb": ("error", {}, None),
    }
    trouble = {
        "shop": ("revert", {}, "caught"),
        "cart": ("pause", {}, "caught"),
        "mail": ("proceed", {}, "missed"),
        "bold": ("revert", {"overridden_by": "p"}, "overridden"),
        "vague": ("inconclusive", {}, None),
    }
    rows = []
    for service, (decision, more, _) in (calm | trouble).items():
        rows += [deployment(version, at, id=f"{service} {version}", service=service) for version, at in (("v1", "9:00"), ("v2", "10:00"))]
        verdict = {"decision": decision, "at": "10:10", "deployment": f"{service} v2", "environment": "production", "tool": "judge"}
        rows.append(told("verdict", service, service=service, **verdict, **more))
    troubles = [incident("10:20", "11:00", id=name, services=[name], suspected_deployment=f"{name} v2") for name in trouble]
    found = facts(*rows, *troubles)["verdicts"]
    assert dict(found.select("id", "outcome").rows()) == {service: outcome for service, (_, _, outcome) in (calm | trouble).items()}


def test_of_a_stop_before_production_nobody_knows_whether_it_was_right() -> None:
    found = facts(deployment("v1", "9:00"), deployment("v2", "10:00", 5, status="failed"), said("revert", "10:04", "v2 10:00"))
    assert one(found["deployments"], "stopped", "v2 10:00") is True
    assert one(found["verdicts"], "outcome") is None


def test_the_last_decision_of_a_tool_is_its_word() -> None:
    words = [said("proceed", "10:05"), said("revert", "10:10"), said("error", "10:12")]
    other = told("verdict", "gate", decision="proceed", at="10:01", environment="production", tool="gate")
    found = facts(deployment("v1", "10:00", 30), *words, other)["verdicts"]
    assert found.filter("last")["id"].to_list() == ["gate", "revert 10:10"]


# Flags


def test_a_flag_change_is_tied_to_its_attempt_its_incident_and_whether_it_was_the_remedy() -> None:
    found = facts(
        incident("10:00", "10:30"), flag_off("10:05", kill_switch=True, id="first"), flag_off("10:28", kill_switch=True, id="second"),
        flag_off("3d 10:00", id="later"),
    )["flag_changes"]  # fmt: skip
    columns = ["id", "of_incident", "outcome", "was_remedy"]
    assert found.select(columns).rows() == [
        ("first", "inc", "ineffective", False),
        ("later", None, None, False),
        ("second", "inc", "succeeded", True),
    ]


# What followed


def review(at: str | None, *, id: str = "review", incident: str = "inc", **given: Any) -> Row:
    return told("review", id, incident=incident, published_at=at, state="published" if at else "held", **given)


def followed(*rows: Row, **more: Any) -> pl.DataFrame:
    return facts(*rows, **more)["followups"]


def test_five_working_days_end_with_the_fifth_weekday_after_the_recovery() -> None:
    expected = {
        # DAY_ONE is a Monday: Tuesday, Wednesday, Thursday, Friday, Monday.
        "10:00": "8d 0:00",
        # Friday: the next Friday. Saturday and Sunday: the Friday after, too.
        "4d 23:59": "12d 0:00",
        "5d 10:00": "12d 0:00",
        "6d 10:00": "12d 0:00",
        "7d 0:00": "15d 0:00",
    }
    # A service each, an hour long.
    rows = [incident(t(recovered) - timedelta(hours=1), recovered, id=recovered, services=[recovered]) for recovered in expected]
    found = followed(*rows).select("id", "review_until").rows()
    assert dict(found) == {recovered: t(until) for recovered, until in expected.items()}


def test_working_days_are_those_of_the_workspaces_zone() -> None:
    # Sunday 20:00 UTC is Monday in Tokyo: Tuesday is the first day, Monday the fifth, and it ends at 15:00 UTC.
    found = followed(incident("6d 19:00", "6d 20:00"), zone="Asia/Tokyo")
    assert one(found, "review_until") == t("14d 15:00")


def test_a_day_that_begins_at_one_o_clock_still_begins() -> None:
    # In Cairo the clocks went forward at midnight of Friday, 24 April 2026.
    found = followed(incident(datetime(2026, 4, 16, 10, tzinfo=UTC), datetime(2026, 4, 16, 12, tzinfo=UTC)), zone="Africa/Cairo")
    assert one(found, "review_until") == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_the_review_that_was_published_first_counts_and_one_beyond_the_horizon_has_not_happened() -> None:
    trouble = incident("10:00", "11:00")
    both = followed(trouble, review("3d 9:00", id="late"), review("2d 9:00", id="early"))
    assert (one(both, "review"), one(both, "review_published_at")) == ("early", t("2d 9:00"))
    beyond = followed(trouble, review("100d 9:00"))
    assert one(beyond, "review_published_at") is None


def test_a_review_of_a_duplicate_is_one_of_the_original() -> None:
    found = followed(incident("10:00", "11:00"), incident("10:05", id="twin", duplicate_of="inc"), review("1d 9:00", incident="twin"))
    assert one(found, "review_published_at") == t("1d 9:00")


def test_a_review_of_an_incident_that_came_back_as_another_is_of_the_last_that_had_begun() -> None:
    trouble = [incident("10:00", "11:00"), event("reopened", "3d 10:00"), event("mitigated", "3d 11:00")]
    found = followed(*trouble, review("2d 9:00", id="one"), review("4d 9:00", id="two"))
    assert dict(found.select("id", "review").rows()) == {"inc": "one", "inc#2": "two"}


def test_an_incident_whose_id_ends_like_a_ticket_number_is_found() -> None:
    found = followed(incident("10:00", "11:00", id="org/ops#12"), review("1d 9:00", incident="org/ops#12"))
    assert one(found, "review") == "review"


def asked(id: str, closed: str | None = None, **given: Any) -> Row:
    return told("action_item", id, **{"incident": "inc", "created_at": "1d 9:00", "closed_at": closed} | given)


def test_an_item_may_name_its_incident_only_through_the_review() -> None:
    found = facts(incident("10:00", "11:00"), review("1d 9:00"), asked("a", "2d 9:00", incident=None, review="review"), asked("b"))
    assert found["action_items"]["of_incident"].to_list() == ["inc", "inc"]
    assert found["followups"].select("items", "items_open", "last_closed_at").row(0) == (2, 1, t("2d 9:00"))


def test_a_due_date_without_a_time_lasts_all_day() -> None:
    found = facts(asked("a", due_at=t("5d 0:00")), asked("b", due_at=t("5d 17:00")))["action_items"]
    assert found["due_until"].to_list() == [t("6d 0:00"), t("5d 17:00")]


def test_an_incident_comes_back_when_another_of_a_shared_service_has_an_equal_cause_key() -> None:
    first = incident("10:00", "11:00", root_cause="dns", alert="latency", title="Checkout 5xx (#12)")
    rows = [
        incident("1d 10:00", "1d 11:00", id="other service", services=["cart"], root_cause="dns"),
        incident("2d 10:00", "2d 11:00", id="other cause", root_cause="disk", title="Disk full"),
        incident("3d 10:00", "3d 11:00", id="in staging", environment="staging", root_cause="dns"),
        incident("4d 10:00", "4d 11:00", id="same title", services=["cart", "shop"], title="checkout 5XX"),
        incident("5d 10:00", "5d 11:00", id="same tag", root_cause="dns"),
    ]
    found = followed(first, *rows)
    assert (one(found, "next_repeat", "inc"), one(found, "next_repeat_at", "inc")) == ("same title", t("4d 10:00"))


def test_what_begins_before_the_recovery_is_no_repeat_and_nothing_repeats_itself() -> None:
    found = followed(
        incident("10:00", "12:00", root_cause="dns"),
        incident("11:00", "13:00", id="meanwhile", root_cause="dns"),
        incident("14:00", "14:00", id="no length", root_cause="dns"),
        incident("1d 10:00", None, id="later", root_cause="dns"),
    )
    assert dict(found.select("id", "next_repeat").rows()) == {
        "inc": "no length",
        "meanwhile": "no length",
        "no length": "later",
        "later": None,
    }


def test_a_fix_is_tried_from_the_closing_of_the_last_item_on() -> None:
    found = followed(
        incident("10:00", "11:00", root_cause="dns"),
        asked("a", "3d 9:00"),
        asked("b", "5d 9:00"),
        incident("4d 10:00", "4d 11:00", id="too early", root_cause="dns"),
        incident("6d 10:00", "6d 11:00", id="back", root_cause="dns"),
    )
    assert (one(found, "next_repeat", "inc"), one(found, "came_back", "inc")) == ("too early", "back")


# Who answers


def test_a_service_is_owned_by_whoever_holds_it_at_the_horizon() -> None:
    rows = [deployment("v1", "9:00", service=name) for name in ("shop", "cart", "mail", "tax")]
    found = facts(
        *rows,
        told("owner", "1", team="old", valid_to=t("5d 0:00")),
        told("owner", "2", team="new", rota="new-on-call", valid_from=t("5d 0:00")),
        told("owner", "3", service="cart", team="gone", valid_to=t("5d 0:00")),
        told("owner", "4", service="tax", service_class="critical"),
    )["services"]
    assert dict(found.select("id", "team").rows()) == {"shop": "new", "cart": None, "mail": None, "tax": None}
    assert dict(found.select("id", "owned").rows()) == {"shop": True, "cart": False, "mail": False, "tax": False}


# Could we roll this back now?


class Published:
    """Facts as a workspace has them."""

    def __init__(self, *rows: Row, **records: int) -> None:
        tables = facts(*rows)
        self.facts = type("Facts", (), {name: frame.lazy() for name, frame in tables.items()})
        self.meta = {"horizon": HORIZON.isoformat(), "records": records}
        self.settings = None


GOOD = (built("v1", "a"), deployment("v1", "9:00", artifact_digest="a"), deployment("v2", "3d 9:00"))


def answers(*rows: Row, **records: int) -> dict[str, tuple[str, str]]:
    (ready,) = could_roll_back(Published(*rows, **records))
    return {name: (answer.word, answer.said) for name, answer in ready.answers.items()}


def test_there_is_something_to_go_back_to_if_another_version_ran_well_and_is_in_the_registry() -> None:
    assert answers(*GOOD)["known_good"] == ("yes", "v1, in the registry by digest")
    assert answers(*GOOD[1:], artifact=9)["known_good"] == ("no", "v1 is not in the registry")
    assert answers(*GOOD[1:])["known_good"] == ("not known", "v1; connect builds")
    assert answers(built("v1", "a"), deployment("v1", "9:00"), GOOD[2])["known_good"] == ("not known", "v1, deployed without a digest")
    assert answers(deployment("v1", "9:00"))["known_good"] == ("no", "no earlier version ran well")


def test_a_version_that_failed_or_ran_for_minutes_is_nothing_to_go_back_to() -> None:
    failed = incident("9:20", "11:00", suspected_deployment="v1 9:00")
    assert answers(*GOOD, failed)["known_good"] == ("no", "no earlier version ran well")
    brief = [deployment("v1", "9:00"), deployment("v2", "9:59")]
    assert answers(*brief)["known_good"] == ("no", "no earlier version ran well")
    an_hour = [deployment("v1", "9:00"), deployment("v2", "10:00")]
    assert answers(*an_hour)["known_good"][0] == "not known"


@pytest.mark.parametrize(("back", "said"), [("1d 9:59", "no earlier version ran well"), ("1d 10:00", "v1, deployed without a digest")])
def test_a_version_that_was_taken_back_for_no_fault_of_its_own_ran_well_if_it_ran_a_day(back: str, said: str) -> None:
    # 09:00 v0, which failed   10:00 v1   the next day v0, after which somebody says that v1 was fine   1d 11:00 v2
    blamed = [override("failed", "certain", of="v0 9:00"), override("failed", "none", of="v1 10:00")]
    rows = [deployment("v0", "9:00"), deployment("v1", "10:00"), deployment("v0", back), deployment("v2", "1d 11:00")]
    assert answers(*rows, *blamed)["known_good"][1] == said


def test_after_a_rollback_the_target_is_older_than_what_was_undone() -> None:
    rows = [deployment("v1", "9:00"), deployment("v2", "3d 9:00"), deployment("v3", "6d 9:00"), deployment("v2", "6d 9:30", id="back")]
    (ready,) = could_roll_back(Published(*rows))
    assert (ready.running, ready.target) == ("v2", "v1")


def test_a_migration_since_the_known_good_version_stands_in_the_way() -> None:
    def shipped(*migrations: str | None) -> list[Row]:
        return [deployment(f"v{n}", f"{3 * n}d 9:00", migration=said) for n, said in enumerate(migrations, start=1)]

    assert answers(*shipped("none", "irreversible"))["migration"] == ("no", "1 since cannot be taken back")
    # It came with the version that one would go back to.
    assert answers(*shipped("irreversible", "none"))["migration"] == ("yes", "none since")
    assert answers(*shipped(None, None))["migration"] == ("not known", "nobody says what migrates")


def test_each_other_question_has_its_answer_and_its_evidence() -> None:
    rows = [
        *GOOD,
        deployment("v3", "50d 9:00", migration="none"),
        incident("50d 9:20", "50d 9:50", id="i"),
        rollback("v2", "50d 9:30", from_version="v3", id="rb"),
        passed("rollback", "40d 9:00"),
        flag_off("20d 9:00", kill_switch=True),
        told("owner", "o", team="web", rota="web-on-call"),
    ]
    (ready,) = could_roll_back(Published(*rows))
    assert {name: (answer.word, answer.evidence) for name, answer in ready.answers.items() if name not in ("known_good", "migration")} == {
        "proven": ("yes", ("rollback:rb",)),
        "rollback_test": ("yes", ("rollback 40d 9:00",)),
        "kill_switch": ("yes", ("checkout",)),
        "on_call": ("yes", ("o",)),
    }
    # As of the sixtieth day.
    assert ready.answers["rollback_test"].days == pytest.approx(20 - 9 / 24)
    assert ready.word == "yes"


def test_without_records_a_question_says_what_to_connect_and_with_them_that_there_is_none() -> None:
    nothing = answers(*GOOD)
    assert nothing["rollback_test"] == ("not known", "connect gates")
    assert nothing["kill_switch"] == ("not known", "connect flag changes")
    assert nothing["on_call"] == ("not known", "connect owners")
    some = answers(*GOOD, gate=1, flag_change=1, owner=1)
    assert {some[name][0] for name in ("rollback_test", "kill_switch", "on_call")} == {"no"}


def test_a_test_that_failed_since_spoils_an_older_proof() -> None:
    proof = [*GOOD, deployment("v3", "30d 9:00"), rollback("v2", "30d 9:30", from_version="v3"), built("v1", "a2")]
    words = [could_roll_back(Published(*proof, *more))[0].word for more in ([], [passed("rollback", "50d 9:00", status="failed")])]
    assert words == ["yes", "not known"]


# What must always hold


def test_without_any_records_there_are_facts_without_rows() -> None:
    empty, full = facts(), synthesized(1)
    assert all(frame.is_empty() for frame in empty.values())
    assert {name: frame.schema for name, frame in empty.items() if name in full} == {name: frame.schema for name, frame in full.items()}


def synthesized(seed: int, order: int | None = None, services: int = 4, **extra: pl.DataFrame) -> dict[str, pl.DataFrame]:
    records = {
        name: frame
        for name, frame in synthesize(seed=seed, services=services, months=2, telemetry_share=0.0).records.items()
        if name != "sample"
    }
    if order is not None:
        records = {name: frame.sample(fraction=1.0, shuffle=True, seed=order) for name, frame in records.items()}
    records |= {name: pl.concat([records[name], frame]) for name, frame in extra.items()}
    end = datetime(2026, 7, 1, tzinfo=UTC)
    return practice_facts(records, facts_of(records, horizon=end), horizon=end)


@settings(max_examples=2)
@given(seed=st.integers(1, 50), order=st.integers(1, 1000))
def test_the_order_of_records_changes_no_fact(seed: int, order: int) -> None:
    one, other = synthesized(seed), synthesized(seed, order)
    assert [name for name, frame in one.items() if not frame.equals(other[name])] == []


def test_another_services_records_change_none_of_this_ones() -> None:
    history = synthesize(seed=5, services=4, months=3, telemetry_share=0.0).records
    shared = pl.col("services").list.contains("checkout") & (pl.col("services").list.len() > 1)
    all_of = {name: frame for name, frame in history.items() if name != "sample"} | {"incident": history["incident"].filter(~shared)}
    alone = {
        name: frame.filter(pl.col("services").list.contains("checkout"))
        if "services" in frame.columns
        else frame.filter(pl.col("service") == "checkout")
        if "service" in frame.columns
        else frame
        for name, frame in all_of.items()
    }
    end = datetime(2026, 7, 1, tzinfo=UTC)
    few, more = (practice_facts(records, facts_of(records, horizon=end), horizon=end) for records in (alone, all_of))
    for name, frame in more.items():
        own = pl.col("services").list.contains("checkout") if "services" in frame.columns else pl.col("service") == "checkout"
        assert few[name].filter(own).equals(frame.filter(own)), name
