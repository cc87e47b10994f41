"""What a manager reads: one sentence in natural frequencies, three bars, what is not known, and the decision that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.hindsight import in_words
from toolkit.recalibration.bars import HARM, bars, rival
from toolkit.recalibration.examination import Examination
from toolkit.recalibration.firmness import firmness, together
from toolkit.recalibration.units import Unit
from toolkit.recalibration.verdict import Verdict
from toolkit.untrusted import plain

__all__ = ["asked", "report", "sentence"]

WIDTH = 24
ASKED = {
    Verdict.REFUSE: "Change nothing. The data do not carry a recommendation; what is in force stays.",
    Verdict.KEEP: "Keep what is in force. Nothing admissible is surely better.",
    Verdict.SHADOW: "Run the recommended limit dry beside the one in force, and ask again when the reasons below are gone.",
    Verdict.ADOPT: "Adopt the recommended limit: propose it, have somebody else approve it, export it.",
}


def sentence(unit: Unit, seen: Examination, setting: tuple[int, float]) -> str:
    """What a limit would have done, in natural frequencies."""
    n, limit = setting
    rule = in_words(unit.criterion.at(limit=limit, n=n, step=unit.found.step * 60))
    caught, stops = seen.caught, seen.false_stops
    when = "" if seen.minutes[0] is None else f", half of them within {seen.minutes[0]:.0f} min,"
    most = f" (at most {stops.at_most:.1%})" if stops.n else ""
    return f"{rule} would have caught {caught.k} of {caught.n} bad releases{when} and stopped {stops.k} of {stops.n} good ones{most}."


def asked(unit: Unit) -> str:
    """The decision that is asked for."""
    return ASKED[unit.found.verdict]


def report(units: Sequence[Unit]) -> str:
    """All of them as Markdown; names from the policy and the data are text, whatever they contain."""
    if not units:
        return "# Recalibration\n\nNo criterion is in force.\n"
    return "# Recalibration\n\n" + "\n".join("\n".join(_section(unit)) for unit in units)


def _section(unit: Unit) -> Iterator[str]:
    found = unit.found
    yield f"## {plain(unit.criterion.name)}, {plain(unit.of)}: {found.verdict.word}"
    yield ""
    yield asked(unit)
    yield ""
    if found.test is not None and found.training is not None and found.chosen is not None:
        same = found.chosen == found.incumbent
        yield f"**In the test**, the last {found.test.false_stops.n + found.test.caught.n} judged deployments:"
        yield ""
        yield f"- {'In force' if same else rival(unit).capitalize()}: {plain(sentence(unit, found.test, found.chosen))}"
        if not same:
            yield f"- In force: {plain(sentence(unit, found.incumbent_test, found.incumbent))}"
        if (said := together(unit)) is not None:
            yield f"- {plain(said)}"
        yield ""
        yield "```text"
        yield from _bars(unit, found.test)
        yield "```"
        yield ""
    if found.reasons:
        yield "**Why not more:**"
        yield ""
        for reason in found.reasons:
            yield f"- `{reason.code}` (at most {reason.at_most.word}): {plain(reason.says)}"
        yield ""
    yield "**How firm that is:**"
    yield ""
    for line in firmness(unit):
        yield f"- {plain(line)}"
    yield ""
    yield "**What is not known:**"
    yield ""
    for line in _unknown(unit):
        yield f"- {line}"
    yield ""


def _bars(unit: Unit, test: Examination) -> Iterator[str]:
    found, own = unit.found, unit.found.incumbent_test
    told = bars(unit)
    longest = max([one.value or 0.0 for one in told if one.what == HARM], default=0.0)
    for place, one in enumerate(told):
        part = (one.value or 0.0) / (longest or 1.0) if one.what == HARM else one.value or 0.0
        first = not place or told[place - 1].what != one.what
        yield f"{one.what if first else '':<16} {one.whose:<16} {'█' * round(part * WIDTH):<{WIDTH}} {one.says}"
    yield f"{'saved, per 100 deployments':<33} {test.saved * 100:,.0f} engineer minutes, in force {own.saved * 100:,.0f}"
    yield f"{'gain':<33} {test.gain * 100:+,.0f}, at least {test.gain_low * 100:+,.0f}"
    if found.gain is not None:
        yield f"{'gain on those left out':<33} {found.gain.mean * 100:+,.0f}, at least {found.gain.low * 100:+,.0f}"


def _unknown(unit: Unit) -> Iterator[str]:
    counts, test = unit.found.counts, unit.found.test
    if test is None and (said := together(unit)) is not None:
        yield plain(said)
    yield (
        f"{counts.unknown} deployments are neither known to be good nor bad, {counts.immature} are too young to tell, "
        f"{counts.without_telemetry} have no telemetry; {counts.dropped_between} lie too near the test to be learnt from."
    )
    if test is not None:
        best, worst = test.false_stops_if
        yield f"Were all unknown ones good, false stops in the test would be {best.k} of {best.n}; were all bad, {worst.k} of {worst.n}."
        if test.not_identified:
            yield f"On {test.not_identified} deployments that ended early, what this limit would have done later is not in the data."
    if test is not None and test.early:
        who = "1 bad one" if test.early == 1 else f"{test.early} bad ones"
        yield f"{who} would have been stopped before the incident began: counted apart, neither caught nor saved."
    for one in unit.found.drift:
        if one.p is None:
            yield f"Drift, {one.what}: untested, with {one.earlier} and {one.later} good deployments."
    whom = ", ".join(map(plain, unit.found.services)) or "nobody"
    yield f"The promise is for {whom}, as long as good deployments stay as they were, for {unit.terms.expires_after.days} days."
