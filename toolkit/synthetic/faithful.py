"""What a perfect set of tools would have written down of the simulated world: everything known by the end, and nothing wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from toolkit.synthetic.things import Attempt, Outage, World

__all__ = ["faithful"]

Row = dict[str, Any]


def faithful(world: World) -> dict[str, Iterator[Row]]:
    """Rows by record name. Attempts that nobody declared stay undeclared: they are deployments and flag changes, as they were."""
    return {
        "deployment": _deployments(world),
        "rollback": _rollbacks(world),
        "incident": _incidents(world),
        "incident_event": _events(world),
        "flag_change": _flag_changes(world),
    }


def _by(end: datetime, at: datetime | None) -> datetime | None:
    return at if at is not None and at < end else None


def _deployments(world: World) -> Iterator[Row]:
    answered = {id(attempt.rollout): attempt.outage for attempt in world.attempts if attempt.rollout}
    for rollout in world.rollouts:
        started, finished = _by(world.end, rollout.started), _by(world.end, rollout.finished)
        outage = rollout.fixes or answered.get(id(rollout))
        artifact, new = rollout.artifact, rollout.purpose in ("release", "hotfix")
        yield {
            "source_id": rollout.id,
            "service": rollout.service.name,
            "environment": rollout.environment,
            "version": artifact.version,
            "artifact_digest": artifact.digest,
            "vcs_revision": artifact.revision,
            "kind": "hotfix" if rollout.purpose == "hotfix" else None,
            "status": rollout.status if finished else "in_progress" if started else "queued",
            "trigger": rollout.trigger,
            "queued_at": rollout.queued,
            "started_at": started,
            "finished_at": finished,
            "committed_at": artifact.committed if new else None,
            "changes_files": artifact.files if new else None,
            "changes_lines": artifact.lines if new else None,
            "changes_review_minutes": artifact.review if new else None,
            "fixes_incident": outage.id if outage else None,
        }


def _rollbacks(world: World) -> Iterator[Row]:
    for attempt in world.attempts:
        if not attempt.declared:
            continue
        undone, restored, completed = attempt.undoes, attempt.restores, _by(world.end, attempt.completed)
        yield {
            "source_id": attempt.id,
            "service": attempt.service.name,
            "environment": attempt.environment,
            "from_version": undone.artifact.version if undone else None,
            "from_digest": undone.artifact.digest if undone else None,
            "to_version": restored.version if restored else None,
            "to_digest": restored.digest if restored else None,
            "mechanism": attempt.mechanism,
            "trigger": attempt.trigger,
            "reason": attempt.reason,
            "decided_at": attempt.decided,
            "started_at": attempt.started,
            "completed_at": completed,
            "incident": attempt.outage.id if attempt.outage else None,
            "outcome": None if completed is None else "succeeded" if attempt.status == "completed" else attempt.status,
            "drill": attempt.drill,
            "from_committed_at": undone.artifact.committed if undone and attempt.mechanism == "revert_commit" else None,
        }


def _incidents(world: World) -> Iterator[Row]:
    for outage in world.outages:
        recovered = _by(world.end, outage.recovered)
        yield {
            "source_id": outage.id,
            "title": outage.title,
            "severity": outage.severity,
            "services": [service.name for service in outage.services],
            "environment": outage.environment,
            "started_at": outage.started,
            "detected_at": _by(world.end, outage.detected),
            "acknowledged_at": _by(world.end, outage.acknowledged),
            "decided_at": _by(world.end, outage.decided),
            "mitigated_at": recovered,
            "resolved_at": _by(world.end, outage.closed),
            "detected_by": None if outage.planned else outage.detected_by,
            "suspected_deployment": outage.cause.id if outage.cause else None,
            "cause": "deployment" if outage.cause else "not_a_deployment",
            "criterion_met_at": _by(world.end, outage.criterion_met),
            "duplicate_of": outage.duplicate_of.id if outage.duplicate_of else None,
            "fixed_by": _fix(outage) if recovered else None,
        }


def _fix(outage: Outage) -> str | None:
    """The record of what ended it: of an undeclared attempt the deployment or flag change that it was."""
    fix = outage.fixed_by
    if isinstance(fix, Attempt) and not fix.declared:
        fix = fix.rollout or fix.switch
    return fix.id if fix else None


def _events(world: World) -> Iterator[Row]:
    """It was over, and then it was not: the last recovery stands in the record."""
    for outage in world.outages:
        for number, (recovered, back) in enumerate(outage.returns):
            for kind, at in (("mitigated", recovered), ("reopened", back)):
                if at < world.end:
                    yield {"source_id": f"{outage.id}/{number}/{kind}", "incident": outage.id, "type": kind, "at": at}


def _flag_changes(world: World) -> Iterator[Row]:
    for switch in world.switches:
        yield {
            "source_id": switch.id,
            "flag": switch.flag,
            "environment": switch.environment,
            "action": switch.action,
            "before": switch.before,
            "after": switch.after,
            "kill_switch": switch.kill,
            "service": switch.service.name,
            "incident": switch.outage.id if switch.outage else None,
            "at": switch.at,
        }
