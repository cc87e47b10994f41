"""The page of practices and the playbook's tab as Streamlit runs them, and the same retrospective as Markdown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from apps import MAIN, AppTest, said

from ingest.engine import load
from toolkit.metrics import METRICS, measure
from toolkit.metrics.readiness import could_roll_back
from toolkit.metrics.scorecard import SHOWN, TO_DO
from toolkit.review import as_markdown, as_object, case_of, what_if_of
from toolkit.store import warehouse
from toolkit.ui.sentences import interval, quantity, rows_behind
from toolkit.workspace import Workspace


def page(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, **address: str) -> AppTest:
    monkeypatch.setenv("KNOWNGOOD_WORKSPACE", str(folder))
    app = AppTest.from_file(str(MAIN), default_timeout=240)
    app.switch_page(str(MAIN.parent / "app_pages" / f"{name}.py"))
    for key, value in address.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def cells(app: AppTest, column: str) -> dict[str, str]:
    """By number: what stands in a column of the scorecard."""
    tables = [table.value for table in app.dataframe if "Number" in table.value.columns]
    return {number: told for table in tables for number, told in zip(table["Number"], table[column], strict=True)}


def emptied(demo: Path, to: Path, tables: set[str], records: set[str], **more: Any) -> Path:
    """The sample without the rows of some tables, as if their records had never been connected. more: of its meta."""
    path = Workspace(demo).warehouse
    read = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    read |= {name: read[name].clear() for name in tables}
    meta = warehouse.meta(path)
    meta["records"] |= dict.fromkeys(records, 0)
    workspace = Workspace.init(to)
    warehouse.write(workspace.state, "emptied" + to.name, read, meta | more)
    return workspace.root


def test_every_practice_stands_on_the_page_as_it_is_measured_and_so_does_every_service(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(demo, "practices", monkeypatch)
    assert [head.value.lower() for head in app.subheader] == [*SHOWN, "could we roll this back now?"]
    now = cells(app, "Now")
    place = Workspace(demo)
    for row in measure(place, "step_adherence", "review_rate", "customers_first_rate", window="26w").iter_rows(named=True):
        assert now[METRICS[row["metric"]].title] == quantity(row["value"], row["unit"])
    gap = measure(place, "update_gap_p90", window="26w").row(0, named=True)
    assert now["Wait for the next word, 90th percentile"] == quantity(gap["value"], gap["unit"])
    (table,) = [one.value for one in app.dataframe if "Back now?" in one.value.columns]
    ready = could_roll_back(place)
    assert dict(zip(table["Service"], table["Back now?"], strict=True)) == {
        row.service: {"yes": "● yes", "no": "○ no", "not known": "? not known"}[row.word] for row in ready
    }
    assert {name for name, metric in METRICS.items() if metric.group in SHOWN and metric.headline} == TO_DO.keys()


def test_hotfixes_stand_there_with_interval_and_rows_and_each_number_opens(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(demo, "practices", monkeypatch, services="accounts")
    rows = measure(Workspace(demo), group="hotfix", window="26w", service="accounts")
    rows = rows.filter(~pl.col("metric").str.ends_with("_p90"))
    now, ends = cells(app, "Now"), cells(app, "95 %")
    for row in rows.filter(pl.col("n") > 0).iter_rows(named=True):
        few = row["n"] < 5
        title = METRICS[row["metric"]].title
        assert now[title] == (rows_behind(row) if few else quantity(row["value"], row["unit"]))
        assert ends[title] == ("too few to sum up" if few else interval(row))
    skipped = next(row for row in rows.iter_rows(named=True) if row["metric"] == "skipped_gate_rate")
    assert ends["Hotfixes that skipped a gate"].endswith(f"{skipped['k']} of {skipped['n']}")


def test_a_practice_without_records_says_what_to_connect(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = emptied(demo, tmp_path / "some", {"conformance", "update_gaps", "gates", "checks"}, {"incident_event", "gate"})
    told = said(page(without, "practices", monkeypatch))
    assert "Steps as agreed, Steps skipped" in told
    assert "not measured: connect timelines of incidents" in told.replace("\\", "")
    assert "Could we roll this back now?" in told


def test_an_empty_scope_says_so(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = emptied(demo, tmp_path / "none", {"deployments", "rollbacks", "incidents"}, set())
    app = page(nothing, "practices", monkeypatch)
    assert app.info
    assert not app.subheader


def test_without_a_workspace_or_facts_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere, unpublished = tmp_path / "nowhere", Workspace.init(tmp_path / "new").root
    nowhere.mkdir()
    assert "knowngood init" in said(page(nowhere, "practices", monkeypatch))
    assert "Or load the sample" in said(page(unpublished, "practices", monkeypatch))


def test_a_scope_with_nothing_in_it_names_the_filters(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(demo, "practices", monkeypatch, window="4w", services="backoffice", severity="sev1")
    assert app.info[0].value == "Widen the services: backoffice, or the severities: sev1."
    assert not app.subheader


def test_of_one_service_few_rows_are_counts_and_nowhere_is_worst(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(demo, "practices", monkeypatch, window="4w", services="accounts")
    now, ends = cells(app, "Now"), cells(app, "95 %")
    (rate,) = measure(Workspace(demo), "review_rate", window="4w", service="accounts").iter_rows(named=True)
    assert 0 < rate["n"] < 5
    assert (now["Reviewed in time"], ends["Reviewed in time"]) == (f"{rate['k']} of {rate['n']}", "too few to sum up")
    # A median of two says more than it knows, and so does a share of one.
    few = [number for number, told in ends.items() if told == "too few to sum up"]
    assert all(re.fullmatch(r"n \d|\d of \d", now[number]) for number in few)
    assert not any(cells(app, "Worst").values())
    # A share of none is no number: nobody there rolls out by canary.
    assert not now.keys() & {"Caught", "Missed", "Fixes that held"}
    assert "Caught, Missed, False stops, Rightly quiet, Overridden: no rows." in said(app)
    (ready,) = [one.value for one in app.dataframe if "Back now?" in one.value.columns]
    assert list(ready["Service"]) == ["accounts"]
    (book,) = [one.value for one in app.dataframe if "As agreed" in one.value.columns]
    assert not any("%" in told for told, note in zip(book["As agreed"], book["Note"], strict=True) if told and " only" in (note or ""))


def test_a_gap_in_what_is_told_is_said_where_it_matters(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gap = {"stream": "gates", "source": "ci", "start": "2026-05-02T00:00:00+00:00", "end": "2026-05-09T12:00:00+00:00", "gap": True}
    broken = emptied(demo, tmp_path / "gap", set(), set(), coverage=[gap])
    app = page(broken, "practices", monkeypatch, window="13w")
    told = [part.value for part in app.caption if "Nobody watched" in part.value]
    # Gates themselves, and the hotfixes that skipped one.
    assert told == ["▨ Nobody watched gates from 2 May 2026 00:00 to 9 May 2026 12:00 UTC: what was then is not known here."] * 2
    # It was over before the last four weeks began.
    assert "Nobody watched" not in said(page(broken, "practices", monkeypatch, window="4w"))


def test_facts_that_are_older_than_the_records_say_so(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"window": "4w", "services": "backoffice", "severity": "sev1"}
    assert "have changed since" not in said(page(demo, "practices", monkeypatch, **where))
    copy = tmp_path / "copy"
    shutil.copytree(demo, copy, ignore=shutil.ignore_patterns("sample", "staging*"))
    late = tmp_path / "late.csv"
    late.write_text("source_id,service,environment,started_at\nlate-1,backoffice,production,2026-06-30T10:00:00Z\n")
    load(Workspace(copy), late, "deployment", source="ci")
    assert "Records, settings or rules have changed since" in said(page(copy, "practices", monkeypatch, **where))


def test_a_retrospective_lays_the_incident_against_its_playbook(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Workspace(demo)
    rows = place.facts.conformance.filter(pl.col("playbook") == "rollback").collect()
    late = rows.filter(pl.col("verdict") == "late")["incident"][0]
    own = rows.filter((pl.col("incident") == late) & pl.col("step").is_not_null())
    app = page(demo, "retrospective", monkeypatch, incident=late)
    (table,) = [one.value for one in app.dataframe if {"verdict", "expected", "actual"} <= set(one.value.columns)]
    assert list(table["step"])[: len(own)] == own.sort("place")["title"].to_list()
    assert "◐ late" in set(table["verdict"])
    case = case_of(place.facts, place.meta, [], late)
    text = as_markdown(as_object(case, place.meta, what_if_of(place, case.found)))
    assert "## Against the playbook" in text
    assert "◐ late" in text
