"""What the overview shows, made once per warehouse and scope: frames, the sentence, the charts."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import polars as pl
import streamlit as st

from toolkit.charts import by_service, phase_dots, phase_minutes, strip, strip_events, where_the_minutes_go
from toolkit.charts.trend import FEW
from toolkit.metrics import METRICS
from toolkit.ui.data import BY_CONTENT, measured
from toolkit.ui.scope import Scope, View, narrowed
from toolkit.ui.sentences import headline

__all__ = ["Overview", "overview_of"]

# What differs between services, and the unit on the axis.
COMPARED = {"change_failure_rate": "of deployments", "time_to_recover": "minutes"}


@dataclass(frozen=True)
class Overview:
    """minutes: null where no incident in scope has all three phases; complete: how many have. services: by metric."""

    incidents: pl.DataFrame
    sentence: str
    complete: int
    minutes: alt.Chart | alt.LayerChart | None
    strip: alt.Chart
    services: dict[str, alt.LayerChart]


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=BY_CONTENT)
def overview_of(whole: View, scope: Scope) -> Overview:
    """Everything on the overview but the cards. Shared by all sessions: look, do not touch."""
    start, end = scope.period(whole.horizon)
    facts = narrowed(whole, scope).facts
    inside = pl.col("at").is_between(start, end, closed="left") & pl.col("production")
    incidents = facts.incidents.filter(inside & ~pl.col("planned")).collect()
    weeks = phase_minutes(incidents, start, end, zone=whole.zone)
    complete = int(weeks.filter(pl.col("phase") == "detect")["n"].sum())
    minutes = where_the_minutes_go(weeks, start, end) if complete >= FEW else phase_dots(incidents) if complete else None
    events = strip_events(facts.deployments.filter(inside).collect(), facts.rollbacks.filter(inside).collect(), incidents)
    return Overview(incidents, headline(incidents), complete, minutes, strip(events, start, end), _services(whole, scope))


def _services(whole: View, scope: Scope) -> dict[str, alt.LayerChart]:
    """Each compared metric by service, all services whichever were chosen: the chosen ones stand out."""
    wide = Scope(scope.weeks, (), scope.severities)
    period = scope.period(whole.horizon)
    rows = measured(whole, wide, tuple(COMPARED), period, by="service")
    totals = dict(measured(whole, wide, tuple(COMPARED), period).select("metric", "value").iter_rows())
    return {
        name: by_service(
            rows.filter(pl.col("metric") == name), chosen=scope.services, total=totals[name], title=f"{METRICS[name].title}, {unit}"
        )
        for name, unit in COMPARED.items()
    }
