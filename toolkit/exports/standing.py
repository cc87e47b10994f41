"""Whether criteria still stand: not expired, deployed as agreed, and within the cap since they were adopted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import FILE, Policy
from toolkit.errors import DataError
from toolkit.exports.terms import Certificate
from toolkit.hindsight import judged, passages_of
from toolkit.labels import labels_of
from toolkit.stats.proportions import clopper_pearson

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["certificate", "standing"]


def certificate(workspace: Workspace, criterion: Criterion) -> Certificate:
    """What stands behind a criterion in the data as published; only what the policy says where nothing is."""
    policy = Policy.read(workspace.root) or Policy()
    said = Certificate(criterion.name, criterion.setting(), adopted_by=criterion.adopted_by, expires=criterion.expires)
    if not workspace.published or not workspace.meta.get("horizon"):
        return said
    rows = _judged(workspace, criterion, policy)
    counted = dict(rows.filter(pl.col("telemetry")).group_by("label").len().iter_rows())
    return Certificate(
        criterion.name,
        criterion.setting(),
        policy.terms.alpha,
        policy.terms.delta,
        int(counted.get("good", 0)),
        int(counted.get("bad", 0)),
        tuple(sorted(rows.filter(pl.col("telemetry"))["service"].unique())),
        workspace.meta["version"],
        criterion.adopted_by,
        criterion.expires,
    )


def standing(workspace: Workspace, files: Mapping[str, str] | None = None, *, today: date | None = None) -> list[dict[str, Any]]:
    """Findings: what, why, next. files: exported ones by name, held against the policy by their certificates."""
    policy = Policy.read(workspace.root)
    if policy is None:
        return []
    today = today or datetime.now(UTC).date()
    found = [*_expired(policy, today), *_broken(workspace, policy, today)]
    for name, text in (files or {}).items():
        found += _drifted(policy, name, text, today)
    return found


def _finding(what: str, why: str, then: str) -> dict[str, Any]:
    return {"what": what, "why": why, "next": then}


def _expired(policy: Policy, today: date) -> Iterator[dict[str, Any]]:
    for one in policy.in_force(today):
        if one.expires is not None and one.expires <= today:
            yield _finding(
                f"expired: {one.name}", f"to be looked at again by {one.expires}", f"knowngood recalibrate --criterion {one.name!r}"
            )


def _drifted(policy: Policy, name: str, text: str, today: date) -> Iterator[dict[str, Any]]:
    try:
        certificates = Certificate.of(text)
    except DataError as error:
        yield _finding(f"unreadable: {name}", error.message, "knowngood export criteria")
        return
    if not certificates:
        yield _finding(f"no certificate: {name}", "nobody can say what stands behind it", "knowngood export criteria")
    agreed = {one.name: one for one in policy.in_force(today)}
    for one in certificates:
        current = agreed.get(one.criterion)
        if current is None:
            yield _finding(
                f"not in force: {one.criterion}", f"{name} acts on it, and {FILE} does not know it", "remove it there, or adopt it"
            )
        elif current.setting() != one.limit:
            why = f"{name} has {one.limit:g}, and {current.setting():g} was agreed"
            yield _finding(f"drifted: {one.criterion}", why, "knowngood export criteria")
        if one.expires is not None and one.expires <= today:
            yield _finding(f"expired: {one.criterion} in {name}", f"its certificate ended on {one.expires}", "knowngood recalibrate")


def _broken(workspace: Workspace, policy: Policy, today: date) -> Iterator[dict[str, Any]]:
    """Criteria that have stopped more good deployments since they were adopted than the cap allows, for sure."""
    if not workspace.published or not workspace.meta.get("horizon"):
        return
    for one in policy.in_force(today):
        rows = _judged(workspace, one, policy).filter(pl.col("verdict").is_in(["false_stop", "quiet"]))
        since = rows.filter(pl.col("deployed_at").dt.date() >= one.since) if one.since else rows
        k, n = int((since["verdict"] == "false_stop").sum()), len(since)
        if n and float(clopper_pearson(k, n, tail=policy.terms.delta)[0]) > policy.terms.alpha:
            why = f"{k} of {n} good deployments stopped since {one.since or 'the start'}; at most {policy.terms.alpha:.0%} was promised"
            yield _finding(f"cap broken: {one.name}", why, f"knowngood recalibrate --criterion {one.name!r}")


def _judged(workspace: Workspace, criterion: Criterion, policy: Policy) -> pl.DataFrame:
    seen = passages_of(workspace, criterion, numbers=())
    labels = labels_of(workspace, watch=policy.terms.horizon)
    if criterion.service_class is not None:
        labels = labels.filter(pl.col("service_class") == criterion.service_class)
    if criterion.service is not None:
        labels = labels.filter(pl.col("service") == criterion.service)
    return judged(labels, seen, criterion)
