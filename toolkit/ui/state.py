"""The scope on top of every page, kept in the address: a view is a link that can be sent."""

from __future__ import annotations

import polars as pl
import streamlit as st

from toolkit.ui.data import BY_CONTENT
from toolkit.ui.scope import Scope, View

__all__ = ["WINDOWS", "choose_service", "scope_bar", "scope_chosen"]

# As the command writes them, and as they stand in the address.
WINDOWS = {"4w": 4, "13w": 13, "26w": 26, "52w": 52}
USUAL = "26w"


def scope_bar(whole: View) -> None:
    """Draw the choices, once and before any page, so that they follow from page to page; the address says
    `?window=…&services=…&severity=…`."""
    services, severities = _names(whole)
    left, middle, right = st.columns([4, 4, 3], vertical_alignment="bottom")
    with left:
        st.segmented_control(
            "Window",
            list(WINDOWS),
            default=USUAL,
            required=True,
            key="window",
            bind="query-params",
            help="Weeks back from where the data ends, not from today.",
        )
    with middle:
        st.multiselect("Services", services, placeholder="All services", key="services", bind="query-params")
    with right:
        st.multiselect(
            "Severities",
            severities,
            placeholder="All severities",
            key="severity",
            bind="query-params",
            help="Narrows incidents; deployments and rollbacks carry no severity.",
        )


def scope_chosen(whole: View) -> Scope:
    """The scope that stands over the page."""
    services, severities = _names(whole)
    window = st.session_state.get("window")
    # A hand-written address may hold anything: what is no option is no choice.
    return Scope(
        weeks=WINDOWS[window if window in WINDOWS else USUAL],
        services=tuple(sorted(set(st.session_state.get("services") or ()) & set(services))),
        severities=tuple(sorted(set(st.session_state.get("severity") or ()) & set(severities))),
    )


def choose_service(chart: str) -> None:
    """Keep only the service that was clicked in the chart with this key; a click beside the points keeps all."""
    picked = st.session_state[chart]["selection"].get("service") or []
    st.session_state["services"] = sorted({point["service"] for point in picked if "service" in point})


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs=BY_CONTENT)
def _names(whole: View) -> tuple[list[str], list[str]]:
    facts = whole.facts
    services = pl.concat(
        [facts.deployments.select("service"), facts.incidents.select(service=pl.col("services")).explode("service")], how="vertical_relaxed"
    )
    return (
        services.drop_nulls().unique().collect()["service"].sort().to_list(),
        facts.incidents.select("severity").drop_nulls().unique().collect()["severity"].sort().to_list(),
    )
