"""What really happened, as tables: kept by the simulation, never inferred from the records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from toolkit.synthetic.numbers import samples_of
from toolkit.synthetic.things import Attempt, Outage, Rollout, World

__all__ = ["truth_of"]

TIME = pl.Datetime("us", "UTC")
# An attempt is judged when this long has passed since its end.
VERIFICATION = timedelta(minutes=60)

FAILURES: dict[str, Any] = {"deployment": pl.String, "service": pl.String, "incident": pl.String, "why": pl.String, "at": TIME}
INCIDENTS: dict[str, Any] = {
    "incident": pl.String,
    "services": pl.List(pl.String),
    "environment": pl.String,
    "cause": pl.String,
    "started": TIME,
    "detected": TIME,
    "acknowledged": TIME,
    "criterion_met": TIME,
    "decided": TIME,
    "recovered": TIME,
    "remedy": pl.String,
    "open": pl.Boolean,
    "reopened": pl.Int64,
    "duplicate_of": pl.String,
    "planned": pl.Boolean,
    "storm": pl.String,
    "late_ticket": pl.Boolean,
    "forgotten": pl.Boolean,
}
ATTEMPTS: dict[str, Any] = {
    "attempt": pl.String,
    "service": pl.String,
    "environment": pl.String,
    "parts": pl.List(pl.String),
    "mechanism": pl.String,
    "trigger": pl.String,
    "incident": pl.String,
    "undoes": pl.String,
    "restores": pl.String,
    "started": TIME,
    "completed": TIME,
    "outcome": pl.String,
    "worked": pl.Boolean,
    "drill": pl.Boolean,
    "race": pl.Boolean,
    "storm": pl.String,
    "mistaken": pl.Boolean,
}
HOTFIXES: dict[str, Any] = {
    "deployment": pl.String,
    "service": pl.String,
    "incident": pl.String,
    "chain": pl.String,
    "place": pl.Int64,
    "worked": pl.Boolean,
}
SAMPLES: dict[str, Any] = {"metric": pl.String, "id": pl.String, "value": pl.Float64, "open": pl.Boolean}


def truth_of(world: World, *, counted: bool = False) -> dict[str, pl.DataFrame]:
    """failures, incidents, attempts, hotfixes; times beyond the end are null. counted: also samples, the rows of the core
    metrics, which take a while to count by hand."""
    outcome = {id(attempt): _outcome(attempt, world) for attempt in world.attempts} if counted else {}
    return {
        "failures": _table((_failure(r) for r in world.rollouts if r.failure and _begun(r, world.end)), FAILURES),
        "incidents": _table((_incident(o, world.end) for o in world.outages), INCIDENTS),
        "attempts": _table((_attempt(a, world) for a in world.attempts), ATTEMPTS),
        "hotfixes": _table(_hotfixes(world), HOTFIXES),
        **({"samples": _table(samples_of(world, outcome), SAMPLES)} if counted else {}),
    }


def _table(rows: Iterable[dict[str, Any]], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([tuple(row[name] for name in schema) for row in rows], schema=schema, orient="row")


def _begun(rollout: Rollout, end: datetime) -> bool:
    """Has the failure shown itself by the end?"""
    return rollout.started < end and (rollout.outage is None or rollout.outage.started < end)


def _before(at: datetime | None, end: datetime) -> datetime | None:
    return at if at is not None and at < end else None


def _failure(rollout: Rollout) -> dict[str, Any]:
    outage = rollout.outage
    return {
        "deployment": rollout.id,
        "service": rollout.service.name,
        "incident": outage.id if outage else None,
        "why": rollout.failure,
        "at": outage.started if outage else rollout.gone,
    }


def _incident(outage: Outage, end: datetime) -> dict[str, Any]:
    recovered = _before(outage.recovered, end)
    return {
        "incident": outage.id,
        "services": [service.name for service in outage.services],
        "environment": outage.environment,
        "cause": outage.cause.id if outage.cause else None,
        "started": outage.started,
        "detected": _before(outage.detected, end),
        "acknowledged": _before(outage.acknowledged, end),
        "criterion_met": _before(outage.criterion_met, end),
        "decided": _before(outage.decided, end),
        "recovered": recovered,
        "remedy": outage.remedy if recovered else None,
        "open": recovered is None,
        "reopened": sum(back < end for _, back in outage.returns),
        "duplicate_of": outage.duplicate_of.id if outage.duplicate_of else None,
        "planned": outage.planned,
        "storm": outage.storm,
        "late_ticket": outage.late,
        "forgotten": outage.forgotten,
    }


def _outcome(attempt: Attempt, world: World) -> str:
    """The attempt's outcome by the published rule, counted by hand over the true times."""
    end = attempt.completed
    if attempt.drill:
        return "drill"
    if attempt.race:
        return "race"
    if end + VERIFICATION > world.end:
        return "pending"
    if attempt.status != "completed":
        return "failed"
    return "ineffective" if _went_on(attempt) or _did_not_hold(attempt, world) else "succeeded"


def _went_on(attempt: Attempt) -> bool:
    """The incident was not over within the hour, or came back in it."""
    outage, until = attempt.outage, attempt.completed + VERIFICATION
    if outage is None:
        return False
    if any(attempt.started <= recovered <= until and back <= until for recovered, back in outage.returns):
        return True
    ends = [recovered for recovered, _ in outage.returns] + ([outage.recovered] if outage.recovered else [])
    after = [at for at in ends if at >= attempt.started]
    return not after or min(after) > until


def _did_not_hold(attempt: Attempt, world: World) -> bool:
    """A further attempt, a new incident, or the undone artifact again, within the hour."""
    end, until = attempt.completed, attempt.completed + VERIFICATION
    for other in world.attempts:
        same = other.service is attempt.service and other is not attempt and other.mechanism != "revert_commit" and not other.drill
        if same and end <= other.started < until:
            return True
    for outage in world.outages:
        new = outage is not attempt.outage and not outage.planned and outage.environment == "production" and outage.duplicate_of is None
        if new and attempt.service in outage.services and end <= outage.started < until:
            return True
    undone = attempt.undoes.artifact if attempt.undoes and attempt.mechanism != "flag" else None
    again = (rollout for rollout in world.rollouts if rollout.artifact is undone and rollout.environment == "production")
    return any(end <= rollout.started < until for rollout in again)


def _attempt(attempt: Attempt, world: World) -> dict[str, Any]:
    parts = [f"rollback:{attempt.id}"] if attempt.declared else []
    parts += [f"deployment:{attempt.rollout.id}"] if attempt.rollout and attempt.rollout.id else []
    parts += [f"flag_change:{attempt.switch.id}"] if attempt.switch and attempt.switch.id else []
    return {
        "attempt": attempt.id,
        "service": attempt.service.name,
        "environment": attempt.environment,
        "parts": sorted(parts),
        "mechanism": attempt.mechanism,
        "trigger": attempt.trigger,
        "incident": attempt.outage.id if attempt.outage and attempt.outage.id else None,
        "undoes": attempt.undoes.id if attempt.undoes else None,
        "restores": attempt.restores.version if attempt.restores else None,
        "started": attempt.started,
        "completed": _before(attempt.completed, world.end),
        "outcome": _outcome(attempt, world),
        "worked": attempt.worked,
        "drill": attempt.drill,
        "race": attempt.race,
        "storm": attempt.storm,
        "mistaken": attempt.mistaken,
    }


def _hotfixes(world: World) -> Iterable[dict[str, Any]]:
    """A chain is named by the incident of its first hotfix; it grows by a second try, or by a hotfix for a hotfix."""
    chain_of: dict[Outage, str] = {}
    grown: dict[str, int] = {}
    for rollout in world.rollouts:
        outage = rollout.fixes
        if rollout.purpose != "hotfix" or outage is None:
            continue
        before = outage.cause.fixes if outage.cause else None
        chain = chain_of.setdefault(outage, chain_of.get(before, before.id) if before else outage.id)
        grown[chain] = grown.get(chain, 0) + 1
        yield {
            "deployment": rollout.id,
            "service": rollout.service.name,
            "incident": outage.id,
            "chain": chain,
            "place": grown[chain],
            "worked": outage.fixed_by is rollout,
        }
