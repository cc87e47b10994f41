"""One recalibration, step by step: bound, best in value, nearest, gain on what was left out, one look at the test, verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.criteria import Criterion
from toolkit.criteria.terms import Terms
from toolkit.recalibration.candidates import Grid, grid_of
from toolkit.recalibration.cases import Cases, Label
from toolkit.recalibration.choice import Chooser, Gain
from toolkit.recalibration.drift import Drift, drifts
from toolkit.recalibration.examination import Examination, Share, examined, share
from toolkit.recalibration.verdict import Reason, Verdict, verdict_of
from toolkit.recalibration.worth import Worth, worth_of

__all__ = ["Counts", "Recommendation", "recommend", "split"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Deployments by label; immature ones, and unknown ones without telemetry to go by, are in nothing but here."""

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
class Recommendation:
    """What came out for one criterion. chosen: number and limit, None where there is none; incumbent: the same in force. step: minutes
    between evaluations. bounds: for each n the smallest admissible limit (None: none). training, test: the chosen candidate there;
    incumbent_test: the incumbent on the test. test_digest: of the deployments that the test has used up."""

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


@dataclass(frozen=True)
class _Asked:
    cases: Cases
    criterion: Criterion
    terms: Terms
    training: Flags
    test: Flags
    grid: Grid
    worth: Worth
    chooser: Chooser


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


def recommend(cases: Cases, criterion: Criterion, terms: Terms, *, used: frozenset[str] = frozenset()) -> Recommendation:
    """Recalibrates a criterion on cases of one unit. used: digests of tests that were looked at before.

    Deterministic. Method: Neyman–Pearson bound on false stops, expected net benefit, out-of-bag gain; one test at the end.
    """
    training, test = split(cases, criterion, terms)
    grid = grid_of(cases.of(training), criterion, terms)
    worth = worth_of(cases, grid, terms)
    learnt = cases.of(training)
    asked = _Asked(cases, criterion, terms, training, test, grid, worth, Chooser(learnt, grid, worth_of(learnt, grid, terms), terms))
    counts = _counts(cases, training, test)
    reasons = list(_too_few(counts, len(asked.chooser.ns), terms))
    by_value = terms.failed_requests_per_engineer_minute is not None
    place = asked.chooser.choose(by_value=by_value)
    gain = None
    seen = None
    if place is None:
        reasons.append(_none_admissible(asked))
    else:
        gain = _gained(asked, reasons, by_value=by_value)
        seen = _looked_at(asked, place, reasons)
    digest = _digest(cases, test)
    if digest in used:
        reasons.append(Reason("test_already_used", "The test deployments were looked at before: what they say now was chosen among."))

    def on(candidate: int, within: Flags) -> Examination:
        return examined(cases, worth, candidate, grid.incumbent, terms, within)

    return Recommendation(
        criterion=criterion.name,
        verdict=verdict_of(reasons),
        reasons=tuple(sorted(reasons, key=lambda reason: reason.at_most)),
        chosen=None if place is None else (int(grid.n[place]), criterion.limit_of(float(grid.bound[place]))),
        incumbent=(int(grid.n[grid.incumbent]), criterion.setting()),
        step=cases.step,
        bounds={n: criterion.limit_of(bound) if np.isfinite(bound) else None for n, bound in asked.chooser.bounds().items()},
        counts=counts,
        services=tuple(sorted({cases.services[place] for place in np.unique(cases.service[training])})),
        gain=gain,
        training=None if place is None else on(place, training),
        test=None if place is None else on(place, test),
        incumbent_training=on(grid.incumbent, training),
        incumbent_test=on(grid.incumbent, test),
        drift=seen or (),
        test_digest=digest,
    )


def _counts(cases: Cases, training: Flags, test: Flags) -> Counts:
    good, bad = cases.label == Label.GOOD, (cases.label == Label.BAD) & ~np.isnan(cases.onset)
    watched = good & cases.seen
    return Counts(
        good=int(watched.sum()),
        bad=int((cases.label == Label.BAD).sum()),
        unknown=int((cases.label == Label.UNKNOWN).sum()),
        immature=int((cases.label == Label.IMMATURE).sum()),
        without_telemetry=int((~cases.seen).sum()),
        training_good=int((watched & training).sum()),
        training_bad=int((bad & training).sum()),
        test_good=int((watched & test).sum()),
        test_bad=int((bad & test).sum()),
        dropped_between=int((~training & ~test).sum()),
    )


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


def _none_admissible(asked: _Asked) -> Reason:
    """Nothing keeps the cap; where only unreviewed stops are to blame, there is a way out, and it is said."""
    cases = asked.cases.of(asked.training)
    kept = ~((cases.label == Label.UNKNOWN) & cases.stopped & ~cases.complete)
    if not kept.all():
        reviewed = cases.of(kept)
        worth = worth_of(reviewed, asked.grid, asked.terms)
        if Chooser(reviewed, asked.grid, worth, asked.terms).choose() is not None:
            many = int((~kept).sum())
            return Reason(
                "not_identified",
                f"{many} stops by the criterion in force were never reviewed: whether those deployments were good is not known. "
                "Review them, or run the criterion in force dry for a while.",
            )
    own = _share_of_good(asked, asked.grid.incumbent)
    cap = asked.terms.alpha
    said = f"No limit within one step keeps false stops under {cap:.0%} for sure."
    if own.at_least > cap:
        said += f" The one in force is over it: {own.k} of {own.n} good deployments stopped."
    return Reason("none_admissible", said)


def _gained(asked: _Asked, reasons: list[Reason], *, by_value: bool) -> Gain | None:
    own = _share_of_good(asked, asked.grid.incumbent)
    if not by_value:
        reasons.append(
            Reason("no_cost", "The policy states no exchange rate between users' harm and engineers' time: no gain can be stated.")
        )
    if own.at_least > asked.terms.alpha:
        said = f"The limit in force stops {own.k} of {own.n} good deployments: over the cap, whatever it gains."
        reasons.append(Reason("incumbent_over_cap", said))
        return None
    if not by_value:
        return None
    gain = asked.chooser.gain()
    if not gain.low > 0:
        found = f"{gain.mean:+.2f} engineer minutes each, at least {gain.low:+.2f}"
        said = f"On deployments left out of the choice the gain is {found}: not surely above 0."
        reasons.append(Reason("no_gain", said))
    return gain


def _share_of_good(asked: _Asked, place: int) -> Share:
    good = asked.training & (asked.cases.label == Label.GOOD) & asked.cases.seen
    return share(int((good & np.isfinite(asked.worth.fires[:, place])).sum()), int(good.sum()))


def _looked_at(asked: _Asked, place: int, reasons: list[Reason]) -> tuple[Drift, ...]:
    """The checks that need a choice; adds what they find, and returns the drift tests."""
    cases, grid, terms, worth = asked.cases, asked.grid, asked.terms, asked.worth
    n, bound = int(grid.n[place]), float(grid.bound[place])
    stays = place == grid.incumbent
    test = examined(cases, worth, place, grid.incumbent, terms, asked.test)
    stops = test.false_stops
    if stops.at_least > terms.alpha:
        reasons.append(Reason("test_cap_violated", f"In the test {stops.k} of {stops.n} good deployments would have been stopped."))
    elif stops.at_most > terms.alpha and stops.n < terms.test_good:
        cannot = f"{stops.n} good deployments in the test cannot show that false stops stay under {terms.alpha:.0%}"
        reasons.append(Reason("test_cap_unproven", f"{cannot} (at most {stops.at_most:.1%})."))
    if test.gain < 0 and terms.failed_requests_per_engineer_minute is not None:
        reasons.append(Reason("test_gain_negative", f"In the test it loses {-test.gain:.2f} engineer minutes a deployment."))
    lost = None if stays else _dark(asked, place)
    if lost is not None:
        reasons.append(Reason("not_identified", lost))
    tested = drifts(cases, asked.test, n, terms)
    changed = [one.what for one in tested if one.p is not None and one.p < terms.drift_level]
    if changed:
        said = f"Good deployments have changed ({'; '.join(changed)}): the promise rests on their staying as they were."
        reasons.append(Reason("drift", said))
    _, peaks = cases.of(asked.training).bounding(n)
    tied = int((peaks == asked.chooser.bounds()[n]).sum())
    if tied > 1 and np.isfinite(asked.chooser.bounds()[n]) and bound <= float(np.nextafter(asked.chooser.bounds()[n], np.inf)):
        reasons.append(Reason("atom", f"{tied} good deployments peak at exactly this limit: a hair decides about all of them."))
    new = sorted({cases.services[one] for one in set(cases.service[asked.test]) - set(cases.service[asked.training])})
    if new:
        reasons.append(Reason("new_services", f"Not among those learnt from: {', '.join(new)}. The promise does not hold for them."))
    return tuple(tested)


def _dark(asked: _Asked, place: int) -> str | None:
    """Where the incumbent stopped a bad deployment and the candidate would not have by then, harm would have gone on. Whether that, to the
    end of the watch at the rate of the last minutes, would eat up the gain."""
    cases, terms = asked.cases, asked.terms
    exchange = terms.failed_requests_per_engineer_minute
    dark = np.flatnonzero(
        (cases.label == Label.BAD) & cases.seen & cases.stopped & ~cases.complete & ~np.isfinite(asked.worth.fires[:, place])
    )
    if exchange is None or not len(dark):
        return None
    end = terms.horizon.total_seconds() / 60
    last = np.clip(np.floor(np.nan_to_num(cases.human[dark], nan=end) / cases.step).astype(int), 1, cases.harm.shape[1] - 1)
    back = np.maximum(last - 5, 0)
    rate = (cases.harm[dark, last] - cases.harm[dark, back]) / ((last - back) * cases.step)
    lost = float((rate * (end - last * cases.step)).sum()) / exchange
    gained = float((asked.worth.value[:, place] - asked.worth.value[:, asked.grid.incumbent])[asked.worth.judged].sum())
    if gained - lost > 0:
        return None
    return (
        f"On {len(dark)} that the criterion in force had stopped, this limit would not have fired by then; had harm gone on "
        f"as it was, that would cost {lost:,.0f} engineer minutes against a gain of {gained:,.0f}."
    )


def _digest(cases: Cases, test: Flags) -> str:
    """Of the deployments in the test, whatever they turned out to be: a second look at the same ones is a second look."""
    return hashlib.sha256(json.dumps([cases.deployment[place] for place in np.flatnonzero(test)]).encode()).hexdigest()
