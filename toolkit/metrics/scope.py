"""Which rows a question is about: the window, its periods, services, environment, severities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from toolkit.errors import UsageError

__all__ = ["SEVERAL_SERVICES", "By", "Every", "Moment", "Scope", "moment", "scope_of"]

# "kind" is never asked for: some metrics are told by it of themselves.
By = Literal["service", "team", "class", "kind"]
Every = Literal["1w", "1mo"]
Moment = datetime | date | str

# Facts whose rows touch any number of services; they carry the severity of an incident, too.
SEVERAL_SERVICES = frozenset({"incidents", "followups", "action_items", "communications", "update_gaps", "conformance"})

_SPAN = re.compile(r"(\d+)(d|w|mo|y)")


@dataclass(frozen=True)
class Scope:
    """The rows in question. Times are UTC, closed at the start, open at an end before the horizon; `bounds` are the starts of the
    periods, the first one at or before `start`; `last_end` is where the last period would end."""

    start: datetime
    end: datetime
    horizon: datetime
    zone: ZoneInfo
    bounds: tuple[datetime, ...]
    last_end: datetime
    every: Every | None = None
    by: By | None = None
    service: str | None = None
    environment: str | None = None
    severities: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[datetime, ...]:
        """Where each period ends, were it whole."""
        return (*self.bounds[1:], self.last_end)

    def partial(self) -> list[bool]:
        """Whether the window cuts a period."""
        return [start < self.start or end > self.end for start, end in zip(self.bounds, self.ends, strict=True)]

    def period(self) -> pl.Expr:
        """Number of the period that holds `at`."""
        if len(self.bounds) == 1:
            return pl.lit(0, pl.Int32)
        bounds = pl.Series("bounds", [moment.replace(tzinfo=None) for moment in self.bounds], pl.Datetime("us")).dt.replace_time_zone("UTC")
        return (pl.lit(bounds).search_sorted(pl.col("at"), side="right").cast(pl.Int32) - 1).cast(pl.Int32)

    def rows(self, fact: str) -> pl.Expr:
        """Whether a row of the fact is in scope: production unless an environment is named."""
        inside = pl.col("at") >= self.start
        # The horizon's own moment has happened: where it is that of the latest event, this is the event.
        inside &= (pl.col("at") <= self.end) if self.end == self.horizon else (pl.col("at") < self.end)
        inside &= pl.col("production") if self.environment is None else pl.col("environment") == self.environment
        if fact in SEVERAL_SERVICES:
            if self.service is not None:
                inside &= pl.col("services").list.contains(self.service)
            if self.severities:
                inside &= pl.col("severity").is_in(list(self.severities))
        elif self.service is not None:
            inside &= pl.col("service") == self.service
        return inside

    def columns(self, fact: str) -> set[str]:
        """Columns that `rows` reads."""
        names = {"at", "production" if self.environment is None else "environment"}
        if fact in SEVERAL_SERVICES:
            return names | {"services"} | ({"severity"} if self.severities else set()) | ({"kind"} if self.by == "kind" else set())
        return names | {"service"} | ({"kind"} if self.by == "kind" else set())


def moment(value: Moment, zone: tzinfo) -> datetime:
    """A point in time as UTC; a date, or a time without a zone, is one of the workspace's zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise UsageError(f"{value!r} is no time: write 2026-03-31 or 2026-03-31T14:00Z.") from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=zone)
    return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)


def scope_of(
    w: Any,
    *,
    earliest: datetime | None = None,
    by: By | None = None,
    every: Every | None = None,
    window: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    service: str | None = None,
    environment: str | None = None,
) -> Scope:
    """The scope of a question. It ends at the horizon or earlier: what lies after the horizon has not happened."""
    if by not in (None, "service", "team", "class"):
        raise UsageError(f"There is no way to group by {by!r}. There are: service, team, class.")
    if every not in (None, "1w", "1mo"):
        raise UsageError(f"There are no periods of {every!r}. There are: 1w, 1mo.")
    if window is not None and start is not None:
        raise UsageError("Say either a window or a start, not both.")
    zone = ZoneInfo(getattr(w.settings, "time_zone", None) or "UTC")
    horizon = moment(w.meta["horizon"], UTC) if w.meta.get("horizon") else (earliest or datetime(2000, 1, 1, tzinfo=UTC))
    until = min(moment(end, zone), horizon) if end is not None else horizon
    if window is not None:
        since = _before(until, window, zone)
    elif start is not None:
        since = moment(start, zone)
    else:
        since = min(earliest or until, until)
    if since > until or (since == until and (start is not None or end is not None)):
        raise UsageError(
            f"Nothing lies between {since:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M} UTC; data end at {horizon:%Y-%m-%d %H:%M} UTC."
        )
    bounds, last_end = _periods(since, until, every, zone)
    severities: Sequence[str] = getattr(w.settings, "severities", None) or ()
    return Scope(since, until, horizon, zone, bounds, last_end, every, by, service, environment, tuple(severities))


def _before(until: datetime, window: str, zone: ZoneInfo) -> datetime:
    found = _SPAN.fullmatch(window.strip())
    if not found or int(found[1]) == 0:
        raise UsageError(f"{window!r} is no window: write 26w, 90d, 6mo or 1y.")
    size, unit = int(found[1]), found[2]
    if unit in ("d", "w"):
        days = size * (7 if unit == "w" else 1)
        if days > 36_500:
            raise UsageError(f"The window {window!r} is longer than a century.")
        return until - timedelta(days=days)
    local = until.astimezone(zone)
    month = local.year * 12 + local.month - 1 - size * (12 if unit == "y" else 1)
    if month < 1900 * 12:
        raise UsageError(f"The window {window!r} is longer than a century.")
    # The 31st of a month that has none is its last day.
    first_after = _month(month + 1, zone)
    day = min(local.day, (first_after - timedelta(days=1)).day)
    return local.replace(year=month // 12, month=month % 12 + 1, day=day).astimezone(UTC)


def _month(number: int, zone: ZoneInfo) -> datetime:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=zone)


def _periods(since: datetime, until: datetime, every: Every | None, zone: ZoneInfo) -> tuple[tuple[datetime, ...], datetime]:
    """Starts of the periods in UTC and the end of the last; weeks start on Monday, both in the workspace's zone."""
    if every is None:
        return (since,), until
    local = since.astimezone(zone)
    starts: list[datetime] = []
    if every == "1mo":
        number = local.year * 12 + local.month - 1
        while (begin := _month(number, zone).astimezone(UTC)) < until or not starts:
            starts.append(begin)
            number += 1
        return tuple(starts), begin
    day = (local - timedelta(days=local.weekday())).date()
    while (begin := datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)) < until or not starts:
        starts.append(begin)
        day += timedelta(days=7)
    return tuple(starts), begin
