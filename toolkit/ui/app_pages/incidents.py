"""Incidents: all in scope, how far the review of each is, and the way into each."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import streamlit as st

from toolkit.charts.trend import FEW
from toolkit.review import STATES
from toolkit.ui import data, parts
from toolkit.ui.incident_table import incident_table
from toolkit.ui.scope import Scope, View, narrowed, rows_in
from toolkit.ui.state import scope_chosen
from toolkit.untrusted import plain

CAUSES = {
    "certain": pl.col("cause_evidence") == "certain",
    "likely": pl.col("cause_evidence") == "likely",
    "possible": pl.col("cause_evidence") == "possible",
    "not a deployment": pl.col("not_a_deployment"),
    "unknown": pl.col("cause_evidence").is_null() & ~pl.col("not_a_deployment"),
}


def incidents() -> None:
    whole = data.view()
    if whole is None:
        return
    st.title("Incidents")
    parts.sample_notice(whole)
    scope = scope_chosen(whole)
    if not rows_in(whole, scope):
        parts.nothing_in(whole, scope)
        return
    found = in_scope(whole, scope)
    states = data.states(whole, found)
    words, cause, review = filters()
    chosen = found.filter(pl.col("id").is_in([id for id, state in states.items() if not review or state in review]))
    if cause:
        chosen = chosen.filter(pl.any_horizontal(CAUSES[name] for name in cause).fill_null(value=False))
    if words:
        text = pl.concat_str(["id", "title", "cause_deployment"], separator=" ", ignore_nulls=True).str.to_lowercase()
        chosen = chosen.filter(text.str.contains(words.lower(), literal=True))
    if len(chosen):
        says = summary(found, chosen, states)
        incident_table(chosen, key="incidents", states=states, elsewhere=in_tools(whole, chosen), says=says)
    elif len(found):
        st.info("Widen " + ", or ".join(guilty(words, cause, review)) + ".", title="No incident passes these filters")
    else:
        st.info("No incident lies in this scope; there are deployments or rollbacks.", title="No incidents")
    parts.footer(whole, found)


def in_scope(whole: View, scope: Scope) -> pl.DataFrame:
    start, end = scope.period(whole.horizon)
    inside = pl.col("at").is_between(start, end, closed="left") & pl.col("production") & ~pl.col("planned")
    return narrowed(whole, scope).facts.incidents.filter(inside).collect()


def filters() -> tuple[str, list[str], list[str]]:
    left, middle, right = st.columns([4, 4, 4], vertical_alignment="bottom")
    with left:
        words = st.text_input("Search", placeholder="Title, id or deployment", key="find", bind="query-params")
    with middle:
        cause = st.multiselect(
            "Cause", list(CAUSES), placeholder="Any", key="cause", bind="query-params", help="How well the cause is known."
        )
    with right:
        review = st.multiselect("Review", list(STATES), placeholder="Any", key="review", bind="query-params")
    # A hand-written address may hold anything: what is no option is no choice.
    return (words or "").strip(), [name for name in cause if name in CAUSES], [name for name in review if name in STATES]


def summary(found: pl.DataFrame, chosen: pl.DataFrame, states: Mapping[str, str]) -> str:
    counted = [f"{n} {state}" for state in STATES if (n := sum(states[id] == state for id in chosen["id"].to_list()))]
    few = f"n {len(chosen)}: too few to sum up, so each speaks for itself. " if len(chosen) < FEW else ""
    return f"{few}{len(chosen):,} of {len(found):,} incidents in scope: {', '.join(counted)}. "


def in_tools(whole: View, chosen: pl.DataFrame) -> dict[str, str]:
    """How far the review of each is where other tools recorded one, by id: the last that was published or held."""
    last = whole.facts.reviews.sort("published_at", "held_at", "source_id", nulls_last=False)
    told = last.select("state", source_id="incident").collect()
    rows = chosen.select("id", "source_id").join(told.drop_nulls("state"), on="source_id")
    return dict(rows.select("id", "state").iter_rows())


def guilty(words: str, cause: list[str], review: list[str]) -> list[str]:
    named = {"the search: ": words, "the cause: ": ", ".join(cause), "the review: ": ", ".join(review)}
    return [plain(f"{name}{value}") for name, value in named.items() if value]


incidents()
