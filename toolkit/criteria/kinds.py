"""The kinds of criteria by name. To add one: a class in a file of its own, and a line here."""

from __future__ import annotations

from typing import Any

from toolkit.criteria.all_of import AllOf
from toolkit.criteria.anomaly import Anomaly
from toolkit.criteria.any_of import AnyOf
from toolkit.criteria.burn_rate import BurnRate
from toolkit.criteria.canary import Canary
from toolkit.criteria.consecutive import Consecutive
from toolkit.criteria.criterion import Criterion
from toolkit.criteria.failed_checks import FailedChecks
from toolkit.criteria.no_data import NoData
from toolkit.criteria.threshold import Threshold

__all__ = ["KINDS", "criterion_of", "member_of"]

KINDS: dict[str, type[Criterion]] = {
    "threshold": Threshold,
    "failed_checks": FailedChecks,
    "consecutive": Consecutive,
    "burn_rate": BurnRate,
    "canary": Canary,
    "anomaly": Anomaly,
    "no_data": NoData,
    "any_of": AnyOf,
    "all_of": AllOf,
}


def criterion_of(table: dict[str, Any]) -> Criterion:
    """The criterion that a table of the policy describes. Raises ValueError (pydantic's among them) for what is no criterion."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of criterion: write one of {', '.join(KINDS)}")
    return KINDS[kind].model_validate(table)


def member_of(item: Any, place: int, within: str | None) -> Criterion:
    """A member of a composite; without a name it is called after its place."""
    if isinstance(item, Criterion):
        return item
    if not isinstance(item, dict):
        raise ValueError("a member is a table with its kind")
    return criterion_of({"name": f"{within or 'member'} {place + 1}", **item})
