"""Overview: how are we doing, what changed, where do the minutes go."""

from __future__ import annotations

import polars as pl
import streamlit as st

from toolkit.charts.trend import FEW
from toolkit.metrics import METRICS
from toolkit.ui import data, parts
from toolkit.ui.incident_table import incident_table
from toolkit.ui.pictures import Overview, overview_of
from toolkit.ui.scope import Scope, View, rows_in
from toolkit.ui.state import choose_service, scope_chosen

CARDS = {
    "time_to_detect": "Detect",
    "time_to_decide": "Decide",
    "time_to_act": "Act",
    "rollback_success_rate": "Rollback success",
    "change_failure_rate": "Change failure",
    "deployment_frequency": "Deployments",
}


def overview() -> None:
    whole = data.view()
    if whole is None:
        return
    st.title("Overview")
    parts.sample_notice(whole)
    scope = scope_chosen(whole)
    if not rows_in(whole, scope):
        parts.nothing_in(whole, scope)
        return
    cards(whole, scope)
    picture = overview_of(whole, scope)
    st.markdown(f"##### {picture.sentence}")
    minutes(picture)
    st.subheader("Deployments and trouble")
    st.altair_chart(picture.strip, alt="Releases, hotfixes, rollbacks and incidents of each service along the window")
    services(picture)
    table(picture.incidents)
    parts.footer(whole, picture.incidents)


def cards(whole: View, scope: Scope) -> None:
    names = tuple(CARDS)
    now = {row["metric"]: row for row in data.measured(whole, scope, names, scope.period(whole.horizon)).to_dicts()}
    before = {row["metric"]: row for row in data.measured(whole, scope, names, scope.before(whole.horizon)).to_dicts()}
    weekly = data.measured(whole, scope, names, scope.period(whole.horizon), every="1w").to_dicts()
    compared = {row["metric"]: row for row in data.compared(whole, scope, names).to_dicts()}
    with st.grid(len(CARDS), min_column_width=170, gap="small"):
        for name, label in CARDS.items():
            course = [row for row in weekly if row["metric"] == name]
            parts.card(whole, scope, label, now[name], before[name], compared[name], course)


def minutes(picture: Overview) -> None:
    st.subheader("Where the minutes go")
    if picture.complete < FEW:
        st.caption(f"n {picture.complete}: too few incidents with all three phases for a sum, so each is a dot.")
    else:
        of = f"of the {picture.complete} of {len(picture.incidents)} incidents with all three phases"
        st.caption(f"Minutes a week, {of}. Pale: a week that the window cuts.")
    if picture.minutes is not None:
        st.altair_chart(picture.minutes, alt=picture.sentence)


def services(picture: Overview) -> None:
    st.subheader("By service")
    st.caption("With 95 % interval; dashed: all services. Hollow: fewer than five rows. A click on a point keeps that service only.")
    for column, (name, chart) in zip(st.columns(len(picture.services)), picture.services.items(), strict=True):
        with column:
            key = f"by_service_{name}"
            st.altair_chart(
                chart,
                key=key,
                on_select=lambda key=key: choose_service(key),
                selection_mode="service",
                alt=f"{METRICS[name].title} of each service, with its interval",
            )


def table(incidents: pl.DataFrame) -> None:
    st.subheader("Incidents")
    if len(incidents):
        incident_table(incidents, key="incidents_in_scope")
    else:
        st.caption("None in this scope.")


overview()
