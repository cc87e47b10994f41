"""A table of incidents, newest first; a click on a row opens its retrospective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from toolkit.ui import parts
from toolkit.ui.going import row_clicked

__all__ = ["incident_table"]

MINUTES = {phase: pl.col(phase).dt.total_microseconds() / 60e6 for phase in ("detect", "decide", "act", "whole")}
CLICK = "A click on a row opens its retrospective."


def incident_table(
    incidents: pl.DataFrame,
    *,
    key: str,
    states: Mapping[str, str] | None = None,
    elsewhere: Mapping[str, str] | None = None,
    says: str = "",
) -> None:
    """The newest rows of facts.incidents. states, elsewhere: how far the review of each is here and in other tools, by id; says: what to
    say over it."""
    shown = incidents.sort("at", "id", descending=True, nulls_last=True).head(parts.MOST_ROWS)
    cut = f"The newest {parts.MOST_ROWS:,} of {len(incidents):,}. " if len(incidents) > parts.MOST_ROWS else ""
    st.caption(says + cut + CLICK)
    ids = shown["id"].to_list()
    # Where reviews are what one looks for, their state is; elsewhere where the minutes went.
    told: dict[str, Any] = dict(MINUTES)
    if states is not None:
        review, tools = ([by.get(id) for id in ids] for by in (states, elsewhere or {}))
        told = {"review": pl.Series(review, dtype=pl.String), "tools": pl.Series(tools, dtype=pl.String), "whole": MINUTES["whole"]}
    rows = shown.select(
        "at",
        *([] if states is None else ["id"]),
        pl.col("services").list.join(", "),
        "severity",
        "title",
        **told,
        remedy=pl.when("open").then(pl.lit("open")).otherwise(pl.col("remedy").str.replace_all("_", " ")),
        cause=pl.when("not_a_deployment").then(pl.lit("not a deployment")).otherwise("cause_deployment"),
    )
    number = {name: st.column_config.NumberColumn(f"{name.capitalize()}, min", format="%.0f") for name in MINUTES}
    st.dataframe(
        parts.legible(rows),
        hide_index=True,
        placeholder="–",
        key=key,
        on_select=lambda: row_clicked(key, ids),
        selection_mode=["single-row", "single-cell"],
        alt="Incidents in scope, newest first, with the minutes of each phase; a click on a row opens its retrospective",
        column_config={
            "at": st.column_config.DatetimeColumn("At, UTC", format="YYYY-MM-DD HH:mm", timezone="UTC"),
            "id": "Id",
            "services": "Services",
            "severity": "Severity",
            "title": st.column_config.TextColumn("Title", width="large" if states is None else "medium"),
            "review": "Review",
            "tools": "In your tools",
            "remedy": "Remedy",
            "cause": "Cause",
            **number,
        },
    )
