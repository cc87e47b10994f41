"""What the tools wrote down of the simulated world: late, partly, and sometimes wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from toolkit.synthetic.chance import stream
from toolkit.synthetic.things import Attempt, Outage, Rollout, Switch, World

__all__ = ["deployments", "flag_changes", "incidents", "owners", "rollbacks", "start_is_lost"]

Row = dict[str, Any]
# How often the deployment's log has no start.
START_LOST = 0.02


def start_is_lost(rollout: Rollout, seed: int) -> bool:
    """Whether the deployment's record will say when it ended only."""
    return stream(seed, rollout.id, "record").random() < START_LOST


def _before(end: datetime, at: datetime | None) -> datetime | None:
    """What lies after the end has not happened yet."""
    return at if at is not None and at < end else None


def _revised(end: datetime, *times: datetime | None) -> datetime:
    """When the tool last touched the row: a minute after the last thing it knows."""
    return min(end, max(at for at in times if at is not None) + timedelta(minutes=1))


def deployments(world: World) -> Iterator[Row]:
    """One row a rollout. Some have no start, no end, no digest, or a tag in place of a version."""
    for rollout in world.rollouts:
        yield _deployment(rollout, world.end, stream(world.seed, rollout.id, "record"))


def _deployment(rollout: Rollout, end: datetime, rng: Random) -> Row:
    artifact, service = rollout.artifact, rollout.service
    started, finished = _before(end, rollout.started), _before(end, rollout.finished)
    status = rollout.status if finished else "in_progress" if started else "queued"
    if status == "succeeded" and service.name.startswith("inventory") and _before(end, rollout.gone):
        # This team's tool marks what was replaced.
        status = "superseded"
    lost = rng.random()
    if lost < START_LOST and finished:
        started = None
    elif lost < 0.035 and started and status != "in_progress":
        finished = None
    elif lost < 0.037 and started and finished:
        # Two machines, two clocks.
        finished = started - timedelta(minutes=2)
    named = rng.random()
    version: str | None = artifact.version if named > 0.02 else None
    digest = artifact.digest if rng.random() < service.digests or version is None else None
    if service.service_class == "internal" and named > 0.985:
        version = "latest"
    new = rollout.purpose in ("release", "hotfix")
    return {
        "source_id": rollout.id,
        "revised_at": _revised(end, rollout.queued, started, finished),
        "service": service.name,
        "environment": rollout.environment,
        "version": version,
        "artifact_digest": digest,
        "vcs_revision": artifact.revision if rng.random() < 0.95 else None,
        "kind": rollout.purpose if rollout.purpose in ("hotfix", "rollback") and rng.random() < 0.15 else None,
        "status": status,
        "strategy": rollout.strategy,
        "trigger": rollout.trigger if rng.random() < 0.97 else "unknown",
        "actor": rollout.actor,
        "queued_at": rollout.queued,
        "started_at": started,
        "finished_at": finished,
        "committed_at": artifact.committed if new and rng.random() < 0.95 else None,
        "changes_files": artifact.files if new else None,
        "changes_lines": artifact.lines if new else None,
        "changes_review_minutes": artifact.review if new and rng.random() < 0.8 else None,
        "migration": artifact.migration if new else None,
        "branch": artifact.branch,
        "labels": list(artifact.labels) or None,
        "fixes_incident": rollout.fixes.id if rollout.fixes and rng.random() < 0.6 else None,
    }


def rollbacks(world: World) -> Iterator[Row]:
    """Only what somebody, or some tool, declared."""
    for attempt in world.attempts:
        if attempt.declared:
            yield _rollback(attempt, world.end, stream(world.seed, attempt.id, "record"))


def _rollback(attempt: Attempt, end: datetime, rng: Random) -> Row:
    undone = attempt.undoes.artifact if attempt.undoes else None
    restored = attempt.restores
    completed = _before(end, attempt.completed)
    verified = attempt.completed + timedelta(minutes=rng.randrange(3, 25)) if attempt.worked and rng.random() < 0.4 else None
    outcome = "succeeded" if attempt.status == "completed" else attempt.status
    return {
        "source_id": attempt.id,
        "revised_at": _revised(end, attempt.started, completed, _before(end, verified)),
        "service": attempt.service.name,
        "environment": attempt.environment,
        "from_version": undone.version if undone and rng.random() < 0.9 else None,
        "to_version": restored.version if restored and rng.random() < 0.97 else None,
        "from_digest": undone.digest if undone and rng.random() < 0.5 else None,
        "to_digest": restored.digest if restored and rng.random() < 0.5 else None,
        "mechanism": attempt.mechanism,
        "trigger": attempt.trigger,
        "reason": attempt.reason,
        "decided_at": attempt.decided if rng.random() < 0.7 else None,
        "started_at": attempt.started,
        "completed_at": completed if rng.random() < 0.96 else None,
        "verified_at": _before(end, verified),
        "incident": attempt.outage.id if attempt.outage and rng.random() < 0.65 else None,
        "outcome": outcome if completed and rng.random() < 0.9 else None,
        "drill": attempt.drill,
        "from_committed_at": undone.committed if undone and attempt.mechanism == "revert_commit" and rng.random() < 0.9 else None,
    }


def incidents(world: World) -> Iterator[Row]:
    """One row a ticket. Stamps are missing, in the wrong order, or as late as the ticket."""
    for outage in world.outages:
        yield _incident(outage, world, stream(world.seed, outage.id, "record"))


def _incident(outage: Outage, world: World, rng: Random) -> Row:
    end = world.end
    closed = None if outage.forgotten else _before(end, outage.closed)
    recovered = None if outage.forgotten else _before(end, outage.recovered)
    stamps: dict[str, datetime | None] = {
        "started_at": outage.started if rng.random() < 0.78 else None,
        "detected_at": _before(end, outage.detected) if rng.random() < 0.95 else None,
        "acknowledged_at": _before(end, outage.acknowledged) if rng.random() < 0.88 else None,
        "decided_at": _before(end, outage.decided) if rng.random() < 0.56 else None,
        "mitigated_at": recovered if rng.random() < 0.93 else None,
        "resolved_at": closed,
    }
    fixed_by = outage.fixed_by.id if outage.fixed_by and _before(end, outage.recovered) and rng.random() < 0.3 else None
    if isinstance(outage.fixed_by, Attempt) and fixed_by and not outage.fixed_by.declared:
        part = outage.fixed_by.rollout or outage.fixed_by.switch
        fixed_by = part.id if part else None
    if outage.late and recovered:
        # Opened after the rollback: the ticket knows of nothing before itself.
        opened = recovered + timedelta(minutes=rng.randrange(3, 35))
        stamps |= {"started_at": None, "detected_at": _before(end, opened), "acknowledged_at": None, "decided_at": None}
        checked = opened + timedelta(minutes=rng.randrange(3, 15))
        stamps |= {"mitigated_at": _before(end, checked), "resolved_at": _before(end, opened + timedelta(hours=3))}
    wrong = rng.random()
    if outage.duplicate_of or outage.planned or outage.late:
        pass
    elif wrong < 0.015 and stamps["mitigated_at"] and stamps["detected_at"]:
        stamps["mitigated_at"], stamps["detected_at"] = stamps["detected_at"], stamps["mitigated_at"]
    elif wrong < 0.03 and stamps["decided_at"]:
        stamps["decided_at"] = outage.started - timedelta(minutes=rng.randrange(1, 20))
    elif wrong < 0.04 and stamps["started_at"]:
        # Written in the wrong time zone.
        stamps["started_at"] = outage.started + timedelta(hours=2)
    opened = min((at for at in stamps.values() if at), default=outage.started)
    users = int(rng.lognormvariate(5.5, 1.6)) if outage.severity in ("sev1", "sev2") and rng.random() < 0.5 else None
    status = "resolved" if stamps["resolved_at"] else "monitoring" if stamps["mitigated_at"] else "investigating"
    return {
        "source_id": outage.id,
        "revised_at": _revised(end, opened, *(at for at in stamps.values() if at)),
        "observed_at": stamps["detected_at"],
        "title": outage.title,
        "severity": outage.severity,
        "status": status,
        "services": [service.name for service in outage.services],
        "environment": outage.environment if outage.environment != "production" or rng.random() < 0.6 else None,
        "declared_by": f"p-{outage.services[0].team.lower()}-{rng.randrange(1, 6)}",
        "duplicate_of": outage.duplicate_of.id if outage.duplicate_of else None,
        **stamps,
        "detected_by": outage.detected_by if not outage.planned and rng.random() < 0.9 else None,
        **_blame(outage, world, rng),
        "root_cause": outage.tag if not outage.planned and not outage.duplicate_of and closed and rng.random() < 0.62 else None,
        "alert": outage.alert if rng.random() < 0.75 else None,
        "criterion_met_at": _before(end, outage.criterion_met) if not outage.late else None,
        "fixed_by": fixed_by,
        "impact_users": users,
        "impact_requests": int(users * rng.uniform(2, 30)) if users and rng.random() < 0.7 else None,
    }


def _blame(outage: Outage, world: World, rng: Random) -> Row:
    """Declared causes, for a share, and a few of those wrong: the release before was blamed."""
    if outage.planned or outage.duplicate_of or outage.closed is None or outage.closed >= world.end:
        return {}
    if outage.cause is None:
        return {"cause": "not_a_deployment"} if rng.random() < 0.5 else {}
    if rng.random() >= 0.36:
        return {"cause": "deployment"} if rng.random() < 0.3 else {}
    suspect = outage.cause
    if rng.random() < 0.05:
        same = (r for r in world.rollouts if r.service is outage.cause.service and r.environment == "production")
        earlier = [rollout for rollout in same if rollout.started < outage.cause.started]
        suspect = earlier[-1] if earlier else suspect
    return {"suspected_deployment": suspect.id, "cause": "deployment"}


def flag_changes(world: World) -> Iterator[Row]:
    """Every change; most of those made in trouble name the incident."""
    for switch in world.switches:
        yield _flag_change(switch, stream(world.seed, switch.id, "record"))


def _flag_change(switch: Switch, rng: Random) -> Row:
    return {
        "source_id": switch.id,
        "revised_at": switch.at,
        "flag": switch.flag,
        "project": switch.service.team,
        "environment": switch.environment,
        "action": switch.action,
        "before": switch.before,
        "after": switch.after,
        "kill_switch": switch.kill,
        "service": switch.service.name,
        "incident": switch.outage.id if switch.outage and rng.random() < 0.6 else None,
        "actor": switch.actor,
        "at": switch.at,
    }


def owners(world: World) -> Iterator[Row]:
    """Who answers for what. One service changed hands, and the last one has no owner."""
    half = world.start + (world.end - world.start) / 2
    for place, service in enumerate(world.services):
        if place == len(world.services) - 1 and place > 3:
            continue
        row = {"revised_at": service.since, "service": service.name, "class": service.service_class}
        if place == 3:
            yield row | {"source_id": f"{service.name}-1", "team": "Platform", "rota": "platform-on-call", "valid_to": half}
            yield row | {"source_id": f"{service.name}-2", "team": service.team, "rota": service.rota, "valid_from": half}
        else:
            yield row | {"source_id": service.name, "team": service.team, "rota": service.rota}
