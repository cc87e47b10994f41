"""Source git: releases, reverts and hotfixes of a project's own repository, on repositories built here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest import engine
from ingest.remap import remap
from ingest.reverts import Message, reverts
from ingest.sources import git
from tests.repositories import Repository, at
from toolkit.metrics import measure
from toolkit.publish import publish
from toolkit.workspace import Workspace


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "shop")
    repo.commit("01-01 10:00", {"a": "1"}, "Begin (#1)")
    return repo


def page(repo: Repository, **options: Any) -> Any:
    (one,) = git.read(None, path=str(repo.path), **options)
    return one


def rows(repo: Repository, environment: str, *fields: str, **options: Any) -> list[Any]:
    found = [row for row in page(repo, **options).records["deployment"] if row["environment"] == environment]
    return [tuple(row[field] for field in fields) for row in found]


def undone(repo: Repository) -> list[tuple[str, str | None, str]]:
    """Of each revert: its subject, the subject of what it takes back, and how that was found out."""
    subjects = dict(line.split(" ", 1) for line in repo.git("log", "--all", "--format=%H %s").splitlines())
    return [
        (row["reason"], subjects.get(row["from_version"]), row["inferred_by"].removeprefix("derived:revert_"))
        for row in page(repo).records["rollback"]
    ]


def test_a_tag_is_a_release_at_code_level(repo: Repository) -> None:
    sha = repo.commit("01-02 10:00", {"a": "2"})
    repo.git("tag", "-a", "v1.0.0", "-m", "First", when=at("01-03 12:00"))
    repo.git("tag", "checkout")
    assert rows(repo, "tags", "source_id", "service", "version", "vcs_revision", "finished_at", "inferred_by") == [
        ("tag/v1.0.0", "shop", "v1.0.0", sha, at("01-03 12:00"), "derived:git_tag")
    ]


def test_a_lightweight_tag_carries_the_time_of_its_commit(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"})
    repo.git("tag", "v1.0.0", when=at("01-03 12:00"))
    assert rows(repo, "tags", "finished_at", "inferred_by") == [(at("01-02 10:00"), "derived:git_tag_at_commit")]


def test_a_tag_of_what_is_no_commit_is_no_release(repo: Repository) -> None:
    repo.git("tag", "v1.0", "HEAD^{tree}")
    repo.git("tag", "-a", "v1.1", "-m", "A tree", "HEAD^{tree}")
    assert rows(repo, "tags", "version") == []


def test_which_tags_are_releases_and_of_what_can_be_said(repo: Repository) -> None:
    for tag in ("shop/v1.2.3", "cart-v2", "v3.0"):
        repo.git("tag", tag)
    assert rows(repo, "tags", "version") == [("v3.0",)]
    assert rows(repo, "tags", "service", "version", tags="{service}/v*") == [("shop", "v1.2.3")]
    assert rows(repo, "tags", "service", "version", tags="^(?P<service>[a-z]+)-v") == [("cart", "v2")]
    assert rows(repo, "tags", "service", "version", service="web") == [("web", "v3.0")]


def test_a_patch_tag_is_no_hotfix(repo: Repository) -> None:
    for number in range(3):
        repo.commit(f"01-0{number + 2} 10:00", {"a": str(number)}, "fix: something")
        repo.git("tag", f"v1.0.{number}")
    assert rows(repo, "code", "kind") == []


def test_a_revert_takes_back_the_commit_in_its_trailer(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "Same words (#2)")
    sha = repo.commit("01-02 11:00", {"a": "3"}, "Other words (#3)")
    repo.commit("01-02 12:00", {"a": "2"}, f'Revert "Same words (#2)"\n\nThis reverts commit {sha[:10]}.')
    assert undone(repo) == [('Revert "Same words (#2)"', "Other words (#3)", "by_trailer")]


def test_without_a_trailer_the_quoted_subject_says_which(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "fix: the thing (#2) (cherry-pick #2 for 1.0)")
    repo.commit("01-02 12:00", {"a": "1"}, 'chore: Revert "fix: the thing (#2)" (#4)')
    repo.commit("01-02 13:00", {"a": "2"}, "feat: conventional (#5)")
    repo.commit("01-02 14:00", {"a": "1"}, "revert: feat: conventional (#6)")
    assert undone(repo) == [
        ('chore: Revert "fix: the thing (#2)" (#4)', "fix: the thing (#2) (cherry-pick #2 for 1.0)", "by_subject"),
        ("revert: feat: conventional (#6)", "feat: conventional (#5)", "by_subject"),
    ]


def test_then_the_number(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "feat: the thing (#2)")
    repo.commit("01-02 12:00", {"a": "1"}, "chore: revert #2 (#4)")
    repo.commit("01-02 13:00", {"a": "3"}, "feat: other (#5)")
    repo.commit("01-02 14:00", {"a": "1"}, 'Revert "other (#5)" (#6)')
    assert undone(repo) == [
        ("chore: revert #2 (#4)", "feat: the thing (#2)", "by_number"),
        ('Revert "other (#5)" (#6)', "feat: other (#5)", "by_number"),
    ]


def test_what_cannot_be_told_stays_unknown(repo: Repository) -> None:
    repo.commit("01-02 12:00", {"a": "1"}, f'Revert "Something squashed away"\n\nThis reverts commit {"ab" * 20}.')
    assert undone(repo) == [('Revert "Something squashed away"', None, "of_unknown")]


@pytest.mark.parametrize(
    "message",
    [
        f"feat: squashed work (#9)\n\n* Revert half of it\n\nThis reverts commit {'ab' * 20}.",
        "Revert main.go",
        "revert to the former wording (#8)",
        "Reverting is now possible",
        "Irreversible changes (#3)",
    ],
)
def test_what_is_no_revert(repo: Repository, message: str) -> None:
    repo.commit("01-02 12:00", {"a": "1"}, message)
    assert undone(repo) == []


def test_a_revert_tells_when_what_it_takes_back_was_committed_and_so_how_long_that_was(repo: Repository, tmp_path: Path) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    repo.commit("01-03 12:30", {"a": "1"}, 'Revert "The thing (#2)" (#3)')
    repo.commit("01-05 12:00", {"a": "1"}, 'Revert "Lost"')
    assert [row["from_committed_at"] for row in page(repo).records["rollback"]] == [at("01-02 10:00"), None]
    Workspace.init(tmp_path, published_key=True)
    workspace = Workspace(tmp_path)
    engine.load_source(workspace, repo.path, "git")
    publish(workspace)
    found = measure(workspace, "time_to_revert", environment="code").row(0, named=True)
    assert (found["n"], found["value"]) == (1, (24 + 2.5) * 60)
    assert measure(workspace, "time_to_revert")["n"].to_list() in ([0, 0], [None, None])


def test_a_revert_of_a_revert_is_a_reapply_and_what_follows_it_a_revert_again(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    first = repo.commit("01-02 11:00", {"a": "1"}, 'Revert "The thing (#2)" (#3)')
    repo.commit("01-02 12:00", {"a": "2"}, f'Revert "Revert "The thing (#2)" (#3)" (#4)\n\nThis reverts commit {first}.')
    repo.commit("01-02 13:00", {"a": "1"}, 'Revert "The thing (#2)" (#5)')
    repo.commit("01-02 14:00", {"a": "2"}, 'Reapply "The thing (#2)" (#6)')
    assert undone(repo) == [
        ('Revert "The thing (#2)" (#3)', "The thing (#2)", "by_subject"),
        ('Revert "The thing (#2)" (#5)', "The thing (#2)", "by_subject"),
    ]


def test_a_revert_is_no_target(repo: Repository) -> None:
    sha = repo.commit("01-02 11:00", {"a": "1"}, 'Revert "Lost"')
    repo.commit("01-02 12:00", {"a": "2"}, f'Revert "Something"\n\nThis reverts commit {sha}.')
    assert [row["from_version"] for row in page(repo).records["rollback"]] == [None, None]


def test_the_same_revert_on_several_branches_is_one(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    repo.git("branch", "release-1")
    first = repo.commit("01-03 10:00", {"a": "1"}, 'Revert "The thing (#2)" (#3)')
    repo.git("switch", "--quiet", "release-1")
    again = repo.commit("01-04 10:00", {"a": "1"}, 'Revert "The thing (#2)" (#3) (cherry-pick #3 for 1.0) (#7)')
    repo.git("tag", "v1.0.1")
    repo.git("switch", "--quiet", "main")
    (one,) = page(repo).records["rollback"]
    assert one["started_at"] == at("01-03 10:00")
    assert {first, again} <= set(one["evidence"])


def test_words_that_come_again_mean_the_last_that_had_come() -> None:
    said = ["bump", 'Revert "bump"', "bump", 'Revert "bump"', "bump"]
    messages = [Message(f"{number:040x}", at("01-02 10:00") + timedelta(hours=number), subject) for number, subject in enumerate(said)]
    assert [(one.message.sha[-1], one.undoes.sha[-1] if one.undoes else None) for one in reverts(messages)] == [("1", "0"), ("3", "2")]


def test_what_was_never_merged_nor_tagged_counts_for_nothing(repo: Repository) -> None:
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    repo.git("switch", "--quiet", "--create", "pull/17")
    repo.commit("01-03 10:00", {"a": "1"}, 'Revert "The thing (#2)"')
    repo.git("update-ref", "refs/pull/17/head", "HEAD")
    repo.git("switch", "--quiet", "main")
    assert undone(repo) == []


def test_a_merged_hotfix_branch_is_one_hotfix_however_often_it_is_merged(repo: Repository) -> None:
    repo.git("branch", "develop")
    repo.git("switch", "--quiet", "--create", "hotfix/login")
    repo.commit("01-02 10:00", {"b": "1"}, "Mend the login")
    repo.git("switch", "--quiet", "main")
    merged = repo.merge("01-02 11:00", "hotfix/login")
    repo.git("switch", "--quiet", "develop")
    repo.merge("01-02 12:00", "hotfix/login", "Merge branch 'hotfix/login' into develop")
    repo.git("switch", "--quiet", "main")
    repo.merge("01-03 12:00", "develop")
    assert rows(repo, "code", "vcs_revision", "kind", "branch", "finished_at", "inferred_by") == [
        (merged, "hotfix", "hotfix/login", at("01-02 11:00"), "derived:hotfix_branch")
    ]


def test_a_fix_picked_for_two_release_branches_is_one_hotfix(repo: Repository) -> None:
    for branch in ("release-1", "release-2"):
        repo.git("branch", branch)
    fixed = repo.commit("01-02 10:00", {"b": "1"}, "fix: the thing (#2)")
    repo.git("switch", "--quiet", "release-1")
    repo.git("cherry-pick", "-x", fixed, when=at("01-03 10:00"))
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "v1.0.1")
    repo.git("switch", "--quiet", "release-2")
    repo.commit("01-04 10:00", {"b": "1"}, "fix: the thing (cherry-pick #2 for 2.0) (#8)")
    repo.git("tag", "v2.0.1")
    repo.git("switch", "--quiet", "main")
    assert rows(repo, "code", "vcs_revision", "committed_at", "finished_at", "inferred_by") == [
        (first, at("01-02 10:00"), at("01-03 10:00"), "derived:cherry_pick")
    ]


def test_a_pick_on_the_main_branch_is_no_hotfix(repo: Repository) -> None:
    repo.git("switch", "--quiet", "--create", "feature")
    sha = repo.commit("01-02 10:00", {"b": "1"}, "Part of a feature")
    repo.git("switch", "--quiet", "main")
    repo.git("cherry-pick", "-x", sha, when=at("01-03 10:00"))
    assert rows(repo, "code", "kind") == []


def test_nothing_of_it_counts_for_production(repo: Repository, tmp_path: Path) -> None:
    Workspace.init(tmp_path, published_key=True)
    (tmp_path / "knowngood.toml").write_text('[sources.git]\npath = "shop"\n')
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    repo.git("tag", "v1.0.0")
    repo.commit("01-02 12:00", {"a": "1"}, 'Revert "The thing (#2)" (#3)')
    repo.git("tag", "v1.0.1")
    workspace = Workspace(tmp_path)
    assert [(report.record, report.new, report.error) for report in engine.sync(workspace)] == [
        ("deployment", 2, None), ("rollback", 1, None), ("merge", 2, None),
    ]  # fmt: skip
    assert [report.skipped for report in engine.sync(workspace)] == [True]
    # A quiet project says nothing of how far production is known.
    assert workspace.ledger.coverage()["assumed"].all()
    publish(workspace)
    facts = workspace.facts
    assert facts.deployments.collect().select("environment", "production", "kind").unique().rows() == [("tags", False, "release")]
    (revert,) = facts.rollbacks.collect().iter_rows(named=True)
    assert (revert["mechanism"], revert["code_level"], revert["production"]) == ("revert_commit", True, False)
    (told,) = measure(workspace, "deployment_frequency").select("value", "note").rows()
    assert told[0] is None
    assert told[1].startswith("not measured: connect deployments")
    assert measure(workspace, "deployment_frequency", environment="tags")["n"].to_list() == [2]


def test_a_moved_tag_and_a_new_commit_are_noticed_and_nothing_else(repo: Repository) -> None:
    repo.git("tag", "v1.0.0")
    first = page(repo)
    assert list(git.read(first.cursor, path=str(repo.path))) == []
    repo.commit("01-02 10:00", {"a": "2"})
    repo.git("tag", "--force", "v1.0.0")
    (second,) = git.read(first.cursor, path=str(repo.path))
    assert second.gap is None
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    (third,) = git.read(second.cursor, path=str(repo.path))
    assert third.gap == (at("01-01 10:00"), at("01-02 10:00"))


def test_records_are_made_anew_from_the_kept_lines_alone(repo: Repository, tmp_path: Path) -> None:
    Workspace.init(tmp_path, published_key=True)
    (tmp_path / "knowngood.toml").write_text('[sources.git]\npath = "shop"\n')
    repo.commit("01-02 10:00", {"a": "2"}, "The thing (#2)")
    repo.git("tag", "v1.0.0")
    repo.commit("01-02 12:00", {"a": "1"}, 'Revert "The thing (#2)" (#3)')
    workspace = Workspace(tmp_path)
    engine.sync(workspace)
    found = remap(workspace)
    assert {record: (made.unchanged, made.changed, made.new, made.gone) for (_, record), made in found.items()} == {
        "deployment": (1, 0, 0, 0),
        "rollback": (1, 0, 0, 0),
        "merge": (1, 0, 0, 0),
    }
