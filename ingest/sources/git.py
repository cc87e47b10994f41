"""A clone of a project's own repository: tags as releases, reverts, and fixes brought to release branches. All of it is code level."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.gitlog import Clone, Tag
from ingest.globs import compiled
from ingest.history import Progress, digest_of
from ingest.pages import Page, Raw
from ingest.reverts import Message, Revert, number_of, plain, reverts
from toolkit.store.people import People

__all__ = ["read", "remade", "to_hotfix", "to_release", "to_revert"]

# No environments of production: a tag is not yet deployed, and a reverted commit is not yet rolled back.
TAGS, CODE = "tags", "code"
LONGEST_SUBJECT = 1_000
_VERSION = r"^v?\d+(\.\d+)+([-.+]?\w[\w.+-]*)?$"
_HOTFIX = re.compile(
    r"Merge (?:remote-tracking )?(?:branch '(?:origin/)?|pull request #\d+ from [^\s/]+/)(hot-?fix(?:es)?[/_-][^\s']*)", re.IGNORECASE
)
_PICKED = re.compile(r"\(cherry picked from commit ([0-9a-f]{7,64})\)")
_PICKED_NUMBER = re.compile(r"\([^()]*cherry[ -]?pick(?:ed)?[^()#]*#(\d+)[^()]*\)", re.IGNORECASE)


def read(
    since: dict[str, Any] | None,
    *,
    path: str,
    root: Path = Path(),
    branch: str | None = None,
    tags: str = _VERSION,
    service: str | None = None,
) -> Iterator[Page]:
    """Releases, reverts and hotfixes of the clone at `path` (relative to `root`), from `branch` (default: HEAD) and all tags.

    tags: which are releases; a glob, in which {service} may stand, or a regular expression that begins with ^ (default: versions).
    service: what is released (default: the name of the clone's folder). Where anything is new, all of it is read again.
    Raises UsageError and DataError.
    """
    clone = Clone(root / path)
    tip = clone.tip(branch)
    there = clone.tags()
    releases = compiled(tags, "tags")
    progress = Progress.of(since, clone, tip, digest_of(tags=tags, service=service))
    seen = digest_of(tags=[(tag.name, tag.commit, tag.at) for tag in there])
    if progress.since == tip and progress.gap is None and since is not None and since.get("tags") == seen:
        return
    named = service or clone.name
    history = _History()
    # Branches and pull requests that were never merged hold thousands of commits that nobody has run: HEAD and tags, and no --all.
    for commit in clone.walk([tip, "--tags"], first_parent=False, fields=["%P", "%s", "%b"]):
        history.add(Message(commit.sha, commit.at, commit.fields[1][:LONGEST_SUBJECT], commit.fields[2]), commit.fields[0].split())
    taken_back = reverts(history.messages)
    items = [
        *(_release(tag, found, named) for tag in there if (found := releases.search(tag.name))),
        *({"service": named, **item} for item in history.hotfixes(tip, taken_back)),
    ]
    undone = [_revert(one, named) for one in taken_back]
    yield Page(
        {
            "deployment": [to_release(item) if "tag" in item else to_hotfix(item) for item in items],
            "rollback": [to_revert(item) for item in undone],
        },
        [*items, *undone],
        progress.after([(tip, clone.time_of(tip))]).cursor | {"tags": seen},
        # What is covered is not said: the end of a project's history is no moment up to which anything is known of production.
        gap=progress.gap,
    )


def remade(raw: Raw, _people: People) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records that the kept items make, by kind."""
    for source, seen, item in raw():
        record, make = ("rollback", to_revert) if "how" in item else ("deployment", to_release if "tag" in item else to_hotfix)
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
        "mechanism": "revert_commit",
        "reason": item["subject"],
        "started_at": item["at"],
        "completed_at": item["at"],
        "evidence": [sha for sha in (item["commit"], item["undoes"], *item["again"]) if sha][:200],
        "inferred_by": f"derived:revert_by_{item['how']}" if item["how"] else "derived:revert_of_unknown",
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


@dataclass
class _History:
    """The commits of a repository, oldest first, and which of them took the short way to users."""

    messages: list[Message] = field(default_factory=list)
    parents: dict[str, list[str]] = field(default_factory=dict)

    def add(self, message: Message, parents: list[str]) -> None:
        """One commit more."""
        self.messages.append(message)
        self.parents[message.sha] = parents

    def hotfixes(self, tip: str, taken_back: list[Revert]) -> list[dict[str, Any]]:
        """One for each fix, however many branches it was brought to: the first of them. A patch version alone makes none."""
        main = self._main(tip)
        reverting = {sha for one in taken_back for sha in (one.message.sha, *one.again)}
        numbered = {number: one for one in self.messages if one.sha in main and (number := number_of(one.subject))}
        known = {one.sha: one for one in self.messages}
        found: dict[str, dict[str, Any]] = {}
        for one in sorted(self.messages, key=lambda one: (one.at, one.sha)):
            item: dict[str, Any] = {"commit": one.sha, "at": one.at, "subject": one.subject, "again": []}
            if (merged := _HOTFIX.match(one.subject)) and len(self.parents[one.sha]) > 1:
                # Merged to several branches it has one tip.
                key = self.parents[one.sha][1]
                item |= {"rule": "hotfix_branch", "branch": merged[1][:500]}
            elif one.sha in main or one.sha in reverting:
                continue
            elif (picked := _PICKED.search(one.body)) or (picked := _PICKED_NUMBER.search(one.subject)):
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

    def _main(self, tip: str) -> set[str]:
        """The branch itself, without what was merged into it."""
        line: set[str] = set()
        while tip not in line and tip in self.parents:
            line.add(tip)
            tip = (self.parents[tip] or [""])[0]
        return line
