"""A clone of the repository that says what runs where: each merge that changes a version is a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ingest.gitlog import Clone, Commit
from ingest.globs import compiled, folder_of
from ingest.history import Progress, digest_of
from ingest.manifests import Manifest, Reading, by_key, by_pattern, first_of
from ingest.pages import Page, Raw
from toolkit.errors import UsageError
from toolkit.store.people import People

__all__ = ["read", "remade", "to_deployment", "to_flag_change"]

# Where versions stand in Helm values, kustomizations, Flux HelmReleases and plain manifests. The first that finds something counts.
USUAL = [
    "image.tag", "images.{service}.newTag", "images.{service}.digest", "spec.chart.spec.version", "spec.values.image.tag",
    "spec.template.spec.containers.*.image", "image_tag", "image", "tag", "version",
]  # fmt: skip
# Parts of the names by which programs commit.
BOTS = ["[bot]", "-bot@", "-bot <", "bot@", "github-actions", "argocd-image-updater", "fluxcd", "flux <", "renovate", "dependabot"]
LARGEST = 1 << 20
COMMITS_A_PAGE = 2_000
# Contents whose values are remembered: most files are changed to what another one was before.
REMEMBERED = 100_000
OFF = ("false", "no", "off", "0", "disabled")
_DIGEST = re.compile(r"@?(sha256:[0-9a-f]{64})$")
_REVISION = re.compile(r"[0-9a-f]{40}")

Values = dict[str | None, str]


def read(
    since: dict[str, Any] | None,
    *,
    path: str,
    files: str | list[str],
    root: Path = Path(),
    branch: str | None = None,
    version: str | list[str] | None = None,
    pattern: str | None = None,
    service: str | None = None,
    environment: str = "production",
    bots: list[str] | None = None,
    switch: str | None = None,
) -> Iterator[Page]:
    """Deployments from the clone at `path` (relative to `root`), along the first parents of `branch` (default: HEAD).

    files: which files hold versions; globs with {service} and {environment}, or, beginning with ^, regular expressions with those groups.
    version: the key or JSONPath of the version, or several of which the first that finds something counts (default: the usual ones).
    pattern: instead, a regular expression over the text. service, environment: where the file does not say. bots: parts of the names of
    authors that are programs; all others are then people. switch: the key of a flag that stops automatic deployments while it is off.
    Raises UsageError and DataError.
    """
    patterns = [files] if isinstance(files, str) else files
    clone = Clone(root / path)
    manifests = _Manifests(
        clone,
        [compiled(one, "files") for one in patterns],
        _reading(version, pattern),
        by_key(switch) if switch else lambda _: [],
        service or clone.name,
        environment,
    )
    tip = clone.tip(branch)
    how = digest_of(files=files, version=version, pattern=pattern, service=service, environment=environment, bots=bots, switch=switch)
    progress = Progress.of(since, clone, tip, how)
    if progress.since == tip and progress.gap is None:
        return
    at_first, found = progress.since is None, 0
    commits = clone.walk([tip], since=progress.since, fields=["%an <%ae>"], under=[folder_of(one) for one in patterns])
    while some := list(islice(commits, COMMITS_A_PAGE)):
        manifests.learn(some)
        items = [item for commit in some for item in _items(commit, manifests, bots, switch)]
        found += len(items)
        if progress.until is None:
            # What is covered begins with the first version, not with the repository.
            some = some[[commit.sha for commit in some].index(items[0]["commit"]) :] if items else []
        before, progress = progress, progress.after((commit.sha, commit.at) for commit in some)
        yield _page(items, before, progress, switch)
    if at_first and not found:
        raise UsageError(manifests.nothing_found(path, patterns))
    yield _page([], progress, progress.after([(tip, clone.time_of(tip))]), switch)


def remade(raw: Raw, _people: People) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records that the kept items make, by kind. Authors are not among what is kept."""
    for source, seen, item in raw():
        record, fields = ("flag_change", to_flag_change(item)) if "switch" in item else ("deployment", to_deployment(item))
        yield record, {"source": source, "revised_at": seen, **fields}


def to_deployment(item: dict[str, Any]) -> dict[str, Any]:
    """A version that a merge brought. The merge's time is when it was finished: a controller follows within minutes.

    That is no commit time of the change, so nothing is said of lead time.
    """
    value = item["value"]
    digest = _DIGEST.search(value)
    named = value[: digest.start()] if digest else value
    # Of an image's name only the tag is a version; a tag holds neither of the two signs.
    named = named.rsplit("/", 1)[-1].rsplit(":", 1)[-1] if ":" in named.rsplit("/", 1)[-1] else "" if digest else named
    return {
        "source_id": f"{item['environment']}/{item['service']}@{item['commit'][:12]}",
        "service": item["service"],
        "environment": item["environment"],
        "version": named or None,
        "artifact_digest": digest[1] if digest else None,
        "vcs_revision": named if _REVISION.fullmatch(named) else None,
        "trigger": item["trigger"],
        "actor": item.get("author"),
        "finished_at": item["at"],
        "evidence": [item["commit"], item["path"][:500]],
        "inferred_by": "derived:gitops_merge",
    }


def to_flag_change(item: dict[str, Any]) -> dict[str, Any]:
    """Automatic deployments of a service stopped (off) or set going again (on)."""
    return {
        "source_id": f"{item['environment']}/{item['service']}/{item['switch']}@{item['commit'][:12]}",
        "flag": item["switch"],
        "environment": item["environment"],
        "service": item["service"],
        "action": _state(item["value"]),
        "before": item["before"],
        "after": item["value"],
        "actor": item.get("author"),
        "at": item["at"],
        "evidence": [item["commit"], item["path"][:500]],
        "inferred_by": "derived:gitops_merge",
    }


@dataclass
class _Manifests:
    """What the files of interest say, by the names of their contents."""

    clone: Clone
    patterns: list[re.Pattern[str]]
    versions: Reading
    switches: Reading
    service: str
    environment: str
    places: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    known: dict[str, tuple[Values, Values]] = field(default_factory=dict)
    held: int = 0

    def place(self, path: str) -> tuple[str, str] | None:
        """The service and environment of a file, or None where it is of no interest."""
        if path not in self.places:
            fits = next((fits for pattern in self.patterns if (fits := pattern.search(path))), None)
            said = fits.groupdict() if fits else {}
            named = (said.get("service") or self.service, said.get("environment") or self.environment)
            self.places[path] = named if fits else None
        return self.places[path]

    def learn(self, commits: list[Commit]) -> None:
        """Read the contents that these commits speak of and that are not known yet."""
        if self.held + len(self.places) > REMEMBERED:
            self.known.clear()
            self.places.clear()
            self.held = 0
        changes = (change for commit in commits for change in commit.changes if self.place(change.path))
        wanted = (sha for change in changes for sha in (change.before, change.after) if sha and sha not in self.known)
        for sha, text in self.clone.contents(wanted, at_most=LARGEST):
            said = Manifest(text.decode("utf-8", "replace") if text is not None else "")
            self.known[sha] = (_values(self.versions, said), _values(self.switches, said))
            self.held += 1 + sum(map(len, self.known[sha]))

    def nothing_found(self, path: str, patterns: list[str]) -> str:
        """What to say where no version was found at all."""
        fits = [name for name, place in self.places.items() if place]
        if not fits:
            return f'No file in {path} matches {", ".join(patterns)}. Write files as in "apps/{{environment}}/{{service}}/values.yaml".'
        stands = 'Say where it stands, as in version = "image.tag".'
        return f"{len(fits)} files in {path} match, {fits[0]!r} among them, but none holds a version. {stands}"


def _values(reading: Reading, manifest: Manifest) -> Values:
    """By the service that each names. Several different ones are one version together: if one of them changes, so does what runs."""
    gathered: dict[str | None, dict[str, None]] = {}
    for found in reading(manifest):
        gathered.setdefault(found.service, {})[found.value.strip()] = None
    return {service: ",".join(values) for service, values in gathered.items()}


def _items(commit: Commit, manifests: _Manifests, bots: list[str] | None, switch: str | None) -> Iterator[dict[str, Any]]:
    """What the commit changed for a service in an environment: its version, or its switch."""
    # Over all files of the commit, so that one that was only moved changes nothing.
    was: list[dict[tuple[str, str], str]] = [{}, {}]
    now: list[dict[tuple[str, str], tuple[str, str]]] = [{}, {}]
    for change in commit.changes:
        place = manifests.place(change.path)
        if place is None:
            continue
        for kind in (0, 1):
            for named, value in manifests.known[change.before][kind].items() if change.before else ():
                was[kind][named or place[0], place[1]] = value
            for named, value in manifests.known[change.after][kind].items() if change.after else ():
                now[kind][named or place[0], place[1]] = (value, change.path)
    author = commit.fields[0][:200]
    shared = {"commit": commit.sha, "at": commit.at, "author": author, "trigger": _trigger(author, bots)}
    for (service, environment), (value, path) in now[0].items():
        if value != was[0].get((service, environment)):
            yield {**shared, "path": path, "service": service, "environment": environment, "value": value}
    for (service, environment), (value, path) in now[1].items():
        before = was[1].get((service, environment))
        # Where nothing was said before, deployments went by themselves.
        if _state(value) != _state(before or ""):
            yield {
                **shared,
                "path": path,
                "service": service,
                "environment": environment,
                "value": value,
                "before": before,
                "switch": switch,
            }


def _page(items: list[dict[str, Any]], before: Progress, after: Progress, switch: str | None) -> Page:
    records = {"deployment": [to_deployment(item) for item in items if "switch" not in item]}
    if switch:
        # Only what was looked for was covered.
        records["flag_change"] = [to_flag_change(item) for item in items if "switch" in item]
    first, last = before.until or after.start, after.until
    return Page(
        records,
        [{name: value for name, value in item.items() if name != "author"} for item in items],
        after.cursor,
        covers=(min(first, last), max(first, last)) if first and last else None,
        gap=before.gap,
    )


def _state(value: str) -> str:
    return "off" if value.lower() in OFF else "on"


def _trigger(author: str, bots: list[str] | None) -> str | None:
    """By whom. Without a list of one's own, an author that is no known program may be one all the same: nothing is said."""
    if any(part.lower() in author.lower() for part in (BOTS if bots is None else bots)):
        return "auto"
    return None if bots is None else "manual"


def _reading(version: str | list[str] | None, pattern: str | None) -> Reading:
    if pattern is not None:
        if version is not None:
            raise UsageError("gitops: version and pattern are two ways to find the version. Keep one.")
        return by_pattern(pattern)
    return first_of([version] if isinstance(version, str) else version or USUAL)
