"""The app as Streamlit runs it, without a browser: what it shows in every state that a workspace can be in."""

from __future__ import annotations

import shutil
import tomllib
from datetime import UTC, datetime
from itertools import pairwise, product
from pathlib import Path

import polars as pl
import pytest
import streamlit as st
from apps import MAIN, AppTest, said

from toolkit.charts import contrast
from toolkit.metrics import compare, measure
from toolkit.store import warehouse
from toolkit.ui.sentences import quantity
from toolkit.ui.state import choose_service
from toolkit.workspace import Workspace

OF_CARDS = (
    "time_to_detect",
    "time_to_decide",
    "time_to_act",
    "rollback_success_rate",
    "change_failure_rate",
    "deployment_frequency",
)
CARDS = ["Detect", "Decide", "Act", "Rollback success", "Change failure", "Deployments"]


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch, **address: str) -> AppTest:
    """The app on the workspace in `folder`, opened at an address."""
    monkeypatch.setenv("KNOWNGOOD_WORKSPACE", str(folder))
    app = AppTest.from_file(str(MAIN), default_timeout=240)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].message
    return app


@pytest.fixture
def thin(demo: Path, tmp_path: Path) -> Path:
    """A workspace with two incidents only: a sev1 of catalog and a sev3 of search."""
    path = Workspace(demo).warehouse
    tables = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    whole = pl.all_horizontal(pl.col("detect", "decide", "act").is_not_null()) & ~pl.col("open") & pl.col("production")
    tables["incidents"] = tables["incidents"].filter(whole).sort("at").tail(2)
    tables["incidents"] = tables["incidents"].with_columns(
        severity=pl.Series(["sev1", "sev3"]), services=pl.Series([["catalog"], ["search"]], dtype=pl.List(pl.String))
    )
    tables["deployments"] = tables["deployments"].clear()
    tables["rollbacks"] = tables["rollbacks"].clear()
    workspace = Workspace.init(tmp_path / "thin")
    warehouse.write(workspace.state, "thin", tables, warehouse.meta(path))
    return workspace.root


def test_the_cards_show_what_measure_says(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(demo, monkeypatch)
    assert [card.label for card in app.metric] == CARDS
    workspace = Workspace(demo)
    rate = measure(workspace, "change_failure_rate", window="26w").row(0, named=True)
    failure = app.metric[CARDS.index("Change failure")]
    assert failure.value == quantity(rate["value"], "share")
    assert f"{rate['k']:,} of {rate['n']:,}" in said(app)


def test_a_change_within_chance_has_no_colour_and_says_so(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = compare(Workspace(demo), *OF_CARDS, window="26w")
    assert judged["real"].to_list() == [False] * len(CARDS)
    cards = shown(demo, monkeypatch).metric
    assert {card.color for card in cards} == {cards[0].proto.GRAY}
    assert all("within what chance does" in card.help for card in cards)


def test_a_change_beyond_chance_for_the_worse_is_red(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Workspace(demo).warehouse
    tables = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    recent = pl.col("at") >= datetime(2026, 1, 1, tzinfo=UTC)
    tables["incidents"] = tables["incidents"].with_columns(decide=pl.when(recent).then(pl.col("decide") * 20).otherwise("decide"))
    slower = Workspace.init(tmp_path / "slower")
    warehouse.write(slower.state, "slower", tables, warehouse.meta(path))
    cards = {card.label: card for card in shown(slower.root, monkeypatch).metric}
    assert cards["Decide"].color == cards["Decide"].proto.RED
    assert "more than chance" in cards["Decide"].help
    assert cards["Act"].color == cards["Act"].proto.GRAY


def test_the_page_says_that_the_sample_is_a_sample(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Synthetic sample" in said(shown(demo, monkeypatch))


def test_the_footer_says_how_far_the_data_reach(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = Workspace(demo).meta
    words = said(shown(demo, monkeypatch))
    assert f"warehouse {meta['version'][:12]}" in words
    assert "Data through 30 June 2026" in words


def test_an_address_opens_the_scope_it_names(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(demo, monkeypatch, window="13w", services="search")
    rows = measure(Workspace(demo), "change_failure_rate", window="13w", service="search").row(0, named=True)
    assert app.multiselect(key="services").value == ["search"]
    assert f"{rows['k']:,} of {rows['n']:,}" in said(app)


def test_an_address_with_names_that_do_not_exist_shows_everything(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(demo, monkeypatch, window="7w", services="nope", severity="<script>")
    assert [card.value for card in app.metric] == [card.value for card in shown(demo, monkeypatch).metric]


def test_choosing_a_severity_narrows_the_incidents(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(demo, monkeypatch)
    everything = len(app.dataframe[0].value)
    app.multiselect(key="severity").set_value(["sev1"]).run()
    assert not app.exception
    worst = app.dataframe[0].value
    assert set(worst["severity"]) == {"sev1"}
    assert 0 < len(worst) < everything


def test_without_a_workspace_the_page_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(tmp_path, monkeypatch)
    assert "knowngood init" in said(app)
    assert "knowngood demo" in said(app)
    assert not app.metric


def test_an_empty_workspace_offers_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(Workspace.init(tmp_path / "new").root, monkeypatch)
    assert "knowngood load" in said(app)
    assert "Or load the sample" in said(app)


def test_settings_that_cannot_be_read_are_named(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(demo, broken)
    (broken / "knowngood.toml").write_text("severitys = 3\n")
    app = shown(broken, monkeypatch)
    assert "severitys" in app.error[0].value.replace("\\", "")
    assert "knowngood doctor" in said(app)


def test_a_warehouse_that_cannot_be_read_does_not_take_the_page_down(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(demo, broken)
    Workspace(broken).warehouse.write_bytes(b"not a database")
    app = shown(broken, monkeypatch)
    assert app.error
    assert "knowngood publish" in said(app)


def test_a_scope_with_nothing_in_it_names_the_filters_to_widen(thin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(thin, monkeypatch, window="52w", services="catalog", severity="sev3")
    assert app.info[0].value == "Widen the services: catalog, or the severities: sev3."
    assert not app.metric


def test_few_incidents_are_dots_with_their_number(thin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(thin, monkeypatch, window="52w")
    assert "n 2: too few" in said(app)
    assert [card.value for card in app.metric][:3] == ["n 2"] * 3
    assert not any(card.delta for card in app.metric[:3])


def test_a_number_opens_to_the_rows_it_is_made_of(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWNGOOD_WORKSPACE", str(demo))

    def body() -> None:
        from toolkit.ui import data, parts
        from toolkit.ui.scope import Scope

        whole = data.view()
        assert whole is not None
        parts.explained(whole, Scope(), "rollback_success_rate")

    app = AppTest.from_function(body, default_timeout=240).run()
    assert not app.exception
    row = measure(Workspace(demo), "rollback_success_rate", window="26w").row(0, named=True)
    assert app.code[0].value.startswith(f"{row['k']} of {row['n']} = ")
    assert len(app.dataframe[0].value) == row["n"]
    left_out = dict(app.dataframe[1].value.itertuples(index=False))
    assert "drill" in left_out
    assert app.tabs[1].label == f"{sum(left_out.values())} left out"


def test_a_publish_is_seen_by_the_next_click(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo, copy)
    app = shown(copy, monkeypatch)
    path = Workspace(copy).warehouse
    tables = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    tables["incidents"] = tables["incidents"].filter(pl.col("severity") == "sev1")
    warehouse.write(copy / ".knowngood", "next", tables, warehouse.meta(path))
    app.run()
    assert "warehouse next" in said(app)
    assert set(app.dataframe[0].value["severity"]) == {"sev1"}


def test_windows_of_all_lengths_draw(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [said(shown(demo, monkeypatch, window=window)) for window in ("4w", "13w", "26w", "52w")]
    assert all(one != other for one, other in pairwise(words))


def test_a_click_on_a_service_keeps_that_service_and_one_beside_it_keeps_all(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, object] = {"chart": {"selection": {"service": [{"service": "search"}]}}}
    monkeypatch.setattr(st, "session_state", session)
    choose_service("chart")
    assert session["services"] == ["search"]
    session["chart"] = {"selection": {"service": []}}
    choose_service("chart")
    assert session["services"] == []


THEME = tomllib.loads((MAIN.parent / ".streamlit" / "config.toml").read_text())["theme"]


@pytest.mark.parametrize(
    ("mode", "text"),
    list(product(["light", "dark"], ["textColor", "linkColor", "grayTextColor", "codeTextColor", "greenTextColor", "redTextColor"])),
)
def test_text_is_legible_in_both_themes(mode: str, text: str) -> None:
    theme = THEME[mode]
    for page in ("backgroundColor", "secondaryBackgroundColor"):
        assert contrast(theme[text], theme[page]) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_what_one_clicks_stands_out_in_both_themes(mode: str) -> None:
    assert contrast(THEME[mode]["primaryColor"], THEME[mode]["backgroundColor"]) >= 4.5


def test_the_app_tells_nobody_and_fetches_nothing() -> None:
    config = tomllib.loads((MAIN.parent / ".streamlit" / "config.toml").read_text())
    assert config["browser"]["gatherUsageStats"] is False
    assert "fontFaces" not in THEME
    assert "://" not in (MAIN.parent / ".streamlit" / "config.toml").read_text()
    icons = [path for path in MAIN.parent.rglob("*.py") if ":material/" in path.read_text()]
    assert icons == []


def test_both_ways_to_start_share_one_look(root: Path) -> None:
    assert (root / ".streamlit" / "config.toml").read_text() == (MAIN.parent / ".streamlit" / "config.toml").read_text()
