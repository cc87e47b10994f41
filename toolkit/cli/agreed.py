"""What doctor has to say of what was agreed: criteria that no longer stand, what they say without meaning to, and unwritten steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from toolkit.errors import KnowngoodError

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.workspace import Workspace

__all__ = ["agreed_findings", "agreed_hints"]

POLICY = "policy/criteria.toml"


def agreed_findings(place: Workspace, files: Sequence[Path] = ()) -> Iterator[dict[str, Any]]:
    """Criteria that no longer stand, conditions that nobody can mean, and what was wrong with the telemetry: what, rows, why, next.
    files: exported criteria, as they are deployed. Nothing without a policy."""
    from toolkit.criteria.lint import lint
    from toolkit.exports.standing import standing

    try:
        policy = place.policy
        deployed = {str(path): path.read_text(encoding="utf-8", errors="replace") for path in files}
        # Quick: a policy that is not published yet is a finding by itself.
        found = standing(place, deployed, walk=False) if policy is not None else []
    except KnowngoodError:
        # Said already: the policy cannot be read.
        return
    yield from ({"rows": 1, **one} for one in found)
    # A promise to look again by a day is about our days, not about the data's.
    for warned in lint(policy, today=datetime.now(UTC).date()) if policy is not None else ():
        if not warned.hint and warned.rule != "expired":
            yield {"what": f"criterion: {warned.criterion}", "rows": 1, "why": f"{warned.rule}: {warned.text}", "next": POLICY}
    yield from _telemetry(place)


def _telemetry(place: Workspace) -> Iterator[dict[str, Any]]:
    import polars as pl

    try:
        telemetry = place.facts.telemetry.collect()
    except (KnowngoodError, AttributeError):
        # Nothing has been published, or not since there are criteria.
        return
    rules = telemetry.group_by("rule").agg(pl.col("n").sum(), pl.len(), pl.col("text").first()).sort("rule")
    for rule, n, series, text in rules.rows():
        yield {
            "what": f"telemetry: {rule}",
            "rows": n,
            "why": f"{text} ({series:,} series)",
            "next": "correct it at the source and load again",
        }


def agreed_hints(place: Workspace) -> Iterator[dict[str, Any]]:
    """What deserves a second look and may be meant: semantics of criteria that surprise people, and what is done in trouble though no
    playbook of the team has it. Nothing without a policy."""
    from toolkit.criteria.lint import lint

    try:
        policy = place.policy
    except KnowngoodError:
        policy = None
    yield from _unwritten(place)
    for warned in lint(policy, today=datetime.now(UTC).date()) if policy is not None else ():
        if warned.hint:
            yield {"what": f"criterion: {warned.criterion}", "rows": 1, "why": f"{warned.rule}: {warned.text}", "next": POLICY}


def _unwritten(place: Workspace) -> Iterator[dict[str, Any]]:
    """Of the team's own playbooks: those that come with the product are nobody's agreement."""
    import polars as pl

    from toolkit.playbooks import FOLDER

    if not any((place.root / FOLDER).glob("*.toml")):
        return
    try:
        rows = place.facts.conformance.filter(pl.col("verdict") == "unwritten").collect()
    except (KnowngoodError, AttributeError):
        return
    counted = rows.group_by("playbook", "what").agg(pl.len(), pl.col("incident").n_unique().alias("incidents")).sort("playbook", "what")
    for playbook, what, n, incidents in counted.rows():
        why = f"done in {incidents:,} incidents that fell under the playbook {playbook}, in which no step is shown by it"
        yield {"what": f"unwritten: {what}", "rows": n, "why": why, "next": f"write it into {FOLDER}, if it helps"}
