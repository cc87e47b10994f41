"""The strip: releases, hotfixes, rollbacks and incidents of each service along one line of time."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import polars as pl

from toolkit.charts.palette import EVENTS
from toolkit.charts.timeaxis import LABEL_WIDTH, time_axis

__all__ = ["LANES", "MOST_MARKS", "strip", "strip_events"]

LANES = 8
# Over about two thousand marks a browser drops the chart's accessible names, and nobody can tell them apart anyway.
MOST_MARKS = 1_500
OTHERS = "other services"


def strip_events(deployments: pl.DataFrame, rollbacks: pl.DataFrame, incidents: pl.DataFrame, *, lanes: int = LANES) -> pl.DataFrame:
    """Events of the `lanes` services with most trouble, the rest in one lane: service, kind, at, what, n.

    Where there would be too many marks, those of a day or a week become one with their number, releases first."""
    shipped = deployments.filter(pl.col("successful") & pl.col("at").is_not_null() & (pl.col("kind") != "rollback")).select(
        "service",
        kind=pl.when(pl.col("hotfix").is_in(["certain", "likely"])).then(pl.lit("hotfix")).otherwise(pl.lit("release")),
        at="at",
        what=pl.coalesce("version", "id"),
    )
    undone = rollbacks.filter(~pl.col("drill")).select("service", kind=pl.lit("rollback"), at="at", what=pl.coalesce("reason", "id"))
    trouble = (
        incidents.select("services", kind=pl.lit("incident"), at="at", what=pl.coalesce("title", "id"))
        .explode("services")
        .rename({"services": "service"})
    )
    events = (
        pl.concat([shipped, undone, trouble], how="vertical_relaxed")
        .with_columns(n=pl.lit(1, pl.UInt32))
        .filter(pl.col("at").is_not_null())
    )
    return _thinned(_laned(events, lanes)).sort("kind", "at", "service", "what")


def strip(events: pl.DataFrame, start: datetime, end: datetime) -> alt.Chart:
    """One lane a service, one shape a kind; trouble is drawn larger and over the releases."""
    services = lane_order(events)
    kinds = list(EVENTS)
    # What belongs together happens within minutes: each kind has its own height in the lane, or one would hide the other.
    drawn = events.with_columns(
        place=pl.col("kind").replace_strict({kind: i for i, kind in enumerate(kinds)}, return_dtype=pl.Int8),
        level=pl.col("kind").replace_strict({"incident": 0, "release": 1, "hotfix": 1, "rollback": 2}, return_dtype=pl.Int8),
    )
    return (
        alt.Chart(drawn)
        .mark_point(filled=True, strokeWidth=0)
        .encode(
            x=time_axis("at", start, end),
            y=alt.Y(
                "service:N",
                title=None,
                sort=services,
                scale=alt.Scale(domain=services),
                axis=alt.Axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, labelLimit=LABEL_WIDTH - 6, grid=True),
            ),
            yOffset=alt.YOffset("level:N", scale=alt.Scale(domain=[0, 1, 2])),
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[EVENTS[k][2] for k in kinds]), legend=_legend()),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=[EVENTS[k][1] for k in kinds]), legend=_legend()),
            size=alt.condition("datum.place", alt.value(80), alt.value(24)),
            opacity=alt.condition("datum.place", alt.value(1), alt.value(0.75)),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("kind:N", title="Kind"),
                alt.Tooltip("service:N", title="Service"),
                alt.Tooltip("what:N", title="What"),
                alt.Tooltip("at:T", title="At (UTC)", format="%-d %B %Y %H:%M"),
                alt.Tooltip("n:Q", title="Number"),
            ],
        )
        .properties(height=130 + 40 * max(len(services), 1))
    )


def lane_order(events: pl.DataFrame) -> list[str]:
    """Services from most trouble to least, the lane of the others last."""
    ranked = (
        events.group_by("service")
        .agg(trouble=(pl.col("kind") != "release").sum(), n=pl.col("n").sum())
        .sort("trouble", "n", "service", descending=[True, True, False])["service"]
        .to_list()
    )
    return [name for name in ranked if name != OTHERS] + [OTHERS] * (OTHERS in ranked)


def _laned(events: pl.DataFrame, lanes: int) -> pl.DataFrame:
    services = lane_order(events)
    if len(services) <= lanes + 1:
        return events
    kept = services[:lanes]
    return events.with_columns(service=pl.when(pl.col("service").is_in(kept)).then("service").otherwise(pl.lit(OTHERS)))


def _thinned(events: pl.DataFrame) -> pl.DataFrame:
    """Marks summed until they are few enough: releases by day, then by week, then all kinds by week and by month. None is dropped."""
    plain = pl.col("kind") == "release"
    for step, of in (("1d", plain), ("1w", plain), ("1w", pl.lit(True)), ("1mo", pl.lit(True))):
        if len(events) <= MOST_MARKS:
            break
        summed = (
            events.filter(of)
            .group_by("service", "kind", pl.col("at").dt.truncate(step), maintain_order=True)
            .agg(pl.col("n").sum())
            .with_columns(what=pl.format("{} × {}", "n", "kind"))
            .select(events.columns)
        )
        events = pl.concat([events.filter(~of), summed.cast(events.schema)])
    return events


def _legend() -> alt.Legend:
    return alt.Legend(orient="top", title=None, symbolSize=90)
