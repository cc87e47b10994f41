"""The parts that pages are made of: a card for a number, the way it came about, what the data covers."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
import streamlit as st

from toolkit.charts import trend
from toolkit.ui import data
from toolkit.ui.scope import Scope, View
from toolkit.ui.sentences import change, interval, quantity, significant

__all__ = ["MOST_ROWS", "card", "explained", "footer", "why"]

# A browser table stays quick up to here; the command hands out the rest.
MOST_ROWS = 1_000


def card(
    whole: View,
    scope: Scope,
    label: str,
    now: dict[str, Any],
    before: dict[str, Any],
    weekly: list[float | None],
    *,
    better: Literal["down", "up"],
) -> None:
    """One number: value, change against the window before, its course, its interval, and the way to its rows.

    better: "down" or "up", for the colour of a change that is more than chance."""
    moved = change(now, before)
    colour = "off" if moved is None or not significant(now, before) else "inverse" if better == "down" else "normal"
    with st.container(border=True, height="stretch"):
        st.metric(
            label,
            quantity(now["value"], now["unit"]),
            moved if moved is not None else 0,
            delta_color=colour,  # type: ignore[arg-type]  # one of Streamlit's own words, chosen above
            delta_arrow="auto" if moved is not None else "off",
            delta_description="vs before" if moved is not None else "no before",
            chart_data=[value for value in weekly if value is not None] or None,
            chart_type="bar" if now["kind"] == "Count" else "line",
        )
        st.caption(interval(now))
        if st.button("How this came about", key=f"why_{now['metric']}", type="tertiary"):
            why(whole, scope, now["metric"], label)


def why(whole: View, scope: Scope, metric: str, label: str) -> None:
    """Open the rows behind a number, beside the page."""

    @st.dialog(label, width="large")
    def opened() -> None:
        explained(whole, scope, metric)

    opened()


def explained(whole: View, scope: Scope, metric: str) -> None:
    """How a number came about: definition, sum, course, the rows counted and the rows left out with the reason."""
    told = data.explanation(whole, scope, metric)
    start, end = scope.period(whole.horizon)
    st.markdown(told.definition)
    if told.formula:
        st.code(told.formula, language=None, wrap_lines=True)
    rows = data.measured(whole, scope, (metric,), (start, end), every="1mo" if scope.weeks > 13 else "1w")
    if sum(row["value"] is not None for row in rows) > 1:
        st.altair_chart(trend(pl.DataFrame(rows), start, end), alt=f"{metric} over the window, with its interval")
    counted = told.counted
    st.markdown(f"**{len(counted):,} rows counted**" + (f", the first {MOST_ROWS:,} shown" if len(counted) > MOST_ROWS else ""))
    st.dataframe(counted.head(MOST_ROWS), hide_index=True, alt=f"Rows counted for {metric}", height=260)
    left_out = told.excluded
    if len(left_out):
        st.markdown(f"**{left_out['n'].sum():,} rows left out**, each for the first reason that holds")
        st.dataframe(left_out, hide_index=True, alt=f"Rows left out of {metric}, by reason")
    if told.note:
        st.caption(told.note)
    st.caption(f"Warehouse {whole.version[:12]}. The same in a terminal: `knowngood explain {metric}`")


def footer(whole: View, scoped: View) -> None:
    """What all numbers above rest on: data through, linked share, gaps, version, and whether it is only the sample."""
    st.divider()
    known = pl.col("cause_deployment").is_not_null() | pl.col("not_a_deployment")
    incidents = scoped.facts.incidents.select(known).collect().to_series()
    linked = f"{incidents.sum()} of {len(incidents)} incidents have a known cause" if len(incidents) else "no incidents"
    coverage = pl.DataFrame(whole.meta.get("coverage") or [], infer_schema_length=None)
    gaps = int(coverage["gap"].sum()) if "gap" in coverage.columns else 0
    st.caption(
        f"Data through {whole.horizon:%-d %B %Y %H:%M} UTC · {linked} · "
        f"{gaps or 'no'} gap{'' if gaps == 1 else 's'} · warehouse {whole.version[:12]}"
    )
    if len(coverage):
        with st.expander("What each source covers"):
            st.dataframe(coverage, hide_index=True, alt="Coverage of each stream, with its gaps")
