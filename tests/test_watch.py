"""Criteria over the telemetry in the ledger: what is published, and what it says of incidents."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from toolkit.criteria.policy import EXAMPLE, FILE, Policy
from toolkit.publish import publish
from toolkit.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The sample with its telemetry and the criterion that its team goes by."""
    from ingest.engine import load
    from toolkit.synthetic import file_name

    workspace = Workspace.init(tmp_path_factory.mktemp("agreed"), published_key=True)
    for record in ("deployment", "rollback", "incident", "owner", "sample"):
        load(workspace, ROOT / "data" / "sample" / file_name(record), record, source="sample")
    write(workspace, EXAMPLE)
    publish(workspace)
    return workspace


def write(workspace: Workspace, text: str) -> Workspace:
    path = workspace.root / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return Workspace(workspace.root)


def test_the_profiles_of_criteria_in_force_are_published_as_records(agreed: Workspace) -> None:
    profiles, watched = agreed.facts.profiles.collect(), agreed.facts.watched.collect()
    assert profiles.columns == ["deployment", "criterion", "n", "t", "value"]
    assert set(profiles["n"]) == {1, 2, 3, 5, 10}
    # Records only: every row is higher than the one before.
    rising = profiles.sort("deployment", "n", "t").with_columns(rise=pl.col("value").diff().over("deployment", "n")).drop_nulls("rise")
    assert (rising["rise"] > 0).all()
    assert len(watched) > 600
    assert len(profiles.filter(pl.col("n") == 3)) < 6 * len(watched)


def test_the_time_derived_for_an_incident_is_the_one_that_its_team_recorded(agreed: Workspace) -> None:
    declared = agreed.facts.incidents.filter(pl.col("criterion_met_at_source") == "declared").collect()
    met = agreed.facts.criteria_met.collect().select(cause_deployment="deployment", met_at="met_at")
    both = declared.join(met, on="cause_deployment")
    assert len(both) >= 10
    # The team's pipeline and this walk read the same samples.
    assert (both["criterion_met_at"] == both["met_at"]).mean() > 0.9


def test_an_incident_without_a_recorded_time_takes_it_from_the_criterion(agreed: Workspace, tmp_path: Path) -> None:
    incidents = agreed.facts.incidents.collect()
    met = agreed.facts.criteria_met.collect().select(cause_deployment="deployment", met_at="met_at")
    rows = incidents.filter(pl.col("criterion_met_at_source") == "derived:criterion").join(met, on="cause_deployment")
    assert len(rows) >= 1
    assert (rows["criterion_met_at"] == rows["met_at"]).all()
    decided = rows.drop_nulls("decided_at")
    assert (decided["silent_minutes"] == decided["decided_at"] - decided["met_at"]).all()
    over = rows.drop_nulls("recovered_at")
    assert (over["criterion_met_at"] <= over["recovered_at"]).all()


def test_the_policy_is_in_the_version_and_its_comments_are_not(agreed: Workspace) -> None:
    before = agreed.meta["version"]
    assert publish(write(agreed, EXAMPLE + "\n# a remark\n")) == before
    stricter = publish(write(agreed, EXAMPLE.replace("limit = 0.05", "limit = 0.01")))
    assert stricter != before
    assert publish(write(agreed, EXAMPLE)) == before


def test_a_deployment_is_judged_by_the_criterion_of_its_day(agreed: Workspace) -> None:
    change = date(2026, 1, 1)
    policy = Policy(EXAMPLE)
    stricter = policy.named("canary errors").at(limit=0.01, n=1, step=60)
    workspace = write(agreed, policy.adopted(stricter, since=change, by="ana", why="too late").text)
    publish(workspace)
    met = workspace.facts.criteria_met.collect().join(
        workspace.facts.deployments.select(deployment="id", deployed_at="deployed_at").collect(), on="deployment"
    )
    assert set(met.filter(pl.col("deployed_at") < datetime(2026, 1, 1, tzinfo=UTC)).select("limit", "n").unique().rows()) == {(0.05, 3)}
    assert set(met.filter(pl.col("deployed_at") >= datetime(2026, 1, 1, tzinfo=UTC)).select("limit", "n").unique().rows()) == {(0.01, 1)}
    publish(write(agreed, EXAMPLE))


def test_a_watch_ends_when_the_deployment_was_undone(agreed: Workspace) -> None:
    undone = agreed.facts.deployments.filter(pl.col("undone_at") < pl.col("deployed_at") + timedelta(minutes=100)).collect()
    rows = agreed.facts.watched.collect().join(
        undone.select(deployment="id", left=pl.col("undone_at") - pl.col("deployed_at")), on="deployment"
    )
    assert len(rows) > 10
    assert not rows["complete"].any()
    assert (rows["evaluations"] <= rows["left"].dt.total_minutes() + 1).all()


def test_without_a_policy_the_tables_are_there_and_empty(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    publish(workspace)
    for table in ("profiles", "watched", "criteria_met", "telemetry"):
        assert getattr(workspace.facts, table).collect().is_empty()
