"""Criteria over the telemetry in the ledger: what is published, and what it says of incidents."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from toolkit.criteria.policy import EXAMPLE, FILE, Policy
from toolkit.publish import publish
from toolkit.watch import with_criterion_met
from toolkit.workspace import Workspace


@pytest.fixture
def mine(told: Workspace, tmp_path: Path) -> Workspace:
    """A copy to change the policy of."""
    return Workspace(shutil.copytree(told.root, tmp_path / "mine"))


def write(workspace: Workspace, text: str) -> Workspace:
    (workspace.root / FILE).write_text(text)
    return Workspace(workspace.root)


def test_the_profiles_of_criteria_in_force_are_published_as_records(told: Workspace) -> None:
    profiles, watched = told.facts.profiles.collect(), told.facts.watched.collect()
    assert profiles.columns == ["deployment", "criterion", "n", "t", "value"]
    assert set(profiles["n"]) == {1, 2, 3, 5, 10}
    # Records only: every row is higher than the one before.
    rising = profiles.sort("deployment", "n", "t").with_columns(rise=pl.col("value").diff().over("deployment", "n")).drop_nulls("rise")
    assert (rising["rise"] > 0).all()
    assert len(watched) > 100
    assert len(profiles.filter(pl.col("n") == 3)) < 6 * len(watched)


def test_the_time_derived_for_an_incident_is_the_one_that_its_team_recorded(told: Workspace) -> None:
    declared = told.facts.incidents.filter(pl.col("criterion_met_at_source") == "declared").collect()
    met = told.facts.criteria_met.collect().select(cause_deployment="deployment", met_at="met_at")
    both = declared.join(met, on="cause_deployment")
    assert len(both) >= 5
    # The team's pipeline and this walk read the same samples.
    assert (both["criterion_met_at"] == both["met_at"]).mean() > 0.9


def test_an_incident_without_a_recorded_time_takes_it_from_the_criterion() -> None:
    noon, minutes = datetime(2026, 3, 2, 12, tzinfo=UTC), lambda m: timedelta(minutes=m)
    #             cause, recorded, decided, recovered; the criterion held on d1 at 12:10.
    rows = [
        ("d1", None, noon + minutes(25), noon + minutes(40)),
        ("d1", noon, noon + minutes(25), noon + minutes(40)),
        ("d1", None, noon + minutes(5), noon + minutes(9)),
        ("d1", None, None, None),
        ("d2", None, noon, None),
    ]
    times = dict.fromkeys(("criterion_met_at", "decided_at", "recovered_at"), pl.Datetime("us", "UTC"))
    incidents = pl.DataFrame(rows, schema={"cause_deployment": pl.String} | times, orient="row")
    met = pl.DataFrame(
        [("d1", noon + minutes(m)) for m in (30, 10)], schema={"deployment": pl.String, "met_at": times["decided_at"]}, orient="row"
    )
    found = with_criterion_met(incidents, met)
    assert found.select("criterion_met_at", "criterion_met_at_source", "silent_minutes").rows() == [
        (noon + minutes(10), "derived:criterion", minutes(15)),
        (noon, "declared", minutes(25)),
        # It held when all was over.
        (None, None, None),
        (noon + minutes(10), "derived:criterion", None),
        (None, None, None),
    ]


def test_the_policy_is_in_the_version_and_its_comments_are_not(mine: Workspace) -> None:
    before = mine.meta["version"]
    assert publish(write(mine, EXAMPLE + "\n# a remark\n")) == before
    assert publish(write(mine, EXAMPLE.replace("limit = 0.05", "limit = 0.01"))) != before
    assert publish(write(mine, EXAMPLE)) == before


def test_a_deployment_is_judged_by_the_criterion_of_its_day(mine: Workspace) -> None:
    change = datetime(2026, 5, 1, tzinfo=UTC)
    policy = Policy(EXAMPLE)
    stricter = policy.named("canary errors").at(limit=0.01, n=1, step=60)
    workspace = write(mine, policy.adopted(stricter, since=change.date(), by="ana", why="too late").text)
    publish(workspace)
    deployments = workspace.facts.deployments.select(deployment="id", deployed_at="deployed_at").collect()
    met = workspace.facts.criteria_met.collect().join(deployments, on="deployment")
    before = pl.col("deployed_at") < change
    assert set(met.filter(before).select("limit", "n").rows()) == {(0.05, 3)}
    assert set(met.filter(~before).select("limit", "n").rows()) == {(0.01, 1)}


def test_where_a_narrower_criterion_stands_in_the_wider_one_is_not_asked(mine: Workspace) -> None:
    served = mine.facts.deployments.select(deployment="id", service="service").collect()
    service = mine.facts.watched.collect().join(served, on="deployment")["service"][0]
    own = f'[[criterion]]\nname = "canary errors"\nkind = "canary"\nlimit = 0.001\nmin_events = 1\nservice = "{service}"\n'
    workspace = write(mine, EXAMPLE.replace("[recalibration]", own + "[recalibration]"))
    publish(workspace)
    deployments = workspace.facts.deployments.select(deployment="id", service="service").collect()
    met = workspace.facts.criteria_met.collect().join(deployments, on="deployment")
    assert set(met.filter(pl.col("service") == service)["limit"]) == {0.001}
    assert set(met.filter(pl.col("service") != service)["limit"]) == {0.05}
    profiles = workspace.facts.profiles.collect()
    assert not profiles.select("deployment", "n", "t").is_duplicated().any()


def test_a_watch_ends_when_the_deployment_was_undone(told: Workspace) -> None:
    undone = told.facts.deployments.filter(pl.col("undone_at") < pl.col("deployed_at") + timedelta(minutes=100)).collect()
    rows = told.facts.watched.collect().join(
        undone.select(deployment="id", left=pl.col("undone_at") - pl.col("deployed_at")), on="deployment"
    )
    assert len(rows) > 5
    assert not rows["complete"].any()
    assert (rows["evaluations"] <= rows["left"].dt.total_minutes() + 1).all()


def test_telemetry_told_under_an_old_name_is_the_services(mine: Workspace) -> None:
    before = mine.facts.watched.select("deployment").collect()
    settings = mine.root / "knowngood.toml"
    old, *_ = mine.telemetry.services()
    settings.write_text(settings.read_text() + f'\n[renamed]\n{old} = "brand-new"\n')
    workspace = Workspace(mine.root)
    publish(workspace)
    assert "brand-new" in workspace.telemetry.services()
    assert old not in workspace.telemetry.services()
    assert workspace.facts.watched.select("deployment").collect().equals(before)
    assert workspace.facts.telemetry.collect().is_empty()


def test_without_a_policy_the_tables_are_there_and_empty(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    publish(workspace)
    for table in ("profiles", "watched", "criteria_met", "telemetry"):
        assert getattr(workspace.facts, table).collect().is_empty()
