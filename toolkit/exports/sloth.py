"""Sloth: SLOs from which it makes its own multi-window alerts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.burn_rate import DEFAULT, BurnRate
from toolkit.errors import DataError
from toolkit.exports.terms import Export, Imported, Queries, cannot, dumped, loaded, number, slug

__all__ = ["read", "write"]

_VERSION = "prometheus/v1"
_PERIOD = timedelta(days=30)


def write(criterion: Criterion, queries: Queries, step: float) -> Export:  # noqa: ARG001  # Sloth has a window of its own
    """A specification with one SLO; Sloth fills in the window itself."""
    if not isinstance(criterion, BurnRate):
        raise cannot(criterion, "Sloth", "It speaks of error budgets only: export to Prometheus or a controller.")
    events = queries.count(criterion.series, criterion.variant, "{{.window}}")
    if events is None:
        raise cannot(criterion, "Sloth", "It needs a query of bad and one of all events.")
    said = []
    if criterion.pairs != DEFAULT[:2] or criterion.limit != 1:
        said.append("its page alert has windows and factors of its own: 1h/5m at 2 % and 6h/30m at 5 % of the budget")
    if criterion.period != _PERIOD:
        said.append(f"the budget's period is set when Sloth runs (--default-slo-period), not in this file: {criterion.period.days} days")
    if criterion.min_events:
        said.append(f"windows with fewer than {criterion.min_events} events count there as any other")
    name = slug(criterion.name)
    body = {
        "version": _VERSION,
        "service": queries.service or criterion.service or "all",
        "slos": [
            {
                "name": name,
                "objective": float(number(float(criterion.slo * 100))),
                "sli": {
                    "events": {
                        "error_query": queries.bad(criterion.series, criterion.variant, "{{.window}}"),
                        "total_query": events,
                    }
                },
                "alerting": {"name": name, "page_alert": {"labels": {"action": criterion.action}}, "ticket_alert": {"disable": True}},
            }
        ],
    }
    return Export(dumped(body), tuple(said))


def read(text: str) -> list[Imported]:
    """The SLOs of a specification, with the windows that Sloth gives a page alert."""
    found = []
    for document in loaded(text, "Sloth specification"):
        slos = document.get("slos")
        if not isinstance(slos, list):
            raise DataError("This is no Sloth specification: `slos:` is missing.")
        found += [_criterion(slo, document.get("service")) for slo in slos]
    return found


def _criterion(slo: dict[str, Any], service: Any) -> Imported:
    name = str(slo.get("name", "slo"))
    try:
        objective = Decimal(str(slo["objective"])) / 100
    except (KeyError, ArithmeticError):
        raise DataError(f"{name}: objective is needed, as 99.9.") from None
    differences = [] if "events" in (slo.get("sli") or {}) else ["its indicator is not made of events: exact comparisons need counts"]
    if not ((slo.get("alerting") or {}).get("ticket_alert") or {}).get("disable"):
        differences.append("its ticket alert is left out: it stops no deployment")
    told = {"name": name, "kind": "burn_rate", "series": name, "slo": str(objective), "min_events": 0}
    try:
        return Imported(criterion_of(told | ({"service": str(service)} if service and service != "all" else {})), tuple(differences))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error
