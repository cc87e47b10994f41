"""Overview: how are we doing, what changed, where do the minutes go."""

from __future__ import annotations

import polars as pl
import streamlit as st

from toolkit.charts import phase_dots, phase_minutes, strip, strip_events, where_the_minutes_go
from toolkit.charts.trend import FEW
from toolkit.ui import data, parts
from toolkit.ui.scope import Scope, View, emptied_by, narrowed, rows_in
from toolkit.ui.sentences import headline
from toolkit.ui.state import scope_bar

CARDS = {
    "time_to_detect": "Detect",
    "time_to_decide": "Decide",
    "time_to_act": "Act",
    "rollback_success_rate": "Rollback success",
    "change_failure_rate": "Change failure",
    "deployment_frequency": "Deployments a week",
}
PHASES_MINUTES = {phase: pl.col(phase).dt.total_microseconds() / 60e6 for phase in ("detect", "decide", "act", "whole")}


def overview() -> None:
    whole = data.view()
    if whole is None:
        return
    st.title("Overview")
    parts.sample_notice(whole)
    scope = scope_bar(whole)
    if not rows_in(whole, scope):
        nothing_in(whole, scope)
        return
    start, end = scope.period(whole.horizon)
    scoped = narrowed(whole, scope)
    within = pl.col("at").is_between(start, end, closed="left")
    incidents = scoped.facts.incidents.filter(within & pl.col("production") & ~pl.col("planned")).collect()
    cards(whole, scope)
    st.markdown(f"##### {headline(incidents)}")
    minutes(incidents, scope, whole)
    events = strip_events(
        scoped.facts.deployments.filter(within & pl.col("production")).collect(),
        scoped.facts.rollbacks.filter(within & pl.col("production")).collect(),
        incidents,
    )
    st.subheader("Deployments and trouble")
    st.altair_chart(strip(events, start, end), alt="Releases, hotfixes, rollbacks and incidents of each service along the window")
    table(incidents)
    parts.footer(whole, incidents)


def cards(whole: View, scope: Scope) -> None:
    names = tuple(CARDS)
    now = {row["metric"]: row for row in data.measured(whole, scope, names, scope.period(whole.horizon))}
    before = {row["metric"]: row for row in data.measured(whole, scope, names, scope.before(whole.horizon))}
    weekly = data.measured(whole, scope, names, scope.period(whole.horizon), every="1w")
    with st.grid(len(CARDS), min_column_width=170, gap="small"):
        for name, label in CARDS.items():
            parts.card(whole, scope, label, now[name], before[name], [row for row in weekly if row["metric"] == name])


def minutes(incidents: pl.DataFrame, scope: Scope, whole: View) -> None:
    start, end = scope.period(whole.horizon)
    weeks = phase_minutes(incidents, start, end, zone=whole.zone)
    complete = int(weeks.filter(pl.col("phase") == "detect")["n"].sum())
    st.subheader("Where the minutes go")
    if complete < FEW:
        st.caption(f"n {complete}: too few incidents with all three phases for a sum, so each is a dot.")
        if complete:
            st.altair_chart(phase_dots(incidents), alt=f"Minutes of each phase of {complete} incidents")
        return
    st.caption(f"Minutes a week, of the {complete} of {len(incidents)} incidents with all three phases. Pale: a week that the window cuts.")
    st.altair_chart(where_the_minutes_go(weeks, start, end), alt=headline(incidents))


def table(incidents: pl.DataFrame) -> None:
    st.subheader("Incidents")
    if not len(incidents):
        st.caption("None in this scope.")
        return
    shown = incidents.sort("at", descending=True).select(
        "at",
        pl.col("services").list.join(", "),
        "severity",
        "title",
        **PHASES_MINUTES,
        remedy=pl.when("open").then(pl.lit("open")).otherwise("remedy"),
    )
    if len(shown) > parts.MOST_ROWS:
        st.caption(f"The newest {parts.MOST_ROWS:,} of {len(shown):,}.")
    number = {name: st.column_config.NumberColumn(f"{name.capitalize()}, min", format="%.0f") for name in PHASES_MINUTES}
    st.dataframe(
        shown.head(parts.MOST_ROWS),
        hide_index=True,
        placeholder="–",
        alt="Incidents in scope, newest first, with the minutes of each phase",
        column_config={
            "at": st.column_config.DatetimeColumn("At, UTC", format="YYYY-MM-DD HH:mm", timezone="UTC"),
            "services": "Services",
            "severity": "Severity",
            "title": st.column_config.TextColumn("Title", width="large"),
            "remedy": "Remedy",
            **number,
        },
    )


def nothing_in(whole: View, scope: Scope) -> None:
    guilty = emptied_by(whole, scope)
    st.info("Widen " + ", or ".join(guilty) + "." if guilty else "Take several of the filters off.", title="Nothing in this scope")
    parts.footer(whole, whole.facts.incidents.filter(pl.col("production")).collect())


overview()
