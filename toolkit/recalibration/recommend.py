"""One recalibration, step by step: bound, best in value, nearest, gain on what was left out, one look at the test, verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.criteria import Criterion
from toolkit.criteria.terms import Terms
from toolkit.recalibration.cases import Cases
from toolkit.recalibration.choice import Gain
from toolkit.recalibration.decision import Decision, decided
from toolkit.recalibration.drift import Drift
from toolkit.recalibration.examination import Examination, examined
from toolkit.recalibration.question import Counts, Question, question_of
from toolkit.recalibration.together import Others, others_of
from toolkit.recalibration.verdict import Reason, Verdict

__all__ = ["Recommendation", "answered", "recommend"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recommendation:
    """What came out for one criterion. chosen: number and limit, None where there is none; incumbent: the same in force. step: minutes
    between evaluations. bounds: for each n the smallest admissible limit (None: none is; where every one is, the smallest that was
    tried). training, test: the chosen candidate there; incumbent_training, incumbent_test: the incumbent. test_digest: of the deployments
    that the test has used up. others: criteria in force beside it, with which it keeps the cap together; None where there are none."""

    criterion: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    chosen: tuple[int, float] | None
    incumbent: tuple[int, float]
    step: float
    bounds: dict[int, float | None]
    counts: Counts
    services: tuple[str, ...]
    gain: Gain | None
    training: Examination | None
    test: Examination | None
    incumbent_training: Examination
    incumbent_test: Examination
    drift: tuple[Drift, ...]
    test_digest: str
    others: Others | None = None


def recommend(cases: Cases, criterion: Criterion, terms: Terms, *, used: frozenset[str] = frozenset()) -> Recommendation:
    """Recalibrates a criterion on cases of one unit. used: digests of tests that were looked at before.

    Deterministic. Method: Neyman–Pearson bound on false stops, expected net benefit, out-of-bag gain; one test at the end.
    """
    question = question_of(cases, criterion, terms)
    return answered(question, decided(question, used=question.test_digest in used))


def answered(question: Question, found: Decision) -> Recommendation:
    """What was decided, with the counts and examinations that people read it by."""
    cases, criterion, grid, training, test = question.cases, question.criterion, question.grid, question.training, question.test
    place = found.place

    def on(candidate: int, within: Flags) -> Examination:
        return examined(cases, question.worth, candidate, grid.incumbent, question.terms, within)

    return Recommendation(
        criterion=criterion.name,
        verdict=found.verdict,
        reasons=found.reasons,
        chosen=question.setting(place),
        incumbent=(int(grid.n[grid.incumbent]), criterion.setting()),
        step=cases.step,
        bounds={n: _bound(question, n, bound) for n, bound in question.chooser.bounds().items()},
        counts=question.counts,
        services=tuple(sorted({cases.services[place] for place in np.unique(cases.service[training])})),
        gain=found.gain,
        training=None if place is None else on(place, training),
        test=None if place is None else on(place, test),
        incumbent_training=on(grid.incumbent, training),
        incumbent_test=on(grid.incumbent, test),
        drift=found.drift,
        test_digest=question.test_digest,
        others=others_of(question),
    )


def _bound(question: Question, n: int, bound: float) -> float | None:
    least = float(question.grid.bound[question.grid.n == n].min()) if np.isneginf(bound) else bound
    return question.criterion.limit_of(least) if np.isfinite(least) else None
