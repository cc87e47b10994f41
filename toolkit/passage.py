"""First-passage profiles: one walk over a deployment's samples answers every limit at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.laid_out import HORIZON, laid_out
from toolkit.criteria.panel import Panel
from toolkit.criteria.running import ascending

__all__ = ["CANDIDATES", "HORIZON", "PROFILE", "WATCHED", "Passages", "detections", "first_passages", "passages", "peaks", "profiles"]

# Evaluations in a row, or checks, that a replay tries beside the criterion's own number.
CANDIDATES = (1, 2, 3, 5, 10)

SPAN = pl.Duration("us")
PROFILE = {"deployment": pl.String(), "criterion": pl.String(), "n": pl.Int32(), "t": SPAN, "value": pl.Float64()}
WATCHED = {
    "deployment": pl.String(),
    "criterion": pl.String(),
    "step": SPAN,
    "in_force": pl.Int32(),
    "evaluations": pl.Int32(),
    "missing": pl.Int32(),
    "last": SPAN,
    "complete": pl.Boolean(),
}
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Passages:
    """What a criterion would have seen.

    profiles: deployment, criterion, n, t (since deployed_at), value: the records of the profile, a row wherever it rises; with a limit's
    `criterion.bound(limit)`, the first t whose value is over it is when the criterion would have fired.
    watched: a row for every deployment with telemetry, also where no profile rises: deployment, criterion, step, in_force (the number it
    is in force with at this step), evaluations, missing (without a sample), last (time of the last evaluation with a sample), complete
    (whether samples reach the end of the watch).
    problems: what was wrong with the telemetry; see toolkit.criteria.telemetry.
    """

    profiles: pl.DataFrame
    watched: pl.DataFrame
    problems: pl.DataFrame


def passages(
    samples: pl.DataFrame,
    deployments: pl.DataFrame,
    criterion: Criterion,
    *,
    numbers: Sequence[int] = CANDIDATES,
    horizon: timedelta = HORIZON,
    alike: Sequence[Criterion] = (),
) -> Passages:
    """Lays samples out and walks them once.

    samples: as in toolkit.records.Sample, in any order; `deployment` names rows of deployments, or is null for a series of the whole
    service. deployments: deployment, service, deployed_at and, where known, ends_at (the watch ends there at the latest) and cut
    (whether it ended so by somebody's hand: then its telemetry is never complete).
    numbers: evaluations in a row, or checks, beside the criterion's own. horizon: how long a deployment is watched. alike: criteria that
    differ in limit and clock alone, whose numbers are walked as well.
    """
    panels, problems = laid_out(samples, deployments, criterion, horizon=horizon)
    walked = [_walked(panel, criterion, {*numbers, *(one.n(panel.step) for one in alike)}) for panel in panels]
    watched = pl.concat([pl.DataFrame(schema=WATCHED), *(watched for _, watched in walked)]).sort("deployment")
    if "cut" in deployments.columns:
        cut = deployments.filter("cut")["deployment"]
        watched = watched.with_columns(complete=pl.col("complete") & ~pl.col("deployment").is_in(cut.implode()))
    return Passages(
        pl.concat([pl.DataFrame(schema=PROFILE), *(profile for profile, _ in walked)]).sort("deployment", "n", "t"), watched, problems
    )


def profiles(
    samples: pl.DataFrame,
    deployments: pl.DataFrame,
    criterion: Criterion,
    *,
    numbers: Sequence[int] = CANDIDATES,
    horizon: timedelta = HORIZON,
) -> pl.DataFrame:
    """The profiles alone: deployment, criterion, n, t, value. See `passages`."""
    return passages(samples, deployments, criterion, numbers=numbers, horizon=horizon).profiles


def _walked(panel: Panel, criterion: Criterion, numbers: Iterable[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = pl.Series("deployment", panel.deployments, pl.String)
    rises = []
    for n, state in criterion.seen(panel, criterion.numbers(numbers, panel.step)).items():
        profile = ascending(state)
        risen = profile > -np.inf
        risen[1:] &= profile[1:] > profile[:-1]
        at, place = np.nonzero(risen)
        rises.append(
            pl.DataFrame(
                {
                    "deployment": names.gather(place),
                    "criterion": pl.Series([criterion.name], dtype=pl.String).new_from_index(0, len(place)),
                    "n": np.full(len(place), n, np.int32),
                    "t": _spans(panel.offsets[place] + at * panel.step),
                    "value": profile[at, place],
                },
                schema=PROFILE,
            )
        )
    seen = np.logical_and.reduce([panel.after(*arm).seen for arm in criterion.arms()])
    seen &= panel.asked
    last = np.where(seen.any(axis=0), len(seen) - 1 - np.argmax(seen[::-1], axis=0), -1)
    watched = pl.DataFrame(
        {
            "deployment": names,
            "criterion": [criterion.name] * len(names),
            "step": _spans(np.full(len(names), panel.step)),
            "in_force": np.full(len(names), criterion.n(panel.step), np.int32),
            "evaluations": panel.ends.astype(np.int32),
            "missing": (panel.ends - seen.sum(axis=0)).astype(np.int32),
            "last": pl.Series(_spans(panel.offsets + last * panel.step)).set(pl.Series(last < 0), None),
            "complete": (last >= 0) & (last >= panel.ends - 1 - _LATE),
        },
        schema=WATCHED,
    )
    return pl.concat([pl.DataFrame(schema=PROFILE), *rises]), watched


# A scrape or two that are missing at the very end leave the telemetry complete.
_LATE = 2


def _spans(seconds: npt.NDArray[np.float64]) -> pl.Series:
    return pl.Series(np.round(seconds * 1e6).astype(np.int64)).cast(SPAN)


def detections(profile: pl.DataFrame, criterion: Criterion, limits: Sequence[float], *, n: int | None = None) -> pl.DataFrame:
    """When each limit would have fired: deployment, n, limit, t; a row wherever it would have. Only the number `n`, or all of them."""
    rows = profile if n is None else profile.filter(pl.col("n") == n)
    asked = pl.DataFrame(
        {"limit": list(limits), "bound": [criterion.bound(limit) for limit in limits]}, schema_overrides={"limit": pl.Float64}
    )
    pairs = rows.select("deployment", "n").unique(maintain_order=True).join(asked, how="cross").sort("bound")
    rising = rows.select("deployment", "n", "t", "value").sort("value")
    met = pairs.join_asof(
        rising,
        left_on="bound",
        right_on="value",
        by=["deployment", "n"],
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return met.drop_nulls("t").select("deployment", "n", "limit", "t").sort("deployment", "n", "limit")


def peaks(profile: pl.DataFrame, watched: pl.DataFrame, n: int) -> pl.DataFrame:
    """The highest value a deployment reached: deployment, peak. A limit whose bound is under it fires, at some time; −∞ fires never."""
    highest = profile.filter(pl.col("n") == n).group_by("deployment").agg(peak=pl.col("value").max())
    return watched.select("deployment").join(highest, on="deployment", how="left").with_columns(pl.col("peak").fill_null(-np.inf))


def first_passages(
    panel: Panel, criterion: Criterion, limits: Sequence[float], numbers: Sequence[int]
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """For each number n, the evaluation at which each limit fires: deployments × limits, the limits in their order; as many as there
    are evaluations where it never does.

    Scores become rank codes of a byte or two; what is left is minima and maxima of those. Where a profile rises from one code to another,
    all limits in between fire.
    """
    bounds = np.asarray([criterion.bound(limit) for limit in limits])
    order = np.argsort(bounds, kind="stable")
    back = np.argsort(order, kind="stable")
    ascends = bool((order == np.arange(len(order))).all())
    for n, state in criterion.seen(panel, numbers, bounds[order]).items():
        profile = ascending(state)
        rows, across = profile.shape
        # A deployment a row, so that its rises lie in the order of time; what has not fired by the end fires at `rows`.
        rises = np.empty((across, rows + 1), profile.dtype)
        rises[:, 0] = profile[0]
        np.subtract(profile[1:].T, profile[:-1].T, out=rises[:, 1:rows])
        rises[:, rows] = len(bounds) - profile[-1]
        risen = np.flatnonzero(rises)
        at = (risen % (rows + 1)).astype(np.int16 if rows < 2**15 else np.int32)
        found = np.repeat(at, rises.ravel()[risen]).reshape(across, len(bounds))
        yield n, found if ascends else found[:, back]
