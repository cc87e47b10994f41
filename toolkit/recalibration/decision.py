"""Which candidate is chosen, and every reason against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from toolkit.criteria.terms import Terms
from toolkit.recalibration.cases import Label
from toolkit.recalibration.choice import Chooser, Gain
from toolkit.recalibration.drift import Drift, drifts
from toolkit.recalibration.examination import examined
from toolkit.recalibration.question import Counts, Question
from toolkit.recalibration.together import others_of
from toolkit.recalibration.verdict import Reason, Verdict, verdict_of
from toolkit.recalibration.worth import worth_of

__all__ = ["Decision", "decided"]


@dataclass(frozen=True)
class Decision:
    """place: the candidate chosen, None where nothing is admissible. gain: None where it was not asked for."""

    place: int | None
    reasons: tuple[Reason, ...]
    gain: Gain | None
    drift: tuple[Drift, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst that any reason leaves."""
        return verdict_of(self.reasons)


def decided(question: Question, *, used: bool = False, gain: Gain | None = None, brief: bool = False) -> Decision:
    """Steps 2 to 6. used: whether the test was looked at before. gain: of the same training cases, where it is known already.

    brief: only the verdict counts; the resampling is left out where other reasons leave no more than it could take away, so that the
    verdict is the same and the list of reasons may be shorter.
    """
    reasons = list(_too_few(question.counts, len(question.chooser.ns), question.terms))
    place = question.chooser.choose(by_value=question.by_value)
    drift: tuple[Drift, ...] = ()
    if place is None:
        reasons.append(_none_admissible(question))
        gain = None
    else:
        looked, drift = _looked_at(question, place)
        enough = brief and verdict_of([*reasons, *looked]) <= Verdict.KEEP
        gained, gain = ([], None) if enough else _gained(question, gain)
        reasons += [*gained, *looked]
    if used:
        reasons.append(Reason("test_already_used", "The test deployments were looked at before: what they say now was chosen among."))
    return Decision(place, tuple(sorted(reasons, key=lambda reason: reason.at_most)), gain, drift)


def _too_few(counts: Counts, m: int, terms: Terms) -> Iterator[Reason]:
    needed = terms.min_good(m)
    if counts.training_good < needed:
        yield Reason("too_few_good", f"{counts.training_good} good deployments to learn from; {needed} could bound false stops.")
    elif counts.good < terms.shadow_good:
        yield Reason("too_few_good", f"{counts.good} good deployments in all; from {terms.shadow_good} on a limit may be run dry.")
    elif counts.good < terms.adopt_good:
        yield Reason("few_good_for_adoption", f"{counts.good} good deployments in all; from {terms.adopt_good} on a limit may be adopted.")
    if counts.training_bad < terms.min_bad:
        yield Reason("too_few_bad", f"{counts.training_bad} bad deployments to learn from; {terms.min_bad} are needed.")


def _none_admissible(question: Question) -> Reason:
    """Nothing keeps the cap; where only unreviewed stops are to blame, there is a way out, and it is said."""
    cases = question.cases.of(question.training)
    kept = ~((cases.label == Label.UNKNOWN) & cases.stopped & ~cases.complete)
    if not kept.all():
        reviewed = cases.of(kept)
        worth = worth_of(reviewed, question.grid, question.terms)
        if Chooser(reviewed, question.grid, worth, question.terms).choose() is not None:
            many = int((~kept).sum())
            return Reason(
                "not_identified",
                f"{many} stops by the criterion in force were never reviewed: whether those deployments were good is not known. "
                "Review them, or run the criterion in force dry for a while.",
            )
    own = question.stopped_good(question.grid.incumbent)
    cap = question.terms.alpha
    said = f"No limit within one step keeps false stops{_together(question)} under {cap:.0%} for sure."
    if own.at_least > cap:
        said += f" The one in force{_and_others(question)} is over it: {own.k} of {own.n} good deployments stopped."
    others = others_of(question)
    over = _others_over(question)
    if not over and others is not None and others.admissible_alone:
        over = f" Alone it could: the others stop {others.training.k} of {others.training.n} good ones whatever it does."
    return Reason("none_admissible", said + over)


def _together(question: Question) -> str:
    return f" of this and {_named(question)} together" if question.cases.elsewhere else ""


def _by_all(question: Question) -> str:
    return f", by this or {_named(question)}" if question.cases.elsewhere else ""


def _and_others(question: Question) -> str:
    return f", together with {_named(question)}," if question.cases.elsewhere else ""


def _named(question: Question) -> str:
    return ", ".join(sorted(question.cases.elsewhere))


def _others_over(question: Question) -> str:
    """Where the other criteria leave no room for this one: which, and how much they take."""
    others = others_of(question)
    if others is None or others.training.at_least <= question.terms.alpha:
        return ""
    each = ", ".join(f"{name} {one.k} of {one.n}" for name, one in others.each.items())
    return f" Without this criterion the others are over the cap already ({each}): recalibrate those first."


def _gained(question: Question, known: Gain | None) -> tuple[list[Reason], Gain | None]:
    reasons = []
    own = question.stopped_good(question.grid.incumbent)
    if not question.by_value:
        reasons.append(
            Reason("no_cost", "The policy states no exchange rate between users' harm and engineers' time: no gain can be stated.")
        )
    if own.at_least > question.terms.alpha:
        said = f"The limit in force{_and_others(question)} stops {own.k} of {own.n} good deployments: over the cap, whatever it gains."
        return [*reasons, Reason("incumbent_over_cap", said + _others_over(question))], None
    if not question.by_value:
        return reasons, None
    gain = known or question.chooser.gain()
    if not gain.low > 0:
        found = f"{gain.mean:+.2f} engineer minutes each, at least {gain.low:+.2f}"
        reasons.append(Reason("no_gain", f"On deployments left out of the choice the gain is {found}: not surely above 0."))
    return reasons, gain


def _looked_at(question: Question, place: int) -> tuple[list[Reason], tuple[Drift, ...]]:
    """The checks that need a choice, and the drift tests."""
    cases, grid, terms, worth = question.cases, question.grid, question.terms, question.worth
    reasons = []
    n, bound = int(grid.n[place]), float(grid.bound[place])
    test = examined(cases, worth, place, grid.incumbent, terms, question.test)
    stops = test.capped
    if stops.at_least > terms.alpha:
        said = f"In the test {stops.k} of {stops.n} good deployments would have been stopped{_by_all(question)}."
        reasons.append(Reason("test_cap_violated", said))
    elif stops.at_most > terms.alpha and stops.n < terms.test_good:
        cannot = f"{stops.n} good deployments in the test cannot show that false stops{_together(question)} stay under {terms.alpha:.0%}"
        reasons.append(Reason("test_cap_unproven", f"{cannot} (at most {stops.at_most:.1%})."))
    if test.gain < 0 and question.by_value:
        reasons.append(Reason("test_gain_negative", f"In the test it loses {-test.gain:.2f} engineer minutes a deployment."))
    lost = None if place == grid.incumbent else _dark(question, place)
    if lost is not None:
        reasons.append(Reason("not_identified", lost))
    drift = drifts(cases, question.training, question.test, n, terms)
    changed = [one.what for one in drift if one.p is not None and one.p < terms.drift_level]
    if changed:
        said = f"Good deployments have changed ({'; '.join(changed)}): the promise rests on their staying as they were."
        reasons.append(Reason("drift", said))
    _, peaks = cases.of(question.training).bounding(n)
    least = question.chooser.bounds()[n]
    tied = int((peaks == least).sum())
    if tied > 1 and np.isfinite(least) and bound <= float(np.nextafter(least, np.inf)):
        reasons.append(Reason("atom", f"{tied} good deployments peak at exactly this limit: a hair decides about all of them."))
    new = sorted({cases.services[one] for one in set(cases.service[question.test]) - set(cases.service[question.training])})
    if new:
        reasons.append(Reason("new_services", f"Not among those learnt from: {', '.join(new)}. The promise does not hold for them."))
    return reasons, tuple(drift)


def _dark(question: Question, place: int) -> str | None:
    """Where the incumbent stopped a bad deployment and the candidate would not have by then, harm would have gone on. Whether that, to the
    end of the watch at the rate of the last minutes, would eat up the gain."""
    cases, terms, worth = question.cases, question.terms, question.worth
    exchange = terms.failed_requests_per_engineer_minute
    dark = np.flatnonzero((cases.label == Label.BAD) & cases.seen & cases.stopped & ~cases.complete & ~np.isfinite(worth.fires[:, place]))
    if exchange is None or not len(dark):
        return None
    end = terms.horizon.total_seconds() / 60
    last = np.clip(np.floor(np.nan_to_num(cases.human[dark], nan=end) / cases.step).astype(int), 1, cases.harm.shape[1] - 1)
    back = np.maximum(last - 5, 0)
    rate = (cases.harm[dark, last] - cases.harm[dark, back]) / ((last - back) * cases.step)
    lost = float((rate * (end - last * cases.step)).sum()) / exchange
    gained = float((worth.value[:, place] - worth.value[:, question.grid.incumbent])[worth.judged].sum())
    if gained - lost > 0:
        return None
    return (
        f"On {len(dark)} that the criterion in force had stopped, this limit would not have fired by then; had harm gone on "
        f"as it was, that would cost {lost:,.0f} engineer minutes against a gain of {gained:,.0f}."
    )
