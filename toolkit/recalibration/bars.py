"""Three bars, in force against recommended, with intervals: caught, stopped for nothing, minutes of users' harm."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.recalibration.examination import Examination, Share
from toolkit.recalibration.units import Unit
from toolkit.recalibration.verdict import Verdict

__all__ = ["HARM", "Bar", "bars", "rival"]

HARM = "minutes of harm"


@dataclass(frozen=True)
class Bar:
    """what: caught, false stops (shares), or minutes of harm per bad release. whose: in force, or what it is held against. value with its
    95 % interval; None: not known, or too few for an interval."""

    what: str
    whose: str
    value: float | None
    low: float | None
    high: float | None
    says: str


def rival(unit: Unit) -> str:
    """What the chosen limit is called: recommended only where a verdict recommends it."""
    return "recommended" if unit.found.verdict >= Verdict.SHADOW else "best admissible"


def bars(unit: Unit) -> list[Bar]:
    """On the test, pair by pair; of the limit in force alone where that was chosen, and nothing where nothing was."""
    found = unit.found
    if found.test is None:
        return []
    sides = [("in force", found.incumbent_test)]
    if found.chosen != found.incumbent:
        sides.append((rival(unit), found.test))
    told = []
    for what in ("caught", "false stops", HARM):
        told += [_bar(what, whose, seen) for whose, seen in sides]
    return told


def _bar(what: str, whose: str, seen: Examination) -> Bar:
    if what == HARM:
        value, low, high = seen.harm
        said = "not known" if value is None else f"{value:.0f} min"
        return Bar(what, whose, value, low, high, said + ("" if low is None or high is None else f" ({low:.0f} to {high:.0f})"))
    one: Share = seen.caught if what == "caught" else seen.false_stops
    if not one.n:
        return Bar(what, whose, None, None, None, "none to judge by")
    return Bar(what, whose, one.k / one.n, one.low, one.high, f"{one.k} of {one.n} ({one.low:.0%} to {one.high:.0%})")
