"""Refuse, keep, shadow or adopt: the worst of all reasons wins, and every reason is listed for people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["AT_MOST", "Reason", "Verdict", "verdict_of"]


class Verdict(IntEnum):
    """What to do with a recommended limit, the worst first. SHADOW: run it dry beside the one in force."""

    REFUSE = 0
    KEEP = 1
    SHADOW = 2
    ADOPT = 3

    @property
    def word(self) -> str:
        """In lower case, as programs read it."""
        return self.name.lower()


# What a reason allows at most.
AT_MOST: dict[str, Verdict] = {
    "too_few_good": Verdict.REFUSE,
    "too_few_bad": Verdict.REFUSE,
    "not_identified": Verdict.REFUSE,
    "test_cap_violated": Verdict.REFUSE,
    "none_admissible": Verdict.KEEP,
    "no_gain": Verdict.KEEP,
    "few_good_for_adoption": Verdict.SHADOW,
    "incumbent_over_cap": Verdict.SHADOW,
    "drift": Verdict.SHADOW,
    "test_cap_unproven": Verdict.SHADOW,
    "test_gain_negative": Verdict.SHADOW,
    "atom": Verdict.SHADOW,
    "new_services": Verdict.SHADOW,
    "no_cost": Verdict.SHADOW,
    "test_already_used": Verdict.SHADOW,
}


@dataclass(frozen=True)
class Reason:
    """A code of AT_MOST, and a sentence with its numbers."""

    code: str
    says: str

    @property
    def at_most(self) -> Verdict:
        """The best verdict that it leaves."""
        return AT_MOST[self.code]


def verdict_of(reasons: Iterable[Reason]) -> Verdict:
    """The worst that any reason leaves; adopt without any."""
    return min((reason.at_most for reason in reasons), default=Verdict.ADOPT)
