"""One playbook: its steps, in which order, until when, by whom, and what shows that each was done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from toolkit.records import Gate, IncidentEvent

__all__ = ["MOMENTS", "SHOWN_BY", "Limits", "Playbook", "Step"]

_OF = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
# Moments of the incident itself, from which a bound may run as it may from another step.
MOMENTS = ("detected", "recovered")
_EVENTS = get_args(IncidentEvent.model_fields["type"].annotation)
_GATES = tuple(f"gate:{kind}" for kind in get_args(Gate.model_fields["kind"].annotation))
# Lines of the timeline; then what the facts say that somebody did.
SHOWN_BY = (*_EVENTS, "rollback", "traffic_switch", "flag_off", "hotfix", "rollback_tested", "merged", "review", *_GATES)

Remedy = Literal["rollback", "hotfix", "flag", "traffic", "other", "none"]


def _span(value: Any) -> Any:
    """15m, 2h, 7d."""
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"(\d{1,5})([mhd])", value) if isinstance(value, str) else None
    if found is None or int(found[1]) == 0:
        raise ValueError(f'{value!r} is no span: write "15m", "2h" or "7d"')
    return int(found[1]) * _OF[found[2]]


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SHOWN_BY:
            raise ValueError(f"{name!r} is nothing that can be seen: write some of {', '.join(SHOWN_BY)}")
    return names


Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
Words = Annotated[str, Field(min_length=1, max_length=200)]
Span = Annotated[timedelta, BeforeValidator(_span)]
Names = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]


class Limits(BaseModel):
    """What a hotfix must keep to: at most so many of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: Annotated[int, Field(ge=1)] | None = None
    lines: Annotated[int, Field(ge=1)] | None = None
    review_minutes: Annotated[int, Field(ge=1)] | None = None


class Step(BaseModel):
    """One thing to do. within, of: by when, from the moment of another step, or of the incident; such a step comes first. optional: not
    done is no finding. severities: only in these. limits: what shows it counts only if it kept to them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    title: Words
    who: Words
    shown_by: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_known)]
    after: tuple[Id, ...] = ()
    within: Span | None = None
    of: str = "detected"
    optional: bool = False
    severities: Names = ()
    limits: Limits | None = None

    @property
    def expected(self) -> str:
        """What the playbook asks for, in words."""
        parts = [f"after {', '.join(self.after)}"] if self.after else []
        if self.within is not None:
            parts.append(f"within {_spoken(self.within)} of {'being ' + self.of if self.of == 'detected' else self.of}")
        if self.limits is not None:
            parts += [f"at most {most:,} {name.replace('_', ' ')}" for name, most in self.limits if most is not None]
        return ", ".join(([] if not self.optional else ["if needed"]) + parts) or "at any time"

    def concerns(self, severity: str | None) -> bool | None:
        """Whether it is asked for in an incident of this severity; None: that depends on a severity that nobody named."""
        if not self.severities:
            return True
        return None if severity is None else severity.casefold() in {name.casefold() for name in self.severities}


class Playbook(BaseModel):
    """Steps in a partial order. remedies, services, classes: which incidents it is for; empty: any. Frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Id
    title: Words
    version: Annotated[int, Field(ge=1)] = 1
    remedies: tuple[Remedy, ...] = ()
    services: Names = ()
    classes: Names = ()
    step: Annotated[tuple[Step, ...], Field(min_length=1, max_length=40)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ids = [step.id for step in self.step]
        for place, step in enumerate(self.step):
            if step.id in ids[:place]:
                raise ValueError(f"two steps are called {step.id!r}: give one of them another id")
            for other in (*step.after, *(() if step.of in MOMENTS else (step.of,))):
                if other not in ids or other == step.id:
                    raise ValueError(f"{step.id!r} names {other!r}, which is no other step of it: there are {', '.join(ids)}")
        try:
            self._sorted()
        except CycleError as error:
            raise ValueError(f"its steps run in a circle, {' → '.join(error.args[1])}: take one `after` away") from None
        return self

    def _sorted(self) -> list[str]:
        return list(TopologicalSorter(self._direct).static_order())

    @property
    def _direct(self) -> dict[str, set[str]]:
        return {step.id: {*step.after, *(() if step.of in MOMENTS else (step.of,))} for step in self.step}

    @cached_property
    def before(self) -> Mapping[str, frozenset[str]]:
        """By step: all steps that must come before it, through any number of others."""
        found: dict[str, frozenset[str]] = {}
        for name in self._sorted():
            found[name] = frozenset(self._direct[name]).union(*(found[other] for other in self._direct[name]))
        return found

    @cached_property
    def ordered(self) -> tuple[Step, ...]:
        """The steps so that each comes after those that it asks for, else as they are written."""
        left, out = list(self.step), list[Step]()
        done: set[str] = set()
        while left:
            step = next(one for one in left if self.before[one.id] <= done)
            left.remove(step)
            out.append(step)
            done.add(step.id)
        return tuple(out)

    @cached_property
    def afterwards(self) -> frozenset[str]:
        """Steps that follow the recovery, and so cannot have hastened it."""
        own = {step.id for step in self.step if step.of == "recovered"}
        return frozenset(own | {name for name, before in self.before.items() if before & own})

    def concerns(self, *, remedy: str | None, services: list[str], classes: list[str]) -> bool:
        """Whether it is for such an incident."""
        return (
            (not self.remedies or remedy in self.remedies)
            and (not self.services or not set(self.services).isdisjoint(services))
            and (not self.classes or not set(self.classes).isdisjoint(classes))
        )

    @property
    def narrowness(self) -> tuple[bool, bool, bool, str]:
        """Of several playbooks for one incident the narrowest holds: by service, by class, by remedy; then the last by name."""
        return (bool(self.services), bool(self.classes), bool(self.remedies), self.name)


def _spoken(span: timedelta) -> str:
    for unit, word in (("d", "d"), ("h", "h"), ("m", "min")):
        if span % _OF[unit] == timedelta(0):
            return f"{span // _OF[unit]} {word}"
    raise AssertionError(span)  # spans are whole minutes
