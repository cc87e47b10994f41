"""Argo Rollouts' AnalysisTemplate: failures add up, errors in a row abort, what is neither passed nor failed asks a person."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.canary import Canary
from toolkit.criteria.consecutive import Consecutive
from toolkit.criteria.failed_checks import FailedChecks
from toolkit.criteria.laid_out import HORIZON
from toolkit.criteria.spans import span, written
from toolkit.criteria.threshold import Threshold
from toolkit.errors import DataError
from toolkit.exports.terms import Export, Imported, Queries, cannot, dumped, loaded, number, slug, spanned

__all__ = ["read", "write"]

_ADDRESS = "http://prometheus.monitoring:9090"
_CONDITION = re.compile(r"(?:default\()?result(?:\[0\])?(?:, *[\w.]+\))?\s*(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")


def write(criterion: Criterion, queries: Queries, step: float) -> Export:
    """A template with one metric. Only a failure condition: what is not over the limit passes, NaN unless it says otherwise."""
    if isinstance(criterion, Canary) and criterion.mode == "mann_whitney":
        raise cannot(criterion, "an AnalysisTemplate", "Use Kayenta as its provider.")
    if not isinstance(criterion, Threshold | Canary | Consecutive | FailedChecks):
        raise cannot(criterion, "an AnalysisTemplate", "Export it to Prometheus, and let the template ask for the alert.")
    k = criterion.n(step)
    window, differences = spanned(step), []
    if not isinstance(criterion, FailedChecks) and k > 1:
        differences.append(f"failures add up there: the {k}th failing measurement stops it, in a row or not")
    if criterion.min_events:
        differences.append(f"samples with fewer than {criterion.min_events} events count there as any other")
    fails = getattr(criterion, "no_data", "passes") == "fails"
    op = "<" if criterion.below else ">"
    over = f"result[0] {op} {number(criterion.limit)}"
    metric: dict[str, Any] = {
        "name": slug(criterion.name),
        "interval": window,
        "count": int(HORIZON.total_seconds() // step) + 1,
        "failureLimit": k - 1,
        "failureCondition": f"len(result) == 0 || isNaN(result[0]) || {over}" if fails else f"len(result) > 0 && {over}",
        "provider": {"prometheus": {"address": _ADDRESS, "query": _query(criterion, queries, window)}},
    }
    if isinstance(criterion, FailedChecks) and criterion.success_limit is not None:
        metric["successCondition"] = f"result[0] {'>=' if criterion.below else '<='} {number(criterion.success_limit)}"
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": slug(criterion.name)},
        "spec": {"metrics": [metric]},
    }
    return Export(dumped(body), tuple(differences))


def _query(criterion: Threshold | Canary | Consecutive | FailedChecks, queries: Queries, window: str) -> str:
    if isinstance(criterion, Canary):
        sign = "-" if criterion.mode == "difference" else "/"
        arms = [f"({queries.signal(criterion.series, arm, window)})" for arm in ("canary", "baseline")]
        return f"{arms[0]} {sign} {arms[1]}"
    return queries.signal(criterion.series, criterion.variant, window)


def read(text: str) -> list[Imported]:
    """The metrics of the templates in a file, each with the controller's semantics."""
    found = []
    for document in loaded(text, "AnalysisTemplate"):
        if document.get("kind") not in ("AnalysisTemplate", "ClusterAnalysisTemplate"):
            continue
        metrics = (document.get("spec") or {}).get("metrics")
        if not isinstance(metrics, list):
            raise DataError("This AnalysisTemplate has no `spec.metrics`.")
        found += [_criterion(metric) for metric in metrics]
    if not found:
        raise DataError("No AnalysisTemplate in this file: `kind: AnalysisTemplate` is wanted.")
    return found


def _criterion(metric: dict[str, Any]) -> Imported:
    name = str(metric.get("name", "metric"))
    failure, success = metric.get("failureCondition"), metric.get("successCondition")
    if not failure and not success:
        raise DataError(f"{name}: neither failureCondition nor successCondition: it fails never.")
    op, limit = _limit(str(failure or success), name)
    if failure is None:
        # What does not pass has failed: result <= 0.05 passes, so over 0.05 fails, and NaN, which compares with nothing, fails too.
        op = {"<=": ">", "<": ">=", ">=": "<", ">": "<="}[op]
    differences = [f"a measurement of exactly {limit:g} fails there and passes here"] if op in (">=", "<=") else []
    nan_fails = failure is None or "isNaN(" in str(failure)
    told: dict[str, Any] = {
        "name": name,
        "kind": "failed_checks",
        "controller": "argo_rollouts",
        "series": name,
        "variant": "canary",
        "limit": limit,
        "below": op.startswith("<"),
        "k": _whole(metric.get("failureLimit", 0), name) + 1,
        "no_data": "fails" if nan_fails else "passes",
        "min_events": 0,
        **({"step": written(span(str(metric["interval"])))} if "interval" in metric else {}),
    }
    if failure and success:
        told["success_limit"] = _limit(str(success), name)[1]
    if "consecutiveErrorLimit" in metric:
        differences.append("its own consecutiveErrorLimit: here the fifth error in a row aborts, as by default")
    if "initialDelay" in metric:
        differences.append(f"initialDelay {metric['initialDelay']}: here checks begin with the deployment")
    try:
        return Imported(criterion_of(told), tuple(differences))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error


def _limit(condition: str, name: str) -> tuple[str, float]:
    found = _CONDITION.findall(condition)
    if len(found) != 1:
        raise DataError(f"{name}: {condition!r} is not `result > number`: write the criterion by hand.")
    return found[0][0], float(found[0][1])


def _whole(value: Any, name: str) -> int:
    if not re.fullmatch(r"\d{1,6}", str(value)):
        raise DataError(f"{name}: failureLimit {value!r} is no whole number.")
    return int(value)
