"""One incident: its phases as a bar, and what happened in lanes under it, on one axis; the shape of a mark says what it rests on."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import polars as pl

from toolkit.charts.palette import PHASES, PROVENANCE
from toolkit.charts.timeaxis import LABEL_WIDTH, time_axis
from toolkit.review.timeline import LANES
from toolkit.untrusted import shortened, visible

__all__ = ["lanes", "lanes_in_words", "phases_bar", "phases_in_words"]

NARROW = 0.06
LONGEST = 120


def phases_bar(phases: pl.DataFrame, start: datetime, end: datetime, *, height: int = 76) -> alt.LayerChart:
    """The frame of `phases_of`: a block a phase with its name and minutes on it; hatched away at the end where it is still open."""
    span = (end - start).total_seconds()
    drawn = phases.with_columns(
        row=pl.lit("phases"),
        middle=pl.col("start") + (pl.col("end") - pl.col("start")) / 2,
        says=pl.when((pl.col("end") - pl.col("start")).dt.total_seconds() > NARROW * span).then(
            pl.format(
                "{} {}{}",
                "phase",
                pl.col("minutes").round(0).cast(pl.Int64),
                pl.when("open").then(pl.lit(" min +")).otherwise(pl.lit(" min")),
            )
        ),
    )
    y = alt.Y("row:N", title=None, axis=_names(), scale=alt.Scale(domain=["phases"]))
    tooltip = [
        alt.Tooltip("phase:N", title="Phase"),
        alt.Tooltip("minutes:Q", title="Minutes", format=",.1f"),
        alt.Tooltip("start:T", title="From (UTC)", format="%-d %B %Y %H:%M:%S"),
        alt.Tooltip("end:T", title="To (UTC)", format="%-d %B %Y %H:%M:%S"),
        alt.Tooltip("provenance:N", title="Rests on times"),
        alt.Tooltip("open:N", title="Still open"),
    ]
    base = alt.Chart(drawn)
    bars = base.mark_bar(height=34, clip=True).encode(
        x=time_axis("start", start, end, labels=False),
        x2="end:T",
        y=y,
        color=alt.Color("phase:N", scale=alt.Scale(domain=list(PHASES), range=list(PHASES.values())), legend=None, sort=list(PHASES)),
        opacity=alt.condition("datum.open", alt.value(0.6), alt.value(1)),
        tooltip=tooltip,
    )
    # White stands out from the darker two, black from none of the three less than four to one.
    said = base.transform_filter("datum.says != null").mark_text(color="#000000", fontWeight="bold", fontSize=12, clip=True)
    return alt.LayerChart(layer=[bars, said.encode(x=time_axis("middle", start, end, labels=False), y=y, text="says:N")]).properties(
        height=height
    )


def lanes(timeline: pl.DataFrame, start: datetime, end: datetime, *, height: int = 300) -> alt.LayerChart:
    """The frame of `timeline_of` from start to end: a lane each for deployments, flags, attempts, alerts and people.

    Shape, filling and colour of a mark say the same thing: declared by a source, derived by a rule, or overridden by a reviewer."""
    drawn = (
        _told(timeline)
        .filter((pl.col("at") <= end) & (pl.coalesce("until", "at") >= start))
        .with_columns(pl.col("at").clip(start), pl.col("until").clip(upper_bound=end))
    )
    words = list(PROVENANCE)
    y = alt.Y("lane:N", title=None, sort=list(LANES), scale=alt.Scale(domain=list(LANES)), axis=_names())
    x = time_axis("at", start, end)
    legend = alt.Legend(orient="top", title="Rests on", symbolSize=110, symbolOpacity=1)
    colour = alt.Color("provenance:N", scale=alt.Scale(domain=words, range=[PROVENANCE[word][2] for word in words]), legend=legend)
    tooltip = [
        alt.Tooltip("what:N", title="What"),
        alt.Tooltip("shown:T", title="At (UTC)", format="%-d %B %Y %H:%M:%S"),
        alt.Tooltip("until:T", title="Until (UTC)", format="%-d %B %Y %H:%M:%S"),
        alt.Tooltip("rests:N", title="Rests on"),
        alt.Tooltip("id:N", title="Row"),
        alt.Tooltip("text:N", title="Text"),
    ]
    base = alt.Chart(drawn).encode(y=y, yOffset=alt.YOffset("level:Q", scale=alt.Scale(domain=[-1, 3])))
    spans = base.transform_filter("datum.until != null").mark_rule(strokeWidth=3, clip=True).encode(x=x, x2="until:T", color=colour)
    marks = base.mark_point(size=110, strokeWidth=2, opacity=1, clip=True).encode(
        x=x,
        color=colour,
        fill=alt.Color("filled:N", scale=None, legend=None),
        shape=alt.Shape("provenance:N", scale=alt.Scale(domain=words, range=[PROVENANCE[word][1] for word in words]), legend=legend),
        tooltip=tooltip,
    )
    return alt.LayerChart(layer=[spans, marks]).properties(height=height)


def phases_in_words(phases: pl.DataFrame) -> str:
    """What the bar shows, for those who do not see it."""
    if not len(phases):
        return "No phase of this incident is known"
    told = [f"{row['phase']} {row['minutes']:,.0f} minutes{' and still open' if row['open'] else ''}" for row in phases.to_dicts()]
    return f"Phases: {', '.join(told)}"


def lanes_in_words(timeline: pl.DataFrame) -> str:
    """What the lanes show, for those who do not see them."""
    counted = timeline.group_by("lane").len()
    told = dict(counted.iter_rows())
    derived = int((timeline["provenance"] == "derived").sum())
    each = ", ".join(f"{told[lane]} in {lane}" for lane in LANES if lane in told)
    return f"{each or 'Nothing'}; {derived} derived; the table under it says the same"


def _told(timeline: pl.DataFrame) -> pl.DataFrame:
    """Adds shown (the time before clipping), rests, filled and level: what lies close together stands at different heights."""
    fill = {word: colour if word != "derived" else "transparent" for word, (_, _, colour) in PROVENANCE.items()}
    return timeline.with_columns(
        *(
            pl.col(name).map_elements(lambda text: shortened(visible(text), LONGEST), return_dtype=pl.String)
            for name in ("what", "id", "text")
        ),
        shown="at",
        rests=pl.concat_str(["provenance", "rule"], separator=", ", ignore_nulls=True),
        filled=pl.col("provenance").replace_strict(fill, return_dtype=pl.String),
        level=pl.int_range(pl.len()).over("lane") % 3,
    )


def _names() -> alt.Axis:
    return alt.Axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, labelLimit=LABEL_WIDTH - 6, grid=True, ticks=False, domain=False)
