"""One look at the test: what a limit did on deployments that had no part in choosing it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.criteria.terms import Terms
from toolkit.recalibration.cases import Cases, Label
from toolkit.recalibration.choice import lower_bound
from toolkit.recalibration.worth import Worth
from toolkit.stats.durations import quantiles, sample
from toolkit.stats.proportions import clopper_pearson

__all__ = ["Examination", "Share", "examined", "in_watch", "share"]

PROMISE = 0.1
# Clusters of fewer than these have no interval.
LEAST = 5


@dataclass(frozen=True)
class Share:
    """k of n with its exact 95 % interval, and the ends of one-sided 90 % promises."""

    k: int
    n: int
    low: float
    high: float
    at_least: float
    at_most: float


@dataclass(frozen=True)
class Examination:
    """A candidate on some cases.

    false_stops: of good deployments with telemetry. together: those that this or any other criterion in force stops; None where there is
    no other. false_stops_if: false_stops if all unknown ones were good, and if all were bad.
    caught, early: of bad deployments. missed, not_identified: counts. minutes: median from onset to firing, with its 95 % interval
    (undetected ones counting until people decided; None: not reached). harm: minutes from onset, or from the deployment where that is
    later, until the limit, people or the end of the watch ended it; mean of the bad deployments whose onset lies within the watch, with
    its 95 % interval. saved, gain: engineer minutes a deployment, the latter against the incumbent, with its one-sided 95 % lower bound.
    """

    false_stops: Share
    false_stops_if: tuple[Share, Share]
    caught: Share
    early: int
    missed: int
    not_identified: int
    minutes: tuple[float | None, float | None, float | None]
    saved: float
    gain: float
    gain_low: float
    harm: tuple[float | None, float | None, float | None]
    together: Share | None = None

    @property
    def capped(self) -> Share:
        """What the cap is on."""
        return self.together or self.false_stops


def share(k: int, n: int) -> Share:
    """k of n (Clopper and Pearson 1934)."""
    low, high = clopper_pearson(k, n)
    at_least, at_most = clopper_pearson(k, n, tail=PROMISE)
    return Share(k, n, float(low), float(high), float(at_least), float(at_most))


def examined(cases: Cases, worth: Worth, place: int, incumbent: int, terms: Terms, within: npt.NDArray[np.bool_]) -> Examination:
    """The candidate at `place` on the cases of a mask."""
    stops = np.isfinite(worth.fires[:, place])
    good = within & (cases.label == Label.GOOD) & cases.seen
    unknown = within & (cases.label == Label.UNKNOWN) & cases.seen
    bad = within & (cases.label == Label.BAD)
    caught, early = worth.caught[:, place], worth.early[:, place]
    # Where the incumbent ended the telemetry, what a looser limit would have done is not in the data.
    dark = within & cases.seen & ~stops & cases.stopped & ~cases.complete
    k, n = int((good & stops).sum()), int(good.sum())
    judged = worth.judged & within
    gained = np.where(judged, worth.value[:, place] - worth.value[:, incumbent], 0.0)
    groups, group = np.unique(cases.cluster[judged], return_inverse=True)
    sums, sizes = np.zeros(len(groups)), np.zeros(len(groups))
    np.add.at(sums, group, gained[judged])
    np.add.at(sizes, group, 1.0)
    mean, low = lower_bound(sums, sizes)
    return Examination(
        false_stops=share(k, n),
        false_stops_if=(share(k + int((unknown & stops).sum()), n + int(unknown.sum())), share(k, n)),
        caught=share(int((bad & caught).sum()), int(bad.sum())),
        early=int((bad & early).sum()),
        missed=int((bad & ~caught & ~early).sum()),
        not_identified=int(dark.sum()),
        minutes=_minutes(cases, worth, place, terms, bad & ~early & in_watch(cases, terms)),
        saved=float(worth.value[judged, place].mean()) if judged.any() else 0.0,
        gain=mean,
        gain_low=low,
        harm=_harm(cases, worth, place, terms, bad),
        together=share(int((good & (stops | cases.stopped_anyway)).sum()), n) if cases.elsewhere else None,
    )


def _minutes(
    cases: Cases, worth: Worth, place: int, terms: Terms, rows: npt.NDArray[np.bool_]
) -> tuple[float | None, float | None, float | None]:
    """Kaplan–Meier: a deployment that the limit had not caught when people decided tells only that it takes at least so long."""
    end = terms.horizon.total_seconds() / 60
    human = np.where(np.isnan(cases.human), end, np.minimum(cases.human, end))
    fires = worth.fires[:, place]
    seen = np.minimum(fires, human) - cases.onset
    kept = rows & (seen >= 0)
    if not kept.any():
        return None, None, None
    found = quantiles(
        sample(np.zeros(int(kept.sum()), int), np.maximum(seen[kept], 1 / 60), (fires > human)[kept], cells=1), 0.5, least_for_interval=6
    )
    value, low, high = (float(part[0]) for part in (found.value, found.low, found.high))
    known = [part if np.isfinite(part) else None for part in (value, low, high)]
    return known[0], known[1], known[2]


def _harm(
    cases: Cases, worth: Worth, place: int, terms: Terms, rows: npt.NDArray[np.bool_]
) -> tuple[float | None, float | None, float | None]:
    """Mean minutes, and Student's interval over clusters; none below five of them."""
    from scipy.stats import t as student

    end = terms.horizon.total_seconds() / 60
    human = np.where(np.isnan(cases.human), end, np.minimum(cases.human, end))
    over = np.where(worth.caught[:, place], worth.fires[:, place] + cases.step, human)
    kept = rows & in_watch(cases, terms) & (human >= cases.onset)
    if not kept.any():
        return None, None, None
    groups, group = np.unique(cases.cluster[kept], return_inverse=True)
    begun = np.maximum(cases.onset, 0.0)
    sums, sizes = np.bincount(group, (over - begun)[kept]), np.bincount(group).astype(float)
    mean, count = float(sums.sum() / sizes.sum()), len(groups)
    if count < LEAST:
        return mean, None, None
    error = float(np.sqrt(np.sum((sums - sizes * mean) ** 2) * count / (count - 1)) / sizes.sum())
    wide = float(student.ppf(0.975, count - 1)) * error
    return mean, max(mean - wide, 0.0), mean + wide


def in_watch(cases: Cases, terms: Terms) -> npt.NDArray[np.bool_]:
    """Whose incident is known to have begun within the watch."""
    return cases.onset <= terms.horizon.total_seconds() / 60
