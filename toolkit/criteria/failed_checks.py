"""The k-th failing check, not necessarily in a row: Argo Rollouts' failureLimit, Flagger's threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from toolkit.criteria.criterion import Counted, Level, Limit
from toolkit.criteria.panel import Panel
from toolkit.criteria.running import kth_largest, lowest, run_length, shifted
from toolkit.criteria.spans import Stretch

__all__ = ["FailedChecks"]

Matrix = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
# Argo Rollouts stops at the fifth error in a row (consecutiveErrorLimit 4), and tries again sooner than its interval.
ERRORS_IN_A_ROW = 5


class FailedChecks(Level):
    """Fires at the k-th failing check since deployed_at.

    controller "flagger": failures are counted before a tick's analysis, so it stops one tick after the k-th; the first tick checks
    nothing. `steps` passed checks promote the canary, after which nothing stops it.
    controller "argo_rollouts": failureLimit f is k = f + 1. A missing sample may be an error; the fifth in a row, a retry apart, stops
    the rollout at any limit. success_limit: a check passes up to it, fails over `limit`, and is undecided in between: the first
    undecided one hands the rollout to a person, and nothing fails any more. The answer holds for limits from success_limit on.
    """

    counts: ClassVar[Counted] = "failed checks"

    kind: Literal["failed_checks"] = "failed_checks"
    k: int = Field(default=1, ge=1, description="The failing check that stops.")
    controller: Literal["flagger", "argo_rollouts"] | None = Field(default=None, description="Whose checks these are.")
    no_data: Literal["passes", "fails", "error"] = Field(default="passes", description="What a missing sample is.")
    steps: int | None = Field(default=None, ge=1, description="Flagger: passed checks until the canary is promoted.")
    success_limit: Limit | None = Field(
        default=None, description="Argo Rollouts: where the success condition ends, if there is one beside the failure condition."
    )
    error_retry: Stretch = Field(default=timedelta(seconds=10), description="Argo Rollouts: pause between an error and the next try.")

    @property
    def approximate(self) -> str | None:
        """Why its replay is not exact, if it is not."""
        return "another limit would have sent the canary other traffic" if self.steps else None

    @property
    def tied(self) -> bool:
        """Which checks come first, before an undecided one, depends on k."""
        return self.success_limit is not None

    @model_validator(mode="after")
    def _known_controller(self) -> Self:
        argo, flagger = self.controller == "argo_rollouts", self.controller == "flagger"
        if (self.no_data == "error" or self.success_limit is not None) and not argo:
            raise ValueError('errors and success_limit are Argo Rollouts\': add controller = "argo_rollouts", or leave them out')
        if self.steps is not None and not flagger:
            raise ValueError('steps are Flagger\'s: add controller = "flagger", or leave them out')
        if self.success_limit is not None and self.bound(self.success_limit) > self.bound(self.limit):
            raise ValueError(f"success_limit = {self.success_limit:g} lies beyond limit = {self.limit:g}: what passes would fail too")
        return self

    def n(self, step: float) -> int:  # noqa: ARG002  # a count of checks has no clock
        """Failing checks."""
        return self.k

    def numbers(self, candidates: Iterable[int], step: float) -> tuple[int, ...]:
        """Its own k, and the candidates unless undecided checks tie the answer to one k."""
        return super().numbers(candidates if self.success_limit is None else (), step)

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:  # noqa: ARG002
        """The same criterion with another limit or number of checks."""
        changed: dict[str, object] = {} if limit is None else {"limit": limit}
        return self.model_copy(update=changed if n is None else changed | {"k": n})

    def scores(self, panel: Panel) -> Floats:
        """The signal; a missing sample is over any limit where it is a failed check."""
        level = self.oriented(panel)
        missing = np.isnan(level) & panel.asked
        found = np.where(np.isnan(level), -np.inf, level)
        if self.no_data == "fails":
            found = np.where(missing, np.inf, found)
        if self.success_limit is None:
            return found
        undecided = missing if self.no_data != "error" else np.zeros_like(missing)
        return self._least_of_the_first(found, (found > self.bound(self.success_limit)) | undecided)

    def _least_of_the_first(self, scores: Floats, unsuccessful: npt.NDArray[np.bool_]) -> Floats:
        """From the k-th check on that did not pass: the lowest of those k. All k have to be over the limit, else one was undecided."""
        rank = np.cumsum(unsuccessful, axis=0)
        first = unsuccessful & (rank <= self.k)
        lowest_so_far = np.minimum.accumulate(np.where(first, scores, np.inf), axis=0)
        return np.where(rank >= self.k, lowest_so_far, -np.inf)

    def certain(self, panel: Panel) -> npt.NDArray[np.bool_] | None:
        """From the fifth error in a row on, where a missing sample is one."""
        if self.no_data != "error":
            return None
        run = run_length(np.isnan(self.oriented(panel)) & panel.asked)
        # Retries come a pause apart, whatever the interval: between two samples that are missing there are as many as fit.
        over = (run - 1) * panel.step >= (ERRORS_IN_A_ROW - 1) * self.error_retry.total_seconds()
        return np.maximum.accumulate(over & (run > 0), axis=0)

    def states(self, scores: Matrix, ns: Iterable[int]) -> Mapping[int, Matrix]:
        """The k-th largest score so far; Flagger's a tick later."""
        if self.success_limit is not None:
            return dict.fromkeys(ns, scores)
        if self.controller != "flagger":
            return kth_largest(scores, ns)
        checked = scores.copy()
        checked[:1] = lowest(scores.dtype)
        if self.steps is None:
            return {k: shifted(state, 1) for k, state in kth_largest(checked, ns).items()}
        return {k: shifted(self._before_promotion(checked, k), 1) for k in ns}

    def _before_promotion(self, checked: Matrix, k: int) -> Matrix:
        """By check u, fewer than `steps` have passed if more than u − steps have failed: the stricter of both counts."""
        found = np.empty_like(checked)
        for u in range(len(checked)):
            needed = max(k, u - (self.steps or 0) + 1)
            found[u] = np.sort(checked[1 : u + 1], axis=0)[-needed] if needed <= u else lowest(checked.dtype)
        return found
