"""From page to page, with the scope and the incident in the address: a view is a link that can be sent."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

__all__ = ["INCIDENTS", "OVERVIEW", "RETROSPECTIVE", "THRESHOLDS", "open_incident", "row_clicked"]

PAGES = Path(__file__).parent / "app_pages"
OVERVIEW, INCIDENTS, RETROSPECTIVE, THRESHOLDS = (
    str(PAGES / f"{name}.py") for name in ("overview", "incidents", "retrospective", "thresholds")
)


def open_incident(id: str) -> None:
    """Go to an incident's retrospective; the scope comes along by itself."""
    st.switch_page(RETROSPECTIVE, query_params={"incident": id})


def row_clicked(table: str, ids: list[str]) -> None:
    """Open the incident whose row was clicked, in the table with this key."""
    picked = st.session_state[table]["selection"]
    rows = [*picked.get("rows", []), *(row for row, _ in picked.get("cells", []))]
    if rows and rows[0] < len(ids):
        open_incident(ids[rows[0]])
