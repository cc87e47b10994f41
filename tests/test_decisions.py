"""Decisions in a workspace: facts change the version and the facts, talk changes neither; saving one publishes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.engine import load
from tests.builders import deployment, frames, history, incident
from toolkit.publish import is_current, publish
from toolkit.store.entries import subject
from toolkit.workspace import Workspace

INCIDENT = subject("incident", "made", "inc")
# 09:00 v1   09:50 v2   10:10 noticed   10:20 v1 again   10:30 recovered
ROWS = (deployment("v1", "9:00"), deployment("v2", "9:50"), incident("10:10", "10:30"), deployment("v1", "10:20"))
OVERRIDE = {"record": "incident", "source": "made", "id": "inc", "field": "cause", "value": "not_a_deployment"}
TALK = st.sampled_from(
    [
        ("note", {"text": "hm"}),
        ("action_item", {"title": "alert earlier"}),
        ("sign_off", {"digest": "a" * 64}),
        ("proposal", {"title": "stricter", "change": {"p": 0.1}}),
        ("test_used", {"digest": "b" * 64, "purpose": "recalibration"}),
    ]
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return filled(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return filled(tmp_path_factory.mktemp("shared"))


def filled(root: Path) -> Workspace:
    workspace = Workspace.init(root, published_key=True)
    for name, frame in frames(history(*ROWS)).items():
        if len(frame) and name != "override":
            frame.drop("source").write_parquet(root / f"{name}.parquet")
            load(workspace, root / f"{name}.parquet", name, source="made")
    publish(workspace)
    return workspace


def failed(workspace: Workspace) -> list[str]:
    return workspace.facts.deployments.filter(pl.col("failed_final").is_not_null()).collect()["id"].to_list()


@given(talk=st.lists(TALK, min_size=1, max_size=4))
@settings(max_examples=4)
def test_talk_changes_no_version_and_facts_do(shared: Workspace, talk: list[tuple[str, dict]]) -> None:
    before = publish(shared)
    for kind, body in talk:
        shared.journal.append(kind, INCIDENT, body, author="Ann")
    assert is_current(shared)
    assert publish(shared) == before
    shared.journal.append("override", "", {**OVERRIDE, "id": f"other {len(shared.journal.entries())}"}, author="Ann", why="w")
    assert not is_current(shared)
    assert publish(shared) != before


def test_a_decision_moves_the_facts_and_its_withdrawal_brings_the_very_same_version_back(workspace: Workspace) -> None:
    before = workspace.meta["version"]
    assert failed(workspace) == ["v2 9:50"]
    entry = workspace.journal.append("override", "", OVERRIDE, author="Ann", why="it was the network")
    assert not is_current(workspace)
    assert publish(workspace) != before
    # It was undone as well: that still speaks against it.
    assert workspace.facts.incidents.collect()["cause_source"].to_list() == ["override"]
    workspace.journal.append("withdrawal", INCIDENT, {"entry": entry.id}, author="Bob", why="it was not")
    assert publish(workspace) == before
