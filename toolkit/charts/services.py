"""A metric by service: where it is worse, and how sure one can be."""

from __future__ import annotations

from collections.abc import Collection

import altair as alt
import polars as pl

from toolkit.charts.palette import OKABE_ITO
from toolkit.charts.timeaxis import LABEL_WIDTH
from toolkit.charts.trend import FEW

__all__ = ["by_service"]

MOST = 12


def by_service(measured: pl.DataFrame, *, chosen: Collection[str] = (), total: float | None = None, title: str = "") -> alt.LayerChart:
    """Rows of `measure(…, by="service")` for one metric: a point and its interval each, most rows first; a dashed line at the total.

    A click on a point selects `service`. chosen: services to stress, the others are paler."""
    unit = measured["unit"].drop_nulls().first()
    number = ".0%" if unit == "share" else ",.3~g"
    shown = measured.filter(pl.col("n") > 0).sort("n", "by", descending=[True, False]).head(MOST)
    rows = shown.select(
        "value", "low", "high", "n", service="by", few=pl.col("n") < FEW, stressed=pl.lit(not chosen) | pl.col("by").is_in(list(chosen))
    )
    order = rows["service"].to_list()
    names = alt.Axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, labelLimit=LABEL_WIDTH - 6)
    y = alt.Y("service:N", title=None, sort=order, scale=alt.Scale(domain=order), axis=names)
    x = alt.X("value:Q", title=title or None, axis=alt.Axis(format=number, tickCount=5), scale=alt.Scale(zero=True))
    colour, picked = OKABE_ITO["blue"], alt.selection_point(name="service", fields=["service"])
    pale = alt.condition("datum.stressed", alt.value(1), alt.value(0.35))
    base = alt.Chart(rows).encode(y=y)
    bars = base.mark_rule(color=colour, strokeWidth=2).encode(x=alt.X("low:Q", title=title or None), x2="high:Q", opacity=pale)
    tooltip = [
        alt.Tooltip("service:N", title="Service"),
        alt.Tooltip("value:Q", title=str(unit or "value"), format=number),
        alt.Tooltip("low:Q", title="95 % from", format=number),
        alt.Tooltip("high:Q", title="to", format=number),
        alt.Tooltip("n:Q", title="n"),
    ]
    fill = alt.condition("datum.few", alt.value("transparent"), alt.value(colour))
    points = base.mark_point(color=colour, size=90, strokeWidth=1.5, cursor="pointer").encode(x=x, fill=fill, opacity=pale, tooltip=tooltip)
    layers: list[alt.Chart] = [bars, points.add_params(picked)]
    if total is not None:
        line = alt.Chart(pl.DataFrame({"total": [total]})).mark_rule(strokeDash=[4, 4], color="gray")
        layers.insert(0, line.encode(x=alt.X("total:Q", title=title or None)))
    return alt.LayerChart(layer=layers).properties(height=70 + 24 * max(len(order), 1))
