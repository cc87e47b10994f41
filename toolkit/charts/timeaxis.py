"""The time axis that every chart shares: UTC, one explicit domain, so that charts under each other line up."""

from __future__ import annotations

from datetime import datetime, timedelta

import altair as alt

__all__ = ["LABEL_WIDTH", "moment", "time_axis"]

# Charts under each other line up only where their y labels take the same room.
LABEL_WIDTH = 110


def moment(at: datetime) -> alt.DateTime:
    """A datetime in UTC as Vega-Lite's own; a plain number as the end of a time scale makes all points fall on one spot."""
    return alt.DateTime(year=at.year, month=at.month, date=at.day, hours=at.hour, minutes=at.minute, seconds=at.second, utc=True)


def time_axis(column: str, start: datetime, end: datetime, *, labels: bool = True) -> alt.X:
    """The x channel from `start` to `end` (both in UTC), whatever the data's own ends; labels by the minute, the hour or the day."""
    axis = alt.Axis(
        title="UTC" if labels else None, labels=labels, format=_format(end - start), labelOverlap="greedy", grid=True, tickCount=8
    )
    return alt.X(f"{column}:T", scale=alt.Scale(type="utc", domain=[moment(start), moment(end)], nice=False, clamp=False), axis=axis)


def _format(span: timedelta) -> str:
    return "%-d %b %y" if span > timedelta(days=10) else "%-d %b %H:%M" if span > timedelta(hours=18) else "%H:%M"
