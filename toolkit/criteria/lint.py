"""What a criterion says without meaning to: semantics that surprise people, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from toolkit.criteria.burn_rate import BurnRate
from toolkit.criteria.composite import Composite
from toolkit.criteria.criterion import Criterion
from toolkit.criteria.failed_checks import FailedChecks
from toolkit.criteria.policy import Policy
from toolkit.criteria.spans import written
from toolkit.criteria.threshold import Threshold

__all__ = ["Warned", "lint"]

MINUTE = timedelta(minutes=1)
# What nobody can mean; the rest may be meant, and is a hint.
WRONG = ("expired", "nan_passes", "never_burns")


@dataclass(frozen=True)
class Warned:
    """A criterion, the rule that it breaks, and what that means."""

    criterion: str
    rule: str
    text: str

    @property
    def hint(self) -> bool:
        """Whether it may well be meant."""
        return self.rule not in WRONG


def lint(policy: Policy, *, today: date) -> list[Warned]:
    """What deserves a second look: expired criteria, clocks that are longer than they look, rules that can never fire, sums of caps."""
    current = policy.in_force(today)
    found = [warned for one in current for warned in _of_one(one, today)]
    return [*found, *_of_all(policy, current)]


def _of_one(one: Criterion, today: date) -> Iterator[Warned]:
    if one.expires is not None and one.expires <= today:
        yield Warned(one.name, "expired", f"was to be looked at again by {one.expires}: recalibrate it, or say why it stays")
    if one.adopted_by is None or one.since is None:
        yield Warned(one.name, "unsigned", "nobody says who adopted it and since when: add adopted_by and since")
    if isinstance(one, FailedChecks):
        yield from _checks(one)
    if isinstance(one, Threshold) and one.duration > timedelta(0):
        step = one.step or MINUTE
        n = one.n(step.total_seconds())
        if one.duration >= 3 * step:
            said = f"for = {written(one.duration)} at an evaluation every {written(step)} is {n} evaluations in a row, not {n - 1}"
            yield Warned(one.name, "one_more", f"{said}: the first one only starts the clock")
        if one.duration % step:
            yield Warned(
                one.name, "uneven_clock", f"for = {written(one.duration)} is no multiple of {written(step)}: it waits for the next"
            )
    if isinstance(one, BurnRate):
        yield from _burning(one)
    if isinstance(one, Composite):
        for member in one.members:
            yield from (warned for warned in _of_one(member, today) if warned.rule not in ("unsigned", "expired"))


def _checks(one: FailedChecks) -> Iterator[Warned]:
    argo = one.controller == "argo_rollouts"
    if argo and one.no_data == "passes" and one.success_limit is None:
        said = "failureCondition alone lets NaN pass: a canary without requests is a healthy one"
        yield Warned(one.name, "nan_passes", f'{said}; write isNaN(result) || … and no_data = "fails"')
    if one.success_limit is not None:
        said = "between success_limit and limit, and on NaN, a check is undecided: the first one hands the rollout to a person"
        yield Warned(one.name, "undecided", said)
    if one.controller == "flagger" and one.min_events > 0:
        said = (
            f"Flagger fails a check without data and knows no minimum of events: it would roll back where this waits for {one.min_events}"
        )
        yield Warned(one.name, "flagger_no_minimum", said)


def _burning(one: BurnRate) -> Iterator[Warned]:
    budget = 1 - one.slo
    for pair in one.pairs:
        factor, rate = one.factor(pair), one.error_rate(pair) * Fraction(repr(one.limit))
        if rate >= 1:
            most = float(1 / budget)
            said = (
                f"with an objective of {float(one.slo):.4g} the budget burns at {most:.3g} times at most, and never at {float(factor):.4g}"
            )
            yield Warned(one.name, "never_burns", f"{said}: the pair {written(pair.long)}/{written(pair.brief)} cannot fire")


def _of_all(policy: Policy, current: tuple[Criterion, ...]) -> Iterator[Warned]:
    """Criteria that stop the same deployments, any of them: their false stops add up."""
    scopes = sorted({(one.service_class or "", one.service or "") for one in current})
    for service_class, service in scopes:
        together = [
            one
            for one in current
            if one.action == "revert" and one.service_class in (None, service_class or None) and one.service in (None, service or None)
        ]
        m = sum(len(one.members) if one.kind == "any_of" and isinstance(one, Composite) else 1 for one in together)
        if m > 1:
            cap = policy.terms.alpha
            said = f"{m} criteria of which any stops a deployment: at {cap:.0%} each, {1 - (1 - cap) ** m:.0%} of the good ones"
            scope = ", ".join(filter(None, (service_class, service))) or "every service"
            yield Warned(together[0].name, "caps_add_up", f"{said} ({scope}), if they are independent: cap them together")
