"""Small hostile histories: few services, few versions, coarse times, so that ties, overlaps and boundaries are hit."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.builders import DAY_ONE, deployment, event, flag_off, history, incident, override, rollback, told

__all__ = ["hostile"]

Row = dict[str, Any]
STEPS = [timedelta(minutes=minutes) for minutes in (0, 5, 5, 10, 10, 30, 30, 60, 60, 24 * 60, 7 * 24 * 60)]
_DECIDED = ["started_at", "detected_at", "decided_at", "recovered_at", "recovered_at", "cause", "cause", "duplicate_of"]
LENGTHS = [0, 5, 5, 10, 30, 60]

# The same words, other words, and none at all, once case, numbers and punctuation are gone.
TITLES = (
    "Errors", "errors", "ERRORS (#12)", "5: errors!", "5xx errors", "(5)XX_Errors", "errors xx", "12", "#3 …", "½²Ⅻ",
    "Größe 2", "GRÖSSE", "größe",
    "cafe\u0301 down", "CAFÉ down", "cafe down", "down ⚠\ufe0f", "Down", "down ⚠", "नमस्ते 1", "नमस्ते", "नमसत",
)  # fmt: skip


class Hostile:
    """Draws rows; every choice goes through `random`, so that a seed gives the same history again."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.points = [DAY_ONE]
        steps = random.choice([STEPS, STEPS, STEPS, STEPS[:8], [*STEPS, timedelta(days=89), timedelta(days=90)]])
        for _ in range(random.choice([4, 6, 8, 12])):
            self.points.append(self.points[-1] + random.choice(steps))
        self.services = ["a", "b", "c"][: random.choice([1, 1, 1, 2, 3])]
        self.environments = random.choice([["production"]] * 4 + [["production", "staging"], ["production", "prod-eu"]])
        self.sources = random.choice([["x"], ["x"], ["x", "y"]])
        self.names = {"deployment": [], "rollback": [], "incident": [], "flag_change": []}  # type: dict[str, list[str]]
        # How much of each trouble this history has: most have little, so that one trouble at a time is seen.
        self.spice = random.choice([0.0, 0.1, 0.3])
        self.drills = random.choice([0.0, 0.0, 0.0, 0.5])
        # Quick patches show only among many releases.
        self.patches = random.choice([False] * 9 + [True])

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def maybe(self, *values: Any, often: float | None = None) -> Any:
        """One of the values, or nothing."""
        return self.random.choice(values) if self.chance(self.spice if often is None else often) else None

    def time(self) -> datetime:
        return self.random.choice(self.points) + self.random.choice([timedelta(0)] * 5 + STEPS[1:-1])

    def place(self) -> Row:
        return {
            "service": self.random.choice(self.services),
            "environment": self.random.choice(self.environments),
            "source": self.random.choice(self.sources),
        }

    def name(self, record: str, letter: str) -> str:
        """A new id; with two sources the same id may come from both."""
        name = f"{letter}{len(self.names[record]) // len(self.sources)}"
        self.names[record].append(name)
        return name

    def named(self, *records: str, often: float | None = None) -> str | None:
        """An id that is there, or rarely one that is not."""
        pool = [name for record in records for name in self.names[record]] or ["nobody"]
        return self.maybe(*pool, *pool, *pool, "nobody", often=often)

    def deployment(self) -> Row:
        number = self.random.choice([1, 1, 2, 2, 3, 4])
        version = self.random.choice([f"v{number}"] * 8 + [f"1.{number}.{number - 1}", f"1.{number}.0-rc.1", None, "latest"])
        if self.patches:
            version = f"1.0.{len(self.names['deployment'])}"
        digest = self.maybe(f"sha{number}", f"sha{number}", f"sha{number}b", "sha1")
        commit = self.maybe(f"c{number}", f"c{number}", "c1")
        at = self.time()
        minutes = self.random.choice([*LENGTHS, *LENGTHS, None])
        row = deployment(version, at, minutes, id=self.name("deployment", "d"), artifact_digest=digest, vcs_revision=commit, **self.place())
        row["status"] = self.random.choice(["succeeded"] * 8 + ["failed", "cancelled", "superseded"])
        if minutes is None and self.chance(0.5):
            row["status"] = self.random.choice(["in_progress", "queued"])
        row["kind"] = self.maybe("release", "rollback", "redeploy", "reapply", "hotfix", "unknown")
        row["config_revision"] = self.maybe("k1", "k2")
        row["trigger"] = self.maybe("auto", "manual", "unknown", often=0.4)
        row["committed_at"] = self.maybe(at - timedelta(hours=1), at, at + timedelta(hours=2))
        row["branch"] = self.maybe("main", "hotfix/now")
        row["labels"] = self.maybe(["Hotfix"], ["other"])
        row["fixes_incident"] = self.named("incident")
        # Without an end either it is in no lineage.
        if self.chance(self.spice / 3):
            row["started_at"] = None
        return row

    def rollback(self) -> Row:
        minutes = self.random.choice([*LENGTHS, None])
        row = rollback(
            self.maybe("v1", "v2", "v3", "latest", often=0.7), self.time(), minutes, id=self.name("rollback", "r"), **self.place()
        )
        row["mechanism"] = self.random.choice(["redeploy", "redeploy", "gitops", "traffic", "flag", "database", "revert_commit"])
        row["outcome"] = self.maybe("succeeded", "failed", "cancelled", "partial")
        row["drill"] = self.chance(max(self.spice, self.drills))
        row["from_version"] = self.maybe("v2", "v3", "v4")
        row["from_digest"] = self.maybe("sha2", "sha3")
        row["to_digest"] = self.maybe("sha1", "sha2")
        row["trigger"] = self.maybe("auto", "auto", "manual", "unknown", often=0.5)
        row["reason"] = self.maybe("errors")
        row["incident"] = self.named("incident")
        row["decided_at"] = self.maybe(row["started_at"] - timedelta(minutes=5), row["started_at"], self.time())
        if self.chance(self.spice / 3):
            row["started_at"] = None
        return row

    def flag_change(self) -> Row:
        row = flag_off(self.time(), id=self.name("flag_change", "f"), incident=self.named("incident", often=0.5), **self.place())
        row["kill_switch"] = self.chance(0.5)
        row["action"] = self.random.choice(["off", "off", "Disabled", "on", None])
        row["after"] = self.maybe("false", "on")
        if self.chance(self.spice):
            row["service"] = None
        return row

    def incident(self) -> Row:
        place = self.place()
        services = self.random.sample(self.services, self.random.choice([1, 1, len(self.services)]))
        environment = self.random.choice([place["environment"]] * 3 + [None])
        at = self.time()
        row = incident(at, None, id=self.name("incident", "i"), services=services, environment=environment, source=place["source"])
        row["started_at"] = self.maybe(at, at - timedelta(minutes=10), at - timedelta(hours=1), often=0.4)
        row["acknowledged_at"] = self.maybe(at, at + timedelta(minutes=5))
        row["decided_at"] = self.maybe(at + timedelta(minutes=5), self.time())
        row["mitigated_at"] = self.maybe(at + self.random.choice(STEPS), self.time(), often=0.5)
        row["resolved_at"] = self.maybe(at + self.random.choice(STEPS), self.time(), often=0.4)
        row["criterion_met_at"] = self.maybe(at - timedelta(minutes=5), at + timedelta(minutes=5))
        row["suspected_deployment"] = self.named("deployment")
        row["fixed_by"] = self.named("deployment", "rollback", "flag_change")
        row["duplicate_of"] = self.named("incident")
        row["cause"] = self.maybe("not_a_deployment", "capacity")
        row["severity"] = self.random.choice(["sev1"] * 9 + ["Maintenance"])
        row["title"] = self.maybe(*TITLES)
        row["root_cause"] = self.maybe("config", "cache", "c1")
        row["alert"] = self.maybe("burn")
        if self.chance(self.spice / 2):
            row["detected_at"] = None
        return row

    def event(self) -> Row:
        kinds = ["reopened"] * 4 + ["mitigated", "mitigated", "resolved", "started", "detected", "acknowledged", "decided", "note"]
        about = self.named("incident", often=1)
        return event(self.random.choice(kinds), self.time(), incident=about, source=self.random.choice(self.sources))

    def override(self, rows: list[Row]) -> Row:
        """What a reviewer decides about a record that is there, or rarely about one that is not."""
        kind = "deployment" if self.chance(0.4) else "incident"
        field = "failed" if kind == "deployment" else self.random.choice(_DECIDED)
        about = [row for row in rows if row["record"] == kind]
        of = self.random.choice(about) if about and self.chance(0.95) else {"source": "x", "source_id": "nobody"}
        if field.endswith("_at"):
            value: Any = self.time()
        elif field == "failed":
            value = self.random.choice(["certain", "none"])
        else:
            word, pool = ("not_a_deployment", "deployment") if field == "cause" else ("none", "incident")
            value = self.named(pool, often=0.7) or word
        return override(field, value, of=of["source_id"], source=of["source"], at_source=self.random.choice(self.sources))

    def quarrel(self) -> list[Row]:
        """Automation takes back within minutes what somebody shipped: without a verdict, a race."""
        start, place = self.time(), self.place() | {"service": "q"}
        steps = [("v1", -60, None), ("v2", 0, None), ("v1", self.random.choice([3, 5, 9, 10]), "auto")]
        return [
            deployment(version, start + timedelta(minutes=minutes), id=f"q{number}", trigger=trigger, **place)
            for number, (version, minutes, trigger) in enumerate(steps)
        ]

    def verdict(self, rows: list[Row], number: int) -> Row:
        """What a judge says of a deployment that is there, mostly naming it, mostly about the time."""
        of = self.random.choice([row for row in rows if row["record"] == "deployment"])
        at = of["finished_at"] or of["started_at"] or self.time()
        spoken = self.time() if self.chance(0.2) else at + timedelta(minutes=self.random.choice([-5, 0, 0, 3, 5, 5, 9, 10]))
        decision = self.random.choice(["proceed", "revert", "revert", "pause", "inconclusive", "error"])
        name = self.random.choice([of["source_id"]] * 3 + [None, None, self.named("deployment", often=1)])
        place = self.place() if self.chance(0.1) else {key: of[key] for key in ("service", "environment", "source")}
        if self.chance(0.3):
            place["source"] = self.random.choice(self.sources)
        return told("verdict", f"j{number}", deployment=name, decision=decision, at=spoken, **place)


def hostile(random: Random) -> tuple[dict[str, list[Row]], datetime]:
    """A history and its horizon: mostly after everything and every window, else at one of the history's own times or near it."""
    world = Hostile(random)
    rows: list[Row] = []
    shape = random.choice(
        [
            (8, 0, 0, 0, 0),
            (6, 2, 0, 0, 0),
            (5, 1, 2, 0, 1),
            (4, 2, 2, 2, 3),
            (6, 0, 1, 0, 1),
            (0, 3, 1, 3, 1),
            (10, 4, 4, 2, 5),
            (3, 8, 0, 4, 0),
            (8, 2, 2, 0, 6),
        ]
    )
    if world.patches:
        shape = (26, 0, 1, 0, 0)
    for make, most in zip((world.deployment, world.rollback, world.incident, world.flag_change, world.event), shape, strict=True):
        rows += [make() for _ in range(random.randint(most // 2, most))]
    if world.chance(0.3):
        _name_incidents(world, rows)
    for number, row in enumerate(rows):
        if row["record"] == "incident_event":
            row["source_id"] = f"e{number}"
    _unique(rows)
    if random.random() < 0.4:
        decisions = {(row["of"], row["source"], row["source_id"], row["field"]): row for row in (world.override(rows) for _ in range(3))}
        rows += decisions.values()
    horizon = random.choice(
        [world.points[-1] + timedelta(days=60)] * 4 + [random.choice(world.points), random.choice(world.points) + timedelta(hours=1)]
    )
    if shape[0] and world.chance(0.5):
        quarrel = world.quarrel() if world.chance(0.5) else []
        rows += quarrel
        rows += [world.verdict(quarrel or rows, number) for number in range(random.choice([1, 2, 4]))]
    return history(*rows), horizon


def _name_incidents(world: Hostile, rows: list[Row]) -> None:
    """Incidents are made after deployments: let some of those name them."""
    for row in rows:
        if row["record"] == "deployment" and world.chance(0.3):
            row["fixes_incident"] = world.named("incident", often=1)
        elif row["record"] in {"rollback", "flag_change"} and world.chance(0.5):
            row["incident"] = world.named("incident", often=1)


def _unique(rows: list[Row]) -> None:
    """(source, source_id) is the key: a second row under one key gets an id of its own."""
    seen = set()
    for number, row in enumerate(rows):
        key = row["record"], row["source"], row["source_id"]
        if key in seen:
            row["source_id"] += f"-{number}"
        seen.add((row["record"], row["source"], row["source_id"]))
