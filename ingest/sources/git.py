"""A clone of a project's own repository: tags as releases, reverts, fixes brought to release branches, all of it code level; and when
their commits reached the main line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.ancestry import History
from ingest.copies import PICKED, PICKED_NUMBER
from ingest.gitlog import Clone, Tag
from ingest.globs import compiled
from ingest.history import Progress, digest_of
from ingest.mainline import arrivals
from ingest.pages import Page, Raw
from ingest.reverts import Message, Revert, number_of, plain, reverts
from toolkit.store.people import People

__all__ = ["read", "remade", "to_hotfix", "to_merge", "to_release", "to_revert"]

# No environments of production: a tag is not yet deployed, and a reverted commit is not yet rolled back.
TAGS, CODE = "tags", "code"
LONGEST_SUBJECT = 1_000
_VERSION = r"^v?\d+(\.\d+)+([-.+]?\w[\w.+-]*)?$"
_NAME = r"hot-?fix(?:es)?[/_-][^\s']*"
_HOTFIX = re.compile(rf"Merge (?:remote-tracking )?(?:branch '(?:origin/)?|pull request #\d+ from [^\s/]+/)({_NAME})", re.IGNORECASE)
_BRANCH = re.compile(_NAME, re.IGNORECASE)
# What only says that it is this version: "Release 2.1.3", "chore: bump version to 2.1.3 (#7)", "v2.1.3".
_CUT = re.compile(
    r"(?:\w+(?:\([^)]*\))?: *)?(?:v?\d|(?:bump|release|prepare|cut|publish|set|update|tag|version|changelog|manifests)\b)", re.IGNORECASE
)
_VERSIONS = re.compile(r"\bv?(\d+(?:\.\d+)+(?:[-.+]?\w+)*)")


def read(
    since: dict[str, Any] | None,
    *,
    path: str,
    root: Path = Path(),
    branch: str | None = None,
    tags: str = _VERSION,
    service: str | None = None,
) -> Iterator[Page]:
    """Releases, reverts and hotfixes of the clone at `path` (relative to `root`), from `branch` (default: HEAD) and all tags, and when the
    commits of releases and hotfixes reached the branch.

    tags: which are releases; a glob, in which {service} may stand, or a regular expression that begins with ^ (default: versions).
    service: what is released (default: the name of the clone's folder). Where anything is new, all of it is read again.
    Raises UsageError and DataError.
    """
    clone = Clone(root / path)
    tip = clone.tip(branch)
    there = clone.tags()
    releases = compiled(tags, "tags")
    progress = Progress.of(since, clone, tip, digest_of(tags=tags, service=service, merges="compared or not"))
    hot = {name: sha for name, sha in clone.branches().items() if _BRANCH.match(name)}
    seen = digest_of(tags=[(tag.name, tag.commit, tag.at) for tag in there], branches=sorted(hot.items()))
    if progress.since == tip and progress.gap is None and since is not None and since.get("tags") == seen:
        return
    named = service or clone.name
    history = History()
    # Branches and pull requests that were never merged hold thousands of commits that nobody has run: HEAD and tags, and no --all.
    _walk(clone, [tip, "--tags"], history)
    taken_back = reverts(history.messages.values())
    chosen = [(tag, found) for tag in there if (found := releases.search(tag.name))]
    fixes = _hotfixes(history, set(history.line(tip)), taken_back)
    items = [*(_release(tag, found, named) for tag, found in chosen), *({"service": named, **item} for item in fixes)]
    undone = [_revert(one, named) for one in taken_back]
    seen_at = clone.time_of(tip)
    merges = [item | {"seen": seen_at} for item in _arrived(clone, history, tip, items, hot)]
    yield Page(
        {
            "deployment": [to_release(item) if "tag" in item else to_hotfix(item) for item in items],
            "rollback": [to_revert(item) for item in undone],
            "merge": [to_merge(item) for item in merges],
        },
        [*items, *undone, *merges],
        progress.after([(tip, seen_at)]).cursor | {"tags": seen},
        # What is covered is not said: the end of a project's history is no moment up to which anything is known of production.
        gap=progress.gap,
    )


def remade(raw: Raw, _people: People) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records that the kept items make, by kind."""
    for source, seen, item in raw():
        record, make = ("deployment", to_release if "tag" in item else to_hotfix)
        if "merge" in item:
            record, make = "merge", to_merge
        elif "how" in item:
            record, make = "rollback", to_revert
        yield record, {"source": source, "revised_at": seen, **make(item)}


def to_release(item: dict[str, Any]) -> dict[str, Any]:
    """A tag as a release, in the environment "tags". A lightweight tag says no time of its own: it carries its commit's."""
    return {
        "source_id": f"tag/{item['tag']}",
        "service": item["service"],
        "environment": TAGS,
        "version": item["version"],
        "vcs_revision": item["commit"],
        "labels": ["code level"],
        "finished_at": item["at"],
        "evidence": [item["commit"], f"refs/tags/{item['tag']}"[:500]],
        "inferred_by": "derived:git_tag" if item["annotated"] else "derived:git_tag_at_commit",
    }


def to_hotfix(item: dict[str, Any]) -> dict[str, Any]:
    """A fix that took the short way, in the environment "code": the merge of a hotfix branch, or a commit picked for a release branch."""
    return {
        "source_id": f"hotfix/{item['commit'][:12]}",
        "service": item["service"],
        "environment": CODE,
        "vcs_revision": item["commit"],
        "kind": "hotfix",
        "branch": item.get("branch"),
        "labels": ["code level"],
        "finished_at": item["at"],
        "committed_at": item.get("original_at"),
        "evidence": [sha for sha in (item["commit"], item.get("original"), *item["again"]) if sha][:200],
        "inferred_by": f"derived:{item['rule']}",
    }


def to_revert(item: dict[str, Any]) -> dict[str, Any]:
    """A reverted commit, in the environment "code"; `from_version` is the commit that was taken back, where that could be told."""
    return {
        "source_id": f"revert/{item['commit'][:12]}",
        "service": item["service"],
        "environment": CODE,
        "from_version": item["undoes"],
        "from_committed_at": item["undone_at"],
        "mechanism": "revert_commit",
        "reason": item["subject"],
        "started_at": item["at"],
        "completed_at": item["at"],
        "evidence": [sha for sha in (item["commit"], item["undoes"], *item["again"]) if sha][:200],
        "inferred_by": f"derived:revert_by_{item['how']}" if item["how"] else "derived:revert_of_unknown",
    }


def to_merge(item: dict[str, Any]) -> dict[str, Any]:
    """A commit that was released, and when it was on the branch that was read; or that it was not, by the time of that branch's last
    commit; or that it could not be told (not_compared)."""
    return {
        "source_id": f"merge/{item['merge'][:12]}",
        "vcs_revision": item["merge"],
        "branch": item["branch"],
        "merged_at": item["at"],
        "merged_as": item["as"],
        "observed_at": item["seen"] if item["at"] is None else None,
        "evidence": [sha for sha in dict.fromkeys((item["merge"], item["as"], item["by"])) if sha],
        "inferred_by": f"derived:{item['rule']}",
    }


def _release(tag: Tag, found: re.Match[str], service: str) -> dict[str, Any]:
    told = found.groupdict().get("service")
    # shop/v1.2.3 is v1.2.3 of shop.
    version = tag.name.removeprefix(told).lstrip("/-@_") if told else tag.name
    return {
        "tag": tag.name,
        "service": told or service,
        "version": version or tag.name,
        "commit": tag.commit,
        "at": tag.at,
        "annotated": tag.annotated,
    }


def _revert(one: Revert, service: str) -> dict[str, Any]:
    return {
        "service": service,
        "commit": one.message.sha,
        "at": one.message.at,
        "subject": one.message.subject,
        "undoes": one.undoes.sha if one.undoes else None,
        "undone_at": one.undoes.at if one.undoes else None,
        "how": one.how,
        "again": list(one.again),
    }


def _walk(clone: Clone, tips: list[str], history: History) -> None:
    for commit in clone.walk(tips, first_parent=False, fields=["%P", "%at", "%T", "%s", "%b"]):
        parents, authored, tree, subject, body = commit.fields
        history.add(Message(commit.sha, commit.at, subject[:LONGEST_SUBJECT], body), parents.split(), authored, tree)


def _hotfixes(history: History, main: set[str], taken_back: list[Revert]) -> list[dict[str, Any]]:
    """One for each fix, however many branches it was brought to: the first of them. A patch version alone makes none."""
    known = history.messages
    reverting = {sha for one in taken_back for sha in (one.message.sha, *one.again)}
    numbered = {number: one for one in known.values() if one.sha in main and (number := number_of(one.subject))}
    found: dict[str, dict[str, Any]] = {}
    for one in sorted(known.values(), key=lambda one: (one.at, one.sha)):
        item: dict[str, Any] = {"commit": one.sha, "at": one.at, "subject": one.subject, "again": []}
        if (merged := _HOTFIX.match(one.subject)) and len(history.parents[one.sha]) > 1:
            # Merged to several branches it has one tip.
            key = history.parents[one.sha][1]
            item |= {"rule": "hotfix_branch", "branch": merged[1][:500]}
        elif one.sha in main or one.sha in reverting:
            continue
        elif (picked := PICKED.search(one.body)) or (picked := PICKED_NUMBER.search(one.subject)):
            original = known.get(picked[1]) or numbered.get(picked[1])
            key = original.sha if original else plain(one.subject)
            item |= {"rule": "cherry_pick", "original": original.sha if original else None}
            item["original_at"] = original.at if original else None
        else:
            continue
        if key in found:
            found[key]["again"].append(one.sha)
        else:
            found[key] = item
    return list(found.values())


def _arrived(clone: Clone, history: History, tip: str, items: list[dict[str, Any]], hot: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Of each commit that may be deployed, when it reached the branch that ends with the tip. hot: branches of hotfixes, which may hold
    commits that no tag leads to."""
    came, cut_off = history.came(tip), clone.is_shallow
    unmerged = {name: sha for name, sha in hot.items() if sha not in came}
    if unmerged:
        _walk(clone, [*sorted(set(unmerged.values())), "--not", tip, "--tags"], history)
    shipped, branches = _shipped(history, came, items, unmerged)
    for one in arrivals(clone, history, came, shipped):
        # What lies beyond the end of a history that was cut off may be on the branch all the same.
        if one.at is not None or not cut_off:
            yield {"merge": one.sha, "branch": branches.get(one.sha), "at": one.at, "as": one.name, "by": one.by, "rule": one.how}


def _shipped(
    history: History, came: dict[str, str], items: list[dict[str, Any]], hot: dict[str, str]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Commits that may be deployed, each with those whose changes it ships; and the branches of hotfixes on which they were made.

    A release ships what came since the releases before it; what only sets its version is not missed on any other branch.
    """
    shipped: dict[str, list[str]] = {}
    branches: dict[str, str] = {}
    tagged = {item["commit"] for item in items if "tag" in item}

    def new(sha: str) -> list[str]:
        return history.changing(history.since(sha, lambda one: one in tagged or came.get(one) != came.get(sha)))

    def on_branch(name: str, tip: str, shas: list[str]) -> None:
        shipped.setdefault(tip, history.changing(shas))
        for one in history.changing(shas):
            shipped.setdefault(one, [one])
        branches.update((one, name[:500]) for one in shas if one in shipped and one not in branches)

    for item in items:
        sha = item["commit"]
        if "tag" in item:
            ships = new(sha) if came.get(sha) != sha else []
            shipped[sha] = [one for one in ships if not _sets(history.messages[one].subject, item["version"].removeprefix("v"))]
    for item in items:
        for sha in () if "tag" in item else (item["commit"], *item["again"]):
            merged = history.merged_in(sha, came) if len(history.parents[sha]) > 1 else [sha]
            shipped.setdefault(sha, history.changing(merged))
            if "branch" in item:
                on_branch(item["branch"], history.parents[sha][1], merged)
    for name, sha in sorted(hot.items()):
        on_branch(name, sha, history.since(sha, lambda one: one in came or one in tagged))
    return {sha: ships or history.fork(sha, came) for sha, ships in shipped.items()}, branches


def _sets(subject: str, version: str) -> bool:
    return _CUT.match(subject) is not None and version in _VERSIONS.findall(subject)
