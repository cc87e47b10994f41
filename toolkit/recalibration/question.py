"""A question put to cases: what is learnt from and what is the test, which candidates there are, and what each would have been worth."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from toolkit.criteria import Criterion
from toolkit.criteria.terms import Terms
from toolkit.recalibration.candidates import Grid, grid_of
from toolkit.recalibration.cases import Cases, Label
from toolkit.recalibration.choice import Chooser
from toolkit.recalibration.examination import Share, in_watch, share
from toolkit.recalibration.worth import Worth, worth_of

__all__ = ["Counts", "Question", "question_of", "split"]

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Deployments by label; immature ones, and unknown ones without telemetry to go by, are in nothing but here. training_bad, test_bad:
    those whose incident is known to have begun within the watch; the others are bad, and have no time to detect."""

    good: int
    bad: int
    unknown: int
    immature: int
    without_telemetry: int
    training_good: int
    training_bad: int
    test_good: int
    test_bad: int
    dropped_between: int


@dataclass(frozen=True)
class Question:
    """Everything that a verdict is found from. training, test: masks over the cases. chooser: of the training cases."""

    cases: Cases
    criterion: Criterion
    terms: Terms
    training: Flags
    test: Flags
    grid: Grid
    worth: Worth
    chooser: Chooser

    @property
    def by_value(self) -> bool:
        """Whether the policy states what users' harm is worth in engineers' time."""
        return self.terms.failed_requests_per_engineer_minute is not None

    @property
    def test_digest(self) -> str:
        """Of the deployments in the test, whatever they turned out to be: a second look at the same ones is a second look."""
        return hashlib.sha256(json.dumps([self.cases.deployment[place] for place in np.flatnonzero(self.test)]).encode()).hexdigest()

    @property
    def counts(self) -> Counts:
        """Deployments by label and part."""
        cases = self.cases
        good, bad = cases.label == Label.GOOD, (cases.label == Label.BAD) & in_watch(cases, self.terms)
        watched = good & cases.seen
        return Counts(
            good=int(watched.sum()),
            bad=int((cases.label == Label.BAD).sum()),
            unknown=int((cases.label == Label.UNKNOWN).sum()),
            immature=int((cases.label == Label.IMMATURE).sum()),
            without_telemetry=int((~cases.seen).sum()),
            training_good=int((watched & self.training).sum()),
            training_bad=int((bad & self.training).sum()),
            test_good=int((watched & self.test).sum()),
            test_bad=int((bad & self.test).sum()),
            dropped_between=int((~self.training & ~self.test).sum()),
        )

    def setting(self, place: int | None) -> tuple[int, float] | None:
        """Number and limit of a candidate."""
        return None if place is None else (int(self.grid.n[place]), self.criterion.limit_of(float(self.grid.bound[place])))

    def stopped_good(self, place: int | None) -> Share:
        """Of the good deployments learnt from, those that a candidate stops, or that others in force stop anyway; None: these alone."""
        good = self.training & (self.cases.label == Label.GOOD) & self.cases.seen
        stopped = self.cases.stopped_anyway
        if place is not None:
            stopped = stopped | np.isfinite(self.worth.fires[:, place])
        return share(int((good & stopped).sum()), int(good.sum()))

    @property
    def alone(self) -> Question:
        """The same question, were this criterion the only one in force."""
        cases = replace(self.cases, elsewhere={})
        chooser = Chooser(cases.of(self.training), self.grid, self.worth.of(self.training), self.terms)
        return replace(self, cases=cases, chooser=chooser)

    def of(self, kept: Flags) -> Question:
        """The same question to some of the cases: the same split, the same candidates."""
        cases, training, worth = self.cases.of(kept), self.training[kept], self.worth.of(kept)
        chooser = Chooser(cases.of(training), self.grid, worth.of(training), self.terms)
        return replace(self, cases=cases, training=training, test=self.test[kept], worth=worth, chooser=chooser)

    def relabelled(self, rows: Ints) -> Question:
        """The same question, were these good deployments bad and these bad ones good. Either way no incident of theirs is known."""
        label, onset = self.cases.label.copy(), self.cases.onset.copy()
        label[rows] = np.where(label[rows] == Label.GOOD, Label.BAD, Label.GOOD)
        onset[rows] = np.nan
        cases = replace(self.cases, label=label, onset=onset)
        worth = worth_of(cases, self.grid, self.terms, fires=self.worth.fires)
        chooser = self.chooser
        if self.training[rows].any():
            chooser = Chooser(cases.of(self.training), self.grid, worth.of(self.training), self.terms)
        return replace(self, cases=cases, worth=worth, chooser=chooser)


def question_of(cases: Cases, criterion: Criterion, terms: Terms) -> Question:
    """Lays out once what every step asks."""
    training, test = split(cases, criterion, terms)
    learnt = cases.of(training)
    grid = grid_of(learnt, criterion, terms)
    worth = worth_of(cases, grid, terms)
    return Question(cases, criterion, terms, training, test, grid, worth, Chooser(learnt, grid, worth.of(training), terms))


def split(cases: Cases, criterion: Criterion, terms: Terms) -> tuple[Flags, Flags]:
    """Training and test: the last share of the deployments is the test, and what lies so near before it that the same minutes could be in
    both is in neither."""
    test = np.zeros(len(cases), bool)
    first = len(cases) - round(len(cases) * terms.holdout)
    test[first:] = True
    if not test.any():
        return ~test, test
    gap = (terms.horizon + criterion.lookback()).total_seconds() / 86400
    # Days are floating: what ended as the test began does not touch it.
    return ~test & (cases.day <= cases.day[first] - gap + 1e-9), test
