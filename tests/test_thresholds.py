"""Every threshold at a glance, and the page that shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.apps import said
from tests.test_app import shown
from toolkit.criteria.policy import Policy
from toolkit.hindsight import judged
from toolkit.labels import labels_of
from toolkit.proposals import proposals
from toolkit.recalibration.bars import bars
from toolkit.recalibration.firmness import firmness
from toolkit.recalibration.units import recalibrate
from toolkit.thresholds import curve, firings, limits_around, stored
from toolkit.untrusted import plain
from toolkit.workspace import Workspace


def test_a_curve_is_the_replay_of_each_limit(told: Workspace) -> None:
    policy = told.policy
    assert policy is not None
    criterion = policy.criteria[0]
    labels, seen = labels_of(told, watch=policy.terms.horizon), stored(told.facts, criterion.name)
    limits = limits_around(seen, criterion, 3, many=6)
    assert criterion.setting() in limits
    rows = curve(labels, seen, criterion, 3, limits)
    assert rows["limit"].to_list() == limits
    for row in rows.iter_rows(named=True):
        one = judged(labels, seen, criterion.at(limit=row["limit"], n=3, step=60.0), n=3)
        verdicts = dict(one.group_by("verdict").len().iter_rows())
        assert row["caught"] == verdicts.get("caught", 0)
        assert row["false_stops"] == verdicts.get("false_stop", 0)
        assert row["bad"] == int((one["label"] == "bad").sum())
        assert row["good"] == verdicts.get("false_stop", 0) + verdicts.get("quiet", 0)
        assert row["stops_low"] <= row["false_stops"] / row["good"] <= row["stops_high"]


def test_the_gallery_holds_every_bad_one_and_whatever_was_stopped(told: Workspace) -> None:
    policy = told.policy
    assert policy is not None
    criterion = policy.criteria[0]
    labels, seen = labels_of(told, watch=policy.terms.horizon), stored(told.facts, criterion.name)
    rows = firings(labels, seen, {"tight": (criterion.at(limit=0.01, n=1, step=60.0), 1), "loose": (criterion, 3)})
    assert rows.filter(pl.col("label") == "bad").height == labels.filter(pl.col("label") == "bad").height
    both = rows.filter(pl.col("loose_t").is_not_null())
    assert (both["tight_t"] <= both["loose_t"]).all(), "a tighter limit fires no later"


# The page


@pytest.fixture
def own(told: Workspace, tmp_path: Path) -> Path:
    shutil.copytree(told.root, tmp_path / "own")
    return tmp_path / "own"


def test_the_page_shows_in_force_and_yours_and_the_address_sets_yours(told: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(told.root, monkeypatch, limit="0.02", n="1").switch_page("app_pages/thresholds.py").run()
    assert not app.exception
    assert [one.label for one in app.metric] == ["In force", "Yours"]
    text = said(app)
    assert "would have caught" in text
    assert "What is not known" in text
    assert "From the criterion to the decision" in text


def test_asking_the_past_gives_a_verdict_in_words(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(own, monkeypatch).switch_page("app_pages/thresholds.py").run()
    next(one for one in app.button if one.label == "Ask the past").click().run()
    assert not app.exception
    assert any(word in said(app) for word in ("**Refuse**", "**Keep**", "**Shadow**", "**Adopt**"))
    assert " p = " not in said(app)


def test_what_was_chosen_stands_in_bars_against_what_is_in_force_with_how_firm_that_is(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = own / "policy" / "criteria.toml"
    path.write_text(
        path.read_text().replace("# failed_requests_per", "failed_requests_per").replace("# alpha = 0.05", "candidates = [1]\nalpha = 0.2")
    )
    app = shown(own, monkeypatch).switch_page("app_pages/thresholds.py").run()
    before = len(app.get("vega_lite_chart"))
    next(one for one in app.button if one.label == "Ask the past").click().run()
    assert not app.exception
    text = said(app)
    assert "How firm that is" in text
    (unit,) = [one for one in recalibrate(Workspace(own)) if one.of == app.segmented_control(key="unit").value]
    assert all(plain(line) in text for line in firmness(unit))
    assert unit.found.test is not None
    assert len(app.get("vega_lite_chart")) == before + 3
    assert all(plain(one.says) in text for one in bars(unit))


def test_a_proposal_takes_a_name_a_reason_and_somebody_else(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(own, monkeypatch).switch_page("app_pages/thresholds.py").run()
    before = app.slider[0].value
    app.slider[0].set_value(app.slider[0].max).run()
    propose = "Propose yours"
    next(one for one in app.button if one.label == propose).click().run()
    assert app.error, "nobody said who they are"
    next(one for one in app.text_input if one.label == "Your name").set_value("Ada").run()
    next(one for one in app.text_input if one.label == "Why").set_value("It stops too much.").run()
    next(one for one in app.button if one.label == propose).click().run()
    (asked,) = proposals(Workspace(own))
    assert (asked.state, asked.entry.author) == ("open", "Ada")
    next(one for one in app.button if one.label == "Approve").click().run()
    assert "somebody else" in app.error[0].value
    next(one for one in app.text_input if one.label == "Your name").set_value("Grace").run()
    next(one for one in app.button if one.label == "Approve").click().run()
    policy = Policy.read(own)
    assert policy is not None
    assert policy.criteria[-1].adopted_by == "Grace"
    assert policy.criteria[-1].setting() != before


def test_without_a_policy_or_telemetry_the_page_says_what_to_do(demo: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shown(demo, monkeypatch).switch_page("app_pages/thresholds.py").run()
    assert "No criterion is in force" in said(app)
    path = own / "policy" / "criteria.toml"
    path.write_text(
        path.read_text().replace('series = "errors"', 'series = "another"').replace('name = "canary errors"', 'name = "unseen"')
    )
    app = shown(own, monkeypatch).switch_page("app_pages/thresholds.py").run()
    assert "No deployment in its scope has telemetry" in said(app)
