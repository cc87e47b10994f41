"""Recalibrate a workspace: each criterion for each class of services that it concerns; what the test was used for stands in the journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.criteria import Criterion
from toolkit.criteria.policy import FILE, Policy
from toolkit.criteria.terms import Terms
from toolkit.errors import UsageError
from toolkit.recalibration.cases import Cases
from toolkit.recalibration.decision import decided
from toolkit.recalibration.gather import gathered, horizon_of
from toolkit.recalibration.guards import Guards, guarded
from toolkit.recalibration.question import question_of
from toolkit.recalibration.recommend import Recommendation, answered
from toolkit.watch import classes_of

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["Unit", "recalibrate"]

AUTHOR = "knowngood"


@dataclass(frozen=True)
class Unit:
    """A criterion for those whom one limit is to serve. of: "class critical", "service shop", "all services". guards: what it hangs on."""

    of: str
    criterion: Criterion
    found: Recommendation
    terms: Terms
    guards: Guards


def recalibrate(workspace: Workspace, criterion: str | None = None, *, author: str = AUTHOR) -> list[Unit]:
    """What the past says about the limits in force: of the criterion named, else of all that can be recalibrated.

    Each look at a test is noted in the journal; a later one with other criteria, terms or data finds it used. Raises UsageError without
    a policy, or where no criterion has that name.
    """
    policy = workspace.policy
    if policy is None or not policy.criteria:
        raise UsageError(
            f"There is no criterion to recalibrate. Write one into {FILE}; `knowngood init --policy` begins it with an example."
        )
    until = horizon_of(workspace)
    day = until.date() if until is not None else None
    current = policy.in_force(day) if day is not None else policy.criteria
    chosen = current if criterion is None else (policy.named(criterion, day),)
    return [unit for one in chosen for unit in _units(workspace, policy, one, author)]


def _units(workspace: Workspace, policy: Policy, criterion: Criterion, author: str) -> Iterator[Unit]:
    for of, narrowed in _narrowed(workspace, policy.terms, criterion):
        cases = gathered(workspace, narrowed, policy.terms)
        about, purpose = f"criterion:{criterion.name}", _purpose(of, narrowed, policy.terms, cases)
        before = [entry.body for entry in workspace.journal.entries("test_used", about)]
        # The same question to the same data is the same look, however often it is asked.
        used = frozenset(body["digest"] for body in before if body["purpose"] != purpose)
        question = question_of(cases, narrowed, policy.terms)
        looked_at = question.test_digest in used
        whole = decided(question, used=looked_at)
        found, guards = answered(question, whole), guarded(question, whole, used=looked_at)
        looked = found.test is not None and len(cases) > 0
        if looked and not any(body["purpose"] == purpose for body in before):
            workspace.journal.append("test_used", about, {"digest": found.test_digest, "purpose": purpose}, author=author)
        yield Unit(of, narrowed, found, policy.terms, guards)


def _narrowed(workspace: Workspace, terms: Terms, criterion: Criterion) -> Iterator[tuple[str, Criterion]]:
    if criterion.service is not None:
        yield f"service {criterion.service}", criterion
        return
    until = horizon_of(workspace)
    classes = classes_of(workspace.facts.owners.collect(), until) if until is not None else {}
    if terms.unit == "service":
        ours = [name for name, one in classes.items() if criterion.service_class in (None, one)]
        for service in sorted(set(ours) & set(workspace.telemetry.services())):
            yield f"service {service}", criterion.model_copy(update={"service": service, "service_class": None})
    elif criterion.service_class is not None:
        yield f"class {criterion.service_class}", criterion
    elif not classes:
        yield "all services", criterion
    else:
        for one in sorted(set(classes.values())):
            yield f"class {one}", criterion.model_copy(update={"service_class": one})


def _purpose(of: str, criterion: Criterion, terms: Terms, cases: Cases) -> str:
    """Who asked what of which data."""
    asked = [criterion.model_dump(mode="json", by_alias=True), terms.model_dump(mode="json"), cases.digest()]
    return f"{criterion.name}, {of}: {hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]}"
