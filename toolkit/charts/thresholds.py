"""What each limit would have caught and stopped: curves over an axis of limits with marks for those in question; two limits in bars."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from toolkit.charts.palette import OKABE_ITO
from toolkit.charts.timeaxis import LABEL_WIDTH

__all__ = ["setting_bars", "threshold_curve"]

# In force, recommended, yours: a dash and a colour each.
_MARKS = {
    "in force": (OKABE_ITO["blue"], [1, 0]),
    "recommended": (OKABE_ITO["green"], [6, 3]),
    "yours": (OKABE_ITO["vermilion"], [2, 2]),
}


def threshold_curve(rows: pl.DataFrame, what: str, *, title: str, limits: Mapping[str, float], cap: float | None = None) -> alt.LayerChart:
    """rows: as `toolkit.thresholds.curve` gives them. what: "caught" or "stops". limits: by name, drawn as upright lines; cap: a level."""
    k, n = ("caught", "bad") if what == "caught" else ("false_stops", "good")
    shown = rows.select("limit", low=f"{what}_low", high=f"{what}_high", k=k, n=n, share=pl.col(k) / pl.col(n))
    x = alt.X("limit:Q", title="limit", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8))
    axis = alt.Axis(format=".0%", minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH)
    y = alt.Y("share:Q", title=None, axis=axis, scale=alt.Scale(domainMin=0))
    base = alt.Chart(shown).encode(x=x)
    tooltip = [alt.Tooltip("limit:Q", format=",.3~g"), alt.Tooltip("k:Q", title=title), alt.Tooltip("n:Q", title="of")]
    colour = OKABE_ITO["green"] if what == "caught" else OKABE_ITO["vermilion"]
    band = base.mark_area(opacity=0.2, color=colour, interpolate="step-after").encode(y=alt.Y("low:Q", title=None, axis=axis), y2="high:Q")
    line = base.mark_line(color=colour, interpolate="step-after", point=alt.OverlayMarkDef(size=12)).encode(y=y, tooltip=tooltip)
    layers: list[alt.Chart] = [band, line]
    for name, limit in limits.items():
        stroke, dash = _MARKS[name]
        at = alt.Chart(pl.DataFrame({"limit": [limit], "name": [name]}))
        layers.append(at.mark_rule(color=stroke, strokeDash=dash, strokeWidth=2).encode(x=x, tooltip=["name:N", "limit:Q"]))
    if cap is not None:
        layers.append(alt.Chart(pl.DataFrame({"share": [cap]})).mark_rule(color="gray", strokeDash=[4, 4]).encode(y=y))
    return alt.LayerChart(layer=layers).properties(height=200)


def setting_bars(rows: pl.DataFrame, *, share: bool) -> alt.LayerChart:
    """A bar for each setting, with its 95 % interval as a line. rows: whose, value, low, high, says; share: whether values are shares, else
    minutes."""
    axis = alt.Axis(format=".0%" if share else ",.0f", tickCount=4)
    y = alt.Y("whose:N", title=None, sort=None, axis=alt.Axis(minExtent=LABEL_WIDTH * 2, labelLimit=160))
    scale = alt.Scale(domain=list(_MARKS), range=[stroke for stroke, _ in _MARKS.values()])
    base = alt.Chart(rows).encode(y=y, tooltip=[alt.Tooltip("whose:N", title="setting"), alt.Tooltip("says:N", title="on the test")])
    colour = alt.Color("role:N", scale=scale, legend=None)
    bar = base.transform_calculate(role="datum.whose === 'in force' ? 'in force' : 'recommended'").mark_bar(opacity=0.55, height=16)
    value = alt.X("value:Q", title=None if share else "minutes", axis=axis, scale=alt.Scale(domainMin=0))
    line = base.mark_rule(strokeWidth=2, color="gray").encode(x=alt.X("low:Q", axis=axis), x2="high:Q")
    return alt.LayerChart(layer=[bar.encode(x=value, color=colour), line]).properties(height=alt.Step(30))
