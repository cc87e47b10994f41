"""Which deployments ship the same thing: identity by the strongest identifier that both carry."""

from __future__ import annotations

import re
from typing import Any

from tests.oracle.observed import MUTABLE, Row

__all__ = ["Artifact", "artifact_of", "carries", "is_below", "parsed", "ships"]

VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


class Artifact:
    """What runs, under all the names it has been given so far."""

    def __init__(self, config: str | None) -> None:
        self.digests: set[str] = set()
        self.versions: set[str] = set()
        self.commits: set[str] = set()
        self.config = config
        self.last_version: str | None = None
        # Start and place in the order of its first successful appearance.
        self.first: tuple[Any, int] | None = None


def version_of(row: Row) -> str | None:
    """A mutable tag is no version."""
    return None if row["version"] in MUTABLE else row["version"]


def artifact_of(row: Row, recent: list[Artifact]) -> Artifact | None:
    """The most recently used artifact that the deployment equals, else a new one; None: nothing identifies it. `recent`: last used last."""
    row["rebuilt"] = False
    if row["artifact_digest"] is None and version_of(row) is None and row["vcs_revision"] is None:
        return None
    for artifact in reversed(recent):
        if equals(row, artifact):
            break
    else:
        artifact = Artifact(row["config_revision"])
        recent.append(artifact)
    digest = row["artifact_digest"]
    row["rebuilt"] = bool(digest and artifact.digests and digest not in artifact.digests)
    recent.remove(artifact)
    recent.append(artifact)
    if digest is not None:
        artifact.digests.add(digest)
    if version_of(row) is not None:
        artifact.versions.add(row["version"])
        artifact.last_version = row["version"]
    if row["vcs_revision"] is not None:
        artifact.commits.add(row["vcs_revision"])
    if artifact.config is None:
        artifact.config = row["config_revision"]
    return artifact


def equals(row: Row, artifact: Artifact) -> bool:
    """By configuration, digest, version, commit: the first that both carry decides; the same commit under another digest was rebuilt."""
    if row["config_revision"] is not None and artifact.config is not None and row["config_revision"] != artifact.config:
        return False
    same_commit = row["vcs_revision"] in artifact.commits
    if row["artifact_digest"] is not None and artifact.digests:
        return row["artifact_digest"] in artifact.digests or same_commit
    if version_of(row) is not None and artifact.versions:
        return row["version"] in artifact.versions
    return same_commit


def carries(artifact: Artifact | None, digest: str | None, version: str | None) -> bool:
    """Whether this is the thing that a declared rollback names."""
    if artifact is None:
        return False
    if digest is not None and artifact.digests:
        return digest in artifact.digests
    return version is not None and version not in MUTABLE and version in artifact.versions


def ships(row: Row, digest: str | None, version: str | None) -> bool:
    """Whether a deployment ships what a declared rollback restores: by what both say, else by what its artifact is known as."""
    if digest is not None and row["artifact_digest"] is not None:
        return digest == row["artifact_digest"]
    if version is not None and version not in MUTABLE and version_of(row) is not None:
        return version == row["version"]
    return carries(row["artifact"], digest, version)


def parsed(version: str | None) -> tuple[tuple[int, int, int], str | None] | None:
    """Numbers and prerelease of vN or a semantic version."""
    found = VERSION.fullmatch(version or "")
    if not found:
        return None
    major, minor, patch, prerelease = found.groups()
    return (int(major), int(minor or 0), int(patch or 0)), prerelease


def is_below(version: str | None, current: str | None) -> bool:
    """Whether one version comes before another, as semantic versioning orders them."""
    a, b = parsed(version), parsed(current)
    if a is None or b is None:
        return False
    if a[0] != b[0]:
        return a[0] < b[0]
    if a[1] is None or b[1] is None:
        return a[1] is not None and b[1] is None
    return _identifiers(a[1]) < _identifiers(b[1])


def _identifiers(prerelease: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease.split(".")]
