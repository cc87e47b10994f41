"""A file as it is deployed, held against the policy: what its certificates say, and what its rules would really act on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from toolkit.criteria import Criterion
from toolkit.criteria.burn_rate import BurnRate
from toolkit.criteria.policy import FILE, Policy
from toolkit.errors import DataError, UsageError
from toolkit.exports.formats import FORMATS, Format
from toolkit.exports.terms import Certificate, Queries, slug

__all__ = ["departures"]

AGAIN = "knowngood export criteria"
MINUTE = 60.0


def departures(policy: Policy, name: str, text: str, today: date) -> Iterator[dict[str, Any]]:
    """Findings about a file of this name: what, why, next. A rule that cannot be read back is held against its certificate alone."""
    try:
        certificates = Certificate.of(text)
    except DataError as error:
        yield _finding(f"unreadable: {name}", error.message, AGAIN)
        return
    if not certificates:
        yield _finding(f"no certificate: {name}", "nobody can say what stands behind it", AGAIN)
    agreed = {one.name: one for one in policy.in_force(today)}
    form, rules = _rules(text)
    for one in certificates:
        current = agreed.get(one.criterion)
        if current is None:
            yield _finding(
                f"not in force: {one.criterion}", f"{name} acts on it, and {FILE} does not know it", "remove it there, or adopt it"
            )
        elif said := _otherwise(one, current, form, rules.get(one.criterion) or rules.get(slug(one.criterion))):
            yield _finding(f"drifted: {one.criterion}", f"{name} {said} was agreed", AGAIN)
        if one.expires is not None and one.expires <= today:
            yield _finding(f"expired: {one.criterion} in {name}", f"its certificate ended on {one.expires}", "knowngood recalibrate")


def _finding(what: str, why: str, then: str) -> dict[str, Any]:
    return {"what": what, "why": why, "next": then}


def _rules(text: str) -> tuple[Format | None, dict[str, Criterion]]:
    """The rules by the names that they have there, and the format that they could be read as."""
    for form in FORMATS.values():
        try:
            found = form.read(text)
        except DataError:
            continue
        if found:
            return form, {one.criterion.name: one.criterion for one in found}
    return None, {}


def _otherwise(certificate: Certificate, current: Criterion, form: Format | None, rule: Criterion | None) -> str:
    """In what the file acts otherwise than agreed, in words; empty: in nothing that shows."""
    if certificate.limit != current.setting():
        return f"has {certificate.limit:g}, and {current.setting():g}"
    step = MINUTE if rule is None or rule.step is None else rule.step.total_seconds()
    expected = None if form is None or rule is None else _as_written(current, form, step)
    if rule is None or expected is None:
        return ""
    if rule.setting() != expected.setting():
        return f"acts at {rule.setting():g} under a certificate for {certificate.limit:g}, and {expected.setting():g}"
    if isinstance(rule, BurnRate) and isinstance(expected, BurnRate) and rule.slo != expected.slo:
        return f"has an objective of {float(rule.slo):.6g}, and {float(expected.slo):.6g}"
    if rule.n(step) != expected.n(step):
        return f"acts at {rule.n(step)} evaluations or checks, and {expected.n(step)}"
    return ""


def _as_written(current: Criterion, form: Format, step: float) -> Criterion | None:
    """The criterion as this format would carry it and give it back; None where it cannot."""
    try:
        (found,) = form.read(form.write(current, Queries(), step).text)
    except (DataError, UsageError, ValueError):
        return None
    return found.criterion
