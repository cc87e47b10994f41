"""The core metrics of the simulated world: counted in plain loops over what truly happened, by the published definitions alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from toolkit.synthetic.restored import went_to_known_good
from toolkit.synthetic.things import Artifact, Attempt, Outage, Rollout, World

__all__ = ["samples_of"]

DAY, WEEK, HOUR = timedelta(days=1), timedelta(days=7), timedelta(hours=1)
SHIPPING = ("release", "hotfix")
Sample = dict[str, Any]


class Count:
    """Answers about the world that several numbers need."""

    def __init__(self, world: World, outcome: dict[int, str]) -> None:
        self.end, self.outcome = world.end, outcome
        self.rollouts = [rollout for rollout in world.rollouts if rollout.environment == "production"]
        self.real = [a for a in world.attempts if not a.drill and not a.race and a.mechanism != "revert_commit" and a.started <= self.end]
        self.incidents = [
            o for o in world.outages if o.environment == "production" and not o.planned and o.duplicate_of is None and o.started <= self.end
        ]
        # Looking through everything for every row would take the square of the time.
        self.of = {service.name: [r for r in self.rollouts if r.service is service] for service in world.services}
        self.tries = {service.name: [a for a in self.real if a.service is service] for service in world.services}
        self.switched = {
            service.name: [a for a in world.attempts if a.service is service and a.rollout is None and a.mechanism == "traffic"]
            for service in world.services
        }
        self.causing: dict[int, list[Outage]] = {}
        for outage in self.incidents:
            if outage.cause is not None:
                self.causing.setdefault(id(outage.cause), []).append(outage)
        self.ended = self.seem_to_end()
        self.against: dict[int, list[Attempt]] = {}
        for attempt in self.real:
            for rollout in self.blamed(attempt) if attempt.mechanism != "flag" else []:
                self.against.setdefault(id(rollout), []).append(attempt)

    def happened(self, rollout: Rollout) -> bool:
        """Has it ended?"""
        return rollout.finished < self.end

    def moment(self, rollout: Rollout) -> datetime:
        """Where it stands in time: one that failed never ran, and stands at its beginning."""
        return rollout.finished

    def running(self, service: str, until: datetime) -> tuple[Rollout | Attempt, Artifact] | None:
        """What ran then, and what had brought it in: a rollout, or a switch of traffic that nothing shipped."""
        came: list[tuple[datetime, Rollout | Attempt, Artifact]] = [
            (r.finished, r, r.artifact) for r in self.of[service] if r.status == "succeeded" and r.finished <= until
        ]
        came += [
            (other.completed, other, other.restores)
            for other in self.switched[service]
            if other.status == "completed" and other.restores is not None and other.completed <= until
        ]
        came.sort(key=lambda one: one[0])
        found: tuple[Rollout | Attempt, Artifact] | None = None
        for _, who, what in came:
            if found is None or what is not found[1]:
                found = who, what
        return found

    def stands(self, attempt: Attempt) -> datetime:
        """Up to when things came before it: what succeeded stands in time where it ended, what did not where it began."""
        return attempt.completed - timedelta(seconds=1) if attempt.status == "completed" else attempt.started

    def gave_up(self, attempt: Attempt) -> Rollout | None:
        """The last release since then that did not succeed, if that was within a day: a deployment that goes back then undoes it."""
        now = self.running(attempt.service.name, self.stands(attempt))
        since = (now[0].finished if isinstance(now[0], Rollout) else now[0].completed) if now else attempt.started
        tried = [r for r in self.of[attempt.service.name] if r.status in ("failed", "cancelled") and r.purpose in (*SHIPPING, "reapply")]
        recent = [r for r in tried if since <= r.finished <= attempt.started <= r.finished + DAY]
        return max(recent, key=lambda r: r.finished, default=None)

    def undone(self, attempt: Attempt) -> Rollout | None:
        """The rollout that the attempt undid: one that never succeeded, else the one that had brought in what ran."""
        if attempt.undoes is None or attempt.undoes.status != "succeeded":
            return attempt.undoes
        if attempt.rollout is None:
            # Nothing was deployed, so it is what was declared: the last rollout of what it went back from.
            named = [r for r in self.of[attempt.service.name] if r.artifact is attempt.undoes.artifact and r.started <= attempt.started]
            return max(named, key=lambda r: r.finished)
        if (aborted := self.gave_up(attempt)) is not None:
            return aborted
        now = self.running(attempt.service.name, self.stands(attempt))
        return now[0] if now is not None and isinstance(now[0], Rollout) else None

    def blamed(self, attempt: Attempt) -> list[Rollout]:
        """Rollouts that the attempt is evidence against."""
        first, origin = self.undone(attempt), attempt.undoes
        found = [first] if first is not None else []
        if first is not None and first.status != "succeeded" and origin is not None and origin is not first:
            # It went back further than to what ran: that is blamed too.
            found.append(origin)
        elif origin is not None and origin is not first and self.restored(attempt, origin.artifact):
            found.append(origin)
        return found

    def restored(self, attempt: Attempt, artifact: Artifact) -> bool:
        """Had another attempt of the same episode brought that artifact back?"""
        return any(self.same_episode(attempt, other) and other.restores is artifact for other in self.tries[attempt.service.name])

    def same_episode(self, one: Attempt, other: Attempt) -> bool:
        """Of one incident, on one service."""
        return one is not other and one.service is other.service and one.outage is not None and one.outage is other.outage

    def first(self, attempt: Attempt) -> bool:
        """Is it the first of its episode: the attempts of one incident, else those within two hours of the first?"""
        tries = self.tries[attempt.service.name]
        if attempt.outage is not None:
            return not any(self.same_episode(attempt, other) and other.started < attempt.started for other in tries)
        begun: datetime | None = None
        for other in (other for other in tries if other.outage is None):
            opens = begun is None or other.started >= begun + 2 * HOUR
            begun = other.started if opens else begun
            if other is attempt:
                return opens
        return False

    def came_back(self, attempt: Attempt) -> Rollout | None:
        """The first time that the undone artifact succeeded again."""
        if attempt.undoes is None or attempt.mechanism == "flag":
            return None
        again = [
            r
            for r in self.of[attempt.service.name]
            if r.artifact is attempt.undoes.artifact and r.status == "succeeded" and self.happened(r)
            and r.finished > attempt.completed and r.purpose not in ("drill", "return")
        ]  # fmt: skip
        return min(again, key=lambda r: r.finished, default=None)

    def regretted(self, attempt: Attempt) -> bool:
        """It came back unchanged and then ran a day without a failure."""
        back = self.came_back(attempt)
        if back is None or attempt.status != "completed":
            return False
        until = min([r.finished for r in self.of[back.service.name] if self.replaces(r, back)], default=self.end)
        ran = min(until, self.end) - back.finished
        named = [o for o in self.causing.get(id(back), []) if o.started < back.finished + DAY]
        undone = [a for a in self.against.get(id(back), []) if a.started < back.finished + DAY]
        return ran >= DAY and not named and not undone

    def replaces(self, rollout: Rollout, running: Rollout) -> bool:
        """Does it bring another artifact in after that one?"""
        after = rollout.service is running.service and rollout.finished > running.finished
        return after and rollout.status == "succeeded" and rollout.artifact is not running.artifact

    def overtaken(self, rollout: Rollout) -> bool:
        """Did something that began later end first? Then nobody can say from outside what it was."""
        service = rollout.service.name
        spans = [(r.started, r.finished) for r in self.of[service] if r.status == "succeeded" and r is not rollout]
        spans += [(a.started, a.completed) for a in self.switched[service] if a.status == "completed" and a.restores is not None]
        return rollout.status == "succeeded" and any(begun > rollout.started and ended < rollout.finished for begun, ended in spans)

    def failed(self, rollout: Rollout) -> bool:
        """Named by an incident as its cause, or evidence of an attempt within a week of what it undid, unless it was regretted."""
        if self.causing.get(id(rollout)):
            return True
        for attempt in self.against.get(id(rollout), []):
            what = self.undone(attempt) or rollout
            soon = attempt.started < (what.finished if what.status == "succeeded" else what.started) + WEEK
            if soon and not self.regretted(attempt):
                return True
        return False

    def fixes(self, rollout: Rollout) -> Outage | None:
        """The incident that it was shipped to end; or that it seems to have ended, being the last new thing before its recovery."""
        return rollout.fixes if rollout.purpose == "hotfix" else self.ended.get(id(rollout))

    def seem_to_end(self) -> dict[int, Outage]:
        """By id() of a release: the first incident that recovered within an hour of it, with no attempt that worked after it."""
        found: dict[int, Outage] = {}
        for outage in self.incidents:
            over = outage.recovered
            for service in outage.services if over is not None and over < self.end else []:
                inside = [r for r in self.of[service.name] if over is not None and self.within(r, outage.started, over)]
                last = max(inside, key=lambda r: r.finished, default=None)
                if last is None or over is None or over - last.finished >= HOUR:
                    continue
                tries = [a for a in self.tries[service.name] if a.outage is outage and a.status == "completed"]
                if not any(a.completed > last.finished for a in tries):
                    found.setdefault(id(last), outage)
        return found

    def went_back(self, outage: Outage, recovered: datetime) -> bool:
        """Was the last thing that worked before the recovery an attempt to get back, and no hotfix?"""
        tries = [a for a in self.real if a.outage is outage and a.started <= recovered]
        ends = [(a.completed, True) for a in tries if self.outcome[id(a)] in ("succeeded", "pending")]
        shipped = [r for service in outage.services for r in self.of[service.name]]
        ends += [(r.finished, False) for r in shipped if self.happened(r) and r.finished <= recovered and self.fixes(r) is outage]
        return bool(ends) and max(ends, key=lambda end: end[0])[1]

    def within(self, rollout: Rollout, since: datetime, until: datetime) -> bool:
        """Something new that began and ended in that time."""
        return rollout.purpose in SHIPPING and rollout.status == "succeeded" and rollout.started >= since and rollout.finished <= until

    def touched(self, rollout: Rollout) -> bool:
        """Is there any evidence against it, however weak?"""
        return self.failed(rollout) or bool(self.against.get(id(rollout)))


def samples_of(world: World, outcome: dict[int, str]) -> list[Sample]:
    """metric, id (of deployment, attempt or incident), value (1 or 0 of a rate, else minutes or a number), open.

    outcome: of each attempt, by its id(), as the published rule has it.
    """
    count = Count(world, outcome)
    return [*_delivery(count), *_minutes(count), *_rollbacks(count), *_hotfixes(count)]


def _row(metric: str, id: str, value: float | bool, *, still_open: bool = False) -> Sample:
    return {"metric": metric, "id": id, "value": float(value), "open": still_open}


def _span(metric: str, id: str, span: timedelta, *, still_open: bool = False) -> Sample:
    # Clocks tell seconds: nothing lasts less than one.
    return _row(metric, id, max(span, timedelta(seconds=1)) / timedelta(minutes=1), still_open=still_open)


def _delivery(count: Count) -> Iterator[Sample]:
    seen: set[str] = set()
    for rollout in sorted(count.rollouts, key=lambda r: r.finished):
        service = rollout.service.name
        if rollout.purpose not in SHIPPING or not count.happened(rollout):
            continue
        good = rollout.status == "succeeded"
        before = count.running(service, rollout.finished - timedelta(seconds=1))
        newest = before is None or (rollout.artifact.number, rollout.artifact.patch) >= (before[1].number, before[1].patch)
        if good:
            yield _row("deployment_frequency", rollout.id, 1)
            if service in seen:
                yield _span("change_lead_time", rollout.id, rollout.finished - rollout.artifact.committed)
            seen.add(service)
        hot = count.fixes(rollout) is not None
        stopped = not good and not count.touched(rollout)
        if stopped:
            yield _row("stopped_deployments", rollout.id, 1)
        if stopped or ((not newest or count.overtaken(rollout)) and not hot):
            continue
        failed = count.failed(rollout)
        if rollout.finished + DAY <= count.end:
            yield _row("change_failure_rate", rollout.id, failed)
            yield _row("change_failure_rate_certain", rollout.id, bool(count.causing.get(id(rollout))))
            yield _row("change_failure_rate_possible", rollout.id, count.touched(rollout))
            yield _row("deployment_rework_rate", rollout.id, hot)
            yield _row("rollback_rate", rollout.id, any(count.undone(a) is rollout for a in count.against.get(id(rollout), [])))
            if hot:
                yield _row("hotfix_failure_rate", rollout.id, failed)
        if failed:
            yield from _recovery(count, rollout)


def _recovery(count: Count, rollout: Rollout) -> Iterator[Sample]:
    undoing = [a for a in count.against.get(id(rollout), []) if count.undone(a) is rollout]
    linked = {id(o): o for o in count.causing.get(id(rollout), [])} | {id(a.outage): a.outage for a in undoing if a.outage}
    over = [o.recovered for o in linked.values() if o.recovered is not None and o.recovered < count.end]
    done = [a.completed for a in undoing if a.status == "completed" and a.completed < count.end]
    begun = max([rollout.started, *([min(o.started for o in linked.values())] if linked else [])])
    if over or done:
        yield _span("failed_deployment_recovery_time", rollout.id, (max(over) if over else max(done)) - begun)
    elif linked:
        yield _span("failed_deployment_recovery_time", rollout.id, count.end - begun, still_open=True)


def _minutes(count: Count) -> Iterator[Sample]:
    for outage in count.incidents:
        stamps = [at if at is not None and at < count.end else None for at in (outage.detected, outage.decided, outage.recovered)]
        detected, decided, recovered = stamps
        last = recovered or count.end
        yield _span("time_to_recover", outage.id, last - outage.started, still_open=recovered is None)
        yield _span("time_to_detect", outage.id, (detected or count.end) - outage.started, still_open=detected is None)
        if detected is not None and not (recovered is not None and decided is None):
            yield _span("time_to_decide", outage.id, (decided or count.end) - detected, still_open=decided is None)
            if decided is not None:
                yield _span("time_to_act", outage.id, last - decided, still_open=recovered is None)
                if outage.criterion_met is not None and outage.criterion_met < count.end:
                    yield _row("silent_decision_minutes", outage.id, (decided - outage.criterion_met) / timedelta(minutes=1))
        yield _row("machine_detection_rate", outage.id, outage.detected_by == "machine")
        met = outage.criterion_met is not None and outage.criterion_met < count.end
        if outage.cause is not None and met and recovered is not None and not count.went_back(outage, recovered):
            yield _row("missed_rollbacks", outage.id, 1)
        first = min((a for a in count.real if a.outage is outage), key=lambda a: a.started, default=None)
        if first is not None and count.outcome[id(first)] != "pending":
            yield _row("first_action_success_rate", outage.id, count.outcome[id(first)] == "succeeded")


def _rollbacks(count: Count) -> Iterator[Sample]:
    for attempt in count.real:
        result = count.outcome[id(attempt)]
        if attempt.mechanism == "flag":
            if result != "pending":
                yield _row("flag_off_success_rate", attempt.id, result == "succeeded")
            continue
        if result != "pending":
            yield _row("rollback_success_rate", attempt.id, result == "succeeded")
            if count.first(attempt):
                yield _row("first_time_rollback_success_rate", attempt.id, result == "succeeded")
            if result != "succeeded":
                yield _row("failed_rollbacks", attempt.id, 1)
        if attempt.restores is not None:
            yield _row("known_good_rate", attempt.id, went_to_known_good(count, attempt))
        if attempt.trigger in ("auto", "manual"):
            yield _row("automated_rollback_rate", attempt.id, attempt.trigger == "auto")
        if attempt.status == "completed":
            yield from _completed(count, attempt)


def _completed(count: Count, attempt: Attempt) -> Iterator[Sample]:
    yield _row("rollback_regret_rate", attempt.id, count.regretted(attempt))
    if attempt.completed < count.end:
        decided = attempt.decided if attempt.declared else attempt.started
        yield _span("time_to_roll_back", attempt.id, attempt.completed - decided)
        bad = count.undone(attempt)
        if bad is not None:
            since = bad.finished if bad.status == "succeeded" else bad.started
            if attempt.completed >= since:
                yield _span("time_on_bad_version", attempt.id, attempt.completed - since)


def _hotfixes(count: Count) -> Iterator[Sample]:
    for rollout in count.rollouts:
        outage = count.fixes(rollout)
        if outage is None or not count.happened(rollout):
            continue
        yield _span("hotfix_lead_time", rollout.id, rollout.finished - outage.detected)
        yield _row("hotfix_scope", rollout.id, rollout.artifact.lines)
        yield _row("hotfix_scope_files", rollout.id, rollout.artifact.files)
        yield _span("hotfix_review_time", rollout.id, timedelta(minutes=rollout.artifact.review))
