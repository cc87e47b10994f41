"""A step that did not apply in one incident: waived with a reason, out of every rate, and taken back again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from builders import deployment, event, frames, history, incident, rollback

from ingest.engine import load
from tests.apps import MAIN, AppTest, said
from tests.test_decisions import settled
from toolkit import publishing
from toolkit.cli.entry import run
from toolkit.errors import UsageError
from toolkit.metrics import measure
from toolkit.publish import publish, waivers_of
from toolkit.review import case_of
from toolkit.review.saving import Reviewer, sign, waive, withdraw
from toolkit.workspace import Workspace

ROWS = [
    deployment("v1", "8:00"), deployment("v2", "9:50"), incident("10:00", "10:40", severity="sev1"),
    event("triaged", "10:05"), event("decided", "10:20"), rollback("v1", "10:30", from_version="v2", incident="inc"),
    # Somebody validates sometimes, so leaving it out here is a step skipped.
    deployment("v3", "2d 8:00"), incident("2d 9:00", "2d 9:40", id="other"), event("triaged", "2d 9:05", incident="other"),
    rollback("v1", "2d 9:10", id="again", incident="other"), event("validated", "2d 9:50", incident="other"),
    # One without a timeline.
    incident("5d 9:00", "5d 9:40", id="bare"),
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = Workspace.init(tmp_path_factory.mktemp("waivers"), published_key=True)
    for name, frame in frames(history(*ROWS)).items():
        if len(frame) and name != "override":
            frame.drop("source").write_parquet(place.root / f"{name}.parquet")
            load(place, place.root / f"{name}.parquet", name, source="made")
    publish(place)
    return place


def verdict(place: Workspace, step: str, of: str = "inc") -> tuple[str, str | None]:
    rows = place.facts.conformance.filter(pl.col("incident") == of, pl.col("step") == step)
    return rows.select("verdict", "waived").collect().row(0)


def adherence(place: Workspace) -> tuple[int, int]:
    return measure(place, "step_adherence").select("k", "n").row(0)


def waived(place: Workspace, later: timedelta = timedelta(0)) -> dict[str, dict[str, str]]:
    return waivers_of(place.journal.facts(), datetime.fromisoformat(place.meta["horizon"]) + later)


def told(capsys: pytest.CaptureFixture[str], *words: str, place: Workspace) -> tuple[int, Any, str]:
    code = run([*words, "--json", "--workspace", str(place.root)])
    out = capsys.readouterr()
    return code, json.loads(out.out) if out.out else None, out.err


def test_a_step_is_waived_by_the_command_and_taken_back_again(
    place: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(place, "validation") == ("skipped", None)
    done, asked = adherence(place)
    because = ("--why", "the vendor checks", "--author", "Ann")
    code, entry, words = told(capsys, "journal", "waive", "inc", "validation", *because, place=place)
    assert code == 0
    assert (entry["kind"], entry["about"]) == ("waiver", "incident:made/inc")
    assert entry["body"] == {"rule": "playbook:validation", "until": None}
    assert "The facts are being computed anew" in words
    assert settled(place) == "current"
    assert verdict(place, "validation") == ("waived", "the vendor checks")
    # It was skipped: one asked for less, none done less.
    assert adherence(place) == (done, asked - 1)
    rows = {row["step"]: row for row in told(capsys, "playbook", "rollback", place=place)[1]}
    assert (rows["validation"]["waived"], rows["validation"]["waived_why"]) == (1, ["inc: the vendor checks"])
    assert rows["triage"]["waived_why"] == []
    assert run(["playbook", "--workspace", str(place.root)]) == 0
    assert "inc: the vendor checks" in capsys.readouterr().out
    assert run(["review", "inc", "--workspace", str(place.root)]) == 0
    assert any("– waived" in line and "the vendor checks" in line for line in capsys.readouterr().out.splitlines())
    monkeypatch.setattr(publishing, "publish_soon", lambda _: 1)
    assert told(capsys, "journal", "withdraw", entry["id"], "--why", "they do not", place=place)[0] == 0
    assert waived(place) == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nobody", "validation"), "There is no incident 'nobody'. There are, among others: "),
        (("inc", "validate"), "The playbook rollback has no step 'validate'. There are: detection, acknowledge, triage, "),
        (("bare", "validation"), "bare is laid against no playbook: it has no timeline"),
        (("inc", "validation", "--until", "2026-03-06"), "The data reach to 2026-03-07: a waiver until 2026-03-06 takes nothing out"),
        (("inc", "validation", "--until", "soon"), "soon"),
        (("inc", "validation", "--why", " "), "say why"),
    ],
)
def test_what_cannot_be_waived_is_refused_with_what_there_is(
    place: Workspace, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    before = place.journal.head()
    because = () if "--why" in words else ("--why", "w")
    code, out, err = told(capsys, "journal", "waive", *words, *because, place=place)
    assert (code, out) == (2, None)
    assert says in " ".join(err.split())
    assert place.journal.head() == before


def test_a_waiver_holds_until_its_day(place: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "publish_soon", lambda _: 1)
    last = place.meta["horizon"][:10]
    _, entry, _ = told(capsys, "journal", "waive", "inc", "validation", "--why", "w", "--until", last, place=place)
    assert entry["body"]["until"] == last
    assert waived(place) == {"incident:made/inc": {"validation": "w"}}
    assert waived(place, later=timedelta(days=1)) == {}
    assert told(capsys, "journal", "withdraw", entry["id"], "--why", "w", place=place)[0] == 0


def test_another_reason_is_another_version_since_the_facts_show_it(place: Workspace) -> None:
    digests = []
    for why in ("the vendor checks", "nobody could"):
        entry = waive(place.journal, case_of(place.facts, place.meta, [], "inc"), "validation", by=Reviewer("Ann"), why=why)
        digests.append(place.journal.digest())
    assert digests[0] != digests[1]
    place.journal.append("withdrawal", entry.about, {"entry": entry.id}, author="Ann", why="w")
    assert place.journal.digest() == digests[0]
    first = place.journal.facts()[0]
    place.journal.append("withdrawal", first.about, {"entry": first.id}, author="Ann", why="w")


def test_a_waiver_changes_what_was_signed_and_a_signed_review_takes_none(place: Workspace) -> None:
    def case() -> Any:
        return case_of(place.facts, place.meta, place.journal.entries(), "inc")

    ann, bob, cy = Reviewer("Ann"), Reviewer("Bob"), Reviewer("Cy")
    sign(place.journal, case(), by=ann)
    entry = waive(place.journal, case(), "validation", by=cy, why="the vendor checks")
    assert [what for what, _, _ in case().changed] == ["corrections"]
    withdraw(place.journal, case(), entry, by=cy, why="they do not")
    assert case().changed == []
    assert case().said.waivers == ()
    sign(place.journal, case(), by=bob)
    assert case().state == "signed off"
    with pytest.raises(UsageError, match="reopen it first"):
        waive(place.journal, case(), "validation", by=cy, why="w")


def test_on_the_page_a_step_is_waived_with_a_reason_and_shown_with_it(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "publish_soon", lambda _: None)
    monkeypatch.setenv("KNOWNGOOD_WORKSPACE", str(place.root))
    app = AppTest.from_file(str(MAIN), default_timeout=240)
    app.query_params["incident"] = "other"
    app.switch_page("app_pages/retrospective.py").run()
    chosen = app.selectbox(key="waive_other")
    assert "Hold the review" in chosen.options
    app.text_input(key="reviewer").set_value("Ann")
    chosen.select("review")
    app.text_input(key="waive_why_other").set_value("")
    app.button(key="waive_save_other").click().run()
    assert "say why" in app.error[0].value
    app.text_input(key="waive_why_other").set_value("too small <b>")
    app.button(key="waive_save_other").click().run()
    assert not app.exception
    entry = place.journal.entries()[-1]
    assert (entry.kind, entry.about, entry.body["rule"], entry.why) == ("waiver", "incident:made/other", "playbook:review", "too small <b>")
    assert "Waived: the step review" in said(app)
    assert r"too small \<b\>" in said(app)
    publish(place)
    app.run()
    assert verdict(place, "review", "other") == ("waived", "too small <b>")
    (table,) = [one.value for one in app.dataframe if {"verdict", "expected", "actual"} <= set(one.value.columns)]
    assert "too small <b>" in set(table[table["verdict"] == "– waived"]["actual"])
    assert "Hold the review" not in app.selectbox(key="waive_other").options
    app.text_input(key=f"back_why_{entry.id}_other").set_value("it was not")
    app.button(key=f"back_{entry.id}_other").click().run()
    assert place.journal.entries()[-1].kind == "withdrawal"
