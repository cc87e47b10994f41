"""Durations as rules write them: 30s, 5m, 1h30m, 3d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

__all__ = ["Span", "Stretch", "span", "written"]

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PART = re.compile(r"(\d+)(ms|[wdhms])")


def span(text: str) -> timedelta:
    """A duration from its text. Raises ValueError that says how to write one."""
    parts = _PART.findall(text.strip())
    if not parts or "".join(size + unit for size, unit in parts) != text.strip():
        raise ValueError(f"{text!r} is no duration: write 30s, 5m, 1h30m or 3d")
    try:
        return timedelta(milliseconds=sum(int(size) * _UNITS[unit] for size, unit in parts))
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any watch") from None


def written(value: timedelta) -> str:
    """The text of a duration."""
    left = round(value / timedelta(milliseconds=1))
    said = ""
    for unit, size in _UNITS.items():
        if unit != "w" and left >= size:
            said, left = said + f"{left // size}{unit}", left % size
    return said or "0s"


def _read(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration: write 30s, 5m, 1h30m or 3d, in quotes")
    return span(value)


def _some(value: timedelta) -> timedelta:
    if value < timedelta(milliseconds=1):
        raise ValueError(f"{written(value)} is no time at all: write 30s, 5m, 1h30m or 3d")
    return value


Span = Annotated[timedelta, BeforeValidator(_read), PlainSerializer(written, return_type=str)]
# One that is divided by, or waited for.
Stretch = Annotated[Span, AfterValidator(_some)]
