"""The page of practices and the playbook's tab as Streamlit runs them, and the same retrospective as Markdown."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest
from test_app import MAIN, said

from toolkit.metrics import METRICS, measure
from toolkit.metrics.measurement import PRACTICES
from toolkit.metrics.readiness import could_roll_back
from toolkit.metrics.scorecard import TO_DO
from toolkit.review import as_markdown, as_object, case_of, what_if_of
from toolkit.store import warehouse
from toolkit.ui.sentences import quantity
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


def emptied(demo: Path, to: Path, tables: set[str], records: set[str]) -> Path:
    """The sample without the rows of some tables, as if their records had never been connected."""
    path = Workspace(demo).warehouse
    read = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    read |= {name: read[name].clear() for name in tables}
    meta = warehouse.meta(path)
    meta["records"] |= dict.fromkeys(records, 0)
    workspace = Workspace.init(to)
    warehouse.write(workspace.state, "emptied", read, meta)
    return workspace.root


def test_every_practice_stands_on_the_page_as_it_is_measured_and_so_does_every_service(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(demo, "practices", monkeypatch)
    assert [head.value.lower() for head in app.subheader] == [*PRACTICES, "could we roll this back now?"]
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
    assert {name for name, metric in METRICS.items() if metric.group in PRACTICES and metric.headline} == TO_DO.keys()


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
