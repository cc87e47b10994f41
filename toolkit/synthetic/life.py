"""The life of one service: what it shipped, what broke, what was drilled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush

from toolkit.synthetic import mistake, response
from toolkit.synthetic.chance import lognormal, stream
from toolkit.synthetic.rhythm import whenever, working_times
from toolkit.synthetic.things import Artifact, Attempt, Outage, Rollout, Service, Switch, World
from toolkit.synthetic.vocabulary import REASONS

__all__ = ["Life", "Storm"]

MINUTES = {"recreate": 2.5, "rolling": 5.0, "canary": 22.0, "blue_green": 8.0, "flag": 1.5}


@dataclass(eq=False)
class Storm:
    """One bad thing that many services picked up within the hour."""

    name: str
    at: datetime
    outage: Outage


class Life:
    """Runs one service through time. What happens waits in `queue`; the last of `line` is what runs."""

    def __init__(self, service: Service, world: World, storms: list[Storm], ending: Callable[[Life], None] | None = None) -> None:
        self.service, self.world = service, world
        self.rng = stream(world.seed, service.name, "life")
        self.queue: list[tuple[datetime, int, Callable[[datetime], object]]] = []
        self.turn = 0
        self.number = self.rng.randrange(1, 60)
        self.patch = 0
        self.line: list[Rollout] = []
        # Until then nobody releases; until then the service is down.
        self.free = self.down = service.since
        self._first()
        self._schedule(storms)
        if ending:
            ending(self)

    def plan(self, at: datetime, act: Callable[[datetime], object]) -> None:
        """Let `act` happen at `at`. Equal times keep the order in which they were planned."""
        self.turn += 1
        heappush(self.queue, (at, self.turn, act))

    def run(self) -> None:
        """Until the world ends."""
        while self.queue:
            at, _, act = heappop(self.queue)
            if at < self.world.end:
                act(at)

    def minutes(self, median: float, sigma: float = 0.6) -> timedelta:
        """A span around `median` minutes, in whole seconds."""
        return timedelta(seconds=max(5, round(60 * lognormal(self.rng, median, sigma))))

    def person(self) -> str:
        """Pseudonym of somebody on the team."""
        return f"p-{self.service.team.lower()}-{self.rng.randrange(1, 6)}"

    def reason(self, choices: tuple[str, ...] = REASONS) -> str:
        """What somebody would type into the box "why"."""
        return self.rng.choice(choices).format(part=self.rng.choice(self.service.parts), version=self.line[-1].artifact.version)

    # What is going to happen

    def _first(self) -> None:
        at = self.service.since + timedelta(hours=9, minutes=self.rng.randrange(120))
        self.ship(self.build(at), at, "release")

    def _schedule(self, storms: list[Storm]) -> None:
        service, start, end = self.service, self.service.since + timedelta(days=2), self.world.end
        for at in working_times(self.rng, start, end, service.weekly):
            self.plan(at, self.release)
        for at in whenever(self.rng, start, end, service.outages_weekly):
            self.plan(at, self.outage)
        for at in working_times(self.rng, start, end, 0.35):
            self.plan(at, self.flag_work)
        if service.service_class == "critical":
            for at in working_times(self.rng, start + timedelta(days=30), end, 1 / 14):
                self.plan(at, self.drill)
        for at in whenever(self.rng, start, end, 1 / 20):
            self.plan(at.replace(hour=3, minute=0, second=0), self.maintenance)
        for storm in storms:
            if storm.at > start:
                self.plan(storm.at + timedelta(minutes=self.rng.randrange(45)), lambda at, storm=storm: self.caught(at, storm))  # type: ignore[misc]

    # Building and shipping

    def build(self, at: datetime, *, hotfix: Outage | None = None, backport: bool = False) -> Artifact:
        """What the team built last, or a patch of it."""
        rng, service = self.rng, self.service
        if hotfix is not None or backport:
            self.patch += 1
            number = self.number - backport
        else:
            self.number, self.patch = self.number + 1, 0
            number = self.number
        patch = self.patch
        version = f"{2 + number // 40}.{number % 40}.{patch}" if service.semver else f"v{number}" + (f".{patch}" if patch else "")
        key = hashlib.sha256(f"{self.world.seed}/{service.name}/{number}.{patch}".encode()).hexdigest()
        # In a hurry, not everybody names the branch as agreed.
        marked = hotfix is not None and rng.random() < 0.75
        files = 1 + int(lognormal(rng, 1.2, 0.6)) if hotfix else 1 + int(lognormal(rng, 7, 1.0))
        return Artifact(
            service=service,
            number=number,
            patch=patch,
            version=version,
            digest=f"sha256:{key}",
            revision=hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest(),
            committed=at - (self.minutes(25, 0.5) if hotfix else self.minutes(60 * 26, 1.0)),
            files=files,
            lines=files * (1 + int(lognormal(rng, 9, 0.9))),
            review=int(lognormal(rng, 6, 0.8)) if hotfix else int(lognormal(rng, 75, 1.0)),
            migration=rng.choices(("none", "reversible", "irreversible"), (0.88, 0.09, 0.03))[0],
            branch="hotfix/" + self.service.parts[patch % len(service.parts)].replace(" ", "-") if marked else "main",
            labels=("hotfix",) if marked and rng.random() < 0.6 else (),
        )

    def ship(self, artifact: Artifact, at: datetime, purpose: str, **more: object) -> Rollout:
        """Put it into production; if that works it is what runs."""
        strategy = "rolling" if purpose in ("hotfix", "rollback", "drill", "return") else self.service.strategy
        trigger = "auto" if self.service.gitops or self.rng.random() < 0.25 else "manual"
        rollout = Rollout(
            service=self.service,
            environment="production",
            artifact=artifact,
            purpose=purpose,
            trigger=trigger,
            queued=at - self.minutes(2),
            started=at,
            finished=at + self.minutes(MINUTES[strategy], 0.4),
            actor=self.person() if trigger == "manual" else None,
            strategy=strategy,
        )
        for name, value in more.items():
            setattr(rollout, name, value)
        self.world.rollouts.append(rollout)
        if rollout.status == "succeeded" and purpose not in ("rollback", "drill", "return", "redeploy"):
            if self.line and self.line[-1].gone is None:
                self.line[-1].gone = rollout.finished
            self.line.append(rollout)
        self.free = max(self.free, rollout.finished + timedelta(minutes=60))
        return rollout

    def release(self, at: datetime) -> None:
        """An ordinary release, with one of its ordinary fates."""
        rng = self.rng
        free = max(self.free, self.down)
        if at < free:
            self.plan(free + timedelta(minutes=rng.randrange(20, 240)), self.release)
            return
        luck = rng.random()
        if luck < 0.03:
            running = self.line[-1].artifact
            self.ship(running, at, "redeploy")
            return
        artifact = self.build(at, backport=luck > 0.995 and self.patch == 0)
        if self.service.stages:
            self.rehearse(artifact, at)
        if luck < 0.055:
            stopped = self.ship(artifact, at, "release", status=rng.choice(("failed", "failed", "cancelled")))
            self.plan(stopped.finished + self.minutes(45), lambda again: self.retry(again, artifact))
            return
        self.fate(self.ship(artifact, at, "release"), luck)

    def retry(self, at: datetime, artifact: Artifact) -> None:
        """The pipeline refused; now it passes."""
        if artifact.number == self.number and at >= self.down:
            self.fate(self.ship(artifact, at, "release"), 0.5)

    def fate(self, rollout: Rollout, luck: float) -> None:
        """Good, bad, or thought to be bad."""
        rng, service = self.rng, self.service
        # Large changes and Fridays fail more.
        odds = service.failure * (1.5 if rollout.artifact.files > 15 else 0.85) * (1.25 if rollout.started.weekday() == 4 else 1.0)
        if rng.random() < odds:
            response.go_bad(self, rollout)
        elif 0.06 < luck < 0.066 and service.gitops:
            mistake.race(self, rollout)
        elif 0.07 < luck < 0.077:
            mistake.false_alarm(self, rollout)

    def rehearse(self, artifact: Artifact, at: datetime) -> None:
        """The same artifact in staging first; now and then staging breaks, which is no matter for production."""
        start = at - self.minutes(150)
        artifact.committed = min(artifact.committed, start - timedelta(minutes=20))
        rollout = self.ship(artifact, start, "release", environment="staging", status="staged", strategy="rolling")
        rollout.status = "succeeded"
        if self.rng.random() < 0.02:
            self.world.outages.append(response.small_outage(self, rollout.finished + self.minutes(15), environment="staging"))

    # What else happens

    def outage(self, at: datetime) -> None:
        """Trouble that no release made."""
        if at >= self.down:
            response.break_down(self, at, None)

    def caught(self, at: datetime, storm: Storm) -> None:
        """A storm's bad artifact arrives here as well."""
        if at >= self.down and len(self.line) > 1:
            finished = at + self.minutes(4, 0.3)
            response.storm(self, self.ship(self.build(at), at, "release", strategy="rolling", finished=finished), storm.outage)

    def drill(self, at: datetime) -> None:
        """Rehearse a rollback in production: one back, and forward again."""
        if at < max(self.free, self.down) or len(self.line) < 2:
            return
        running, before = self.line[-1], self.line[-2]
        back = self.ship(before.artifact, at, "drill")
        self.ship(running.artifact, back.finished + self.minutes(15, 0.3), "return")
        self.world.attempts.append(
            Attempt(
                service=self.service,
                environment="production",
                mechanism="gitops" if self.service.gitops else "redeploy",
                trigger="manual",
                decided=at,
                started=at,
                completed=back.finished,
                reason="Rollback drill",
                rollout=back,
                undoes=running,
                restores=before.artifact,
                declared=True,
                worked=True,
                drill=True,
            )
        )

    def maintenance(self, at: datetime) -> None:
        """A window announced in advance."""
        if at < self.down:
            return
        window = response.small_outage(self, at)
        window.planned, window.severity, window.title = True, "maintenance", f"Planned maintenance: {self.service.parts[0]} database"
        window.detected = window.acknowledged = window.decided = window.started
        window.recovered = at + self.minutes(60, 0.3)
        window.closed = window.recovered + self.minutes(15)
        self.world.outages.append(window)
        self.free = max(self.free, window.recovered)

    def flag_work(self, at: datetime) -> None:
        """A feature is opened a bit further: nothing to do with trouble."""
        step = self.rng.choice((("0 %", "10 %"), ("10 %", "50 %"), ("50 %", "100 %")))
        part = self.rng.choice(self.service.parts).replace(" ", "-").lower()
        self.world.switches.append(
            Switch(self.service, f"{self.service.name}.new-{part}", "update", at, step[0], step[1], kill=False, actor=self.person())
        )
