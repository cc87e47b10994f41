"""The gate: one answer for one deployment, by the criteria in force: proceed, pause or revert, with the evidence. Others act."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import FILE
from toolkit.criteria.terms import Terms
from toolkit.errors import UsageError
from toolkit.hindsight import in_words
from toolkit.passage import detections, passages, peaks
from toolkit.watch import classes_of, of_facts

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["EXIT", "Finding", "Ruling", "Subject", "rule", "subject_of"]

Decision = Literal["proceed", "pause", "revert"]
EXIT: dict[Decision, int] = {"proceed": 0, "pause": 10, "revert": 20}

# Of the evaluations so far, how many may be without a sample before the rest proves nothing.
MISSING = 0.2
TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Subject:
    """What is asked about. source_id: as the deployment's source calls it; deployed_at: None where nobody knows."""

    service: str
    deployment: str
    source_id: str
    environment: str
    deployed_at: datetime | None


@dataclass(frozen=True)
class Finding:
    """One criterion. state: fires, quiet, or unknown (why says it). t: minutes from deployed_at to firing. peak: the highest state so far,
    as a limit; None where it has none. evaluations, missing: so far, and how many of them without a sample."""

    criterion: str
    rule: str
    action: Literal["revert", "pause"]
    state: Literal["fires", "quiet", "unknown"]
    why: str | None
    t: float | None
    limit: float
    peak: float | None
    evaluations: int
    missing: int


@dataclass(frozen=True)
class Ruling:
    """The answer. id: the same for the same deployment, criteria and data. at: of the newest sample that was used, else of the deployment;
    None where neither is known. reasons: why not better."""

    id: str
    decision: Decision
    service: str
    deployment: str
    environment: str
    at: datetime | None
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    data: str

    def as_verdict(self) -> dict[str, Any]:
        """The fields of a Verdict record. Raises UsageError where nobody knows when it was."""
        if self.at is None:
            raise UsageError("A verdict without a time is no record: say --since, when the deployment began.")
        decisive = next((one for one in self.findings if one.state == "fires"), None)
        decisive = decisive or next((one for one in self.findings if one.state == "unknown"), None)
        return {
            "source_id": self.id,
            "deployment": self.deployment,
            "service": self.service,
            "environment": self.environment,
            "tool": "knowngood gate",
            "criterion": decisive.criterion if decisive else None,
            "decision": self.decision,
            "score": decisive.peak if decisive else None,
            "checks": max((one.evaluations for one in self.findings), default=0),
            "at": self.at.isoformat(),
        }


def subject_of(
    workspace: Workspace, service: str, deployment: str, *, since: datetime | None = None, environment: str = "production"
) -> Subject:
    """The deployment as the facts know it, by its id or its source's; else as it was told. since: when it began, where the facts do not
    say or have not heard of it yet. Raises UsageError where several deployments of the service have that id."""
    rows = pl.DataFrame()
    if workspace.published:
        named = (pl.col("id") == deployment) | (pl.col("source_id") == deployment)
        rows = workspace.facts.deployments.filter(pl.col("service") == service, named).collect()
    if rows.height > 1 and rows.filter(pl.col("id") == deployment).height == 1:
        rows = rows.filter(pl.col("id") == deployment)
    if rows.height > 1:
        raise UsageError(f"{deployment!r} names several deployments of {service}: say one of {', '.join(sorted(rows['id']))}.")
    if rows.is_empty():
        return Subject(service, deployment, deployment, environment, since)
    found = rows.row(0, named=True)
    began = since or found["deployed_at"] or found["started_at"]
    return Subject(service, found["id"], found["source_id"], found["environment"], began)


def rule(
    workspace: Workspace,
    subject: Subject,
    *,
    samples: pl.DataFrame | None = None,
    at: datetime | None = None,
    failed: str | None = None,
) -> Ruling:
    """Rules on a deployment by the criteria in force for its service.

    samples: see toolkit.records.Sample; None: those of the ledger. at: as of when, later samples are not looked at, and telemetry that
    ended long before it is stale; None: as of the newest sample. failed: why there are no samples, where somebody tried to get them.
    Revert where a criterion that asks for it fires; else pause where one that asks for that fires, where data are missing or broken, or
    where nothing is in force: nothing is let through unseen. Else proceed.
    """
    policy = workspace.policy
    terms = policy.terms if policy is not None else Terms()
    if subject.deployed_at is None:
        return _ruled(subject, (), ("Nobody says when this deployment began: load it, or say --since.",), None, "")
    classes = classes_of(workspace.facts.owners.collect(), subject.deployed_at) if workspace.published else {}
    day, mine = subject.deployed_at.date(), classes.get(subject.service)
    criteria = policy.in_force(day, service=subject.service, service_class=mine) if policy is not None else ()
    if not criteria:
        return _ruled(subject, (), (f"No criterion is in force for {subject.service} on {day}: write one into {FILE}.",), None, "")
    if failed is not None:
        return _ruled(subject, (), (f"No telemetry: {failed}",), None, "", criteria)
    rows = _samples(workspace, subject, criteria, samples, at, terms)
    until = at or _newest(rows) or subject.deployed_at
    findings = tuple(_found(one, rows, subject, until, terms) for one in criteria)
    return _ruled(subject, findings, tuple(_reasons(findings)), _newest(rows), _digest(rows), criteria)


def _samples(
    workspace: Workspace,
    subject: Subject,
    criteria: tuple[Criterion, ...],
    samples: pl.DataFrame | None,
    at: datetime | None,
    terms: Terms,
) -> pl.DataFrame:
    """The samples of the service that the criteria may look at, in the order in which they came, under the deployment's own name."""
    series = sorted({series for one in criteria for series, _ in one.arms()})
    rows = workspace.telemetry.samples(subject.service, series) if samples is None else samples
    rows = rows.filter(pl.col("service") == subject.service, pl.col("series").is_in(series))
    known = pl.DataFrame(
        {"source": [None], "source_id": [subject.source_id], "deployment": [subject.deployment]}, schema_overrides={"source": pl.String}
    )
    rows = of_facts(rows, known)
    began = subject.deployed_at or datetime.max.replace(tzinfo=UTC)
    lookback = max((one.lookback() for one in criteria), default=timedelta(0))
    until = min(began + terms.horizon, at) if at is not None else began + terms.horizon
    mine = pl.col("deployment").is_null() | (pl.col("deployment") == subject.deployment)
    return rows.filter(mine, pl.col("at").is_between(began - lookback, until))


def _found(criterion: Criterion, rows: pl.DataFrame, subject: Subject, until: datetime, terms: Terms) -> Finding:
    started = pl.DataFrame(
        {"deployment": [subject.deployment], "service": [subject.service], "deployed_at": [subject.deployed_at], "ends_at": [until]},
        schema_overrides={"deployed_at": TIME, "ends_at": TIME},
    )
    seen = passages(rows, started, criterion, numbers=(), horizon=terms.horizon)
    broken = [f"{row['rule']}: {row['n']} of {row['series']} ({row['variant']}): {row['text']}" for row in seen.problems.to_dicts()]

    def finding(state: Literal["fires", "quiet", "unknown"], why: str | None, **more: Any) -> Finding:
        told: Mapping[str, Any] = {"t": None, "peak": None, "evaluations": 0, "missing": 0} | more
        return Finding(criterion.name, in_words(criterion), criterion.action, state, why, limit=criterion.setting(), **told)

    if seen.watched.is_empty():
        return finding("unknown", "; ".join(broken) or f"no samples of {_read(criterion)} since the deployment")
    watched = seen.watched.row(0, named=True)
    n = watched["in_force"]
    peak = float(peaks(seen.profiles, seen.watched, n)["peak"][0])
    counted = {
        "evaluations": watched["evaluations"],
        "missing": watched["missing"],
        "peak": criterion.limit_of(peak) if np.isfinite(peak) else None,
    }
    fired = detections(seen.profiles, criterion, [criterion.setting()], n=n)
    if len(fired):
        return finding("fires", "; ".join(broken) or None, t=fired["t"][0] / timedelta(minutes=1), **counted)
    why = [*broken, *_gaps(criterion, rows, watched)]
    return finding("unknown" if why else "quiet", "; ".join(why) or None, **counted)


def _gaps(criterion: Criterion, rows: pl.DataFrame, watched: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a criterion that did not fire from having been quiet."""
    if criterion.hears_silence:
        return
    if not watched["complete"]:
        yield f"samples of {_read(criterion)} end {_behind(watched)} before now"
    elif watched["missing"] > MISSING * watched["evaluations"]:
        yield f"{watched['missing']} of {watched['evaluations']} evaluations are without a sample"
    for series, variant in criterion.arms():
        events = rows.filter(pl.col("series") == series, pl.col("variant") == variant, pl.col("total").is_not_null())["total"]
        if len(events) and not (events >= criterion.min_events).any():
            yield f"no sample of {series} ({variant}) has the {criterion.min_events} events that it takes"


def _behind(watched: Mapping[str, Any]) -> str:
    last = watched["last"]
    ended = (watched["evaluations"] - 1) * watched["step"]
    return "at once" if last is None else f"{(ended - last) / timedelta(minutes=1):.0f} min"


def _read(criterion: Criterion) -> str:
    return ", ".join(f"{series} ({variant})" for series, variant in criterion.arms())


def _reasons(findings: tuple[Finding, ...]) -> Iterator[str]:
    for one in findings:
        if one.state == "fires":
            yield f"{one.criterion}: fired after {one.t:.4g} min; asks for {one.action}" + (f" ({one.why})" if one.why else "")
        elif one.state == "unknown":
            yield f"{one.criterion}: cannot tell: {one.why}"


def _ruled(
    subject: Subject,
    findings: tuple[Finding, ...],
    reasons: tuple[str, ...],
    at: datetime | None,
    data: str,
    criteria: tuple[Criterion, ...] = (),
) -> Ruling:
    firing = {one.action for one in findings if one.state == "fires"}
    decision: Decision = "revert" if "revert" in firing else "pause" if reasons else "proceed"
    about = [subject.service, subject.environment, subject.deployment, str(subject.deployed_at), decision, list(reasons), data]
    told = [one.model_dump(mode="json", by_alias=True) for one in criteria]
    name = hashlib.sha256(json.dumps([about, told, [asdict(one) for one in findings]], sort_keys=True).encode()).hexdigest()[:24]
    at = at or subject.deployed_at
    return Ruling(name, decision, subject.service, subject.source_id, subject.environment, at, reasons, findings, data)


def _newest(rows: pl.DataFrame) -> datetime | None:
    newest = rows["at"].max()
    return newest if isinstance(newest, datetime) else None


def _digest(rows: pl.DataFrame) -> str:
    """One hash of the samples looked at; their order, which is a finding of its own, is in it."""
    columns = ["series", "variant", "deployment", "at", "value", "bad", "total", "step"]
    return hashlib.sha256(rows.select(columns).write_json().encode()).hexdigest()
