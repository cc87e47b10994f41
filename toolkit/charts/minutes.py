"""Where the minutes go: detection, decision and action, summed by week."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import altair as alt
import polars as pl

from toolkit.charts.palette import PHASES
from toolkit.charts.timeaxis import LABEL_WIDTH, time_axis

__all__ = ["phase_dots", "phase_minutes", "phase_rows", "phase_shares", "where_the_minutes_go"]

LABELS = alt.Axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, tickCount=5)
ORDER = {phase: place for place, phase in enumerate(PHASES)}


def phase_rows(incidents: pl.DataFrame) -> pl.DataFrame:
    """One row per phase of each incident that has all three: id, title, at, phase, place, minutes.

    An incident with a phase missing would make the others look larger than they are, so it stays out whole."""
    complete = incidents.filter(pl.all_horizontal(pl.col(*PHASES).is_not_null()) & ~pl.col("open"))
    return (
        complete.select("id", "title", "at", *(pl.col(phase).dt.total_microseconds() / 60e6 for phase in PHASES))
        .unpivot(list(PHASES), index=["id", "title", "at"], variable_name="phase", value_name="minutes")
        .with_columns(place=pl.col("phase").replace_strict(ORDER, return_dtype=pl.Int8))
        .sort("at", "id", "place")
    )


def phase_minutes(incidents: pl.DataFrame, start: datetime, end: datetime, *, zone: str = "UTC") -> pl.DataFrame:
    """Minutes by week and phase: week, week_end, phase, place, minutes, n (incidents), below, above, partial.

    Weeks start on Monday in `zone`; below and above are where the phase lies in the week's stack: detect at the bottom, act on top.
    partial: the window cuts the week."""
    weeks = pl.col("at").dt.convert_time_zone(zone).dt.truncate("1w")
    return (
        phase_rows(incidents)
        .group_by(weeks.alias("week"), "phase", "place")
        .agg(pl.col("minutes").sum(), n=pl.len())
        .with_columns(week_end=pl.col("week").dt.offset_by("1w"))
        .with_columns(pl.col("week", "week_end").dt.convert_time_zone("UTC"))
        .with_columns(partial=(pl.col("week") < start) | (pl.col("week_end") > end))
        .sort("week", "place")
        .with_columns(above=pl.col("minutes").cum_sum().over("week"))
        .with_columns(below=pl.col("above") - pl.col("minutes"))
        .select("week", "week_end", "phase", "place", "minutes", "n", "below", "above", "partial")
    )


def phase_shares(incidents: pl.DataFrame) -> dict[str, float]:
    """Share of all minutes that each phase takes; empty where no incident has all three phases or none lasted."""
    totals = phase_rows(incidents).group_by("phase").agg(pl.col("minutes").sum())
    whole = totals["minutes"].sum()
    return {} if not whole else {phase: minutes / whole for phase, minutes in sorted(totals.iter_rows(), key=lambda row: ORDER[row[0]])}


def where_the_minutes_go(minutes: pl.DataFrame, start: datetime, end: datetime, *, height: int = 300) -> alt.LayerChart:
    """Stacked bars, a bar a week, from the frame of `phase_minutes`; a week the window cuts is paler.

    A week that would dwarf all others is cut off at the top and says how much it holds."""
    totals = minutes.group_by("week", "week_end").agg(pl.col("above").max()).sort("above", descending=True)
    top = _top(totals["above"].to_list())
    cut = totals.filter(pl.col("above") > top).select(
        middle=pl.col("week") + (pl.col("week_end") - pl.col("week")) / 2,
        says=pl.col("above").map_elements(lambda m: f"↑ {m:,.0f}", pl.String),
    )
    # Stacked in the frame: Vega-Lite stacks no bars that have two ends in time.
    y = alt.Y("below:Q", title=None, axis=LABELS, scale=alt.Scale(domain=[0, top], nice=False))
    bars = (
        alt.Chart(minutes)
        .mark_rect(stroke="transparent", strokeWidth=2, clip=True)
        .encode(
            x=time_axis("week", start, end),
            x2="week_end:T",
            y=y,
            y2="above:Q",
            color=_phase_colour(),
            opacity=alt.condition("datum.partial", alt.value(0.45), alt.value(1)),
            tooltip=[
                alt.Tooltip("week:T", title="Week of", format="%-d %B %Y"),
                alt.Tooltip("phase:N", title="Phase"),
                alt.Tooltip("minutes:Q", title="Minutes", format=",.0f"),
                alt.Tooltip("n:Q", title="Incidents"),
                alt.Tooltip("partial:N", title="Week cut by the window"),
            ],
        )
    )
    # Black on the bar itself: legible on a light page and on a dark one, whichever phase is on top.
    label = alt.Chart(cut).mark_text(baseline="top", dy=4, fontWeight="bold", fontSize=11, color="#000000")
    said = label.encode(x=time_axis("middle", start, end), y=alt.value(0), text="says:N")
    return alt.LayerChart(layer=[bars, said]).properties(height=height)


def phase_dots(incidents: pl.DataFrame, *, height: int = 200) -> alt.Chart:
    """Every incident as a dot per phase: what there is to show when there are too few for a summary."""
    return (
        alt.Chart(phase_rows(incidents))
        .mark_point(filled=True, size=90, opacity=0.8)
        .encode(
            x=alt.X("minutes:Q", title="minutes", scale=alt.Scale(zero=True)),
            y=alt.Y("phase:N", title=None, sort=list(PHASES), axis=LABELS),
            color=alt.Color("phase:N", scale=alt.Scale(domain=list(PHASES), range=list(PHASES.values())), legend=None),
            tooltip=["id:N", "title:N", "phase:N", alt.Tooltip("minutes:Q", format=",.1f"), alt.Tooltip("at:T", title="At (UTC)")],
        )
        .properties(height=height)
    )


def _top(totals: list[float]) -> float:
    """Where the y axis ends, from weekly totals in falling order: at the first that is not three times the next."""
    for this, following in pairwise(totals):
        if this < 3 * following:
            return this
    return totals[-1] if totals else 1.0


def _phase_colour() -> alt.Color:
    return alt.Color(
        "phase:N",
        scale=alt.Scale(domain=list(PHASES), range=list(PHASES.values())),
        legend=alt.Legend(orient="top", title=None),
        sort=list(PHASES),
    )
