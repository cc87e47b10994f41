"""What a recommendation hangs on: single services, single labels, and what its two costs are said to be."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.recalibration.decision import Decision
from toolkit.recalibration.flips import Flips, flips
from toolkit.recalibration.left_out import LeftOut, left_out
from toolkit.recalibration.question import Question
from toolkit.recalibration.weighing import Weighed, weighed

__all__ = ["Guards", "guarded"]


@dataclass(frozen=True)
class Guards:
    """left_out: a row a service, none where there is but one. flips: labels until the verdict is another. weighed: at ×½ and ×2 of both
    costs, none without an exchange rate."""

    left_out: tuple[LeftOut, ...]
    flips: Flips
    weighed: tuple[Weighed, ...]


def guarded(question: Question, whole: Decision, *, used: bool = False) -> Guards:
    """Repeats a recommendation with less, with other labels and with other costs; all of it is the same look at the test. used: whether
    that had been looked at before."""
    return Guards(left_out(question, whole, used=used), flips(question, whole, used=used), weighed(question, whole.place))
