"""What happened, laid against what was agreed: small histories, and a plain count over every way there is."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from builders import HORIZON, deployment, event, flag_off, frames, history, incident, rollback, t, told
from hypothesis import given
from hypothesis import strategies as st
from laid import best

from toolkit.cli.entry import run
from toolkit.errors import DataError
from toolkit.facts import facts_of
from toolkit.facts.conformance import timelines
from toolkit.facts.practices import practice_facts
from toolkit.playbooks import Happened, Playbook, Step, aligned, playbooks_of, shipped
from toolkit.playbooks.folder import read
from toolkit.publish import waivers_of
from toolkit.workspace import Workspace

NOTHING: dict[str, Any] = {"detected": t("10:00"), "recovered": t("11:00")}


def book(*steps: dict[str, Any]) -> Playbook:
    return Playbook(name="ours", title="Ours", step=tuple(Step(**{"title": "Do it", "who": "us"} | step) for step in steps))


def step(id: str, shown_by: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "shown_by": (shown_by,), **more}


def at(what: str, clock: str, minutes: int = 0, **more: Any) -> Happened:
    when = t(clock)
    assert when is not None
    return Happened(what, when, when + timedelta(minutes=minutes), f"{what} {clock}", **more)


def verdicts(playbook: Playbook, *happened: Happened, **more: Any) -> dict[str, str]:
    found, _ = aligned(playbook, happened, **{"moments": NOTHING, "horizon": HORIZON} | more)
    return {one.step.id: one.verdict for one in found}


THREE = book(
    step("triage", "triaged"),
    step("decide", "decided", after=["triage"], within="30m"),
    step("back", "rollback", after=["decide"], within="10m", of="decide"),
)


def test_steps_in_time_and_in_order_are_done() -> None:
    found = verdicts(THREE, at("triaged", "10:05"), at("decided", "10:20"), at("rollback", "10:25"))
    assert found == {"triage": "done", "decide": "done", "back": "done"}


def test_a_bound_runs_from_detection_or_from_another_step() -> None:
    found = verdicts(THREE, at("triaged", "10:05"), at("decided", "10:31"), at("rollback", "10:42"))
    assert found == {"triage": "done", "decide": "late", "back": "late"}


def test_the_fewest_steps_are_out_of_order() -> None:
    # Back, then triage, then decide: two of the three stand in the order.
    found = verdicts(THREE, at("rollback", "10:01"), at("triaged", "10:05"), at("decided", "10:20"))
    assert found == {"triage": "done", "decide": "done", "back": "out_of_order"}


def test_an_order_holds_through_a_step_that_was_skipped() -> None:
    assert verdicts(THREE, at("rollback", "10:01"), at("triaged", "10:05")) == {
        "triage": "done", "decide": "skipped", "back": "out_of_order",
    }  # fmt: skip


def test_of_several_lines_the_one_that_fits_shows_the_step() -> None:
    found = verdicts(THREE, at("rollback", "10:01"), at("triaged", "10:05"), at("decided", "10:20"), at("rollback", "10:24"))
    assert found["back"] == "done"


def test_steps_without_an_order_between_them_may_come_in_any() -> None:
    both = book(step("one", "triaged"), step("other", "contained"))
    assert set(verdicts(both, at("contained", "10:01"), at("triaged", "10:02")).values()) == {"done"}


def test_one_line_shows_one_step() -> None:
    twice = book(step("contain", "rerouted"), step("reroute", "rerouted"))
    assert verdicts(twice, at("rerouted", "10:01")) == {"contain": "done", "reroute": "skipped"}


def test_a_stamp_of_a_minute_may_lie_anywhere_in_it() -> None:
    # Decided at 10:20:xx, typed as 10:20; rolled back at 10:20:00 exactly.
    pair = book(step("decide", "decided"), step("back", "rollback", after=["decide"]))
    after = [at("rollback", "10:20"), at("decided", "10:20", minutes=1)]
    assert set(verdicts(pair, *after).values()) == {"done"}


def test_what_nobody_ever_records_is_unknown_and_what_may_still_come_is_pending() -> None:
    one = book(step("check", "validated", within="1h", of="recovered"))
    assert verdicts(one, seen={"triaged"}) == {"check": "unknown"}
    assert verdicts(one, seen={"validated"}) == {"check": "skipped"}
    assert verdicts(one, horizon=t("11:30")) == {"check": "pending"}
    assert verdicts(one, moments={"detected": t("10:00"), "recovered": None}) == {"check": "pending"}


def test_a_step_may_be_optional_for_some_severities_only_or_waived() -> None:
    one = book(
        step("flag", "flag_off", optional=True), step("tell", "informed_customers", severities=["Sev1"]), step("check", "validated"),
    )  # fmt: skip
    assert verdicts(one, severity="sev1", waived={"check"}) == {"flag": "not_taken", "tell": "skipped", "check": "waived"}
    assert verdicts(one, severity="sev3", waived={"check"})["tell"] == "not_asked"
    assert verdicts(one, severity=None)["tell"] == "unknown"


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [({"files": 10, "lines": 9}, "done"), ({"files": 11, "lines": 9}, "skipped"), ({"files": 3}, "unknown")],
)
def test_a_hotfix_keeps_to_its_limits(sizes: dict[str, int], verdict: str) -> None:
    small = book(step("small", "hotfix", limits={"files": 10, "lines": 100}), step("ship", "hotfix"))
    assert verdicts(small, at("hotfix", "10:30", **sizes)) == {"small": verdict, "ship": "done"}


def test_a_review_that_took_too_long_is_late() -> None:
    one = book(step("review", "hotfix", limits={"review_minutes": 60}))
    assert verdicts(one, at("hotfix", "10:30", review_minutes=61)) == {"review": "late"}


def test_an_action_that_no_step_asks_for_is_unwritten_and_the_course_of_the_incident_is_no_action() -> None:
    lines = [at("triaged", "10:05"), at("flag_off", "10:07"), at("mitigated", "10:50"), at("note", "10:51"), at("gate:unit", "9:00")]
    _, unwritten = aligned(THREE, lines, moments=NOTHING, horizon=HORIZON)
    assert [one.what for one in unwritten] == ["flag_off"]


WHATS = ("triaged", "decided", "rollback")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Playbook, list[Happened]]:
    size = draw(st.integers(1, 4))
    steps = []
    for place in range(size):
        earlier = [f"s{number}" for number in range(place)]
        after = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        bound = {"within": "20m", "of": draw(st.sampled_from(["detected", *earlier]))} if draw(st.booleans()) else {}
        steps.append(
            step(f"s{place}", draw(st.sampled_from(WHATS)), after=after, optional=draw(st.integers(0, 3)) == 0, **bound)
        )  # fmt: skip
    clocks = draw(st.lists(st.tuples(st.sampled_from(WHATS), st.integers(0, 50), st.integers(0, 1)), max_size=5))
    happened = [at(what, f"10:{minute:02}", wide) for what, minute, wide in clocks]
    return book(*steps), happened


@given(cases())
def test_no_other_way_of_laying_events_to_steps_is_better(case: tuple[Playbook, list[Happened]]) -> None:
    playbook, happened = case
    found, _ = aligned(playbook, happened, moments=NOTHING, horizon=HORIZON)
    placed = [one for one in found if one.verdict in ("done", "late")]
    ours = (sum(not one.step.optional for one in placed), len(placed), sum(one.verdict == "done" for one in placed))
    expected, _ = best(playbook, playbook.ordered, happened, NOTHING)
    assert ours == expected
    # And it is a way: each event once, none before what must come first.
    shown = {one.step.id: one.shown for one in placed if one.shown}
    assert len({id(one) for one in shown.values()}) == len(shown)
    for name, one in shown.items():
        assert all(shown[other].at <= one.until for other in playbook.before[name] if other in shown)


def test_a_timeline_of_a_thousand_equal_lines_is_laid_in_a_moment() -> None:
    rows = [at("rollback", f"10:{minute:02}") for minute in range(60) for _ in range(10)]
    assert verdicts(shipped()[1], at("decided", "10:59", 1), *rows)["switch"] == "done"


# Files


def test_the_shipped_playbooks_cover_the_whole_sequence() -> None:
    hotfix, back = shipped()
    whole = {"detection", "triage", "containment", "decision", "switch", "rerouting", "flag", "validation", "communication", "review"}
    assert {one.id for one in back.step} >= whole
    assert {one.id for one in hotfix.step} >= whole | {"scope", "acceptance", "code-review", "plan", "merge-back"}


GOOD = 'name = "ours"\ntitle = "Ours"\n\n[[step]]\nid = "triage"\ntitle = "Look"\nwho = "us"\nshown_by = ["triaged"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("triaged", "looked"), "line 8: step.1.shown_by: 'looked' is nothing that can be seen: write some of started"),
        (GOOD + 'within = "soon"\n', "line 9: step.1.within: 'soon' is no span: write \"15m\""),
        (GOOD + 'after = ["decide"]\n', "line 1: 'triage' names 'decide', which is no other step of it: there are triage"),
        (GOOD + "unless = 1\n", "line 9: step.1.unless: nothing of that name belongs here"),
        (GOOD + GOOD.partition("\n\n")[2], "two steps are called 'triage'"),
        (GOOD.replace('title = "Look"\n', ""), "line 4: step.1.title: missing: add it"),
        (GOOD + "[", "Put the TOML right there"),
        (
            GOOD + 'after = ["b"]\n' + GOOD.partition("\n\n")[2].replace("triage\"", "b\"") + 'after = ["triage"]\n',
            "its steps run in a circle",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_with_its_line_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(DataError) as raised:
        read(text, "policy/playbooks/ours.toml")
    assert "policy/playbooks/ours.toml" in raised.value.message
    assert said in raised.value.message


def test_a_workspaces_own_files_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    assert playbooks_of(tmp_path) == shipped()
    folder = tmp_path / "policy" / "playbooks"
    folder.mkdir(parents=True)
    (folder / "ours.toml").write_text(GOOD)
    assert [one.name for one in playbooks_of(tmp_path)] == ["ours"]
    (folder / "twin.toml").write_text(GOOD)
    with pytest.raises(DataError, match=r"twin\.toml, line 1: ours\.toml is called 'ours' too"):
        playbooks_of(tmp_path)


# Facts


def conformance(*rows: dict[str, Any], **more: Any) -> pl.DataFrame:
    records = frames(history(*rows))
    tables = facts_of(records, horizon=HORIZON)
    return practice_facts(records, tables, horizon=HORIZON, **more)["conformance"]


BACK = [
    deployment("v1", "8:00"), deployment("v2", "9:50"), incident("10:00", "10:40", acknowledged_at="10:02", severity="sev1"),
    event("triaged", "10:05"), event("decided", "10:20"), rollback("v1", "10:30", from_version="v2", incident="inc"),
    event("validated", "10:50"),
]  # fmt: skip


def of_steps(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.drop_nulls("step").select("step", "verdict").iter_rows())


def test_records_stamps_attempts_and_reviews_show_the_steps_of_an_incident() -> None:
    found = of_steps(conformance(*BACK, told("review", "r", incident="inc", state="published", published_at="3d 9:00")))
    done = {"detection", "acknowledge", "triage", "decision", "switch", "validation", "review"}
    assert {name for name, verdict in found.items() if verdict == "done"} == done
    # Nobody in this workspace ever wrote down that customers were told.
    assert found["communication"] == "unknown"


def test_an_incident_without_a_timeline_is_laid_against_nothing() -> None:
    assert conformance(*(row for row in BACK if row["record"] != "incident_event")).is_empty()


def test_a_decision_that_was_derived_from_the_action_shows_no_decision() -> None:
    assert of_steps(conformance(*(row for row in BACK if row.get("type") != "decided")))["decision"] in ("skipped", "unknown")


def test_a_waived_step_is_out_with_its_reason() -> None:
    found = conformance(*BACK, waivers={"incident:made/inc": {"validation": "the vendor checks"}}).filter(pl.col("step") == "validation")
    assert found.select("verdict", "waived").row(0) == ("waived", "the vendor checks")


SHA = "a1" * 20
FORWARD = [
    deployment("v1", "8:00"), deployment("v2", "9:50"), incident("10:00", "11:30", fixed_by="v3 11:00"), event("triaged", "10:05"),
    deployment("v3", "11:00", kind="hotfix", vcs_revision=SHA),
]  # fmt: skip


@pytest.mark.parametrize(
    ("merge", "verdict"),
    [
        # Made on main before it was shipped, brought back within the week, later, not yet by the end of the data.
        ({"merged_at": "9:00"}, "done"),
        ({"merged_at": "3d 9:00"}, "done"),
        ({"merged_at": "8d 9:00"}, "late"),
        ({"merged_at": None}, "skipped"),
        # Nobody has looked since the week was nearly over, or just over; nobody tells of that commit at all.
        ({"merged_at": None, "observed_at": "7d 10:59"}, "unknown"),
        ({"merged_at": None, "observed_at": "7d 11:00"}, "skipped"),
        ({"merged_at": "9:00", "vcs_revision": "b2" * 20}, "unknown"),
    ],
)
def test_a_fix_is_merged_back_within_a_week_or_it_is_not_known(merge: dict[str, Any], verdict: str) -> None:
    found = of_steps(conformance(*FORWARD, told("merge", "m", **({"vcs_revision": SHA, "service": None} | merge))))
    assert found["merge-back"] == verdict


@pytest.mark.parametrize(("before", "verdict"), [(0, "done"), (1, "skipped")])
def test_a_rollback_test_speaks_for_the_way_back_for_ninety_days(before: int, verdict: str) -> None:
    tested = t("11:00") - timedelta(days=90, minutes=before)
    found = of_steps(conformance(*FORWARD, told("gate", "g", kind="rollback", status="passed", started_at=tested, finished_at=tested)))
    assert found["plan"] == verdict


@pytest.mark.parametrize(("precision", "minutes"), [("minute", 1), ("hour", 60), ("day", 24 * 60), (None, 0)])
def test_a_stamp_may_lie_anywhere_within_what_it_is_exact_to(precision: str | None, minutes: int) -> None:
    records = frames(history(incident("10:00"), event("decided", "10:20", precision=precision)))
    (line,) = timelines(records, facts_of(records, horizon=HORIZON)["incidents"], horizon=HORIZON).iter_rows(named=True)
    assert line["until"] - line["at"] == timedelta(minutes=minutes)


def test_the_narrowest_playbook_holds() -> None:
    ours = Playbook(name="a", title="A", services=("shop",), step=book(step("triage", "triaged")).step)
    found = conformance(*BACK, playbooks=[ours, *shipped()])
    assert found["playbook"].unique().to_list() == ["a"]
    classes = Playbook(name="b", title="B", classes=("critical",), step=ours.step)
    held = [told("owner", "o", team="web", service_class="critical")]
    assert conformance(*BACK, *held, playbooks=[classes, *shipped()])["playbook"].unique().to_list() == ["b"]
    assert conformance(*BACK, playbooks=[classes, *shipped()])["playbook"].unique().to_list() == ["rollback"]


def test_a_flag_that_nobody_planned_for_is_unwritten() -> None:
    plain = Playbook(name="a", title="A", step=book(step("triage", "triaged")).step)
    rows = [*BACK[2:4], flag_off("10:30", incident="inc", kill_switch=True)]
    found = conformance(*rows, playbooks=[plain]).filter(pl.col("verdict") == "unwritten")
    assert found["what"].to_list() == ["acknowledged", "detected", "flag_off"]


# The journal and the command


def test_a_waiver_in_the_journal_takes_a_step_out_until_its_day(tmp_path: Path) -> None:
    journal = Workspace.init(tmp_path).journal
    until = {"validation": None, "review": "2026-05-01", "triage": "2026-04-30"}
    for name, day in until.items():
        body = {"rule": f"playbook:{name}", "until": day}
        journal.append("waiver", "incident:made/inc", body, author="ana", why="the vendor does it")
    journal.append("waiver", "incident:made/inc", {"rule": "two people sign"}, author="ana", why="small")
    # The data end on the first of May.
    assert waivers_of(journal.facts(), HORIZON) == {"incident:made/inc": dict.fromkeys(("validation", "review"), "the vendor does it")}


def test_the_command_shows_each_step_with_its_recovery_with_and_without(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["playbook", "rollback", "--json", "--workspace", str(demo)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in rows] == [one.id for one in shipped()[1].step]
    for row in rows:
        assert row["n"] == row["done"] + row["late"] + row["out_of_order"] + row["skipped"]
    triage = next(row for row in rows if row["step"] == "triage")
    assert triage["adherence"] == pytest.approx(triage["done"] / triage["n"])
    assert triage["low"] < triage["adherence"] < triage["high"]
    assert triage["with_n"] + triage["without_n"] == triage["n"]
    assert triage["ratio_low"] < triage["ratio"] < triage["ratio_high"]
    assert next(row for row in rows if row["step"] == "validation")["note"] == "comes after the recovery"
    assert run(["playbook", "--workspace", str(demo)]) == 0
    out = capsys.readouterr()
    assert "Put the artifact back" not in out.out
    assert "different incidents" in out.err
    assert run(["playbook", "nope", "--workspace", str(demo)]) == 2
    assert "There are: hotfix, rollback" in capsys.readouterr().err
