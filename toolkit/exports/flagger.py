"""Flagger's Canary analysis: failed checks add up, no data is a failed check, and what failed is looked at one tick later."""

from __future__ import annotations

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
from toolkit.exports.terms import Export, Imported, Queries, cannot, dumped, loaded, slug, spanned

__all__ = ["read", "write"]

_ADDRESS = "http://prometheus.monitoring:9090"


def write(criterion: Criterion, queries: Queries, step: float) -> Export:
    """A MetricTemplate and the analysis of a Canary that uses it."""
    if not isinstance(criterion, Threshold | Canary | Consecutive | FailedChecks) or (
        isinstance(criterion, Canary) and criterion.mode == "mann_whitney"
    ):
        raise cannot(criterion, "Flagger", "Export it to Prometheus, and let a webhook ask for the alert.")
    k, window, name = criterion.n(step), spanned(step), slug(criterion.name)
    own = isinstance(criterion, FailedChecks) and criterion.controller == "flagger"
    differences = [] if own else ["it rolls back one tick after the check that was one too many"]
    if not isinstance(criterion, FailedChecks) and k > 1:
        differences.append(f"failures add up there: the {k}th failing check stops it, in a row or not")
    if getattr(criterion, "no_data", "passes") != "fails":
        differences.append("no data is a failed check there")
    if criterion.min_events:
        differences.append(
            f"samples with fewer than {criterion.min_events} events count there: such a canary would be rolled back at tick {k}"
        )
    if isinstance(criterion, Canary):
        sign = "-" if criterion.mode == "difference" else "/"
        arms = [f"({queries.signal(criterion.series, arm, window)})" for arm in ("canary", "baseline")]
        query = f"{arms[0]} {sign} {arms[1]}"
    else:
        query = queries.signal(criterion.series, criterion.variant, window)
    template = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": name},
        "spec": {"provider": {"type": "prometheus", "address": _ADDRESS}, "query": query},
    }
    steps = criterion.steps if isinstance(criterion, FailedChecks) else None
    analysis = {
        "interval": window,
        "threshold": k,
        # Without a promotion that ends the watch: as many iterations as the watch has.
        **({"iterations": int(HORIZON.total_seconds() // step) + 1} if steps is None else {"stepWeight": 1, "maxWeight": steps}),
        "metrics": [
            {
                "name": name,
                "templateRef": {"name": name},
                "thresholdRange": {"min" if criterion.below else "max": criterion.limit},
                "interval": window,
            }
        ],
    }
    canary = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": slug(queries.service or criterion.service or criterion.name)},
        "spec": {"analysis": analysis},
    }
    return Export(dumped(template, canary), tuple(differences))


def read(text: str) -> list[Imported]:
    """The metrics of the Canary analyses in a file, each with the controller's semantics."""
    found = []
    for document in loaded(text, "Flagger Canary"):
        if document.get("kind") != "Canary":
            continue
        analysis = (document.get("spec") or {}).get("analysis") or (document.get("spec") or {}).get("canaryAnalysis")
        if not isinstance(analysis, dict):
            raise DataError("This Canary has no `spec.analysis`.")
        found += [_criterion(metric, analysis) for metric in analysis.get("metrics") or ()]
    if not found:
        raise DataError("No Canary with metrics in this file: `kind: Canary` is wanted.")
    return found


def _criterion(metric: dict[str, Any], analysis: dict[str, Any]) -> Imported:
    name = str(metric.get("name", "metric"))
    bounds = metric.get("thresholdRange") or ({"max": metric["threshold"]} if "threshold" in metric else {})
    if not bounds:
        raise DataError(f"{name}: no thresholdRange: nothing can fail.")
    differences = ["both ends of thresholdRange fail there; here only max"] if {"min", "max"} <= set(bounds) else []
    below = "max" not in bounds
    weight, most = analysis.get("stepWeight"), analysis.get("maxWeight")
    if analysis.get("iterations"):
        steps: int | None = int(analysis["iterations"])
    else:
        steps = int(most) // int(weight) if weight and most else None
    if len(analysis.get("metrics") or ()) > 1:
        differences.append("failed checks of all metrics add up there; here each counts its own")
    told = {
        "name": name,
        "kind": "failed_checks",
        "controller": "flagger",
        "series": name,
        "variant": "canary",
        "limit": bounds["min" if below else "max"],
        "below": below,
        "k": analysis.get("threshold", 1),
        "no_data": "fails",
        "min_events": 0,
        "steps": steps,
        "step": _span(analysis.get("interval", "1m"), name),
    }
    try:
        return Imported(criterion_of(told), tuple(differences))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error


def _span(text: Any, name: str) -> str:
    try:
        return written(span(str(text)))
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
