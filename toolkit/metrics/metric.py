"""What a metric is: a sample from one fact row, the reasons to leave a row out, and a kind that knows how samples sum up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

if TYPE_CHECKING:
    from toolkit.metrics.scope import Scope

__all__ = ["METRICS", "NEGATIVE", "Count", "Duration", "Kind", "Metric", "Rate", "Within", "metric"]


class Kind(StrEnum):
    """How samples sum up."""

    COUNT = "Count"
    RATE = "Rate"
    DURATION = "Duration"
    # The share to whom it has happened by a certain age; who has not reached that age counts for as long as seen (Kaplan–Meier).
    WITHIN = "Within"


Count, Rate, Duration, Within = Kind.COUNT, Kind.RATE, Kind.DURATION, Kind.WITHIN

UNITS = {Count: "per week", Rate: "share", Duration: "minutes", Within: "share"}
NEGATIVE = "times in the wrong order"

Better = Literal["up", "down"]
# Facts, scope → one row per `by` and `period`, to stand beside the metric's own sums.
Alongside = Callable[[Any, "Scope"], pl.DataFrame]


@dataclass(frozen=True)
class Metric:
    """One number a team can watch.

    sample: of a Count true, of a Rate whether the row is one of k, of a Duration a span (or a plain number in `unit`), of a Within the
    time until it happened; null: not known.
    excluded: reasons in order; a row is left out for the first that holds. still_open: the sample is the time so far.
    signed: negative spans are meant. inferred: the columns whose `_source` says how much of the number was derived. shown: reasons whose
    count belongs beside the number. among, beside: how many of the counted rows, of all rows in scope, are so; remark: a sentence from
    them.
    headline: measured without being named.
    needs: records without which it is not measured, whatever else the fact is made of. split: a column by whose values it is always told
    as well. within: the age of a Within; held: it is the share to whom it had not happened by then; happening: what that is.
    at_code_level: tags and merges tell it, too.
    """

    name: str
    kind: Kind
    group: str
    fact: str
    title: str
    definition: str
    unit: str
    better: Better | None
    sample: Callable[[], pl.Expr]
    at: str = "at"
    excluded: Mapping[str, pl.Expr] = field(default_factory=dict)
    unknown: str = "not known"
    still_open: pl.Expr | None = None
    signed: bool = False
    inferred: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    among: Mapping[str, pl.Expr] = field(default_factory=dict)
    beside: Mapping[str, pl.Expr] = field(default_factory=dict)
    alongside: Alongside | None = None
    remark: pl.Expr | None = None
    headline: bool = True
    needs: tuple[str, ...] = ()
    split: Literal["kind"] | None = None
    within: timedelta = timedelta(days=90)
    held: bool = False
    happening: str = "happened"
    at_code_level: bool = False

    @property
    def spans(self) -> bool:
        """Whether a sample is a span or a number, some of them still growing."""
        return self.kind in (Duration, Within)

    @property
    def _is_time(self) -> bool:
        return self.kind is Within or (self.kind is Duration and self.unit == "minutes")

    @property
    def reasons(self) -> list[str]:
        """All reasons in the order of their codes; code 0 is a counted row."""
        return [*self.excluded, *([NEGATIVE] if self._is_time and not self.signed else []), self.unknown]

    def value(self) -> pl.Expr:
        """The sample as a number: minutes of a span, days of a Within, else as it is."""
        if self.kind is Within:
            return self.sample().dt.total_microseconds() / 86_400e6
        if not self._is_time:
            return self.sample()
        minutes = self.sample().dt.total_microseconds() / 60e6
        # Under a second counts as a second: clocks of sources are no finer, and a ratio of nothing has no meaning.
        return minutes if self.signed else pl.when(minutes >= 0).then(minutes.clip(lower_bound=1 / 60))

    def code(self) -> pl.Expr:
        """0 for a row that counts, else the position (from 1) of the first reason that holds."""
        steps = list(self.excluded.values())
        if NEGATIVE in self.reasons:
            steps.append(self.sample() < pl.lit(timedelta(0)))
        steps.append(self.sample().is_null())
        chain: Any = pl
        for number, step in enumerate(steps, start=1):
            chain = chain.when(step).then(pl.lit(number, pl.UInt8))
        return chain.otherwise(pl.lit(0, pl.UInt8))

    def columns(self) -> set[str]:
        """Columns of the fact that its expressions read."""
        parts = [self.sample(), *self.excluded.values(), *self.among.values(), *self.beside.values()]
        if self.still_open is not None:
            parts.append(self.still_open)
        return {name for part in parts for name in part.meta.root_names()}


METRICS: dict[str, Metric] = {}


def metric(
    kind: Kind,
    *,
    group: str,
    fact: str,
    title: str,
    better: Better | None,
    unit: str | None = None,
    **more: Any,
) -> Callable[[Callable[[], pl.Expr]], Metric]:
    """Register a metric: the function's name is its name, its docstring its definition, what it returns its sample."""

    def register(sample: Callable[[], pl.Expr]) -> Metric:
        definition = " ".join((sample.__doc__ or "").split())
        if not definition:
            raise ValueError(f"The metric {sample.__name__} needs a docstring: it is its definition.")
        made = Metric(sample.__name__, kind, group, fact, title, definition, unit or UNITS[kind], better, sample, **more)
        METRICS[made.name] = made
        return made

    return register
