"""How many labels would have to be wrong before the verdict is another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from toolkit.recalibration.bound import order_for
from toolkit.recalibration.cases import Label
from toolkit.recalibration.decision import Decision, decided
from toolkit.recalibration.examination import share
from toolkit.recalibration.question import Question
from toolkit.recalibration.verdict import Verdict

__all__ = ["Flips", "flips"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
# Labels wrong by so many that no exact count beyond is of use to anybody.
MOST = 200


@dataclass(frozen=True)
class Flips:
    """A flip takes a good deployment for bad or a bad one for good, in training or test; it loses its incident either way.

    at_most: so many flips, chosen by an adversary, make the verdict another one; None: no order of flipping that was tried does. It is
    an upper bound found by trying, and exact only where it is 1. verdict: what it becomes; how: which flips; deployments: these ones.
    bound: flips in the training after which the chosen limit is no longer admissible at its number, exact by the order statistic; test:
    flips in the test after which the cap there is surely broken, or, where it is, no longer; exact by Clopper–Pearson counts. None where
    nothing was chosen, or no number of flips does it.
    """

    at_most: int | None
    verdict: Verdict | None
    how: str | None
    deployments: tuple[str, ...]
    bound: int | None
    test: int | None


def flips(question: Question, whole: Decision, *, used: bool = False) -> Flips:
    """Tries orders of flipping, each as far as the best found so far; every number is of a recommendation that was really repeated."""
    best: tuple[Verdict, str, Ints] | None = None
    for how, order in _orders(question, whole.place):
        # What flips no fewer than the best so far is not looked for.
        found = _fewest(question, whole, order if best is None else order[: len(best[2]) - 1], used=used)
        if found is not None:
            best = found[0], how, found[1]
    bound, test = (None, None) if whole.place is None else (_bound(question, whole.place), _test(question, whole.place))
    if best is None:
        return Flips(None, None, None, (), bound, test)
    names = tuple(sorted(question.cases.deployment[row] for row in best[2]))
    return Flips(len(names), best[0], best[1], names, bound, test)


def _fewest(question: Question, whole: Decision, order: Ints, *, used: bool) -> tuple[Verdict, Ints] | None:
    """A beginning of the order that changes the verdict while one row less does not, and the verdict then; by doubling, then halving.
    None where not even the whole of it does."""

    @cache
    def after(many: int) -> Verdict:
        rows = order[:many]
        # Flips in the test alone change nothing that was learnt from, so that the gain is the same.
        gain = None if question.training[rows].any() else whole.gain
        return decided(question.relabelled(rows), used=used, gain=gain, brief=True).verdict

    if not len(order) or after(len(order)) == whole.verdict:
        return None
    low, high = 0, 1
    while after(high) == whole.verdict:
        low, high = high, min(2 * high, len(order))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if after(middle) == whole.verdict else (low, middle)
    return after(high), order[:high]


def _orders(question: Question, place: int | None) -> Iterator[tuple[str, Ints]]:
    """Ways of flipping, what hurts most first; those in the test first, since they are quick to try."""
    cases, grid, worth = question.cases, question.grid, question.worth
    at = grid.incumbent if place is None else place
    peaks = cases.rises[int(grid.n[at])].peaks(len(cases))
    stopped = np.isfinite(worth.fires[:, at]) | cases.stopped_anyway
    good, bad = ((cases.label == label) & cases.seen for label in (Label.GOOD, Label.BAD))
    gained = worth.value[:, at] - worth.value[:, grid.incumbent]

    def rows(chosen: Flags, by: npt.NDArray[np.float64]) -> Ints:
        found = np.flatnonzero(chosen)
        return found[np.argsort(by[found], kind="stable")]

    test, learnt = question.test, question.training
    if place is not None:
        yield "stopped bad ones of the test taken for good", np.r_[rows(test & bad & stopped, -peaks), rows(test & good & ~stopped, peaks)]
        yield "stopped good ones of the test taken for bad", np.r_[rows(test & good & stopped, -peaks), rows(test & bad & ~stopped, peaks)]
    yield "bad ones learnt from taken for good, those with the largest gain first", rows(learnt & bad, -gained)
    yield "bad ones learnt from taken for good, the loudest first", rows(learnt & bad, -peaks)
    yield "good ones learnt from taken for bad, the loudest first", rows(learnt & good, -peaks)
    yield "good ones learnt from taken for bad, the quietest first", rows(learnt & good, peaks)


def _bound(question: Question, place: int) -> int | None:
    """Peaks over the limit may be so many as the order statistic leaves; a loud bad one taken for good adds one, a quiet good one taken
    for bad takes one from those under it."""
    cases, terms = question.cases.of(question.training), question.terms
    n, limit = int(question.grid.n[place]), float(question.grid.bound[place])
    _, peaks = cases.bounding(n)
    loud = (cases.rises[n].peaks(len(cases)) > limit) | cases.stopped_anyway
    share_of = terms.delta / len(question.chooser.ns)

    def broken(over: int, total: int) -> bool:
        k = order_for(total, terms.alpha, share_of)
        return k is None or total - over < k

    over, total = int((peaks > limit).sum()), len(peaks)
    add = int(((cases.label == Label.BAD) & cases.seen & loud).sum())
    take = int(((cases.label == Label.GOOD) & cases.seen & ~loud).sum())
    return next(
        (many for many in range(1, MOST + 1) if any(broken(over + x, total + 2 * x - many) for x in _parts(many, add, take))),
        None,
    )


def _test(question: Question, place: int) -> int | None:
    """Whether it is surely broken hangs on two counts: those stopped, and all."""
    cases, alpha = question.cases, question.terms.alpha
    stopped = np.isfinite(question.worth.fires[:, place]) | cases.stopped_anyway
    good, bad = (question.test & (cases.label == label) & cases.seen for label in (Label.GOOD, Label.BAD))
    k, n = int((good & stopped).sum()), int(good.sum())
    is_broken = share(k, n).at_least > alpha
    # To break it, stopped ones come in and quiet ones go; to mend it, the other way round.
    add, take = (bad & stopped, good & ~stopped) if not is_broken else (bad & ~stopped, good & stopped)

    def differs(x: int, y: int) -> bool:
        stops, all_of_them = (k + x, n + x - y) if not is_broken else (k - y, n + x - y)
        return (share(stops, all_of_them).at_least > alpha) != is_broken

    return next(
        (many for many in range(1, MOST + 1) if any(differs(x, many - x) for x in _parts(many, int(add.sum()), int(take.sum())))), None
    )


def _parts(many: int, add: int, take: int) -> range:
    """How many of so many flips may come in, when at most `add` can and at most `take` can go."""
    return range(max(0, many - take), min(many, add) + 1)
