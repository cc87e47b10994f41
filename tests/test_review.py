"""A review: who may say what, when it is closed, what makes a signature stale, and a report in which nobody's text is markup."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from markdown_it import MarkdownIt

from toolkit.cli import entry
from toolkit.errors import UsageError
from toolkit.review import Case, as_markdown, as_object, case_of, findings_of, reviewed, what_if_of
from toolkit.review.saving import Reviewer, ask, correct, label, note, reopen, settle, sign, withdraw
from toolkit.store import warehouse
from toolkit.workspace import Workspace

ID = "INC-1330"
ANN, BOB, CY = Reviewer("Ann"), Reviewer("Bob"), Reviewer("Cy")
HOSTILE = "<script>alert(1)</script> \u202e![x](http://198.51.100.7/x.png) =cmd() | `x` " + "y" * 10_000


@pytest.fixture
def place(demo: Path, tmp_path: Path) -> Workspace:
    """The sample's facts with a journal of their own."""
    shutil.copytree(demo, tmp_path / "site", ignore=shutil.ignore_patterns("sample", "staging*"))
    return Workspace(tmp_path / "site")


@pytest.fixture
def case(place: Workspace) -> Callable[..., Case]:
    """The incident as it stands whenever it is called."""
    read: dict[Path, tuple[Any, dict[str, Any]]] = {}

    def stands(id: str = ID) -> Case:
        path = place.warehouse
        if path not in read:
            read[path] = place.facts, place.meta
        return case_of(*read[path], place.journal.entries(), id)

    return stands


Now = Callable[..., Case]


def test_a_review_goes_from_nobody_to_two_signatures(place: Workspace, case: Now) -> None:
    assert case().state == "not reviewed"
    note(place.journal, case(), "what we saw", by=ANN)
    assert case().state == "in review"
    sign(place.journal, case(), by=ANN)
    assert case().state == "signed by one"
    sign(place.journal, case(), by=BOB, statement="read it twice")
    assert case().state == "signed off"
    assert [(entry.author, entry.body["role"]) for entry in case().said.signatures] == [("Ann", "prepared"), ("Bob", "checked")]


def test_the_second_signature_is_somebody_elses_however_the_name_is_written(place: Workspace, case: Now) -> None:
    sign(place.journal, case(), by=ANN)
    for name in ("Ann", "ann", " Ａnn  "):
        with pytest.raises(UsageError, match="somebody else"):
            sign(place.journal, case(), by=Reviewer(name))
    assert case().state == "signed by one"


def test_who_corrected_something_cannot_be_the_second_to_sign(place: Workspace, case: Now) -> None:
    correct(place.journal, case(), "cause", None, by=BOB, why="it was the network")
    sign(place.journal, case(), by=ANN)
    with pytest.raises(UsageError, match="corrected something"):
        sign(place.journal, case(), by=BOB)
    sign(place.journal, case(), by=CY)
    assert case().state == "signed off"


def test_entries_written_past_the_rules_do_not_close_a_review(place: Workspace, case: Now) -> None:
    sign(place.journal, case(), by=ANN)
    (first,) = case().said.signatures
    place.journal.append("sign_off", first.about, first.body, author="ANN")
    assert case().state == "signed by one"


def test_what_is_signed_off_is_read_only_until_somebody_reopens_it_with_a_reason(place: Workspace, case: Now) -> None:
    item = ask(place.journal, case(), "test the way back", by=ANN, kind="test", owner="Cy", due=date(2026, 8, 1))
    sign(place.journal, case(), by=ANN)
    sign(place.journal, case(), by=BOB)
    closed = case()
    for change in (
        lambda: note(place.journal, closed, "late", by=CY),
        lambda: correct(place.journal, closed, "cause", None, by=CY, why="no"),
        lambda: ask(place.journal, closed, "more", by=CY),
        lambda: sign(place.journal, closed, by=CY),
    ):
        with pytest.raises(UsageError, match="signed off"):
            change()
    # Most items are done after the review: that changes nothing that was signed.
    settle(place.journal, closed, closed.said.items[0], "done", by=CY)
    assert [(found.id, found.state) for found in case().said.items] == [(item.id, "done")]
    assert case().state == "signed off"
    with pytest.raises(UsageError, match="why"):
        reopen(place.journal, case(), by=CY, why=" ")
    reopen(place.journal, case(), by=CY, why="the vendor wrote")
    assert case().state == "in review"
    note(place.journal, case(), "the vendor's letter", by=CY)


def test_a_signature_is_stale_when_the_data_change_and_says_what(place: Workspace, case: Now) -> None:
    sign(place.journal, case(), by=ANN)
    sign(place.journal, case(), by=BOB)
    path = place.warehouse
    tables = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    tables["incidents"] = tables["incidents"].with_columns(severity=pl.when(pl.col("id") == ID).then(pl.lit("sev0")).otherwise("severity"))
    before = case().found.incident["severity"]
    warehouse.write(place.state, "v2", tables, warehouse.meta(path))
    assert case().state == "changed since sign-off"
    assert case().changed == [("severity", before, "sev0")]
    told = as_markdown(as_object(case(), place.meta, what_if_of(place, case().found)))
    assert f"| severity | {before} | sev0 |" in told
    with pytest.raises(UsageError, match="reopen it first"):
        sign(place.journal, case(), by=CY)


def test_a_signature_stands_for_facts_and_not_for_our_wording(case: Now) -> None:
    made = case()
    reworded = made.found.candidates.with_columns(why=pl.lit("in other words"))
    told = made.found.timeline.with_columns(what=pl.when(pl.col("lane") != "attempts").then(pl.lit("in other words")).otherwise("what"))
    assert replace(made, found=replace(made.found, candidates=reworded, timeline=told)).digest == made.digest
    later = made.found.timeline.with_columns(pl.col("at") + pl.duration(minutes=1))
    assert replace(made, found=replace(made.found, timeline=later)).digest != made.digest


def test_a_signature_of_something_else_starts_over(place: Workspace, case: Now) -> None:
    sign(place.journal, case(), by=ANN)
    note(place.journal, case(), "one more thing", by=ANN)
    assert case().state == "in review"
    sign(place.journal, case(), by=BOB)
    assert case().state == "signed by one"
    assert [entry.author for entry in case().said.signatures] == ["Bob"]


def test_nobody_signs_what_somebody_else_changed_meanwhile(place: Workspace, case: Now) -> None:
    seen = case()
    note(place.journal, case(), "wait", by=BOB)
    with pytest.raises(UsageError, match="meanwhile"):
        sign(place.journal, seen, by=ANN)


def test_an_incident_that_is_not_over_is_not_signed(place: Workspace, case: Now) -> None:
    still = place.facts.incidents.filter("open").select("id").collect()["id"][-1]
    with pytest.raises(UsageError, match="not over"):
        sign(place.journal, case(still), by=ANN)


def test_a_correction_holds_until_the_next_or_until_it_is_taken_back(place: Workspace, case: Now) -> None:
    at = datetime(2026, 6, 1, 10, tzinfo=UTC)
    correct(place.journal, case(), "started_at", at, by=ANN, why="graph")
    last = correct(place.journal, case(), "started_at", at.replace(minute=5), by=BOB, why="log")
    assert [entry.id for entry in case().said.corrections] == [last.id]
    withdraw(place.journal, case(), last, by=BOB, why="wrong log")
    assert [entry.why for entry in case().said.corrections] == ["graph"]
    key = case().found.candidates.select("source", "source_id").row(0)
    label(place.journal, case(), key, failed=False, by=BOB, why="it was fine")
    assert [entry.body["field"] for entry in case().said.corrections] == ["started_at", "failed"]


def test_the_list_knows_how_far_each_review_is(place: Workspace, case: Now) -> None:
    note(place.journal, case("INC-1329"), "x", by=ANN)
    sign(place.journal, case(), by=ANN)
    incidents = place.facts.incidents.collect().tail(20)
    facts, meta = place.facts, place.meta
    states = reviewed(incidents, place.journal.entries(), lambda id: findings_of(facts, meta, id))
    assert {id: state for id, state in states.items() if state != "not reviewed"} == {"INC-1329": "in review", ID: "signed by one"}
    assert len(states) == 20


def test_an_unknown_incident_is_named_with_those_like_it(case: Now) -> None:
    with pytest.raises(UsageError, match="INC-1330"):
        case("INC-13300")


def test_hostile_titles_notes_and_names_are_text_in_the_report(place: Workspace, case: Now) -> None:
    note(place.journal, case(), HOSTILE[:9_000] + "\n## Sign-off\n- checked by Eve", by=Reviewer("Eve <b>\u202e"))
    ask(place.journal, case(), HOSTILE[:9_000], by=ANN, owner="=HYPERLINK()|x")
    made = case()
    hostile = {**made.found.incident, "title": HOSTILE, "services": [HOSTILE[:100]]}
    told = as_object(replace(made, found=replace(made.found, incident=hostile)), place.meta, what_if_of(place, made.found))
    report = as_markdown(told)
    tokens = MarkdownIt("commonmark").enable("table").parse(report)
    leaves = {leaf.type for token in tokens for leaf in [token, *(token.children or [])]}
    assert not leaves & {"html_block", "html_inline", "image"}
    # A link that somebody put into a note stays one; nothing else becomes one.
    assert [line[:2] for line in report.splitlines() if re.search(r"[^\\]\]\(", line)] == ["> "]
    assert "\u202e" not in report
    assert "\\u202e" in report
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open" and token.level == 0]
    assert headings[1:] == [
        "Phases", "What happened", "What may have caused it", "What if", "Against the playbook", "Corrections", "Action items", "Notes",
        "Sign-off", "History",
    ]  # fmt: skip
    # A title is cut where it would drown the rest; nothing else is lost: the object has it whole.
    assert max(map(len, report.splitlines())) < 20_000
    assert told["incident"]["title"] == HOSTILE


def test_every_row_of_every_table_has_the_columns_of_its_head(place: Workspace, case: Now) -> None:
    note(place.journal, case(), "a | b", by=ANN)
    correct(place.journal, case(), "cause", None, by=ANN, why="a | b\nc")
    told = as_markdown(as_object(case(), place.meta, what_if_of(place, case().found)))
    rows = MarkdownIt("commonmark").enable("table").parse(told)
    widths: list[int] = []
    for token in rows:
        if token.type == "tr_open":
            widths.append(0)
        elif token.type in {"td_open", "th_open"}:
            widths[-1] += 1
    assert set(widths) == {2, 5, 6}
    assert len(widths) > 20


def test_the_command_prints_the_same_report(place: Workspace, case: Now, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    note(place.journal, case(), "seen", by=ANN)
    at = ["--workspace", str(place.root)]
    assert entry.run(["review", ID, *at]) == 0
    shown = capsys.readouterr().out
    assert shown == as_markdown(as_object(case(), place.meta, what_if_of(place, case().found)))
    assert entry.run(["review", ID, "--to", str(tmp_path / "r.md"), *at]) == 0
    assert (tmp_path / "r.md").read_text() == shown
    capsys.readouterr()
    assert entry.run(["review", ID, "--json", *at]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["incident"]["id"] == ID
    assert told["notes"][0]["text"] == "seen"
    assert entry.run(["review", "INC-13300", *at]) == 2
    assert "INC-1330" in capsys.readouterr().err
    assert entry.run(["review", ID, "--to", "r.txt", *at]) == 2
