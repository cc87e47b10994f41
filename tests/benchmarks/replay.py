"""Every limit and every `for` at once, against a loop over the limits and against the same in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.criteria import criterion_of
from toolkit.criteria.panel import Arm, Panel
from toolkit.criteria.running import rolling_minima
from toolkit.passage import first_passages

__all__ = ["replay"]

LIMITS, NUMBERS, EVALUATIONS = np.round(np.linspace(0.001, 0.2, 200), 6), tuple(range(1, 11)), 120
ALERT = criterion_of({"name": "errors", "kind": "threshold", "limit": 0.05})


def made(deployments: int) -> Panel:
    """Error counts of so many deployments, one in ten of which goes bad half-way."""
    random = np.random.default_rng(1)
    total = random.poisson(2000, (EVALUATIONS, deployments)).astype(float)
    rate = np.full(total.shape, 0.004)
    rate[EVALUATIONS // 2 :, : deployments // 10] += random.gamma(2, 0.03, deployments // 10)
    bad = random.binomial(total.astype(int), np.minimum(rate, 1)).astype(float)
    value = np.full(total.shape, np.nan)
    arms = {("errors", "all"): Arm(bad, total, value)}
    names = tuple(map(str, range(deployments)))
    ends = np.full(deployments, EVALUATIONS)
    return Panel(names, 60.0, 0, EVALUATIONS, np.zeros(deployments), ends, arms)


def at_once(panel: Panel) -> Iterator[np.ndarray[Any, Any]]:
    """What the replay does."""
    for _, found in first_passages(panel, ALERT, LIMITS, NUMBERS):
        yield found


def one_by_one(panel: Panel) -> Iterator[np.ndarray[Any, Any]]:
    """The same with all deployments at once, but one limit after another."""
    scores = ALERT.scores(panel)
    for n in NUMBERS:
        lows = rolling_minima(scores, (n,))[n]
        found = np.empty((scores.shape[1], len(LIMITS)), np.int32)
        for place, limit in enumerate(LIMITS):
            over = lows > limit
            found[:, place] = np.where(over.any(axis=0), over.argmax(axis=0), EVALUATIONS)
        yield found


def _seconds(work: Callable[[Panel], Iterator[Any]], panel: Panel, times: int) -> float:
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        for _ in work(panel):
            pass
        best = min(best, time.process_time() - began)
    return best


def replay(_folder: Path, _n: int) -> dict[str, Any]:
    """CPU seconds of 200 limits × 10 numbers × 120 samples for 1,000 and for 20,000 deployments, and how many times faster that is
    than a loop over the limits."""
    thousand = made(1000)
    for quick, slow in zip(at_once(thousand), one_by_one(thousand), strict=True):
        assert (quick == slow).all()
    fast, loop = _seconds(at_once, thousand, 5), _seconds(one_by_one, thousand, 2)
    many = _seconds(at_once, made(20_000), 1)
    return {"replay_1000": fast, "loop_1000": loop, "times_faster": loop / fast, "replay_20000": many}


if __name__ == "__main__":
    print(replay(Path(), 0))
