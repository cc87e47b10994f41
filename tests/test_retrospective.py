"""The pages of incidents and retrospectives as Streamlit runs them, in every state that they can be in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import streamlit as st
from apps import MAIN, AppTest, said
from test_review import ANN, BOB, HOSTILE, ID

from toolkit import publishing
from toolkit.metrics import measure
from toolkit.publish import publish
from toolkit.review import Case, as_markdown, as_object, case_of, what_if_of
from toolkit.review.saving import Reviewer, ask, note, reopen, sign
from toolkit.store import warehouse
from toolkit.ui import deciding
from toolkit.workspace import Workspace

PHASES = ("detect", "decide", "act", "whole")
# The ticket names one deployment, the rollback that ended it undid another.
WRONG, NAMED, UNDONE = "INC-1199", "catalog-0100", "catalog-0101"


@pytest.fixture(scope="module")
def site(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(demo, tmp_path_factory.mktemp("pages") / "site")


@pytest.fixture
def place(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """The sample with a journal of its own; publishing in the background is left to the test."""
    monkeypatch.setattr(publishing, "publish_soon", lambda _: None)
    yield Workspace(site)
    for file in (site / ".knowngood").glob("journal.*"):
        file.unlink()


@pytest.fixture
def own(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The same, for a test that publishes something."""
    monkeypatch.setattr(publishing, "publish_soon", lambda _: None)
    return Workspace(copied(demo, tmp_path / "site"))


def copied(demo: Path, to: Path) -> Path:
    shutil.copytree(demo, to, ignore=shutil.ignore_patterns("sample", "staging*"))
    return to


def page(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, **address: str) -> AppTest:
    """A page of the app on a workspace, opened at an address."""
    monkeypatch.setenv("KNOWNGOOD_WORKSPACE", str(folder))
    app = AppTest.from_file(str(MAIN), default_timeout=240)
    for key, value in address.items():
        app.query_params[key] = value
    app.switch_page(f"app_pages/{name}.py").run()
    assert not app.exception, app.exception[0].message
    return app


def opened(place: Workspace, monkeypatch: pytest.MonkeyPatch, id: str = ID, **address: str) -> AppTest:
    return page(place.root, "retrospective", monkeypatch, incident=id, **address)


def click(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].message
    return app


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def table(app: AppTest, column: str) -> pd.DataFrame:
    """The table with this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def case(place: Workspace, id: str = ID) -> Case:
    return case_of(place.facts, place.meta, place.journal.entries(), id)


def report(place: Workspace, id: str = ID) -> str:
    made = case(place, id)
    return as_markdown(as_object(made, place.meta, what_if_of(place, made.found)))


# Incidents


def test_the_list_shows_what_lies_in_scope_and_how_far_each_review_is(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    note(place.journal, case(place), "seen", by=ANN)
    app = page(place.root, "incidents", monkeypatch, window="4w")
    rows = app.dataframe(key="incidents").value
    assert len(rows) > 5
    assert rows["at"].is_monotonic_decreasing
    assert rows["review"].value_counts().to_dict() == {"not reviewed": len(rows) - 1, "in review": 1}
    assert f"{len(rows)} of {len(rows)} incidents in scope" in said(app)


def test_filters_narrow_the_list_and_come_from_the_address(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(place.root, "incidents", monkeypatch, cause="possible", find="CATALOG")
    rows = app.dataframe(key="incidents").value
    assert 0 < len(rows) < 20
    assert all("catalog" in f"{row.title} {row.cause}".lower() for row in rows.itertuples())
    app.multiselect(key="review").set_value(["signed off"]).run()
    assert "No incident passes these filters" in app.info[0].proto.title
    assert "the search: CATALOG" in app.info[0].value


def test_few_incidents_are_said_to_be_few(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(place.root, "incidents", monkeypatch, find=ID)
    assert len(app.dataframe(key="incidents").value) == 1
    assert "n 1: too few to sum up" in said(app)


@pytest.mark.parametrize("name", ["incidents", "retrospective"])
def test_without_a_workspace_or_facts_each_page_says_what_to_type(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "knowngood init" in said(page(tmp_path, name, monkeypatch))
    assert "load the sample" in said(page(Workspace.init(tmp_path / "new").root, name, monkeypatch))


@pytest.mark.parametrize("name", ["incidents", "retrospective"])
def test_a_scope_with_nothing_in_it_names_the_filter(name: str, own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {table: warehouse.read(own.warehouse, table) for table in warehouse.tables(own.warehouse)}
    for table in ("incidents", "deployments", "rollbacks"):
        tables[table] = tables[table].filter(pl.col("at") < pl.datetime(2026, 1, 1, time_zone="UTC"))
    warehouse.write(own.state, "old", tables, warehouse.meta(own.warehouse))
    app = page(own.root, name, monkeypatch, window="4w")
    assert app.info[0].value.startswith("Widen the window: 4 weeks")


# One incident


def test_the_page_shows_the_incident_its_phases_lanes_and_candidates(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch, WRONG)
    assert app.title[0].value.startswith(WRONG)
    assert [card.label for card in app.metric] == ["Detect", "Decide", "Act", "From impact to recovery"]
    assert len(app.get("vega_lite_chart")) == 2
    words = said(app)
    assert f"The cause is {NAMED}, certain" in words
    assert "declared by a source" in words
    assert "in this scope" in words


def test_without_an_incident_in_the_address_the_newest_that_is_due_opens(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    over = place.facts.incidents.filter(~pl.col("open") & pl.col("production") & ~pl.col("planned")).sort("at", "id").collect()["id"]
    assert page(place.root, "retrospective", monkeypatch).title[0].value.startswith(over[-1])
    note(place.journal, case(place, over[-1]), "seen", by=ANN)
    assert page(place.root, "retrospective", monkeypatch).title[0].value.startswith(over[-2])


def test_an_unknown_incident_in_the_address_is_named_as_text(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch, "![x](http://198.51.100.7/x.png)")
    assert app.error[0].proto.title == "No such incident"
    assert r"!\[x\]" in app.error[0].value
    assert app.get("page_link")


def test_previous_and_next_walk_through_the_scope_and_have_keys(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch, WRONG)
    assert [app.button(key=key).proto.shortcut.lower() for key in ("previous", "next")] == ["p", "n"]
    click(app, "next")
    after = app.query_params["incident"]
    assert after != WRONG
    assert app.title[0].value.startswith(after if isinstance(after, str) else after[0])
    click(app, "previous")
    assert app.title[0].value.startswith(WRONG)


def test_what_is_said_goes_under_a_name_and_is_saved_at_once(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch)
    app.text_area(key=f"note_{ID}").set_value("**look** ![x](http://198.51.100.7/x.png)")
    click(app, f"note_save_{ID}")
    assert "Say who you are" in app.error[0].value
    assert place.journal.entries() == []
    app.text_input(key="reviewer").set_value("Ann").run()
    app.text_area(key=f"note_{ID}").set_value("**look** ![x](http://198.51.100.7/x.png)")
    click(app, f"note_save_{ID}")
    (entry,) = place.journal.entries()
    assert (entry.author, entry.verified, entry.body["text"][:8]) == ("Ann", False, "**look**")
    assert app.text_area(key=f"note_{ID}").value == ""
    assert "**look** &#33;[x](http://198.51.100.7/x.png)" in said(app)
    assert "Ann (unverified)" in said(app)


def test_an_action_item_is_asked_for_and_settled(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch)
    app.text_input(key="reviewer").set_value("Ann")
    app.text_input(key=f"item_{ID}").set_value("Test the way back")
    app.selectbox(key=f"item_kind_{ID}").set_value("test")
    app.date_input(key=f"item_due_{ID}").set_value(date(2026, 8, 1))
    click(app, f"item_save_{ID}")
    (entry,) = place.journal.entries()
    assert (entry.body["title"], entry.body["kind"], entry.body["due"]) == ("Test the way back", "test", "2026-08-01")
    click(app, f"done_{entry.id}_{ID}")
    assert [item.state for item in case(place).said.items] == ["done"]
    assert "due 1 August 2026 · done" in said(app)


def test_what_other_tools_recorded_of_the_review_stands_beside(own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {table: warehouse.read(own.warehouse, table) for table in warehouse.tables(own.warehouse)}
    held = tables["incidents"]["at"].max()
    review = {"source": "docs", "source_id": "R1", "incident": ID, "state": "published", "published_at": held, "root_causes": ["a | b"]}
    item = {"source": "tracker", "source_id": "T1", "incident": ID, "title": "<b>Alert</b> sooner", "kind": "detect", "due": held}
    rows = {"reviews": review, "action_items": item}
    for name, row in rows.items():
        tables[name] = pl.concat([tables[name], pl.DataFrame([row]).cast({key: tables[name].schema[key] for key in row})], how="diagonal")
    warehouse.write(own.state, "told", tables, warehouse.meta(own.warehouse))
    app = opened(own, monkeypatch)
    assert table(app, "root_causes")["root_causes"].to_list() == ["a | b"]
    assert table(app, "due")["state"].to_list() == ["open"]
    assert page(own.root, "incidents", monkeypatch, find=ID).dataframe(key="incidents").value["tools"].to_list() == ["published"]
    told = report(own)
    assert "| docs, R1 | published |" in told
    assert r"| \<b\>Alert\</b\> sooner (tracker) | detect |" in told
    # It is part of what is signed.
    sign(own.journal, case(own), by=ANN)
    tables["reviews"] = tables["reviews"].clear()
    warehouse.write(own.state, "lost", tables, warehouse.meta(own.warehouse))
    assert [what for what, _, _ in case(own).changed] == ["reviews in other tools"]


def test_a_corrected_cause_is_published_and_its_effect_shown(own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = measure(own, "change_failure_rate", window="26w").row(0, named=True)
    app = opened(own, monkeypatch, WRONG)
    app.text_input(key="reviewer").set_value("Ann")
    app.selectbox(key=f"cause_{WRONG}").set_value(UNDONE)
    app.text_input(key=f"cause_why_{WRONG}").set_value("the rollback took this one back")
    click(app, f"cause_save_{WRONG}")
    (entry,) = own.journal.entries()
    assert entry.body["value"] == {"source": "sample", "id": UNDONE}
    # Saved, and not waited for: the page says that its numbers are from before.
    assert app.info[0].proto.title == "Publishing …"
    publish(own)
    app.run()
    moved = {row.What: (row.Before, row.After) for row in table(app, "Before").itertuples()}
    assert moved["Cause"] == (NAMED, UNDONE)
    now = measure(own, "change_failure_rate", window="26w").row(0, named=True)
    assert now["k"] == rate["k"] - 1
    assert moved["Change failure rate in this scope"] == tuple(
        f"{100 * row['value']:.2f} % ({row['k']} of {row['n']})" for row in (rate, now)
    )
    assert f"cause**: {UNDONE} instead of {NAMED}" in said(app)
    assert f"| cause | {NAMED} | {UNDONE} |" in report(own, WRONG)
    assert "counts: a reviewer said so" in " ".join(table(app, "why")["why"])


def test_a_publish_that_fails_is_said_with_its_reason_and_can_be_asked_for_again(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"record": "deployment", "source": "sample", "id": NAMED, "field": "failed", "value": "none"}
    place.journal.append("override", "", body, author="Ann", why="x")
    monkeypatch.setattr(deciding, "PATIENCE", -1)
    monkeypatch.setattr(publishing, "failure", lambda _: "The disk is full.")
    app = opened(place, monkeypatch)
    assert "the facts do not follow it yet" in app.error[0].proto.title
    assert app.error[0].value == "The disk is full."
    assert "Publish again" in labels(app)


def test_an_incident_without_any_time_has_a_page(own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {table: warehouse.read(own.warehouse, table) for table in warehouse.tables(own.warehouse)}
    stamps = ["at", "link_time", "started_at", "detected_at", "acknowledged_at", "decided_at", "recovered_at", "resolved_at", *PHASES]
    gone = [pl.when(pl.col("id") == ID).then(None).otherwise(name).alias(name) for name in stamps]
    tables["incidents"] = tables["incidents"].with_columns(gone)
    warehouse.write(own.state, "timeless", tables, warehouse.meta(own.warehouse))
    app = opened(own, monkeypatch)
    assert [card.value for card in app.metric] == ["–"] * 4
    assert app.button(key="previous").disabled
    assert app.button(key="next").disabled
    assert "No phase is known: nobody says when it was started, detected, decided, recovered" in report(own)


def test_a_correction_without_a_reason_is_refused(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch)
    app.text_input(key="reviewer").set_value("Ann")
    app.selectbox(key=f"cause_{ID}").set_value("No deployment")
    click(app, f"cause_save_{ID}")
    assert "say why" in app.error[0].value
    assert place.journal.entries() == []


@pytest.mark.parametrize("field", ["decided_at", "duplicate_of", "failed"])
def test_times_duplicates_and_failures_are_corrected_too(field: str, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(place, monkeypatch, WRONG)
    app.text_input(key="reviewer").set_value("Ann")
    app.selectbox(key=f"field_{WRONG}").set_value(f"failed {NAMED}" if field == "failed" else field).run()
    if field == "duplicate_of":
        app.selectbox(key=f"duplicate_of_{WRONG}").set_value("INC-1198")
    if field == "failed":
        app.get_by_key(f"failed_{WRONG}").set_value("did not fail")
    app.text_input(key=f"why_{WRONG}").set_value("as the log has it")
    click(app, f"correct_{WRONG}")
    (entry,) = place.journal.entries()
    value = entry.body["value"]
    assert entry.body["field"] == field
    assert value == {"duplicate_of": {"source": "sample", "id": "INC-1198"}, "failed": "none"}.get(field, value)
    click(app, f"back_{entry.id}_{WRONG}")
    assert "say why" in app.error[0].value
    app.text_input(key=f"back_why_{entry.id}_{WRONG}").set_value("it had it right")
    click(app, f"back_{entry.id}_{WRONG}")
    assert place.journal.facts() == []


def test_two_sign_and_then_it_is_read_only_until_it_is_reopened(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(place.journal, case(place), "more", by=ANN)
    app = opened(place, monkeypatch)
    app.text_input(key="reviewer").set_value("Ann")
    click(app, f"sign_{ID}")
    click(app, f"sign_{ID}")
    assert "somebody else" in app.error[0].value
    app.text_input(key="reviewer").set_value("Bob")
    click(app, f"sign_{ID}")
    assert case(place).state == "signed off"
    assert "Signed off: nothing here changes" in said(app)
    # What is left: to look, to settle, to reopen.
    assert labels(app) == ["Previous", "Next", "Done", "Dropped", "Reopen the review"]
    click(app, f"reopen_{ID}")
    assert "Say why" in app.error[0].value
    app.text_input(key=f"reopen_why_{ID}").set_value("the vendor wrote")
    click(app, f"reopen_{ID}")
    assert case(place).state == "in review"
    assert "Save the note" in labels(app)


def test_a_sign_off_is_stale_when_the_data_change_and_the_page_says_what(own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sign(own.journal, case(own), by=ANN)
    sign(own.journal, case(own), by=BOB)
    tables = {table: warehouse.read(own.warehouse, table) for table in warehouse.tables(own.warehouse)}
    renamed = pl.when(pl.col("id") == ID).then(pl.lit("Another title")).otherwise("title")
    tables["incidents"] = tables["incidents"].with_columns(title=renamed)
    warehouse.write(own.state, "later", tables, warehouse.meta(own.warehouse))
    app = opened(own, monkeypatch)
    assert app.warning[0].proto.title == "Changed since"
    changed = table(app, "As signed")
    assert changed[["What", "Now"]].to_numpy().tolist() == [["title", "Another title"]]
    listed = page(own.root, "incidents", monkeypatch, find=ID).dataframe(key="incidents").value
    assert listed["review"].to_list() == ["changed since sign-off"]
    reopen(own.journal, case(own), by=ANN, why="it changed")


def test_nobody_signs_while_a_correction_is_being_published(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.journal.append(
        "override",
        "deployment:sample/catalog-0100",
        {"record": "deployment", "source": "sample", "id": "catalog-0100", "field": "failed", "value": "none"},
        author="Ann",
        why="x",
    )
    app = opened(place, monkeypatch)
    assert "A correction is being published" in said(app)
    assert "Sign as prepared" not in labels(app)


def test_an_open_incident_cannot_be_signed_yet(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    still = place.facts.incidents.filter("open").select("id").collect()["id"][-1]
    app = opened(place, monkeypatch, still)
    assert "This incident is not over" in said(app)
    assert any(card.value.startswith("> ") for card in app.metric)


def test_the_download_is_what_the_command_prints(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    note(place.journal, case(place), "seen", by=ANN)
    handed: list[str] = []
    real = st.download_button
    monkeypatch.setattr(st, "download_button", lambda label, data, *rest, **more: handed.append(data) or real(label, data, *rest, **more))
    opened(place, monkeypatch)
    assert handed[-1] == report(place)


def test_hostile_titles_notes_and_names_are_text(own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {table: warehouse.read(own.warehouse, table) for table in warehouse.tables(own.warehouse)}
    tables["incidents"] = tables["incidents"].with_columns(title=pl.when(pl.col("id") == ID).then(pl.lit(HOSTILE)).otherwise("title"))
    warehouse.write(own.state, "hostile", tables, warehouse.meta(own.warehouse))
    note(own.journal, case(own), HOSTILE[:9_000], by=Reviewer("<b>Eve\u202e"))
    app = opened(own, monkeypatch)
    words = said(app)
    assert "\u202e" not in words
    assert r"\<script\>" in app.title[0].value
    assert len(app.title[0].value) < 400
    assert app.text[0].value.endswith("y" * 9_000)
    # The note is Markdown: nothing in it is a tag or a picture any more.
    shown = next(part.value for part in app.markdown if "&lt;script>" in part.value)
    assert "![" not in shown
    listed = page(own.root, "incidents", monkeypatch, find=ID).dataframe(key="incidents").value
    assert "\u202e" not in listed["title"][0]
    assert len(listed["title"][0]) <= 500
