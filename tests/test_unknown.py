"""Unknown is unknown: where nobody could have noticed a failure, there is no rate of failures, and zero least of all."""

from __future__ import annotations

from typing import Any

import pytest
from builders import HORIZON, deployment, frames, history, incident, rollback
from handmade import at as when
from handmade import shipped, workspace

from ingest import engine
from tests.repositories import Repository, at
from tests.stitched import stitched
from toolkit.facts import facts_of
from toolkit.facts.environments import environments_of
from toolkit.metrics import compare, explain, measure
from toolkit.metrics.metric import METRICS
from toolkit.publish import publish
from toolkit.workspace import Workspace

OF_FAILING = ["change_failure_rate", "rollback_rate", "deployment_rework_rate", "stopped_deployments", "failed_rollbacks"]
OF_CODE = "not measured: connect deployments and incidents: a tag or a merge does not say what ran, or broke"
CODE = {"labels": ["code level"], "environment": "tags"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository with eight releases, one of them with a revert, and a hotfix branch; nothing else is connected."""
    folder = tmp_path_factory.mktemp("library")
    repo = Repository(folder / "shop")
    for number in range(1, 9):
        sha = repo.commit(f"01-0{number} 10:00", {"a": str(number)}, f"Change {number} (#{number})")
        repo.git("tag", "-a", f"v1.{number}.0", "-m", "out", when=at(f"01-0{number} 12:00"))
    repo.commit("01-08 13:00", {"a": "7"}, f'Revert "Change 8 (#8)"\n\nThis reverts commit {sha}.')
    repo.git("checkout", "-q", "-b", "hotfix/pay")
    repo.commit("01-09 10:00", {"b": "1"}, "Fix pay")
    repo.git("checkout", "-q", "main")
    repo.merge("01-09 11:00", "hotfix/pay")
    place = Workspace.init(folder / "here")
    (place.root / "knowngood.toml").write_text('[sources.git]\npath = "../shop"\n')
    assert all(report.error is None for report in engine.sync(place))
    publish(place)
    return place


def told(w: Any, *names: str, **scope: Any) -> dict[str, tuple[float | None, str | None]]:
    return {row["metric"]: (row["value"], row["note"]) for row in measure(w, *names, **scope).iter_rows(named=True)}


def test_tags_and_merges_have_a_pace_and_no_rate_of_failure(library: Workspace) -> None:
    assert told(library, "deployment_frequency", environment="tags")["deployment_frequency"][0] == pytest.approx(8 / (7 * 24 + 23) * 7 * 24)
    for environment in ("tags", "code"):
        found = told(library, *OF_FAILING, environment=environment)
        assert found == dict.fromkeys(OF_FAILING, (None, OF_CODE))
    assert explain(library, "rollback_rate", environment="tags").note == OF_CODE
    compared = compare(library, "rollback_rate", environment="tags", window="4d").row(0, named=True)
    assert (compared["after"], compared["note"]) == (None, "not measured")


def test_where_nothing_was_ever_deployed_none_a_week_is_no_number(library: Workspace) -> None:
    # The clone says nothing of production.
    for name, (value, note) in told(library, *OF_FAILING, "deployment_frequency").items():
        assert value is None
        assert (note or "").startswith("not measured: connect deployments"), name


def environments(*rows: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Of each environment whether anything is deployed there, and whether that is code only."""
    records = frames(history(*rows))
    found = environments_of(records, facts_of(records, horizon=HORIZON, production=("production", "lib")))
    return {row["environment"]: (row["deployed"], row["code_level"]) for row in found}


def test_an_environment_is_of_code_while_nothing_runs_there_and_nobody_calls_it_production() -> None:
    tag = deployment("v1", "10:00", **CODE)
    revert = rollback(None, "11:00", mechanism="revert_commit", environment="code")
    assert environments(tag, revert) == {"code": (False, True), "tags": (True, True)}
    assert environments(tag, deployment("v2", "11:00", environment="tags")) == {"tags": (True, False)}
    assert environments(tag, incident("10:30", environment="tags")) == {"tags": (True, False)}
    assert environments(tag, rollback("v0", "11:00", environment="tags")) == {"tags": (True, False)}
    assert environments(tag | {"environment": "lib"}) == {"lib": (True, False)}
    assert environments(deployment("v1", "10:00"), rollback(None, "11:00", mechanism="revert_commit")) == {"production": (True, False)}


def test_what_runs_somewhere_is_measured_there() -> None:
    rows = [deployment(f"v{number}", f"{number}d 10:00", environment="staging") for number in range(1, 7)]
    records = frames(history(*rows))
    w = stitched(*rows, environments=environments_of(records, facts_of(records, horizon=HORIZON)))
    assert told(w, "rollback_rate", environment="staging")["rollback_rate"][0] == 0.0
    value, note = told(w, "rollback_rate", environment="stagin")["rollback_rate"]
    assert value is None
    assert (note or "").startswith("not measured: connect deployments")


def test_without_any_incident_a_failure_rate_says_what_it_cannot_see() -> None:
    rows = [deployment(f"v{number}", f"{number}d 10:00") for number in range(1, 7)]
    blind = told(stitched(*rows), "change_failure_rate")["change_failure_rate"]
    assert blind[0] == 0.0
    assert "no incidents connected: only what was taken back counts as failed" in (blind[1] or "")
    seeing = told(stitched(*rows, incident("20d 10:00", "20d 11:00")), "change_failure_rate")["change_failure_rate"]
    assert seeing[0] == 0.0
    assert "no incidents" not in (seeing[1] or "")


def test_what_was_shipped_while_nobody_told_of_gates_is_neither_tested_nor_untested() -> None:
    gap = {"stream": "gates", "source": "ci", "start": when(3).isoformat(), "end": when(5).isoformat(), "gap": True}
    told = {"artifact": 9, "gate": 9, "deployment": 9}
    rows = [shipped(at=when(day), tested=day not in (3, 4)) for day in range(1, 8)]
    w = workspace(practices={"provenance": rows}, coverage=[gap], records=told)
    found = measure(w, "untested_deployments").row(0, named=True)
    # Five of the seven, and both of those that seem untested are not among them.
    assert (found["k"], found["n"]) == (0, 5)
    assert found["note"] == "2 while nobody told of gates"
    assert explain(w, "untested_deployments").excluded.rows() == [("while nobody told of gates", 2)]
    assert measure(w, "traceable_rate").row(0, named=True)["n"] == 7
    compared = compare(w, "untested_deployments", start=when(0), end=when(8)).row(0, named=True)
    assert compared["n_after"] == 5
    blind = workspace(practices={"provenance": rows}, coverage=[], records=told)
    assert measure(blind, "untested_deployments").select("k", "n").row(0) == (2, 7)


def test_only_what_tags_and_merges_tell_is_measured_of_them() -> None:
    told = {"deployment_frequency", "change_lead_time", "time_to_revert"}
    told |= {"hotfix_scope", "hotfix_scope_files", "hotfix_review_time", "hotfix_drift"}
    assert {name for name, metric in METRICS.items() if metric.at_code_level} == told
