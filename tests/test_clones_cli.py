"""A clone on the command line: one command from a folder to numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.repositories import Repository
from toolkit.cli.entry import run
from toolkit.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = Repository(tmp_path / "ops")
    for day, version in ((5, "v1"), (6, "v2"), (7, "v1")):
        repo.commit(f"01-0{day} 10:00", {"apps/production/shop.yaml": f"tag: {version}\n"}, "Bump")
    repo.git("tag", "v1.0.0")
    repo.commit("01-08 10:00", {"a": "1"}, 'Revert "Bump"')
    assert run(["init", str(tmp_path / "place")]) == 0
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def test_one_command_from_a_clone_to_numbers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", "../ops", "--as", "gitops", "--set", "files=apps/{environment}/{service}.yaml"]) == 0
    said = capsys.readouterr().err
    assert "3 new" in said
    assert run(["metrics", "rollback_rate", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["k"], row["n"]) == (1, 2)
    # What is said can be put into the settings as it stands, and goes on with the same source.
    (place / "knowngood.toml").write_text(said[said.index("[sources.") :])
    assert list(Workspace(place).settings.sources) == ["gitops-ops"]
    assert run(["sync"]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_projects_own_repository_needs_no_option(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", "../ops", "--as", "git", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {one["source"] for one in runs} == {"git-ops"}
    assert [(one["record"], one["new"]) for one in runs] == [("deployment", 1), ("rollback", 1), ("merge", 1)]
    assert run(["metrics", "deployment_frequency", "--environment", "tags", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] == 1


def test_an_option_may_come_several_times(place: Path) -> None:
    command = ["load", "../ops", "--as", "gitops", "--no-publish", "--set", "files=none/*", "--set", "files=apps/*/{service}.yaml"]
    assert run(command) == 0
    assert Workspace(place).ledger.read("deployments")["service"].unique().to_list() == ["shop"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["../ops", "--as", "gitops"], "--set files="),
        (["../ops", "--as", "git", "--set", "colour=red"], "branch, tags, service"),
        (["../ops", "--as", "git", "--set", "branch"], "NAME=VALUE"),
        (["../ops", "--as", "deployment", "--set", "a=b"], "--map"),
        (["../ops", "--as", "git", "--revised", "2026-01-01"], "leave --map and --revised out"),
        (["../ops", "--as", "git", "--set", "root=/"], "no option 'root'"),
    ],
)
def test_what_does_not_fit_is_said(place: Path, command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", *command]) == 2
    assert said in capsys.readouterr().err
