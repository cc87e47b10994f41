"""How things break, and what people then do about it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from toolkit.synthetic.chance import lognormal
from toolkit.synthetic.rhythm import at_night
from toolkit.synthetic.things import Attempt, Outage, Rollout, Switch
from toolkit.synthetic.vocabulary import CHANGE_CAUSES, OTHER_CAUSES, REASONS, SYMPTOMS

if TYPE_CHECKING:
    from toolkit.synthetic.life import Life

__all__ = ["break_down", "close", "go_bad", "roll_back", "small_outage", "storm"]


def small_outage(life: Life, at: datetime, *, cause: Rollout | None = None, environment: str = "production") -> Outage:
    """An outage that nobody has answered yet: what, how bad, when noticed and by whom."""
    rng, service = life.rng, life.service
    tag, titles = rng.choice(CHANGE_CAUSES if cause else OTHER_CAUSES)
    by = rng.choices(("machine", "person", "customer"), (0.68, 0.19, 0.13))[0]
    slower = {"machine": 0.8, "person": 1.4, "customer": 2.6}[by] * (1.4 if at_night(at) else 1.0)
    detected = at + life.minutes(service.detect_minutes * slower, 0.8)
    acknowledged = detected + life.minutes(7.0 if at_night(at) else 3.5)
    weights = {"critical": (0.2, 0.4, 0.3, 0.1), "standard": (0.06, 0.3, 0.44, 0.2), "internal": (0.0, 0.12, 0.48, 0.4)}
    return Outage(
        services=[service],
        environment=environment,
        tag=tag,
        title=rng.choice(titles).format(service=service.name, part=rng.choice(service.parts)),
        severity=rng.choices(("sev1", "sev2", "sev3", "sev4"), weights[service.service_class])[0],
        started=at,
        detected=detected,
        acknowledged=acknowledged,
        detected_by=by,
        cause=cause,
        alert=f"{service.name}-{rng.choice(SYMPTOMS)}" if by == "machine" else None,
        recovered=detected + life.minutes(25, 0.8),
        closed=detected + life.minutes(400, 0.8),
    )


def go_bad(life: Life, rollout: Rollout) -> None:
    """The release carries a defect: decide how it comes out."""
    rng = life.rng
    kind = rng.random()
    if kind < 0.13 and rollout.strategy == "canary" and len(life.line) > 1:
        return _abort(life, rollout)
    if kind > 0.95 and len(life.line) > 1:
        # Somebody watched the graphs and took it back before it became a ticket.
        at = rollout.finished + life.minutes(28, 0.7)
        return life.plan(at, lambda at: _quiet(life, at, rollout))
    delay = rng.random()
    if delay < 0.12 and rollout.strategy in ("canary", "rolling"):
        onset = rollout.started + (rollout.finished - rollout.started) * rng.uniform(0.3, 0.95)
        onset = onset.replace(microsecond=0)
    elif delay < 0.82:
        onset = rollout.finished + life.minutes(5, 1.0)
    elif delay < 0.95:
        onset = rollout.finished + life.minutes(170, 0.7)
    else:
        onset = rollout.finished + life.minutes(60 * 14, 0.5)
    return life.plan(onset, lambda at: _come_out(life, at, rollout))


def _come_out(life: Life, at: datetime, rollout: Rollout) -> None:
    """The defect shows, unless the release is already gone."""
    if at < life.down:
        life.plan(life.down + life.minutes(20), lambda at: _come_out(life, at, rollout))
    elif rollout in life.line:
        break_down(life, at, rollout)


def _quiet(life: Life, at: datetime, rollout: Rollout) -> None:
    if life.line[-1] is rollout and at >= life.down:
        rollout.failure = "rolled back without a ticket"
        attempt = roll_back(life, at, None, reason=life.reason(REASONS[:4]), fails=0.0)
        attempt.worked = True


def _abort(life: Life, rollout: Rollout) -> None:
    """The canary's own analysis stops it half way; traffic goes back by itself."""
    life.line.pop()
    life.line[-1].gone = None
    at = rollout.started + (rollout.finished - rollout.started) * life.rng.uniform(0.3, 0.8)
    at = at.replace(microsecond=0)
    rollout.status, rollout.finished, rollout.gone, rollout.failure = "failed", at, at, "stopped by its canary"
    attempt = _attempt(life, "traffic", at, None, "Canary worse than baseline: error share", "auto")
    attempt.completed = at + life.minutes(1.5, 0.3)
    attempt.undoes, attempt.restores, attempt.declared, attempt.worked = rollout, life.line[-1].artifact, True, True
    if life.rng.random() < 0.5:
        attempt.rollout = life.ship(life.line[-1].artifact, at, "rollback", trigger="auto", finished=attempt.completed)


def _attempt(life: Life, mechanism: str, at: datetime, outage: Outage | None, reason: str | None, trigger: str) -> Attempt:
    attempt = Attempt(life.service, "production", mechanism, trigger, at, at, at, reason=reason, outage=outage)
    life.world.attempts.append(attempt)
    return attempt


def roll_back(
    life: Life,
    at: datetime,
    outage: Outage | None,
    *,
    reason: str | None = None,
    trigger: str = "manual",
    steps: int = 1,
    fails: float = 0.11,
) -> Attempt:
    """Put an older artifact back, decided at `at`. A failed attempt leaves what runs."""
    rng, service = life.rng, life.service
    steps = min(steps, len(life.line) - 1)
    undone, target = life.line[-1], life.line[-1 - steps].artifact
    traffic = service.strategy in ("blue_green", "canary") and rng.random() < 0.25
    attempt = _attempt(life, "traffic" if traffic else "gitops" if service.gitops else "redeploy", at, outage, reason, trigger)
    attempt.started = at + life.minutes(0.5 if trigger == "auto" else 1.5, 0.5)
    attempt.completed = attempt.started + life.minutes(2 if traffic else 6, 0.45)
    attempt.undoes, attempt.restores = undone, target
    attempt.status = rng.choice(("failed", "failed", "cancelled")) if rng.random() < fails else "completed"
    # A switch of traffic is often invisible as a deployment, so somebody has to declare it.
    attempt.declared = rng.random() < (0.9 if traffic else 0.38)
    if not traffic or not attempt.declared:
        status = "succeeded" if attempt.status == "completed" else attempt.status
        attempt.rollout = life.ship(target, attempt.started, "rollback", finished=attempt.completed, status=status, trigger=trigger)
    if attempt.status == "completed":
        for gone in life.line[-steps:]:
            gone.gone = gone.gone or attempt.completed
        del life.line[-steps:]
        life.line[-1].gone = None
    life.free = max(life.free, attempt.completed + timedelta(hours=2))
    return attempt


def storm(life: Life, rollout: Rollout, outage: Outage) -> None:
    """One of many services that picked up the same bad base image, and roll back together."""
    rollout.failure, rollout.outage = "storm", outage
    if outage.cause is None:
        outage.cause = rollout
    outage.services.append(life.service)
    decided = outage.decided or outage.detected
    attempt = roll_back(life, decided + timedelta(seconds=life.rng.randrange(13 * 60)), outage, reason=outage.title, fails=0.0)
    attempt.storm, attempt.worked = outage.storm, True
    outage.remedy, outage.fixed_by = "rollback", attempt
    outage.recovered = max(outage.recovered or attempt.completed, attempt.completed + life.minutes(2))
    outage.closed = outage.recovered + timedelta(hours=5)
    life.down = max(life.down, outage.recovered)


def break_down(life: Life, at: datetime, cause: Rollout | None, *, slow: bool = False) -> None:
    """Impact begins; people notice, decide, act, perhaps more than once, until it is over."""
    rng = life.rng
    outage = small_outage(life, at, cause=cause)
    if cause is not None:
        cause.failure, cause.outage = "incident", outage
        if rng.random() < 0.7:
            outage.criterion_met = at + life.minutes(5, 0.6)
    elif not slow and rng.random() < 0.3:
        # It went away before anyone had decided anything.
        life.down = max(life.down, outage.recovered or at)
        return close(life, outage)
    automatic = cause is not None and life.service.gitops and outage.detected_by == "machine" and rng.random() < 0.3
    wait = life.minutes(1.0, 0.5) if automatic else life.minutes(life.service.decide_minutes * (1.3 if at_night(at) else 1.0), 0.85)
    decided = outage.decided = (outage.detected if automatic else outage.acknowledged) + (wait + timedelta(hours=9) if slow else wait)
    _work(life, outage, decided, automatic)
    if rng.random() < 0.05 and outage.recovered:
        _come_again(life, outage)
    return close(life, outage)


def _work(life: Life, outage: Outage, at: datetime, automatic: bool) -> None:
    """Try remedies until one works."""
    rng = life.rng
    for turn in range(5):
        remedy = "rollback" if automatic and turn == 0 else _choose(life, outage, turn)
        if remedy == "rollback":
            by_machine = automatic and turn == 0
            reason = f"Alert {outage.alert}" if by_machine else life.reason() if rng.random() < 0.7 else None
            steps = 2 if turn or rng.random() < 0.06 else 1
            attempt = roll_back(life, at, outage, reason=reason, trigger="auto" if by_machine else "manual", steps=steps)
            removed = outage.cause is not None and outage.cause not in life.line
            attempt.worked = attempt.status == "completed" and rng.random() < (0.84 if removed else 0.08)
            done, worked, outage.fixed_by = attempt.completed, attempt.worked, attempt
        elif remedy == "hotfix":
            done, worked, outage.fixed_by = _hotfix(life, outage, at)
        elif remedy == "flag":
            done, worked, outage.fixed_by = _switch_off(life, outage, at)
        else:
            done, worked, outage.fixed_by = at + life.minutes(8, 0.7), turn == 4 or rng.random() < 0.85, None
        outage.remedy = remedy
        outage.recovered = done + life.minutes(2, 0.5)
        if worked:
            break
        at = outage.recovered + life.minutes(11, 0.5)
    life.down = max(life.down, outage.recovered or at)


def _choose(life: Life, outage: Outage, turn: int) -> str:
    if outage.cause is None:
        weights = (0.1, 0.06, 0.1, 0.74)
    elif turn == 0 and outage.cause.purpose == "hotfix":
        weights = (0.2, 0.6, 0.1, 0.1)
    elif turn == 0 and life.line[-1] is outage.cause:
        weights = (0.23, 0.26, 0.26, 0.25)
    elif turn == 0:
        weights = (0.1, 0.55, 0.15, 0.2)
    else:
        weights = (0.25, 0.35, 0.1, 0.3)
    remedy = life.rng.choices(("rollback", "hotfix", "flag", "other"), weights)[0]
    return "other" if (remedy == "rollback" and len(life.line) < 3) or turn == 4 else remedy


def _hotfix(life: Life, outage: Outage, at: datetime) -> tuple[datetime, bool, Rollout]:
    """Write, review and ship a small change; now and then the change is bad itself."""
    start = at + life.minutes({"critical": 32.0, "standard": 48.0}.get(life.service.service_class, 75.0), 0.55)
    rollout = life.ship(life.build(start, hotfix=outage), start, "hotfix", fixes=outage)
    worked = life.rng.random() < 0.86
    if worked and life.rng.random() < 0.13:
        onset = rollout.finished + life.minutes(50, 0.6)
        life.plan(onset, lambda at: _come_out(life, at, rollout))
    return rollout.finished, worked, rollout


def _switch_off(life: Life, outage: Outage, at: datetime) -> tuple[datetime, bool, Switch]:
    """Turn a feature off by its kill switch; after the repair it is turned on again."""
    off = at + life.minutes(1.5, 0.5)
    flag = life.rng.choice(life.service.flags)
    switch = Switch(life.service, flag, "off", off, "on", "off", kill=True, actor=life.person(), outage=outage)
    worked = life.rng.random() < (0.74 if outage.cause else 0.4)
    on = Switch(life.service, flag, "on", off + life.minutes(60 * 30, 0.5), "off", "on", kill=True, actor=life.person())
    life.world.switches += [switch, on]
    attempt = _attempt(life, "flag", at, outage, None, "manual")
    attempt.started, attempt.completed, attempt.switch, attempt.worked = off, off, switch, worked
    return off, worked, switch


def _come_again(life: Life, outage: Outage) -> None:
    """It was not over."""
    back = (outage.recovered or outage.detected) + life.minutes(22, 0.4)
    outage.returns.append((outage.recovered or outage.detected, back))
    if isinstance(outage.fixed_by, Attempt):
        outage.fixed_by.worked = False
    _work(life, outage, back + life.minutes(12, 0.6), automatic=False)


def close(life: Life, outage: Outage) -> None:
    """The ticket, its neighbours and what people do afterwards."""
    rng, world = life.rng, life.world
    recovered = outage.recovered or outage.detected
    outage.closed = recovered + timedelta(minutes=round(lognormal(rng, 240, 1.0)) + 3)
    world.outages.append(outage)
    others = [service for service in world.services if service is not life.service and service.since < outage.started]
    if others and rng.random() < 0.08:
        outage.services.append(rng.choice(others))
    if isinstance(outage.fixed_by, Attempt) and rng.random() < 0.17 and outage.cause is not None:
        # Known only because somebody asked why there was no ticket.
        outage.late = True
    outage.forgotten = rng.random() < 0.01
    if rng.random() < 0.05:
        twin = small_outage(life, (outage.started + (outage.detected - outage.started) / 2).replace(microsecond=0))
        twin.duplicate_of, twin.title, twin.detected_by = outage, f"Customers report: {outage.title}", "customer"
        twin.recovered, twin.closed = outage.recovered, outage.closed
        world.outages.append(twin)
    if isinstance(outage.fixed_by, Attempt) and outage.fixed_by.rollout and rng.random() < 0.25:
        undo = _attempt(life, "revert_commit", recovered + life.minutes(180, 0.9), None, "Revert the change on main", "manual")
        undo.completed = undo.started + life.minutes(30, 0.6)
        undo.undoes, undo.declared, undo.worked = outage.fixed_by.undoes, True, True
        undo.restores = outage.fixed_by.restores
