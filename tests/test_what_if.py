"""What if: when criteria first held on what is behind an incident, what other limits would have done, on the page and in the report."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import polars as pl
import pytest

from tests.apps import said
from tests.test_app import shown
from toolkit.cli import entry
from toolkit.criteria.policy import EXAMPLE, Policy
from toolkit.hindsight import judged
from toolkit.labels import labels_of
from toolkit.review import Findings, findings_of, what_if_of
from toolkit.thresholds import stored
from toolkit.workspace import Workspace

# Ended by a rollback at 19:11, before the limit in force had held; and one in which it held a quarter of an hour before anybody decided.
QUIET, HELD = "INC-1004", "INC-1010"
UNSEEN = "INC-1006"


def findings(told: Workspace, id: str = HELD, **other: Any) -> Findings:
    found = findings_of(told.facts, told.meta, id)
    return replace(found, incident=dict(found.incident) | other)


def page(folder: Path, id: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    app = shown(folder, monkeypatch, incident=id).switch_page("app_pages/retrospective.py").run()
    assert not app.exception, app.exception[0].message
    return app


def by_setting(told: Workspace, found: Findings) -> dict[str, dict[str, Any]]:
    rows = what_if_of(told, found).others.to_dicts()
    return {name: row for row in rows for name in row["setting"].split(", ")}


def test_the_first_time_it_held_stands_with_its_source_against_the_decision(told: Workspace) -> None:
    found = findings(told)
    made = what_if_of(told, found)
    # Held at 10:44:00, decided at 10:58:16.
    assert made.says == "A criterion in force first held at 10:44:00 UTC on 1 April 2026 (a source says so), 14 min before the decision."
    (row,) = made.held.to_dicts()
    assert row["met_at"] == told.facts.criteria_met.filter(pl.col("deployment") == row["deployment"]).collect()["met_at"].item()
    assert row["before"] == found.incident["decided_at"] - row["met_at"] == timedelta(minutes=14, seconds=16)
    derived = what_if_of(told, findings(told, criterion_met_at_source="derived:criterion", decided_at=row["met_at"] - timedelta(minutes=3)))
    assert derived.says.endswith("(derived from the telemetry), 3 min after the decision.")
    assert derived.held["before"].to_list() == [-timedelta(minutes=3)]
    unknown = what_if_of(told, findings(told, decided_at=None))
    assert unknown.says.endswith("nobody says when it was decided.")
    assert unknown.others["saved"].null_count() == len(unknown.others), "unknown, and not nothing"


@pytest.mark.parametrize("id", [HELD, QUIET])
def test_each_limit_did_what_its_own_replay_says(told: Workspace, id: str) -> None:
    found, policy = findings(told, id), cast("Policy", told.policy)
    criterion, decided = policy.criteria[0], found.incident["decided_at"]
    labels, seen = labels_of(told, watch=policy.terms.horizon), stored(told.facts, criterion.name)
    rows = what_if_of(told, found).others.to_dicts()
    assert len(rows) >= 4
    for row in rows:
        own = judged(labels, seen, criterion.at(limit=row["limit"], n=3, step=60.0), n=3)
        mine = own.filter(pl.col("deployment") == row["deployment"]).row(0, named=True)
        assert row["fired_at"] == mine["fired_at"]
        stopped = own.filter(pl.col("verdict") == "false_stop").sort("deployed_at")["deployment"].to_list()
        assert (row["false_stops"], row["stopped"]) == (len(stopped), stopped)
        assert row["good"] == len(stopped) + own.filter(pl.col("verdict") == "quiet").height
        if row["verdict"] == "before the decision":
            assert row["saved"] == decided - row["fired_at"] > timedelta(0)
        else:
            assert not row["saved"]


def test_just_in_time_is_the_loosest_limit_that_fires_before_the_decision(told: Workspace) -> None:
    for id in (HELD, QUIET):
        found = findings(told, id)
        row = by_setting(told, found)["just in time"]
        assert row["fired_at"] < found.incident["decided_at"]
        # A hundredth looser fires later, or never.
        criterion = cast("Policy", told.policy).criteria[0]
        labels, seen = labels_of(told, watch=timedelta(hours=2)), stored(told.facts, criterion.name)
        own = judged(labels, seen, criterion.at(limit=row["limit"] * 1.01, n=3, step=60.0), n=3)
        looser = own.filter(pl.col("deployment") == row["deployment"])["fired_at"].item()
        assert looser is None or looser >= found.incident["decided_at"]
    # Where people were first, no limit is.
    assert "just in time" not in by_setting(told, findings(told, decided_at=datetime(2026, 3, 1, tzinfo=UTC)))


def test_at_no_cost_is_the_strictest_limit_that_stops_no_more_good_ones(told: Workspace) -> None:
    rows = by_setting(told, findings(told))
    free, current = rows["at no cost"], rows["in force"]
    assert free["limit"] < current["limit"]
    assert free["false_stops"] == current["false_stops"]
    criterion = cast("Policy", told.policy).criteria[0]
    labels, seen = labels_of(told, watch=timedelta(hours=2)), stored(told.facts, criterion.name)
    stricter = judged(labels, seen, criterion.at(limit=free["limit"] * 0.99, n=3, step=60.0), n=3)
    assert (stricter["verdict"] == "false_stop").sum() == current["false_stops"] + 1


def test_what_fires_before_the_impact_is_no_catch_and_saves_nothing_known(told: Workspace) -> None:
    row = by_setting(told, findings(told))["half"]
    late = findings(told, started_at=row["fired_at"] + timedelta(seconds=1))
    told_of = by_setting(told, late)["half"]
    assert (told_of["verdict"], told_of["saved"]) == ("before the impact, which is no catch", None)


def test_without_a_policy_a_cause_or_telemetry_it_says_which(told: Workspace, demo: Path) -> None:
    bare = Workspace(demo)
    assert what_if_of(bare, findings_of(bare.facts, bare.meta, "INC-1330")).state == "no policy"
    none = what_if_of(told, findings(told, not_a_deployment=True))
    assert (none.state, len(none.held), len(none.others)) == ("no cause", 0, 0)
    found = findings(told)
    assert what_if_of(told, replace(found, candidates=found.candidates.clear())).state == "no cause"
    unseen = what_if_of(told, findings(told, UNSEEN))
    assert unseen.state == "no telemetry"
    assert unseen.held["says"].to_list() == ["no telemetry that it reads"]


def test_where_nobody_knows_the_cause_the_suspects_are_asked(told: Workspace) -> None:
    found = findings(told)
    several = replace(found, candidates=found.candidates.with_columns(counted=pl.lit(value=False)))
    ids = found.candidates.filter("candidate")["id"].head(5).to_list()
    assert what_if_of(told, several).held["deployment"].unique(maintain_order=True).to_list() == ids


def test_the_policy_comes_back_from_what_was_published(told: Workspace) -> None:
    current = cast("Policy", told.policy)
    again = Policy.published(told.meta)
    assert again is not None
    assert (again.criteria, again.terms) == (current.criteria, current.terms)
    nested = Policy(
        EXAMPLE + '\n[[criterion]]\nname = "either"\nkind = "any_of"\nmembers = [{ kind = "threshold", series = "latency", limit = 2.0 }]\n'
    )
    back = Policy.published({"settings": {"criteria": json.loads(json.dumps(nested.content()))}})
    assert back is not None
    assert back.criteria == nested.criteria
    assert Policy.published({"settings": {"criteria": None}}) is None


def test_the_tab_shows_both_tables_and_each_limit_links_to_its_threshold(told: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(told.root, HELD, monkeypatch)
    assert [tab.label for tab in app.tabs][:2] == ["Cause", "What if"]
    assert "14 min before the decision" in said(app)
    held, others = (next(one.value for one in app.dataframe if name in one.value.columns) for name in ("met_at", "verdict"))
    assert len(held) == 1
    assert others["cost"].to_list()[0] == "1 of 129"
    assert others["stopped"].to_list()[0] == "checkout-0052"
    links = [parse_qs(one.proto.query_string) for one in app.get("page_link") if "limit" in one.proto.query_string]
    assert [float(one["limit"][0]) for one in links] == others["limit"].to_list()
    last = links[-1]
    there = shown(told.root, monkeypatch, **{name: values[0] for name, values in last.items()}).switch_page("app_pages/thresholds.py").run()
    assert not there.exception
    assert there.slider[0].value == pytest.approx(float(last["limit"][0]))
    assert [one.value for one in there.selectbox if one.key in ("criterion", "n")] == ["canary errors", 3]


def test_the_tab_says_what_to_type_where_there_is_nothing_to_ask(told: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(page(told.root, UNSEEN, monkeypatch))
    assert "There is no telemetry of search-0016 that a criterion in force reads." in text
    assert "knowngood load samples.parquet --as sample" in text


def test_the_report_and_the_command_say_the_same(told: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["review", HELD, "--workspace", str(told.root)]) == 0
    section = capsys.readouterr().out.split("## What if")[1].split("## Corrections")[0]
    assert "(a source says so), 14 min before the decision" in section
    assert "| half | 2026-04-01 10:43:00 | before the decision | 15 | 1 of 129 | checkout-0052 |" in section
    assert entry.run(["review", HELD, "--workspace", str(told.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["what_if"]["state"] == "told"
