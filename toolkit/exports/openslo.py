"""OpenSLO v1: an objective with its error budget, and alert conditions on how fast it burns."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.burn_rate import BurnRate
from toolkit.criteria.spans import span, written
from toolkit.errors import DataError
from toolkit.exports.terms import Export, Imported, Queries, cannot, dumped, loaded, number, slug, spanned

__all__ = ["read", "write"]

_VERSION = "openslo/v1"


def write(criterion: Criterion, queries: Queries, step: float) -> Export:
    """An SLO, an alert policy, and a condition for each pair of windows."""
    if not isinstance(criterion, BurnRate):
        raise cannot(criterion, "OpenSLO", "It speaks of error budgets only: export to Prometheus or a controller.")
    name, window = slug(criterion.name), spanned(step)
    ratio = {
        "counter": False,
        "bad": _source(queries.bad(criterion.series, criterion.variant, window)),
        "total": _source(queries.count(criterion.series, criterion.variant, window) or ""),
    }
    slo = {
        "apiVersion": _VERSION,
        "kind": "SLO",
        "metadata": {"name": name},
        "spec": {
            "service": queries.service or criterion.service or "all",
            "indicator": {"metadata": {"name": f"{name}-indicator"}, "spec": {"ratioMetric": ratio}},
            "timeWindow": [{"duration": written(criterion.period), "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": float(criterion.slo)}],
            "alertPolicies": [f"{name}-alerts"],
        },
    }
    conditions = [
        {
            "apiVersion": _VERSION,
            "kind": "AlertCondition",
            "metadata": {"name": f"{name}-{place}"},
            "spec": {
                "severity": "page",
                "condition": {
                    "kind": "burnrate",
                    "op": "gt",
                    "threshold": float(number(float(criterion.factor(pair)) * criterion.limit)),
                    "lookbackWindow": spanned(pair.long.total_seconds()),
                    "alertAfter": spanned(pair.brief.total_seconds()),
                },
            },
        }
        for place, pair in enumerate(criterion.pairs, 1)
    ]
    policy = {
        "apiVersion": _VERSION,
        "kind": "AlertPolicy",
        "metadata": {"name": f"{name}-alerts"},
        "spec": {"conditions": [{"conditionRef": one["metadata"]["name"]} for one in conditions]},  # type: ignore[index]
    }
    said = ["alertAfter is a time for which it must burn; here the short window must burn as well"]
    if criterion.min_events:
        said.append(f"windows with fewer than {criterion.min_events} events count there as any other")
    return Export(dumped(slo, policy, *conditions), tuple(said))


def _source(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def read(text: str) -> list[Imported]:
    """The SLOs of a file with the burn-rate conditions in it."""
    documents = list(loaded(text, "OpenSLO file"))
    slos = [one for one in documents if one.get("kind") == "SLO"]
    if not slos:
        raise DataError("No SLO in this file: `kind: SLO` is wanted.")
    conditions = list(_conditions(documents))
    return [_criterion(one, conditions) for one in slos]


def _conditions(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in documents:
        condition = (one.get("spec") or {}).get("condition") or {}
        if one.get("kind") == "AlertCondition" and condition.get("kind") == "burnrate":
            yield condition


def _criterion(slo: dict[str, Any], conditions: list[dict[str, Any]]) -> Imported:
    name = str((slo.get("metadata") or {}).get("name", "slo"))
    spec = slo.get("spec") or {}
    try:
        target = Decimal(str(spec["objectives"][0]["target"]))
        period = span(str(spec["timeWindow"][0]["duration"]))
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
        raise DataError(f"{name}: objectives[0].target and timeWindow[0].duration are needed.") from None
    differences = ["only the first of several objectives"] if len(spec["objectives"]) > 1 else []
    pairs = []
    for condition in conditions:
        long = span(str(condition["lookbackWindow"]))
        factor = Decimal(str(condition["threshold"]))
        # The share of the budget that is gone after the long window at this factor.
        budget = factor * Decimal(long.total_seconds()) / Decimal(period.total_seconds())
        short = {"short": written(span(str(condition["alertAfter"])))} if condition.get("alertAfter") else {}
        pairs.append({"long": written(long), "budget": str(budget), **short})
    if not pairs:
        differences.append("no burn-rate condition in the file: the usual pairs are taken")
    told = {
        "name": name,
        "kind": "burn_rate",
        "series": name,
        "slo": str(target),
        "period": written(period),
        "min_events": 0,
        **({"pairs": pairs} if pairs else {}),
        **({"service": str(spec["service"])} if spec.get("service") and spec["service"] != "all" else {}),
    }
    try:
        return Imported(criterion_of(told), tuple(differences))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error
