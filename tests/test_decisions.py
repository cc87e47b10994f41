"""Decisions in a workspace: facts change the version and the facts, talk changes neither; saving one publishes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.engine import load
from tests.builders import deployment, frames, history, incident, t
from toolkit import publishing
from toolkit.publish import STITCHING, is_current, publish
from toolkit.store.entries import subject
from toolkit.store.lock import hold
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("made")).root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path)


@pytest.fixture(scope="module")
def shared(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(shutil.copytree(made, tmp_path_factory.mktemp("shared"), dirs_exist_ok=True))


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
@settings(max_examples=5)
def test_talk_changes_no_version_and_facts_do(shared: Workspace, talk: list[tuple[str, dict]]) -> None:
    assert is_current(shared)
    for kind, body in talk:
        shared.journal.append(kind, INCIDENT, body, author="Ann")
    assert is_current(shared)
    entry = shared.journal.append("override", "", OVERRIDE, author="Ann", why="w")
    assert not is_current(shared)
    shared.journal.append("withdrawal", INCIDENT, {"entry": entry.id}, author="Ann", why="w")
    assert is_current(shared)


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


# In the background


def settled(workspace: Workspace, *, seconds: float = 60.0) -> str:
    """The state once nothing is under way any more."""
    end = time.monotonic() + seconds
    while (now := publishing.state(workspace)) == "publishing" and time.monotonic() < end:
        time.sleep(0.05)
    return now


def test_saving_a_decision_starts_a_publish_and_says_so_and_saving_talk_starts_none(workspace: Workspace) -> None:
    for name in ("toolkit.py", "json.py", "polars.py", "sitecustomize.py"):
        (workspace.root / name).write_text("open('ran', 'w')\nraise SystemExit('ran')\n")
    assert publishing.save(workspace, "note", INCIDENT, {"text": "hm"}, author="Ann").word == "Saved."
    assert publishing.state(workspace) == "current"
    saved = publishing.save(workspace, "override", "", OVERRIDE, author="Ann", why="it was the network")
    assert "The facts are being computed anew" in saved.word
    assert publishing.state(workspace) == "publishing"
    assert settled(workspace) == "current"
    assert publishing.failure(workspace) is None
    # Files of the workspace are data, whatever modules they are called after.
    assert not (workspace.root / "ran").exists()
    assert workspace.facts.incidents.collect()["not_a_deployment"].to_list() == [True]


def test_of_many_saves_the_last_is_in_the_last_publish_and_few_publishes_are_started(workspace: Workspace) -> None:
    words = []
    for number in range(12):
        body = OVERRIDE | {"field": "detected_at", "value": f"2026-03-02T10:{number:02}:00Z"}
        words.append(publishing.save(workspace, "override", "", body, author="Ann", why=f"attempt {number}").word)
        time.sleep(0.02)
    # One that begins with the first save, one that waits; a third where the first was over before the last save.
    assert 1 <= sum("are being computed" in word for word in words) <= 4
    assert settled(workspace) == "current"
    assert workspace.facts.incidents.collect()["detected_at"].to_list() == [t("10:11")]
    assert is_current(workspace)


def test_a_publish_that_was_killed_is_noticed_at_the_next_start(workspace: Workspace) -> None:
    workspace.journal.append("override", "", OVERRIDE, author="Ann", why="it was the network")
    # Saved, and the process died before it could start a publish.
    assert publishing.state(workspace) == "behind"
    pid = publishing.publish_soon(workspace)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert settled(workspace) == "behind"
    assert publishing.catch_up(workspace)
    assert settled(workspace) == "current"
    assert not publishing.catch_up(workspace)


def test_whoever_publishes_holds_off_the_others_so_that_nothing_older_replaces_what_is_newer(workspace: Workspace) -> None:
    with hold(workspace.state / STITCHING, what="another publish"):
        first = publishing.save(workspace, "override", "", OVERRIDE, author="Ann", why="first")
        label = OVERRIDE | {"field": "failed", "record": "deployment", "id": "v2 9:50", "value": "none"}
        second = publishing.save(workspace, "override", "", label, author="Bob", why="second")
        assert "being computed" in first.word
        # The one that waits has not looked at the journal yet.
        assert "together with what was saved just before" in second.word
        time.sleep(0.5)
        assert publishing.state(workspace) == "publishing"
    assert settled(workspace) == "current"
    assert failed(workspace) == []


def test_why_a_publish_in_the_background_failed_is_kept(workspace: Workspace) -> None:
    (workspace.root / "knowngood.toml").write_text("productoin = []\n")
    workspace.journal.append("override", "", OVERRIDE, author="Ann", why="w")
    publishing.publish_soon(workspace)
    assert settled(workspace) == "behind"
    assert "productoin" in (publishing.failure(workspace) or "")
