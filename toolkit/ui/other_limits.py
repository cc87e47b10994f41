"""The tab What if: when criteria first held on what is behind an incident, and what other limits would have done."""

from __future__ import annotations

import polars as pl
import streamlit as st

from toolkit.criteria.policy import FILE
from toolkit.ui import data, parts
from toolkit.ui.going import THRESHOLDS
from toolkit.ui.scope import View
from toolkit.untrusted import plain, shortened, visible

__all__ = ["what_if"]

NEXT = {
    "no policy": (
        f"Write one into {FILE}, then publish.",
        "knowngood init --policy     # begins the file with an example\nknowngood publish",
    ),
    "no telemetry": ("Load samples of it, then publish.", "knowngood load samples.parquet --as sample"),
}


def what_if(whole: View, id: str) -> None:
    told = data.what_if(whole, id)
    st.markdown(f"**{plain(told.says)}**")
    if len(told.held):
        held(told.held)
    if told.state in NEXT:
        says, types = NEXT[told.state]
        st.caption(says)
        st.code(types, language="sh")
    for (deployment, criterion), rows in told.others.group_by("deployment", "criterion", maintain_order=True):
        others(str(deployment), str(criterion), rows)
    for name, why in told.approximate.items():
        st.caption(f"{plain(name)}: {plain(why)}.")


def held(rows: pl.DataFrame) -> None:
    st.dataframe(
        parts.legible(rows.with_columns(pl.col("before").dt.total_microseconds() / 60e6)),
        hide_index=True,
        placeholder="–",
        alt="The criteria in force when each deployment went out, and when each first held",
        column_config={
            "deployment": "Deployment",
            "criterion": "In force then",
            "rule": st.column_config.TextColumn("Rule", width="medium"),
            "met_at": st.column_config.DatetimeColumn("First held, UTC", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
            "before": st.column_config.NumberColumn("Before the decision, min", format="%.1f"),
            "says": st.column_config.TextColumn("In words", width="medium"),
        },
    )


def others(deployment: str, criterion: str, rows: pl.DataFrame) -> None:
    """One criterion on one deployment: its limits, from the strictest to the loosest, and the way to each on the Thresholds page."""
    n = rows["n"][0]
    st.markdown(f"##### {plain(shortened(criterion, 100))} on {plain(shortened(deployment, 100))}, at other limits")
    shown = rows.select(
        "setting", "limit", "fired_at", "verdict", pl.col("saved").dt.total_microseconds() / 60e6,
        pl.format("{} of {}", "false_stops", "good").alias("cost"), pl.col("stopped").list.join(", "),
    )  # fmt: skip
    st.dataframe(
        parts.legible(shown),
        hide_index=True,
        placeholder="–",
        alt="For each limit when it fires, what it saves against the decision, and which good releases it stops",
        column_config={
            "setting": "",
            "limit": st.column_config.NumberColumn("Limit", format="%.4g"),
            "fired_at": st.column_config.DatetimeColumn("Fires, UTC", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
            "verdict": st.column_config.TextColumn("That is", width="medium"),
            "saved": st.column_config.NumberColumn("Saved, min", format="%.1f"),
            "cost": st.column_config.TextColumn("Good releases stopped"),
            "stopped": st.column_config.TextColumn("Which", width="medium"),
        },
    )
    st.caption(
        "Just in time: the loosest limit that fires before the decision. At no cost: the strictest that stops no more good releases than"
        " the one in force. Saved is counted against the decision; where nothing is, acting at once would have changed nothing."
    )
    name = criterion if rows["scope"][0] is None else f"{criterion} · {rows['scope'][0]}"
    with st.container(horizontal=True):
        for row in rows.iter_rows(named=True):
            address = {"criterion": plain(name), "limit": f"{row['limit']:.12g}", "n": str(n)}
            st.page_link(THRESHOLDS, label=f"Try {row['limit']:.4g}", query_params=address, help=visible(row["setting"]))
