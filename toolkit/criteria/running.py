"""Minima, k-th largest and maxima that run down a matrix of evaluations × deployments; on scores or on rank codes alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ascending", "codes", "kth_largest", "lowest", "rolling_minima", "rolling_sum", "run_length", "shifted"]

Matrix = npt.NDArray[Any]


def lowest(kind: np.dtype[Any]) -> Any:
    """What fires at no limit: −∞ among scores, 0 among rank codes."""
    return -np.inf if kind.kind == "f" else 0


def rolling_minima(scores: Matrix, ns: Iterable[int]) -> dict[int, Matrix]:
    """For each n the minimum of a row and the n − 1 before it; lowest where there are fewer.

    Each is made from the one before: the minimum over n is that of two shorter windows that overlap.
    """
    found: dict[int, Matrix] = {}
    width, window = 1, scores
    for n in sorted(set(ns)):
        while width < n:
            by = min(width, n - width)
            wider = np.empty_like(window)
            wider[:by] = lowest(window.dtype)
            np.minimum(window[by:], window[: max(len(window) - by, 0)], out=wider[by:])
            width, window = width + by, wider
        found[n] = window
    return found


def kth_largest(scores: Matrix, ks: Iterable[int]) -> dict[int, Matrix]:
    """For each k the k-th largest of the rows so far; lowest where there are fewer."""
    # Of more checks than there were, none is the last.
    found = {k: np.full_like(scores, lowest(scores.dtype)) for k in ks}
    wanted = sorted(k for k in found if k <= len(scores))
    top = np.full((wanted[-1] if wanted else 0, scores.shape[1]), lowest(scores.dtype), scores.dtype)
    for t, row in enumerate(scores):
        falling = row
        for held in top:
            held[:], falling = np.maximum(held, falling), np.minimum(held, falling)
        for k in wanted:
            found[k][t] = top[k - 1]
    return found


def ascending(states: Matrix) -> Matrix:
    """The running maximum down the rows: once met, always met."""
    found = states.copy()
    # Row by row: numpy's accumulate walks columns, which lie apart in memory.
    for before, row in pairwise(found):
        np.maximum(before, row, out=row)
    return found


def shifted(scores: Matrix, by: int) -> Matrix:
    """Rows moved down by so many evaluations; lowest where nothing moves in."""
    if not by:
        return scores
    found = np.full_like(scores, lowest(scores.dtype))
    found[by:] = scores[: max(len(scores) - by, 0)]
    return found


def run_length(flags: Matrix) -> npt.NDArray[np.int64]:
    """How many rows in a row have been true, the present one included."""
    found = np.zeros(flags.shape, np.int64)
    run = np.zeros(flags.shape[1], np.int64)
    for t, row in enumerate(flags):
        run = np.where(row, run + 1, 0)
        found[t] = run
    return found


def rolling_sum(counts: Matrix, rows: int) -> Matrix:
    """Sum over a row and the rows − 1 before it, as far as there are any; missing counts as nothing. Exact below 2^53."""
    total = np.cumsum(np.nan_to_num(counts, nan=0.0), axis=0)
    found = total.copy()
    found[rows:] -= total[: max(len(total) - rows, 0)]
    return found


def codes(scores: Matrix, limits: Sequence[float] | npt.NDArray[np.float64]) -> Matrix:
    """How many of the ascending limits lie strictly below each score: all that any of them can learn from it, in a byte or two."""
    kind = np.uint8 if len(limits) < 2**8 else np.uint16 if len(limits) < 2**16 else np.uint32
    return np.searchsorted(np.asarray(limits, float), scores.ravel(), side="left").astype(kind).reshape(scores.shape)
