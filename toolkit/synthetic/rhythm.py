"""When people release: weekdays, office hours, the quiet weeks of the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

__all__ = ["at_night", "count", "months_before", "whenever", "working_times"]

# Monday to Sunday: nobody likes to ship on a Friday.
WEEKDAYS = (0.19, 0.24, 0.23, 0.22, 0.09, 0.02, 0.01)


def months_before(end: datetime, months: int) -> datetime:
    """The same moment, `months` earlier; the day is cut to 28 so that every month has it."""
    total = end.year * 12 + end.month - 1 - months
    return end.replace(year=total // 12, month=total % 12 + 1, day=min(end.day, 28)).astimezone(UTC)


def count(rng: Random, mean: float) -> int:
    """A Poisson draw (Knuth's product of uniforms: means here are small)."""
    n, left = 0, 2.718281828459045**-mean
    product = rng.random()
    while product > left:
        n, product = n + 1, product * rng.random()
    return n


def at_night(at: datetime) -> bool:
    """Outside 7 to 20 h, or on a weekend."""
    return not 7 <= at.hour < 20 or at.weekday() >= 5


def working_times(rng: Random, start: datetime, end: datetime, weekly: float) -> list[datetime]:
    """Moments between start and end, `weekly` of them in a normal week, at the hours in which people work."""
    times = []
    monday = (start - timedelta(days=start.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    while monday < end:
        # The change freeze around the new year.
        quiet = 0.15 if (monday.month == 12 and monday.day >= 18) or (monday.month == 1 and monday.day <= 2) else 1.0
        for _ in range(count(rng, weekly * quiet)):
            day = rng.choices(range(7), WEEKDAYS)[0]
            hour = rng.gauss(10.5, 1.2) if rng.random() < 0.45 else rng.gauss(15.0, 1.6)
            at = monday + timedelta(days=day, seconds=int(min(max(hour, 6.0), 22.0) * 3600))
            if start <= at < end:
                times.append(at)
        monday += timedelta(days=7)
    return sorted(times)


def whenever(rng: Random, start: datetime, end: datetime, weekly: float) -> list[datetime]:
    """Moments at any hour of any day: what does not wait for people."""
    span = (end - start).total_seconds()
    mean = weekly * span / (7 * 86400)
    times: list[datetime] = []
    # In pieces, as the product of uniforms underflows for large means.
    pieces = max(1, int(mean // 20) + 1)
    for piece in range(pieces):
        drawn = range(count(rng, mean / pieces))
        times += [start + timedelta(seconds=int((piece + rng.random()) * span / pieces)) for _ in drawn]
    return sorted(times)
