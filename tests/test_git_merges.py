"""When the commits of releases and hotfixes reached the main line: on repositories built here, and on histories drawn at random."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import engine
from ingest.ancestry import History
from ingest.mainline import arrivals
from ingest.reverts import Message
from ingest.sources import git
from tests.repositories import Repository, at
from toolkit.metrics import measure
from toolkit.publish import publish
from toolkit.workspace import Workspace


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "shop")
    repo.commit("01-01 10:00", {"a": "1\n", "b": "1\n2\n3\n4\n5\n6\n7\n8\n9\n"}, "Begin (#1)")
    return repo


def merges(repo: Repository, **options: Any) -> dict[str, dict[str, Any]]:
    """The rows by the subject of their commit."""
    (page,) = git.read(None, path=str(repo.path), **options)
    subjects = dict(line.split(" ", 1) for line in repo.git("log", "--all", "--format=%H %s").splitlines())
    return {subjects[row["vcs_revision"]]: row for row in page.records["merge"]}


def told(repo: Repository, subject: str) -> tuple[Any, ...]:
    """merged_at, merged_as (by its subject), inferred_by."""
    row = merges(repo)[subject]
    name = repo.git("log", "-1", "--format=%s", row["merged_as"]) if row["merged_as"] else None
    return row["merged_at"], name, row["inferred_by"].removeprefix("derived:")


def test_a_release_of_main_was_there_when_it_was_made(repo: Repository) -> None:
    sha = repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    repo.git("tag", "v1.0.0")
    (row,) = merges(repo).values()
    assert (row["vcs_revision"], row["merged_at"], row["observed_at"], row["inferred_by"]) == (
        sha, at("01-02 10:00"), None, "derived:merged",
    )  # fmt: skip


def test_a_hotfix_that_was_released_from_its_branch_reaches_main_with_the_merge(repo: Repository) -> None:
    repo.git("switch", "--quiet", "--create", "hotfix/login")
    repo.commit("01-02 10:00", {"c": "1"}, "Mend the login")
    repo.commit("01-02 10:30", {"d": "1"}, "And the logout")
    repo.git("tag", "v1.0.1")
    repo.git("switch", "--quiet", "main")
    repo.commit("01-03 10:00", {"a": "2"}, "Meanwhile (#2)")
    repo.merge("01-09 11:00", "hotfix/login")
    found = merges(repo)
    assert {subject: (row["merged_at"], row["branch"]) for subject, row in found.items()} == {
        "And the logout": (at("01-09 11:00"), "hotfix/login"),
        "Mend the login": (at("01-09 11:00"), "hotfix/login"),
        "Merge branch 'hotfix/login'": (at("01-09 11:00"), None),
    }


def test_what_reaches_main_by_way_of_another_branch_is_there_when_that_one_is(repo: Repository) -> None:
    repo.git("branch", "develop")
    repo.git("switch", "--quiet", "--create", "hotfix/login")
    repo.commit("01-02 10:00", {"c": "1"}, "Mend the login")
    repo.git("switch", "--quiet", "develop")
    repo.commit("01-02 11:00", {"d": "1"}, "Work of others")
    repo.merge("01-02 12:00", "hotfix/login", "Merge branch 'hotfix/login' into develop")
    repo.git("switch", "--quiet", "main")
    repo.merge("01-20 12:00", "develop")
    found = merges(repo)
    assert {subject: row["merged_at"] for subject, row in found.items()} == {
        "Mend the login": at("01-20 12:00"),
        "Merge branch 'hotfix/login' into develop": at("01-20 12:00"),
    }


def test_a_branch_of_a_hotfix_that_nobody_merged_is_told_of_and_makes_nothing_else(repo: Repository) -> None:
    for branch in ("hotfix/login", "pull/17"):
        repo.git("switch", "--quiet", "--create", branch, "main")
        repo.commit("01-02 10:00", {"c": branch}, f"On {branch}")
    repo.git("switch", "--quiet", "main")
    repo.commit("01-20 10:00", {"a": "2"}, "Later (#2)")
    (page,) = git.read(None, path=str(repo.path))
    assert (page.records["deployment"], page.records["rollback"]) == ([], [])
    (row,) = page.records["merge"]
    assert (row["branch"], row["merged_at"], row["observed_at"]) == ("hotfix/login", None, at("01-20 10:00"))
    assert row["inferred_by"] == "derived:not_found"


def test_a_branch_of_a_remote_is_one_as_well(repo: Repository, tmp_path: Path) -> None:
    repo.git("switch", "--quiet", "--create", "hotfix/login")
    repo.commit("01-02 10:00", {"c": "1"}, "Mend the login")
    repo.git("switch", "--quiet", "main")
    repo.git("clone", "--quiet", str(repo.path), str(tmp_path / "clone"))
    (page,) = git.read(None, path=str(tmp_path / "clone"))
    assert [row["branch"] for row in page.records["merge"]] == ["hotfix/login"]


# As a copy


def released(repo: Repository, *commits: tuple[str, dict[str, str | bytes | None], str], version: str = "v1.0.1") -> None:
    """A release branch with these commits on it, tagged."""
    repo.git("switch", "--quiet", "--create", "release-1")
    for when, files, message in commits:
        repo.commit(when, files, message)
    repo.git("tag", version)
    repo.git("switch", "--quiet", "main")


def test_a_fix_that_was_picked_from_main_was_there_before(repo: Repository) -> None:
    repo.git("branch", "release-1")
    fixed = repo.commit("01-02 10:00", {"c": "1"}, "fix: the thing (#2)")
    repo.git("switch", "--quiet", "release-1")
    repo.commit("01-03 10:00", {"c": "1"}, f"fix: the thing\n\n(cherry picked from commit {fixed})")
    repo.git("tag", "v1.0.1")
    repo.git("switch", "--quiet", "main")
    assert told(repo, "fix: the thing") == (at("01-02 10:00"), "fix: the thing (#2)", "cherry_pick")


def test_a_fix_that_was_picked_for_main_is_there_since_then(repo: Repository) -> None:
    released(repo, ("01-02 10:00", {"c": "1"}, "fix: the thing"))
    fixed = repo.git("rev-parse", "v1.0.1")
    repo.commit("01-12 10:00", {"c": "other"}, f"fix: in other words\n\n(cherry picked from commit {fixed})")
    assert told(repo, "fix: the thing") == (at("01-12 10:00"), "fix: in other words", "cherry_pick")


@pytest.mark.parametrize("subject", ["fix: the thing (cherry-pick #2 for 1.0) (#8)", "fix: the thing (#2) (#8)", "fix: the thing (#2)"])
def test_the_number_of_a_merge_request_says_which(repo: Repository, subject: str) -> None:
    released(repo, ("01-03 10:00", {"c": "2"}, subject))
    repo.commit("01-12 10:00", {"c": "1"}, "fix: the thing (#2)\n")
    assert told(repo, subject)[::2] == (at("01-12 10:00"), "cherry_pick")


def test_the_same_lines_in_the_same_files_are_the_same_change(repo: Repository) -> None:
    changed = "1\n2\n3\n4\n5\n6\n7\neight\n9\n"
    released(repo, ("01-02 10:00", {"b": changed}, "Mend it"))
    repo.commit("01-03 10:00", {"b": "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"}, "Around it (#2)")
    repo.commit("01-12 10:00", {"b": "0\n1\n2\n3\n4\n5\n6\n7\neight\n9\n10\n"}, "mend it (#3)")
    assert told(repo, "Mend it") == (at("01-12 10:00"), "mend it (#3)", "same_change")


def test_other_lines_under_the_same_words_are_another_change(repo: Repository) -> None:
    released(repo, ("01-02 10:00", {"b": "8\n"}, "Mend it"))
    repo.commit("01-12 10:00", {"b": "9\n"}, "Mend it again")
    repo.commit("01-12 11:00", {"b": "7\n"}, "Mend it")
    assert merges(repo)["Mend it"]["inferred_by"] == "derived:not_found"


def test_a_branch_that_was_squashed_is_there_as_the_commit_that_does_all_of_it(repo: Repository) -> None:
    repo.git("switch", "--quiet", "--create", "hotfix/login")
    repo.commit("01-02 10:00", {"c": "1\n", "b": "eight\n"}, "Try")
    repo.commit("01-02 11:00", {"c": None, "d": "1\n"}, "Mend it")
    repo.git("switch", "--quiet", "main")
    repo.commit("01-03 10:00", {"a": "1\n2\n"}, "Meanwhile (#2)")
    repo.commit("01-04 10:00", {"b": "eight\n"}, "Half of it (#3)")
    repo.git("checkout", "--quiet", "HEAD~1", "--", "b")
    repo.commit("01-04 11:00", {}, "Back again (#4)")
    repo.commit("01-05 10:00", {"b": "eight\n", "d": "1\n"}, "Hotfix login (#5)")
    assert told(repo, "Mend it") == (at("01-05 10:00"), "Hotfix login (#5)", "same_change")
    # What the first commit did alone is not on the line.
    assert told(repo, "Try") == (None, None, "not_found")


def test_a_branch_of_which_one_commit_is_missing_from_what_was_squashed_is_not_there(repo: Repository) -> None:
    repo.git("switch", "--quiet", "--create", "hotfix/login")
    for number, file in enumerate("cde"):
        repo.commit(f"01-02 1{number}:00", {file: "1\n"}, f"Mend {file}")
    repo.git("switch", "--quiet", "main")
    repo.commit("01-05 10:00", {"c": "1\n", "d": "1\n"}, "Hotfix login (#5)")
    assert told(repo, "Mend e") == (None, None, "not_found")


def test_whatever_it_is_called_a_change_that_was_picked_keeps_its_authors_time(repo: Repository) -> None:
    released(repo, ("01-02 10:00", {"c": "1"}, "Mend it"))
    repo.git("cherry-pick", "--no-commit", "v1.0.1")
    repo.git("commit", "--quiet", "-m", "Something else", f"--date={int(at('01-02 10:00').timestamp())} +0000", when=at("01-12 10:00"))
    assert told(repo, "Mend it") == (at("01-12 10:00"), "Something else", "same_change")


def test_a_release_is_there_once_all_that_is_new_in_it_is_and_its_version_is_no_change(repo: Repository) -> None:
    released(
        repo,
        ("01-02 10:00", {"c": "1"}, "fix: one (#2)"),
        ("01-02 11:00", {"d": "1"}, "fix: two (#3)"),
        ("01-02 12:00", {"VERSION": "1.0.1"}, "Bump version to 1.0.1"),
    )
    repo.commit("01-05 10:00", {"d": "1"}, "fix: two (#3)")
    assert told(repo, "Bump version to 1.0.1") == (None, None, "not_found")
    repo.commit("01-12 10:00", {"c": "1"}, "fix: one (#2)")
    assert told(repo, "Bump version to 1.0.1") == (at("01-12 10:00"), "fix: one (#2)", "cherry_pick")


def test_a_commit_that_changes_nothing_is_missed_nowhere(repo: Repository) -> None:
    released(repo, ("01-02 10:00", {"c": "1"}, "fix: one (#2)"), ("01-02 11:00", {}, "Run the pipeline again"))
    repo.commit("01-12 10:00", {"c": "1"}, "fix: one (#2)")
    assert told(repo, "Run the pipeline again") == (at("01-12 10:00"), "fix: one (#2)", "cherry_pick")


def test_a_release_ships_what_came_after_the_release_before(repo: Repository) -> None:
    released(repo, ("01-02 10:00", {"c": "1"}, "Never on main"))
    repo.git("switch", "--quiet", "release-1")
    repo.commit("01-03 10:00", {"d": "1"}, "fix: two (#3)")
    repo.git("tag", "v1.0.2")
    repo.git("switch", "--quiet", "main")
    repo.commit("01-05 10:00", {"d": "1"}, "fix: two (#3)")
    found = merges(repo)
    assert found["Never on main"]["merged_at"] is None
    assert found["fix: two (#3)"]["merged_at"] == at("01-05 10:00")


def test_a_fix_picked_from_main_was_there_however_late_its_release_branch_is_merged_back(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"c": "1"}, "fix: one (#2)")
    repo.git("branch", "release-1", "HEAD~1")
    repo.git("switch", "--quiet", "release-1")
    repo.commit("01-03 10:00", {"c": "1"}, "fix: one (#2)")
    repo.git("tag", "v1.0.1")
    repo.git("switch", "--quiet", "main")
    repo.merge("01-25 10:00", "release-1")
    (row,) = next(git.read(None, path=str(repo.path))).records["merge"]
    assert (row["merged_at"], row["inferred_by"]) == (at("01-02 10:00"), "derived:cherry_pick")


def test_a_release_with_nothing_of_its_own_lacks_nothing_on_main(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    released(repo, ("01-03 10:00", {"VERSION": "1.0.1"}, "Release 1.0.1"))
    assert told(repo, "Release 1.0.1") == (at("01-02 10:00"), "The thing (#2)", "nothing_new")


# What a clone cannot tell


def test_a_history_that_was_cut_off_says_nothing_of_what_it_does_not_hold(repo: Repository, tmp_path: Path) -> None:
    released(repo, ("01-02 10:00", {"c": "1"}, "Mend it"))
    repo.commit("01-12 10:00", {"a": "3"}, "Later (#3)")
    repo.git("clone", "--quiet", "--bare", "--depth=1", "--no-single-branch", f"file://{repo.path}", str(tmp_path / "cut"))
    (page,) = git.read(None, path=str(tmp_path / "cut"))
    assert page.records["merge"] == []


def test_a_clone_without_contents_tells_of_what_needs_none(repo: Repository, tmp_path: Path) -> None:
    released(repo, ("01-02 10:00", {"b": "8\n"}, "Mend it"))
    repo.commit("01-03 10:00", {"b": "1\n2\n"}, "Around it (#2)")
    repo.commit("01-12 10:00", {"b": "8\n2\n"}, "Mend it (#3)")
    repo.git("tag", "v2.0.0")
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{repo.path}", str(tmp_path / "part"))
    (page,) = git.read(None, path=str(tmp_path / "part"))
    assert sorted(row["inferred_by"] for row in page.records["merge"]) == ["derived:merged", "derived:not_compared"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"c": "x\n" * 80_000}, {"c": "y\n" * 80_000}),
        ({f"f{number}": "x" for number in range(21)}, {f"f{number}": "y" for number in range(21)}),
        ({"b": "9\n8\n7\n6\n5\n4\n3\n2\n1\n"}, {"b": "8\n9\n7\n6\n5\n4\n3\n2\n1\n"}),
    ],
    ids=["over 128 KiB", "over 20 files", "only in another order"],
)
def test_of_a_change_that_cannot_be_compared_it_is_said_that_it_was_not(
    repo: Repository, theirs: dict[str, str | bytes | None], ours: dict[str, str | bytes | None]
) -> None:
    released(repo, ("01-02 10:00", theirs, "Vendor it"))
    repo.commit("01-03 10:00", ours, "Vendor it")
    assert told(repo, "Vendor it") == (None, None, "not_compared")


def test_nothing_is_started_to_compare_changes(repo: Repository, tmp_path: Path) -> None:
    script = tmp_path / "touch.sh"
    script.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'started'}'\n")
    script.chmod(0o755)
    for name in ("diff.external", "diff.evil.command", "diff.evil.textconv", "core.fsmonitor"):
        repo.git("config", name, str(script))
    released(repo, ("01-02 10:00", {"b": "8\n", ".gitattributes": "* diff=evil\n"}, "Mend it"))
    repo.commit("01-03 10:00", {"b": "8\n9\n", ".gitattributes": "* diff=evil\n"}, "Mend it")
    (tmp_path / "started").unlink(missing_ok=True)
    assert merges(repo)["Mend it"]["merged_at"] is None
    assert not (tmp_path / "started").exists()
    subprocess.run(["git", "-C", str(repo.path), "diff", "HEAD~1"], capture_output=True, check=False, timeout=30)
    assert (tmp_path / "started").exists(), "the trap is a real one"


# All the way


def test_of_two_hotfixes_in_production_the_one_that_never_came_back_has_drifted(repo: Repository, tmp_path: Path) -> None:
    for number, branch in ((1, "hotfix/login"), (2, "hotfix/cart")):
        repo.git("switch", "--quiet", "--create", branch, "main")
        repo.commit(f"01-02 1{number}:00", {branch: "1"}, f"Mend {branch}")
        repo.git("tag", f"v1.0.{number}")
    repo.git("switch", "--quiet", "main")
    repo.merge("01-04 12:00", "hotfix/cart")
    repo.commit("01-20 12:00", {"a": "2"}, "Later (#2)")
    Workspace.init(tmp_path, published_key=True)
    (tmp_path / "knowngood.toml").write_text('[sources.git]\npath = "shop"\n')
    deployed = ["id,service,environment,vcs_revision,kind,started_at,finished_at"]
    for number in (1, 2):
        sha = repo.git("rev-parse", "--short=8", f"v1.0.{number}")
        deployed.append(f"d{number},web,production,{sha},hotfix,2026-01-02T1{number}:30:00Z,2026-01-02T1{number}:40:00Z")
    deployed.append("d3,web,production,feed1234,,2026-01-25T10:00:00Z,2026-01-25T10:05:00Z")
    (tmp_path / "deployed.csv").write_text("\n".join(deployed))
    workspace = Workspace(tmp_path)
    assert [report.error for report in engine.sync(workspace)] == [None, None]
    engine.load(workspace, tmp_path / "deployed.csv", "deployment")
    publish(workspace)
    (row,) = measure(workspace, "hotfix_drift").iter_rows(named=True)
    assert (row["k"], row["n"]) == (1, 2)
    rows = workspace.facts.hotfixes.collect().filter("production").select("id", "merged_at", "unmerged_until", "merged_source").rows()
    assert sorted(rows) == [
        ("d1", None, at("01-20 12:00"), "derived:not_found"),
        ("d2", at("01-04 12:00"), None, "derived:merged"),
    ]


# Any history


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Commits in order, each with up to three parents among those before."""
    history = History()
    for number in range(draw(st.integers(1, 14))):
        parents = draw(st.lists(st.integers(0, number - 1), unique=True, max_size=3)) if number else []
        message = Message(f"{number}", at("01-01 00:00") + timedelta(hours=number), f"Change {number}")
        history.add(message, [str(one) for one in parents], str(number), f"tree {number}")
    return history


@given(histories())
def test_a_commit_came_with_the_first_of_the_line_that_grew_out_of_it(history: History) -> None:
    tip = list(history.messages)[-1]

    def grew_out_of(one: str, root: str) -> bool:
        return one == root or any(grew_out_of(parent, root) for parent in history.parents[one])

    line = history.line(tip)[::-1]
    expected = {sha: next(one for one in line if grew_out_of(one, sha)) for sha in history.messages if grew_out_of(tip, sha)}
    assert history.came(tip) == expected
    told = list(arrivals(None, history, expected, {sha: [] for sha in expected}))  # type: ignore[arg-type]
    assert {one.sha: one.at for one in told} == {sha: history.messages[by].at for sha, by in expected.items()}
