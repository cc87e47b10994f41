"""An AnalysisRun of Argo Rollouts with one metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Condition = Callable[[float], bool]
ERROR = None


def ends_at(
    measurements: Sequence[float | None],
    *,
    failure_limit: int,
    success: Condition | None = None,
    failure: Condition | None = None,
    consecutive_error_limit: int = 4,
    inconclusive_limit: int = 0,
) -> tuple[int, str] | None:
    """The measurement that ends the run before its time, and as what: Failed, Inconclusive or Error. ERROR: it could not be measured;
    NaN is a measurement of which no comparison holds."""
    failures = inconclusive = errors_in_a_row = 0
    for number, value in enumerate(measurements):
        if value is ERROR:
            errors_in_a_row += 1
            if errors_in_a_row > consecutive_error_limit:
                return number, "Error"
            continue
        errors_in_a_row = 0
        phase = _phase(value, success, failure)
        if phase == "Failed":
            failures += 1
            if failures > failure_limit:
                return number, "Failed"
        if phase == "Inconclusive":
            inconclusive += 1
            if inconclusive > inconclusive_limit:
                return number, "Inconclusive"
    return None


def _phase(value: float, success: Condition | None, failure: Condition | None) -> str:
    if success is not None and failure is None:
        return "Successful" if success(value) else "Failed"
    if failure is not None and success is None:
        return "Failed" if failure(value) else "Successful"
    assert success is not None
    assert failure is not None
    if failure(value):
        return "Failed"
    return "Successful" if success(value) else "Inconclusive"
