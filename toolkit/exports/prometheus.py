"""Prometheus alerting rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.burn_rate import BurnRate
from toolkit.criteria.canary import Canary
from toolkit.criteria.consecutive import Consecutive
from toolkit.criteria.no_data import NoData
from toolkit.criteria.spans import span, written
from toolkit.criteria.threshold import Threshold
from toolkit.errors import DataError
from toolkit.exports.terms import Export, Imported, Queries, cannot, dumped, loaded, number, prose, spanned

__all__ = ["compared", "read", "write"]

# value OP number, with what may follow it.
_COMPARED = re.compile(r"(?P<signal>.+?)\s*(?P<op>>=|<=|>|<)\s*(?P<limit>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*", re.DOTALL)
_WORDS = "sum|avg|min|max|rate|irate|increase|count|by|without|on|or|and|unless|histogram_quantile"
_METRIC = re.compile(rf'(?<![\w:"])(?!(?:{_WORDS})\b)([a-zA-Z_:][\w:]*)(?=[\[{{)\s]|$)')


def write(criterion: Criterion, queries: Queries, step: float) -> Export:
    """One alerting rule in a group that is evaluated every `step` seconds. Raises UsageError for kinds that PromQL cannot say exactly."""
    window = spanned(step)
    held, differences = _held(criterion, step)
    rule = {
        "alert": criterion.name,
        "expr": _expression(criterion, queries, window),
        **({"for": written(held)} if held else {}),
        "labels": {"action": criterion.action, **({"service": _literal(queries.service)} if queries.service else {})},
        "annotations": {"summary": _literal(prose(f"{criterion.name}: asks for {criterion.action}"))},
    }
    return Export(dumped({"groups": [{"name": f"knowngood {criterion.name}", "interval": window, "rules": [rule]}]}), differences)


def _literal(text: str) -> str:
    """Text where Prometheus expects a template: braces that are meant."""
    return text.replace("{{", '{{ "{{" }}')


def _held(criterion: Criterion, step: float) -> tuple[timedelta, tuple[str, ...]]:
    said: tuple[str, ...] = ("state begins at the deployment here; an alert may be pending or firing from before it",)
    match criterion:
        case Threshold() | Canary():
            return criterion.duration, said
        case Consecutive():
            if criterion.no_data == "fails":
                said += ("a missing sample is a failed check here and resets the alert's clock there",)
            return timedelta(seconds=(criterion.k - 1) * step), said
        case _:
            return timedelta(0), said


def _expression(criterion: Criterion, queries: Queries, window: str) -> str:
    match criterion:
        case Canary(mode="mann_whitney"):
            raise cannot(criterion, "PromQL", "Use the canary judge itself.")
        case Canary():
            canary, baseline = (f"({queries.signal(criterion.series, arm, window)})" for arm in ("canary", "baseline"))
            apart = f"{canary} {'-' if criterion.mode == 'difference' else '/'} {baseline}"
            parts = [f"{apart} {_sign(criterion)} {number(criterion.limit)}"]
            if criterion.floor or criterion.mode == "ratio":
                parts.append(f"{canary} - {baseline} > {number(criterion.floor)}")
            return " and ".join([*parts, *_enough(criterion, queries, window, ("canary", "baseline"))])
        case Threshold() | Consecutive():
            level = f"({queries.signal(criterion.series, criterion.variant, window)})"
            own = [f"{level} {_sign(criterion)} {number(criterion.limit)}"]
            return " and ".join([*own, *_enough(criterion, queries, window, (criterion.variant,))])
        case BurnRate():
            return " or ".join(_pair(criterion, queries, place) for place in range(len(criterion.pairs)))
        case NoData():
            return (
                f"absent_over_time(({queries.signal(criterion.series, criterion.variant, window)})[{written(criterion.duration)}:{window}])"
            )
        case _:
            raise cannot(criterion, "PromQL", "It counts since the deployment, which an alert does not know: export it to a controller.")


def _sign(criterion: Threshold | Canary | Consecutive) -> str:
    return "<" if criterion.below else ">"


def _enough(criterion: Criterion, queries: Queries, window: str, variants: tuple[Any, ...]) -> Iterator[str]:
    for variant in variants if criterion.min_events else ():
        events = queries.count(criterion.series, variant, window)
        if events is not None:
            yield f"({events}) >= {criterion.min_events}"


def _pair(criterion: BurnRate, queries: Queries, place: int) -> str:
    pair = criterion.pairs[place]
    rate = float(criterion.error_rate(pair)) * criterion.limit
    sides = []
    for window in (pair.long, pair.brief):
        said = spanned(window.total_seconds())
        sides.append(f"({queries.signal(criterion.series, criterion.variant, said)}) > {number(rate)}")
        if criterion.min_events:
            events = queries.count(criterion.series, criterion.variant, said)
            sides += [f"({events}) >= {criterion.min_events}"] if events is not None else []
    return "(" + " and ".join(sides) + ")"


def read(text: str) -> list[Imported]:
    """The alerting rules of a file: what they compare with what, and for how long. Raises DataError naming what is wrong."""
    found = []
    for document in loaded(text, "Prometheus rule file"):
        groups = document.get("groups", document.get("spec", {}).get("groups") if isinstance(document.get("spec"), dict) else None)
        if not isinstance(groups, list):
            raise DataError("This is no Prometheus rule file: `groups:` is missing.")
        for group in groups:
            rules = [rule for rule in group.get("rules", ()) if "alert" in rule]
            found += [_criterion(rule, group.get("interval")) for rule in rules]
    return found


def _criterion(rule: dict[str, Any], interval: str | None) -> Imported:
    name = str(rule["alert"])
    expression = " ".join(str(rule.get("expr", "")).split())
    signal, op, limit, rest = compared(expression, name)
    differences = []
    if op in (">=", "<="):
        differences.append(f"{op} holds at the limit itself; here the limit has to be passed")
    enough = 0
    for part in rest:
        guard = re.fullmatch(r"\(.+\) >= (\d+)", part)
        if guard:
            enough = int(guard[1])
        else:
            differences.append(f"{part!r} is asked as well, and is not part of the criterion")
    arms = re.fullmatch(r"(\(.+\)) ([-/]) (\(.+\))", signal)
    canary = arms is not None and 'variant="canary"' in arms[1] and 'variant="baseline"' in arms[3]
    floors = [re.fullmatch(r"\(.+\) - \(.+\) > ([\d.eE+-]+)", part) for part in rest] if canary else []
    floor = next((float(one[1]) for one in floors if one), 0.0)
    differences = [one for one in differences if not (canary and " - (" in one)]
    told: dict[str, Any] = {
        "name": name,
        "series": _series(signal),
        "limit": limit,
        "for": _span(rule.get("for", "0s"), name),
        "min_events": enough,
        "below": op.startswith("<"),
        "action": rule.get("labels", {}).get("action", "revert") if isinstance(rule.get("labels"), dict) else "revert",
        **({"step": _span(interval, name)} if interval else {}),
        **({"service": rule["labels"]["service"]} if isinstance(rule.get("labels"), dict) and rule["labels"].get("service") else {}),
    }
    if canary and arms is not None:
        told |= {"kind": "canary", "mode": "difference" if arms[2] == "-" else "ratio", "floor": floor}
    else:
        told |= {"kind": "threshold", "variant": "canary" if 'variant="canary"' in signal else "all"}
    if rule.get("keep_firing_for"):
        differences.append("keep_firing_for is about clearing, which a criterion does not do")
    try:
        return Imported(criterion_of(told), tuple(differences))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error


def compared(expression: str, name: str) -> tuple[str, str, float, list[str]]:
    """signal, operator, limit and what else is asked, of `signal > limit and …`. Raises DataError where there is no number."""
    parts = _split(expression)
    found = _COMPARED.fullmatch(parts[0])
    if found is None:
        raise DataError(f"{name}: {expression!r} compares nothing with a number: a criterion needs a limit.")
    return found["signal"].strip(), found["op"], float(found["limit"]), parts[1:]


def _split(expression: str) -> list[str]:
    """The parts joined by `and` outside of brackets and strings."""
    parts, depth, quote, start, place = [], 0, "", 0, 0
    while place < len(expression):
        sign = expression[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'`":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif depth == 0 and expression.startswith(" and ", place):
            parts.append(expression[start:place].strip())
            place += 4
            start = place + 1
        place += 1
    return [*parts, expression[start:].strip()]


def _series(signal: str) -> str:
    """What people would call it: the metric's name without what says bad or total."""
    named = re.search(r'__name__="((?:[^"\\]|\\.)+)"', signal)
    bare = _METRIC.search(re.sub(r'"(?:[^"\\]|\\.)*"', '""', signal))
    name = named[1] if named else bare[1] if bare else "signal"
    return re.sub(r"_(bad|total)$", "", name)[:200]


def _span(text: Any, name: str) -> str:
    try:
        return written(span(str(text)))
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
