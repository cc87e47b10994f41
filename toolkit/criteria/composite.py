"""Several criteria as one, moved together along one path of limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from toolkit.criteria.criterion import Criterion, Limit, Variant
from toolkit.criteria.panel import Floats, Panel

__all__ = ["Composite"]

# From a tenth of every limit to ten times it, 20 settings a decade; 1 is as written.
PATH = tuple(float(f"{10 ** (place / 20):.3g}") for place in range(-20, 21))


class Composite(Criterion):
    """Members and a path of multipliers, ascending: at 2 every member's limit is twice what is written. Between two points of the path
    it answers as at the next stricter one.

    Members keep their own clocks and counts; cumulative members stay met.
    """

    members: tuple[SerializeAsAny[Criterion], ...] = Field(min_length=1, description="The criteria it is made of.")
    limit: Limit = Field(default=1.0, gt=0, description="Multiplies the members' limits; 1 is as written.")
    path: tuple[float, ...] = Field(default=PATH, min_length=1, max_length=1000, description="Multipliers that a replay tries, ascending.")

    @field_validator("members", mode="before")
    @classmethod
    def _of_their_kinds(cls, value: Any, info: Any) -> Any:
        from toolkit.criteria.kinds import member_of

        if not isinstance(value, (list, tuple)):
            raise ValueError("members is a list of tables, each with its kind")
        found, wrong = [], []
        for place, item in enumerate(value):
            try:
                found.append(member_of(item, place, info.data.get("name")))
            except ValidationError as error:
                wrong += [_at(place, one) for one in error.errors(include_url=False)]
        if wrong:
            raise ValidationError.from_exception_data("members", wrong)
        return found

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if any(not 0 < point < np.inf for point in self.path) or list(self.path) != sorted(set(self.path)):
            raise ValueError("path ascends, and all of it is above 0")
        moving = [member.name for member in self.members if member.setting() < 0]
        if moving:
            raise ValueError(f"{', '.join(moving)}: a limit below 0 would become stricter where the others become looser; turn it round")
        return self

    @property
    def approximate(self) -> str | None:
        """Why its replay is not exact, if it is not."""
        reasons = [reason for member in self.members if (reason := member.approximate)]
        return reasons[0] if reasons else None

    @property
    def points(self) -> tuple[float, ...]:
        """The path, its own setting included."""
        return tuple(sorted({*self.path, self.limit}))

    @property
    def tied(self) -> bool:
        """Its limit is a point of its path."""
        return True

    @property
    def hears_silence(self) -> bool:
        """Whether a member does."""
        return any(member.hears_silence for member in self.members)

    def setting(self) -> float:
        """The multiplier in force."""
        return self.limit

    def at(self, *, limit: float | None = None, n: int | None = None, step: float | None = None) -> Self:  # noqa: ARG002
        """The same criteria with another multiplier, which joins the path."""
        return self if limit is None else self.model_copy(update={"limit": limit})

    def bound(self, limit: float) -> float:
        """The next point of the path at or under the limit; under all of them, the strictest."""
        below = [point for point in self.points if point <= limit]
        return below[-1] if below else self.points[0]

    def lookback(self) -> timedelta:
        """The longest of the members'."""
        return max(member.lookback() for member in self.members)

    def arms(self) -> tuple[tuple[str, Variant], ...]:
        """What any member reads."""
        return tuple(dict.fromkeys(arm for member in self.members for arm in member.arms()))

    def combined(self, states: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """One state from the members'."""
        raise NotImplementedError

    def scores(self, panel: Panel) -> Floats:
        """The lowest multiplier of the path at which it would not have fired: +∞ beyond the last, −∞ if not at the first."""
        states = []
        for member in self.members:
            n = member.n(panel.step)
            limits = [member.bound(_scaled(member, point)) for point in self.points]
            states.append(member.seen(panel, (n,), limits)[n])
        return np.asarray([-np.inf, *self.points[1:], np.inf])[self.combined(states)]


def _at(place: int, error: ErrorDetails) -> InitErrorDetails:
    """A member's error, with its place among the members."""
    said = PydanticCustomError("member", "{said}", {"said": error["msg"].removeprefix("Value error, ")})
    return InitErrorDetails(type=said, loc=(place, *error["loc"]), input=error["input"])


def _scaled(member: Criterion, factor: float) -> float:
    """A member's limit at a point of the path: looser with the factor, whichever way the limit lies."""
    limit = member.setting()
    return limit * factor if member.bound(1.0) > 0 or isinstance(member, Composite) else limit / factor
