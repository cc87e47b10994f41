"""Real repositories, row by row against what was read from them by other means.

KNOWNGOOD_REAL_CLONES names a folder of bare clones (OWNER+NAME/repo), KNOWNGOOD_REAL_DATA one with the lists to compare with; where
either is missing these are skipped with that word.
"""

from __future__ import annotations

import csv
import os
import subprocess
from bisect import bisect
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.sources import git, gitops


@pytest.fixture(scope="module")
def real() -> Callable[[str, str], tuple[Path, Path]]:
    """A clone and a list beside it, by their names."""

    def find(clone: str, data: str) -> tuple[Path, Path]:
        places = []
        for variable, name in (("KNOWNGOOD_REAL_CLONES", f"{clone}/repo"), ("KNOWNGOOD_REAL_DATA", data)):
            folder = os.environ.get(variable)
            if not folder or not Path(folder, name).exists():
                pytest.skip(f"no real {'clones' if 'CLONES' in variable else 'data'}: set {variable} to the folder with {name}")
            places.append(Path(folder, name))
        return places[0], places[1]

    return find


def test_four_years_of_production_versions_are_read_as_they_were(real: Callable[..., tuple[Path, Path]]) -> None:
    clone, listed = real("alphagov+govuk-helm-charts", "govuk_production_changes.parquet")
    files, tip = "charts/app-config/image-tags/{environment}/{service}", "3821603bddeabb635c79e6ce4aed3fb244abdb31"
    pages = gitops.read(None, path=str(clone), branch=tip, files=files, version="image_tag", switch="automatic_deploys_enabled")
    rows: list[dict[str, Any]] = []
    for page in pages:
        rows += [row for row in page.records["deployment"] if row["environment"] == "production"]
    found = pl.DataFrame(
        {
            "service": [row["service"] for row in rows],
            "version": [row["version"] for row in rows],
            "committed_at": pl.Series([row["finished_at"] for row in rows], dtype=pl.Datetime("us", "UTC")),
            "commit": [row["evidence"][0] for row in rows],
        }
    )
    keys = ["service", "commit"]
    expected = pl.read_parquet(listed).select(found.columns)
    assert found.sort(keys).equals(expected.sort(keys))
    assert len(found) == 31_861


@pytest.mark.parametrize("project", ["prometheus", "argo-cd"])
def test_the_releases_of_a_large_project_are_its_tags(real: Callable[..., tuple[Path, Path]], project: str) -> None:
    clone, listed = real({"prometheus": "prometheus+prometheus", "argo-cd": "argoproj+argo-cd"}[project], f"git_{project}_releases.csv")
    (page,) = git.read(None, path=str(clone), tags="v*")
    found = {
        row["version"]: (row["vcs_revision"], row["finished_at"]) for row in page.records["deployment"] if row["environment"] == "tags"
    }
    with listed.open() as file:
        expected = {row["tag"]: (row["commit_sha"], datetime.fromisoformat(row["tagged_at"])) for row in csv.DictReader(file)}
    assert {tag: found[tag] for tag in expected} == expected
    # Builds with other options (v2.43.0+stringlabels) are tags beyond the list.
    assert all("+" in tag for tag in found.keys() - expected.keys())


@pytest.mark.parametrize("project", ["prometheus", "argo-cd"])
def test_every_revert_is_found_and_takes_back_the_same(real: Callable[..., tuple[Path, Path]], project: str) -> None:
    clone, listed = real({"prometheus": "prometheus+prometheus", "argo-cd": "argoproj+argo-cd"}[project], f"git_{project}_reverts.csv")
    (page,) = git.read(None, path=str(clone))
    reverts = [item for item in page.raw if "how" in item]
    found = {item["commit"]: item["undoes"] for item in reverts}
    grouped = {sha for item in reverts for sha in item["again"]}
    with listed.open() as file:
        rows = list(csv.DictReader(file))
    expected = {row["revert_sha"]: row["reverted_sha"] for row in rows}
    # Reverts of reverts bring something back: they are in the list and not among ours.
    brought_back = {sha for sha, undone in expected.items() if undone in expected or undone in found}
    alone = expected.keys() - grouped - brought_back
    assert alone <= found.keys()
    different = {sha for sha in alone if found[sha] != expected[sha]}
    # One takes back the copy of a fix on its own release branch, which the list ascribes to another branch's copy.
    assert different <= {"fb727cf7c1ea579854ff0f0323f291ab02174347"}
    hours = {row["revert_sha"]: float(row["time_to_revert_h"]) for row in rows if found.get(row["revert_sha"]) == row["reverted_sha"]}
    spans = {
        row["evidence"][0]: row["started_at"] - row["from_committed_at"] for row in page.records["rollback"] if row["from_committed_at"]
    }
    assert len(hours) > 30
    assert {sha: spans[sha].total_seconds() / 3600 for sha in hours} == pytest.approx(hours, abs=0.001)


@pytest.mark.parametrize(("project", "drifting"), [("prometheus+prometheus", 0.2), ("argoproj+argo-cd", 0.5)])
def test_what_is_part_of_the_branch_is_what_git_says_is(real: Callable[..., tuple[Path, Path]], project: str, drifting: float) -> None:
    clone, _ = real(project, "git_prometheus_releases.csv")

    def said(*args: str) -> list[str]:
        done = subprocess.run(["git", f"--git-dir={clone}", *args], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (page,) = git.read(None, path=str(clone))
    told = {row["vcs_revision"]: row for row in page.records["merge"]}
    releases = {row["vcs_revision"] for row in page.records["deployment"] if row["environment"] == "tags"}
    # Of a few, changes are too large to be compared, which is said.
    assert releases <= told.keys()
    untold = {sha for sha in releases if told[sha]["inferred_by"] == "derived:not_compared"}
    assert 0 < len(untold) / len(releases) < 0.15
    releases -= untold
    merged = said(
        "for-each-ref", "--merged=HEAD", "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)", "refs/tags"
    )
    assert all(told[sha]["merged_at"] for sha in releases & set(merged))
    there = {sha for sha in releases if told[sha]["inferred_by"] == "derived:merged"}
    assert there <= set(merged)
    line = said("rev-list", "--first-parent", "--reverse", "HEAD")
    for sha in sorted(there)[::20]:
        # From some commit of the line on, all of them grew out of it.
        first = bisect(line, -1, key=lambda one, sha=sha: -1 if said("merge-base", sha, one) != [sha] else 0)
        assert told[sha]["evidence"][-1] == line[first]
    assert sum(told[sha]["merged_at"] is None for sha in releases) / len(releases) < drifting
