"""Leave one service out: does the recommendation hang on a single one?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.recalibration.decision import Decision, decided
from toolkit.recalibration.question import Question
from toolkit.recalibration.verdict import Verdict

__all__ = ["LeftOut", "left_out"]


@dataclass(frozen=True)
class LeftOut:
    """The recommendation without one service. chosen: number and limit, None where nothing is admissible. changed: whether verdict or
    chosen limit are others than with it; deployments: how many were left out."""

    service: str
    deployments: int
    verdict: Verdict
    chosen: tuple[int, float] | None
    changed: bool


def left_out(question: Question, whole: Decision, *, used: bool = False) -> tuple[LeftOut, ...]:
    """One row a service of the unit, by name; none where the unit has but one.

    All steps are repeated on the deployments of the others, with the same split, the same candidates and all resamples; those are left
    out only where other reasons leave no more than they could take away. It is the same look at the test, at less of it.
    """
    present = np.unique(question.cases.service)
    if len(present) < 2:
        return ()
    found = []
    for one in present:
        without = question.of(question.cases.service != one)
        told = decided(without, used=used, brief=True)
        changed = told.verdict != whole.verdict or told.place != whole.place
        chosen = without.setting(told.place)
        found.append(LeftOut(question.cases.services[one], int((question.cases.service == one).sum()), told.verdict, chosen, changed))
    return tuple(sorted(found, key=lambda row: row.service))
