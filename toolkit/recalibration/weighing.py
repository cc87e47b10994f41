"""The same choice at half and at double each cost: what users' harm is worth, and what a false stop takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from toolkit.recalibration.choice import Chooser
from toolkit.recalibration.question import Question

__all__ = ["FACTORS", "Weighed", "weighed"]

FACTORS = (0.5, 2.0)
Cost = Literal["harm", "false_stop"]


@dataclass(frozen=True)
class Weighed:
    """One of the two costs times a factor, all else as it is. saved, incumbent_saved: on the test, engineer minutes a deployment, of the
    candidate recommended and of the one in force. chosen: number and limit that would be chosen at this cost; None: nothing admissible."""

    cost: Cost
    factor: float
    saved: float
    incumbent_saved: float
    chosen: tuple[int, float] | None


def weighed(question: Question, place: int | None) -> tuple[Weighed, ...]:
    """Harm at ×½ and ×2, then false stops; nothing without a choice, or where the policy states no exchange rate."""
    if place is None or not question.by_value:
        return ()
    costs: tuple[Cost, ...] = ("harm", "false_stop")
    return tuple(_weighed(question, place, cost, factor) for cost in costs for factor in FACTORS)


def _weighed(question: Question, place: int, cost: Cost, factor: float) -> Weighed:
    value = question.worth.value
    # What is saved of harm is above zero, what false stops take below: no cell is both.
    scaled = np.where((value > 0) if cost == "harm" else (value < 0), value * factor, value)
    worth = replace(question.worth, value=scaled)
    learnt = question.cases.of(question.training)
    chosen = Chooser(learnt, question.grid, worth.of(question.training), question.terms).choose()
    rows = question.test & worth.judged
    saved, own = (float(scaled[rows, one].mean()) if rows.any() else 0.0 for one in (place, question.grid.incumbent))
    return Weighed(cost, factor, saved, own, question.setting(chosen))
