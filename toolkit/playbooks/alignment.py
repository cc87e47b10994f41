"""Lay what happened in one incident against its playbook: which steps were done, late, out of order, skipped, and what was not written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from toolkit.playbooks.playbook import MOMENTS, Playbook, Step

__all__ = ["COURSE", "VERDICTS", "Happened", "Told", "Verdict", "aligned"]

Verdict = Literal["done", "late", "out_of_order", "skipped", "waived", "pending", "not_taken", "not_asked", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("done", "late", "out_of_order", "skipped", "waived", "pending", "not_taken", "not_asked", "unknown")
# The course of an incident, what was shown beforehand and what follows it: nobody acts on the incident by these.
COURSE = frozenset({"started", "mitigated", "resolved", "reopened", "note", "reviewed", "review", "merged", "rollback_tested"})
# A timeline of hundreds of equal lines must not hold up a publish; people's incidents need a few dozen.
_TRIES = 20_000


@dataclass(frozen=True)
class Happened:
    """Something that was seen. It lies between `at` and `until`: people type minutes. The numbers are a hotfix's; None: not known."""

    what: str
    at: datetime
    until: datetime
    id: str
    files: int | None = None
    lines: int | None = None
    review_minutes: int | None = None


@dataclass(frozen=True)
class Told:
    """A step as it went. shown: what shows it; due: until when it was to be done, where that is known."""

    step: Step
    verdict: Verdict
    shown: Happened | None = None
    due: datetime | None = None


def aligned(
    playbook: Playbook,
    happened: Sequence[Happened],
    *,
    moments: Mapping[str, datetime | None],
    horizon: datetime,
    severity: str | None = None,
    seen: Collection[str] | None = None,
    waived: Collection[str] = (),
) -> tuple[list[Told], list[Happened]]:
    """The verdict on each step, in the order of the playbook; and what was done that no step asks for.

    Each step takes at most one event and each event shows at most one step, so that as many steps as possible stand in the playbook's
    partial order: first of those that are asked for, then of all, then of those in time; of equals the earliest events. A step whose
    event finds no place is out of order. Limits are judged apart, on the events that other steps may take as well.

    moments: detected, recovered (null: still open). seen: what anybody ever recorded; a step that only something else could show is
    unknown, since what nobody records cannot be told from what nobody does. Default: everything. waived: ids of steps taken out.
    """
    asked = {step.id: step.concerns(severity) for step in playbook.step}
    ordered = [step for step in playbook.ordered if asked[step.id] and step.id not in waived and step.limits is None]
    known = sorted(happened, key=lambda one: (one.at, one.what, one.id))
    search = _Search(playbook, ordered, known, moments)
    search.place(0, (0, 0, 0), {})
    found = search.best
    used = {id(one) for one in found.values()}
    told: list[Told] = []
    for step in playbook.step:
        if step.id in waived:
            told.append(Told(step, "waived"))
        elif not asked[step.id]:
            told.append(Told(step, "unknown" if asked[step.id] is None else "not_asked"))
        elif step.limits is not None:
            told.append(_kept(step, known, moments["recovered"], seen))
        else:
            spare = next((one for one in known if one.what in step.shown_by and id(one) not in used), None)
            told.append(_judged(step, found, spare, moments, horizon, seen))
    written = COURSE.union(*(step.shown_by for step in playbook.step))
    return told, [one for one in known if one.what not in written and not one.what.startswith("gate:")]


Score = tuple[int, int, int]


@dataclass
class _Search:
    """Depth first, earliest events first; whatever cannot beat the best is left."""

    playbook: Playbook
    steps: Sequence[Step]
    known: Sequence[Happened]
    moments: Mapping[str, datetime | None]
    best: dict[str, Happened] = field(default_factory=dict)
    score: Score = (-1, 0, 0)
    tries: int = 0

    def __post_init__(self) -> None:
        self.options = [[one for one in self.known if one.what in step.shown_by] for step in self.steps]
        self.ahead: list[tuple[int, int]] = [(0, 0)]
        for step, options in zip(reversed(self.steps), reversed(self.options), strict=True):
            needed, all_ = self.ahead[0]
            self.ahead.insert(0, (needed + (bool(options) and not step.optional), all_ + bool(options)))

    def place(self, at: int, score: Score, chosen: dict[str, Happened]) -> None:
        self.tries += 1
        needed, all_ = self.ahead[at]
        if (score[0] + needed, score[1] + all_, score[2] + all_) <= self.score or self.tries > _TRIES:
            return
        if at == len(self.steps):
            self.best, self.score = dict(chosen), score
            return
        step = self.steps[at]
        earlier = [chosen[name] for name in self.playbook.before[step.id] if name in chosen]
        for one in self.options[at]:
            if all(other is not one and other.at <= one.until for other in earlier) and all(other is not one for other in chosen.values()):
                due = due_of(step, chosen, self.moments)
                chosen[step.id] = one
                self.place(at + 1, (score[0] + (not step.optional), score[1] + 1, score[2] + (due is None or one.at <= due)), chosen)
                del chosen[step.id]
        self.place(at + 1, score, chosen)


def due_of(step: Step, found: Mapping[str, Happened], moments: Mapping[str, datetime | None]) -> datetime | None:
    """Until when a step was to be done; null without a bound, or where what it runs from is not known."""
    if step.within is None:
        return None
    since = moments[step.of] if step.of in MOMENTS else found[step.of].until if step.of in found else None
    return None if since is None else since + step.within


def _judged(
    step: Step,
    found: Mapping[str, Happened],
    spare: Happened | None,
    moments: Mapping[str, datetime | None],
    horizon: datetime,
    seen: Collection[str] | None,
) -> Told:
    due = due_of(step, found, moments)
    if (shown := found.get(step.id)) is not None:
        return Told(step, "late" if due is not None and shown.at > due else "done", shown, due)
    if spare is not None:
        return Told(step, "out_of_order", spare, due)
    if step.optional:
        return Told(step, "not_taken", None, due)
    if seen is not None and not any(name in seen for name in step.shown_by):
        return Told(step, "unknown", None, due)
    waiting = due > horizon if due is not None else moments["recovered"] is None
    return Told(step, "pending" if waiting else "skipped", None, due)


def _kept(step: Step, known: Sequence[Happened], recovered: datetime | None, seen: Collection[str] | None) -> Told:
    """Whether anything that shows the step kept to its limits. A review that took too long is late; what grew too large was not done."""
    verdicts = [(_within(step, one), one) for one in known if one.what in step.shown_by]
    for verdict in ("done", "unknown", "late", "skipped"):
        for own, one in verdicts:
            if own == verdict:
                return Told(step, own, one)
    if step.optional or (seen is not None and not any(name in seen for name in step.shown_by)):
        return Told(step, "not_taken" if step.optional else "unknown")
    return Told(step, "pending" if recovered is None else "skipped")


def _within(step: Step, one: Happened) -> Verdict:
    over: list[str] = []
    unknown = False
    for name, most in step.limits or ():
        value = getattr(one, name)
        if most is not None and value is None:
            unknown = True
        elif most is not None and value > most:
            over.append(name)
    if over:
        return "late" if over == ["review_minutes"] else "skipped"
    return "unknown" if unknown else "done"
