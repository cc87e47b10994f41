"""Whether criteria still stand: not expired, deployed as agreed, within the cap since they were adopted, on deployments as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import Policy
from toolkit.criteria.terms import Terms
from toolkit.exports.deployed import departures
from toolkit.exports.terms import Certificate
from toolkit.hindsight import judged, passages_of
from toolkit.labels import labels_of
from toolkit.passage import Passages, peaks
from toolkit.stats.proportions import clopper_pearson
from toolkit.stats.strata import van_elteren

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["certificate", "changed", "standing"]


def certificate(workspace: Workspace, criterion: Criterion) -> Certificate:
    """What stands behind a criterion in the data as published; only what the policy says where nothing is."""
    policy = Policy.read(workspace.root) or Policy()
    said = Certificate(criterion.name, criterion.setting(), adopted_by=criterion.adopted_by, expires=criterion.expires)
    if not workspace.published or not workspace.meta.get("horizon"):
        return said
    rows, _ = _judged(workspace, criterion, labels_of(workspace, watch=policy.terms.horizon))
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


def standing(
    workspace: Workspace, files: Mapping[str, str] | None = None, *, today: date | None = None, walk: bool = True
) -> list[dict[str, Any]]:
    """Findings: what, why, next. files: exported ones by name, held against the policy. walk: whether telemetry is read for a policy that
    is another than the one published; else only what was published speaks for or against a criterion."""
    policy = Policy.read(workspace.root)
    if policy is None:
        return []
    today = today or datetime.now(UTC).date()
    found = [*_expired(policy, today), *(_outgrown(workspace, policy, today) if walk or _as_published(workspace, policy) else ())]
    for name, text in (files or {}).items():
        found += departures(policy, name, text, today)
    return found


def _finding(what: str, why: str, then: str) -> dict[str, Any]:
    return {"what": what, "why": why, "next": then}


def _expired(policy: Policy, today: date) -> Iterator[dict[str, Any]]:
    for one in policy.in_force(today):
        if one.expires is not None and one.expires <= today:
            yield _finding(
                f"expired: {one.name}", f"to be looked at again by {one.expires}", f"knowngood recalibrate --criterion {one.name!r}"
            )


def _as_published(workspace: Workspace, policy: Policy) -> bool:
    return workspace.published and policy.content() == (workspace.meta.get("settings") or {}).get("criteria")


def _outgrown(workspace: Workspace, policy: Policy, today: date) -> Iterator[dict[str, Any]]:
    """Criteria that the data as published speak against."""
    if not workspace.published or not workspace.meta.get("horizon"):
        return
    labels = labels_of(workspace, watch=policy.terms.horizon)
    for one in policy.in_force(today):
        rows, seen = _judged(workspace, one, labels)
        yield from _broken(one, rows, policy.terms)
        yield from changed(one, rows, seen, policy.terms)


def _broken(one: Criterion, rows: pl.DataFrame, terms: Terms) -> Iterator[dict[str, Any]]:
    """It has stopped more good deployments since it was adopted than the cap allows, for sure."""
    counted = rows.filter(pl.col("verdict").is_in(["false_stop", "quiet"]))
    since = counted.filter(pl.col("deployed_at").dt.date() >= one.since) if one.since else counted
    k, n = int((since["verdict"] == "false_stop").sum()), len(since)
    if n and float(clopper_pearson(k, n, tail=terms.delta)[0]) > terms.alpha:
        why = f"{k} of {n} good deployments stopped since {one.since or 'the start'}; at most {terms.alpha:.0%} was promised"
        yield _finding(f"cap broken: {one.name}", why, f"knowngood recalibrate --criterion {one.name!r}")


def changed(one: Criterion, rows: pl.DataFrame, seen: Passages, terms: Terms) -> Iterator[dict[str, Any]]:
    """Good deployments of the last days peak otherwise than all before, within their services: its promise was about those. rows: of a
    Replay of the criterion; seen: its passages. Nothing where either side has too few to tell."""
    good = rows.filter(pl.col("label") == "good", pl.col("telemetry"))
    highest = [peaks(seen.profiles, seen.watched.filter(pl.col("in_force") == n), n) for n in seen.watched["in_force"].unique().sort()]
    if not highest or good.is_empty():
        return
    told = good.join(pl.concat(highest), on="deployment").sort("deployed_at", "deployment")
    newest = told["deployed_at"].max()
    later = (told["deployed_at"] > newest - timedelta(days=terms.drift_days)).to_numpy() if isinstance(newest, datetime) else None
    after = 0 if later is None else int(later.sum())
    if later is None or min(after, len(told) - after) < terms.drift_good:
        return
    service = told["service"].rank("dense").to_numpy().astype(np.int64)
    if van_elteren(told["peak"].to_numpy(), later, service) < terms.drift_level:
        why = f"{after} good deployments of the last {terms.drift_days} days peak otherwise than the {len(told) - after} before them"
        yield _finding(f"changed: {one.name}", why, f"knowngood recalibrate --criterion {one.name!r}")


def _judged(workspace: Workspace, criterion: Criterion, labels: pl.DataFrame) -> tuple[pl.DataFrame, Passages]:
    seen = passages_of(workspace, criterion, numbers=())
    if criterion.service_class is not None:
        labels = labels.filter(pl.col("service_class") == criterion.service_class)
    if criterion.service is not None:
        labels = labels.filter(pl.col("service") == criterion.service)
    return judged(labels, seen, criterion), seen
