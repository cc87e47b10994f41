"""A metric over time: its value, its interval, and how many rows stand behind each point."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import polars as pl

from toolkit.charts.palette import OKABE_ITO
from toolkit.charts.timeaxis import LABEL_WIDTH, time_axis

__all__ = ["FEW", "trend"]

# Below five rows a summary hides more than it shows: the point is hollow and carries its n.
FEW = 5


def trend(measured: pl.DataFrame, start: datetime, end: datetime, *, height: int = 200) -> alt.LayerChart:
    """Rows of `measure(…, every=…)` for one metric: a line with its interval; hollow where fewer than five rows stand behind it."""
    unit = measured["unit"].drop_nulls().first() if len(measured) else None
    share = unit == "share"
    number = ".0%" if share else ",.3~g"
    rows = measured.select(
        "value", "low", "high", "n", at=pl.col("period").cast(pl.Datetime("us", "UTC")), few=(pl.col("n") < FEW).fill_null(True)
    )
    axis = alt.Axis(format=number, minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, tickCount=4)
    base = alt.Chart(rows).encode(x=time_axis("at", start, end))
    tooltip = [
        alt.Tooltip("at:T", title="From (UTC)", format="%-d %B %Y"),
        alt.Tooltip("value:Q", title=str(unit or "value"), format=number),
        alt.Tooltip("low:Q", title="95 % from", format=number),
        alt.Tooltip("high:Q", title="to", format=number),
        alt.Tooltip("n:Q", title="n"),
    ]
    colour = OKABE_ITO["blue"]
    band = base.mark_errorbar(color=colour, opacity=0.9, thickness=2).encode(y=alt.Y("low:Q", title="", axis=axis), y2="high:Q")
    line = base.mark_line(color=colour, opacity=0.8, strokeWidth=2).encode(y=alt.Y("value:Q", title="", axis=axis))
    points = base.mark_point(size=50, color=colour, strokeWidth=1.5).encode(
        y=alt.Y("value:Q", title="", axis=axis),
        fill=alt.condition("datum.few", alt.value("transparent"), alt.value(colour)),
        tooltip=tooltip,
    )
    return alt.LayerChart(layer=[band, line, points]).properties(height=height)
