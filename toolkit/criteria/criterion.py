"""What every criterion says: what it watches, at which limit, for whom it is in force, who adopted it and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from toolkit.criteria.panel import Panel, signal
from toolkit.criteria.running import codes, lowest, rolling_minima
from toolkit.criteria.spans import Stretch

__all__ = ["Clocked", "Counted", "Criterion", "Level", "Limit", "Variant", "evaluations"]

Matrix = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Variant = Literal["baseline", "canary", "all"]
# What the number beside the limit counts; empty where a kind has none.
Counted = Literal["evaluations in a row", "failed checks", "failed checks in a row", ""]


def _name(value: str) -> str:
    if not value.strip() or any(ord(sign) < 32 for sign in value):
        raise ValueError(f"{value!r} names nothing: write a word or two")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a limit is a number, not NaN or infinity")
    return value


Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]
Limit = Annotated[float, AfterValidator(_finite)]


def evaluations(duration: timedelta, step: float) -> int:
    """Evaluations in a row that a clock of this duration asks for: ceil(for ÷ step) + 1, the first one starting the clock."""
    microseconds, each = duration // timedelta(microseconds=1), round(step * 1e6)
    return -(-microseconds // each) + 1


class Criterion(BaseModel):
    """When a deployment should be stopped. Kinds say how a score follows from samples; a criterion fires at the first evaluation whose
    state is over `bound(limit)`, strictly.

    `scores` may hold −∞ (fires at no limit) and +∞ (fires at any), never NaN.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, str_strip_whitespace=True)
    counts: ClassVar[Counted] = ""

    name: Word = Field(description="What people call it.")
    kind: str = Field(description="How it judges.")
    service_class: Word | None = Field(default=None, description="Class of services it is in force for; empty: all.")
    service: Word | None = Field(default=None, description="The one service it is in force for; empty: all of the class.")
    feature: Word | None = Field(default=None, description="Feature or journey it protects.")
    objective: Literal["errors", "latency", "error_budget", "critical_path", "availability", "saturation"] | None = Field(
        default=None, description="What is promised to users that it watches over."
    )
    series: Word = Field(default="errors", description="What it watches.")
    variant: Variant = Field(default="all", description="Which arm it watches.")
    step: Stretch | None = Field(default=None, description="How often it is evaluated; empty: as often as samples come.")
    min_events: Annotated[int, Field(ge=0)] = Field(default=30, description="Events that a sample needs to be judged at all.")
    action: Literal["revert", "pause"] = Field(default="revert", description="What it asks for when it fires.")
    adopted_by: Word | None = Field(default=None, description="Who adopted it.")
    why: Annotated[str, Field(max_length=2000)] | None = Field(default=None, description="Why.")
    since: date | None = Field(default=None, description="First day in force.")
    until: date | None = Field(default=None, description="First day no longer in force.")
    expires: date | None = Field(default=None, description="Day by which it has to be looked at again.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until = {self.until} lies before since = {self.since}: swap them")
        if self.since and self.expires and self.expires < self.since:
            raise ValueError(f"expires = {self.expires} lies before since = {self.since}: renew it")
        return self

    # What a kind says of itself

    @property
    def tied(self) -> bool:
        """Whether its scores follow its own setting, so that another setting has to walk for itself to be exact."""
        return False

    @property
    def approximate(self) -> str | None:
        """Why its replay is not exact, if it is not."""
        return None

    def setting(self) -> float:
        """The limit in force, as written."""
        raise NotImplementedError

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:
        """The same criterion with another limit, or another number of evaluations or checks; `step` in seconds turns evaluations into
        a duration."""
        raise NotImplementedError

    @property
    def hears_silence(self) -> bool:
        """Whether a deployment without any sample means something to it."""
        return False

    def bound(self, limit: float) -> float:
        """What a state has to exceed to fire at this limit."""
        return limit

    def limit_of(self, value: float) -> float:
        """The limit, as people write it, of a state: the inverse of `bound`."""
        return value

    def n(self, step: float) -> int:  # noqa: ARG002  # kinds with a clock need it
        """The number in force beside the limit; 1 where the kind has none."""
        return 1

    def numbers(self, candidates: Iterable[int], step: float) -> tuple[int, ...]:
        """The numbers to replay: its own, and the candidates where the kind has such a number."""
        return tuple(sorted({self.n(step), *(candidates if self.counts else ())}))

    def lookback(self) -> timedelta:
        """How long before deployed_at its windows reach."""
        return timedelta(0)

    def arms(self) -> tuple[tuple[str, Variant], ...]:
        """The series and variants it reads."""
        return ((self.series, self.variant),)

    def scores(self, panel: Panel) -> Floats:
        """The score at each evaluation from the first on: evaluations × deployments."""
        raise NotImplementedError

    def states(self, scores: Matrix, ns: Iterable[int]) -> Mapping[int, Matrix]:
        """For each number n what the criterion has seen by each evaluation, from scores or from their rank codes."""
        return dict.fromkeys(ns, scores)

    def certain(self, panel: Panel) -> npt.NDArray[np.bool_] | None:  # noqa: ARG002
        """Evaluations at which it fires whatever the limit; None where its kind knows no such thing."""
        return None

    def seen(self, panel: Panel, ns: Iterable[int], limits: Sequence[float] | Floats | None = None) -> dict[int, Matrix]:
        """For each n the state at each evaluation, of which the running maximum is the profile. With `limits` (what bound() gives,
        ascending) states are rank codes: the number of limits strictly below. Evaluations that are not asked for fire at no limit."""
        marks: Matrix = self.scores(panel)
        top: float = np.inf
        if limits is not None:
            marks, top = codes(marks, limits), len(limits)
        sure = self.certain(panel)
        found = {}
        for n, state in self.states(marks, ns).items():
            told = state if sure is None else np.where(sure, np.asarray(top, state.dtype), state)
            found[n] = told if panel.whole else np.where(panel.asked, told, np.asarray(lowest(state.dtype), state.dtype))
        return found

    # What all of them share

    def is_in_force(self, day: date) -> bool:
        """Whether it was in force on a day."""
        return (self.since is None or self.since <= day) and (self.until is None or day < self.until)

    def concerns(self, *, service: str, service_class: str | None) -> bool:
        """Whether it is meant for a service."""
        return (self.service is None or self.service == service) and (self.service_class is None or self.service_class == service_class)


class Level(Criterion):
    """Kinds that hold one signal against a limit."""

    limit: Limit = Field(description="Over this it counts as failing, strictly; under it where `below`.")
    below: bool = Field(False, description="Failing is being under the limit.")

    def setting(self) -> float:
        """The limit in force, as written."""
        return self.limit

    def bound(self, limit: float) -> float:
        """What a state has to exceed: the limit, turned round where failing is below."""
        return -limit if self.below else limit

    def limit_of(self, value: float) -> float:
        """The limit of a state."""
        return -value if self.below else value

    def oriented(self, panel: Panel) -> Floats:
        """The signal, turned so that more is worse. NaN: no sample; −∞: too few events."""
        level = signal(panel.after(self.series, self.variant), min_events=self.min_events)
        return np.where(np.isneginf(level), -np.inf, -level) if self.below else level

    def scores(self, panel: Panel) -> Floats:
        """The signal; what is missing fires at no limit."""
        return np.nan_to_num(self.oriented(panel), nan=-np.inf, posinf=np.inf, neginf=-np.inf)


class Clocked(Level):
    """Kinds whose limit must be exceeded for a while."""

    counts: ClassVar[Counted] = "evaluations in a row"

    def states(self, scores: Matrix, ns: Iterable[int]) -> Mapping[int, Matrix]:
        """The lowest of the last n scores: all of them must be over the limit."""
        return rolling_minima(scores, ns)
