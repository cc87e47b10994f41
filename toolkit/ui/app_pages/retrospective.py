"""Retrospective: one incident, from what happened to who stands by what was learnt."""

from __future__ import annotations

import re

import polars as pl
import streamlit as st

from toolkit.charts import lanes, lanes_in_words, phases_bar, phases_in_words
from toolkit.errors import UsageError
from toolkit.review import Case, as_markdown, as_object
from toolkit.review.timeline import picture_of
from toolkit.ui import data, parts
from toolkit.ui.deciding import outcome, who
from toolkit.ui.going import INCIDENTS
from toolkit.ui.review_tabs import TABS, Desk
from toolkit.ui.scope import Scope, View, narrowed
from toolkit.ui.sentences import minutes
from toolkit.ui.state import scope_chosen
from toolkit.untrusted import plain, shortened, visible

COLOURS = {"not reviewed": "gray", "in review": "blue", "signed by one": "blue", "signed off": "green", "changed since sign-off": "orange"}
PHASES = {"Detect": "detect", "Decide": "decide", "Act": "act", "From impact to recovery": "whole"}


def retrospective() -> None:
    whole = data.view()
    if whole is None:
        return
    scope = scope_chosen(whole)
    listed = in_scope(whole, scope)
    id = st.query_params.get("incident") or newest(whole, listed)
    if id is None:
        st.title("Retrospective")
        parts.nothing_in(whole, scope)
        return
    # What opens by itself is a link as well.
    if st.query_params.get("incident") != id:
        st.query_params["incident"] = id
    try:
        case = data.case(whole, id)
    except UsageError as error:
        st.title("Retrospective")
        st.error(plain(error.message), title="No such incident")
        st.page_link(INCIDENTS, label="All incidents")
        return
    heading(whole, case)
    around(whole, listed, case)
    # A place of its own: what comes and goes there must not move the tabs below, or they would jump back to the first.
    with st.container():
        outcome(whole, scope, case)
    numbers(case)
    pictures(case)
    who()
    desk = Desk(whole, scope, case)
    for tab, draw in zip(st.tabs(list(TABS), key="tabs"), TABS.values(), strict=True):
        with tab:
            draw(desk)
    parts.footer(whole, whole.facts.incidents.filter(pl.col("id") == id).collect())


def in_scope(whole: View, scope: Scope) -> pl.DataFrame:
    start, end = scope.period(whole.horizon)
    inside = pl.col("at").is_between(start, end, closed="left") & pl.col("production") & ~pl.col("planned")
    return (
        narrowed(whole, scope).facts.incidents.filter(inside).select("id", "source", "source_id", "at", "open").sort("at", "id").collect()
    )


def newest(whole: View, listed: pl.DataFrame) -> str | None:
    """The newest one in scope that is over and that nobody has reviewed, else the newest."""
    states = data.states(whole, listed)
    due = [row["id"] for row in listed.iter_rows(named=True) if not row["open"] and states[row["id"]] == "not reviewed"]
    return next(iter([*reversed(due), *reversed(listed["id"].to_list())]), None)


def heading(whole: View, case: Case) -> None:
    row = case.found.incident
    title = str(row["title"] or "no title")
    st.title(f"{plain(case.id)}: {plain(shortened(title, 160))}")
    if len(title) > 160:
        with st.expander("The whole title"):
            st.text(visible(title))
    with st.container(horizontal=True):
        parts.sample_notice(whole)
        st.badge(case.state, color=COLOURS[case.state])  # type: ignore[arg-type]
        if row["open"]:
            st.badge("open", color="red")
        st.badge(plain(shortened(str(row["severity"] or "no severity"), 40)), color="gray")
        st.caption(plain(shortened(", ".join(row["services"]) or "no service", 200)))
    if row["repeat_of"]:
        st.caption(f"Looks like {plain(row['repeat_of'])} again.")


def around(whole: View, listed: pl.DataFrame, case: Case) -> None:
    """The one before and the one after, in time and in scope; the download."""
    # One without a time has no neighbours.
    at, here = pl.lit(case.found.incident["at"], pl.Datetime("us", "UTC")), case.id
    earlier = listed.filter((pl.col("at") < at) | ((pl.col("at") == at) & (pl.col("id") < here)))["id"].to_list()
    later = listed.filter((pl.col("at") > at) | ((pl.col("at") == at) & (pl.col("id") > here)))["id"].to_list()
    with st.container(horizontal=True, vertical_alignment="center"):
        step("Previous", "P", earlier[-1] if earlier else None)
        step("Next", "N", later[0] if later else None)
        told = as_object(case, whole.meta, data.what_if(whole, case.id))
        name = re.sub(r"[^\w.-]+", "-", case.id)[:80]
        st.download_button("Download as Markdown", as_markdown(told), f"{name}.md", "text/markdown", key="download", on_click="ignore")
        if here not in set(listed["id"]):
            st.caption("Not in the scope above: previous and next are the nearest that are.")
        else:
            st.caption(f"{len(earlier) + 1} of {len(listed)} in this scope")


def step(label: str, key: str, id: str | None) -> None:
    st.button(label, key=label.lower(), shortcut=key, disabled=id is None, on_click=go, args=(id,))


def go(id: str | None) -> None:
    if id is not None:
        st.query_params["incident"] = id


def numbers(case: Case) -> None:
    row = case.found.incident
    rests = dict(case.found.phases.select("phase", "provenance").iter_rows())
    with st.grid(len(PHASES), min_column_width=170, gap="small"):
        for label, column in PHASES.items():
            span = row[column]
            value = minutes(None if span is None else span.total_seconds() / 60)
            still = row["open"] and (row["censored_phase"] == column or column == "whole") and span is not None
            with st.container(border=True):
                st.metric(label, f"> {value}" if still else value)
                st.caption(
                    "still open" if still else f"times {rests[column]}" if column in rests else "unknown" if span is None else "in all"
                )


def pictures(case: Case) -> None:
    found = case.found
    start, end = picture_of(found.incident, found.timeline, found.horizon)
    if len(found.phases):
        st.altair_chart(phases_bar(found.phases, start, end), alt=phases_in_words(found.phases))
    st.altair_chart(lanes(found.timeline, start, end), alt=lanes_in_words(found.timeline))
    outside = found.timeline.filter((pl.col("at") > end) | (pl.coalesce("until", "at") < start))
    st.caption(
        "● declared by a source · ◇ derived by a rule · ■ corrected by a reviewer."
        + (f" {len(outside)} more lie outside this picture, in the table." if len(outside) else "")
    )
    with st.expander(f"The same as a table: {len(found.timeline)} rows"):
        parts.table(parts.legible(found.timeline.drop("until")), "What happened, in order of time")


retrospective()
