"""The warehouse for the pages: read once per version, shared by everyone who looks; no page holds a connection."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from toolkit import publishing
from toolkit.errors import KnowngoodError
from toolkit.metrics import Explanation, compare, explain, measure
from toolkit.metrics.readiness import Ready, could_roll_back
from toolkit.metrics.scope import By, Every
from toolkit.metrics.scorecard import scorecard as scorecard_of
from toolkit.metrics.steps import steps as steps_of
from toolkit.review import Case, Findings, State, WhatIf, findings_of, reviewed, what_if_of
from toolkit.review.said import said_of
from toolkit.store import warehouse
from toolkit.store.journal import Journal
from toolkit.ui.scope import Frames, Scope, View, narrowed
from toolkit.workspace import Workspace

__all__ = [
    "BY_CONTENT",
    "case",
    "compared",
    "explanation",
    "journal",
    "measured",
    "overtaken",
    "published_version",
    "readiness",
    "scorecard",
    "states",
    "steps",
    "view",
    "what_if",
    "workspace",
]

# The one before stays for those whose page was drawn from it.
VERSIONS = 2
# Caches know a view by what it was made of, and never look inside.
BY_CONTENT: dict[str | type, Any] = {View: lambda whole: whole.identity}


def view() -> View | None:
    """What the workspace last published; None where nothing was published, or nothing was in it.

    The workspace is the folder in KNOWNGOOD_WORKSPACE, else the current one; an error says so when there is none."""
    place = workspace()
    path = warehouse.current(place.state)
    if path is None:
        return None
    whole = replace(_read(path), settings=place.settings)
    return whole if whole.meta.get("horizon") else None


def workspace() -> Workspace:
    """The workspace that the app shows."""
    return Workspace.find(Path(os.environ.get("KNOWNGOOD_WORKSPACE") or Path.cwd()))


def journal() -> Journal:
    """What people decided: read anew whenever it is asked, since it is short and somebody may have written."""
    return workspace().journal


def published_version() -> str | None:
    """The version of what is published at this moment; None before the first publish."""
    path = warehouse.current(workspace().state)
    return None if path is None else str(warehouse.meta(path).get("version", ""))


def unpublished(whole: View) -> bool:
    """Whether somebody decided something that the facts do not follow yet."""
    return whole.meta.get("journal_digest") != journal().digest()


def overtaken(whole: View) -> bool:
    """Whether records, settings or rules say more than these facts; looked at now and then, and not while somebody is writing."""
    return _overtaken(str(workspace().root), whole)


def publish_soon() -> None:
    """Compute the facts anew, in a process of its own: whoever saved something does not wait for it."""
    publishing.publish_soon(workspace())


def publishing_failed() -> str | None:
    """Why the facts do not follow what was decided, where nobody is about to compute them; None while somebody is."""
    place = workspace()
    return publishing.failure(place) or "It ended before it was done." if publishing.state(place) == "behind" else None


def record_of(whole: View, id: str | None) -> tuple[str, str] | None:
    """Source and source's id of an incident; None for no incident."""
    rows = whole.facts.incidents.filter(pl.col("id") == (id or "")).select("source", "source_id").collect().rows()
    return rows[0] if rows else None


def case(whole: View, id: str) -> Case:
    """One incident as it stands, with what people said up to now. Raises UsageError where there is none of this id."""
    found = _findings(whole, id)
    return Case(found, said_of(journal().entries(), found.subjects))


def what_if(whole: View, id: str) -> WhatIf:
    """When criteria first held on what is behind an incident, and what other limits would have done."""
    return _what_if(whole, id)


def states(whole: View, incidents: pl.DataFrame) -> dict[str, State]:
    """How far the review of each of these incidents is, by id."""
    return reviewed(incidents, journal().entries(), lambda id: _findings(whole, id))


def measured(
    whole: View,
    scope: Scope,
    names: tuple[str, ...],
    period: tuple[datetime, datetime],
    *,
    every: Every | None = None,
    by: By | None = None,
) -> pl.DataFrame:
    """The rows of `measure` for a scope and a period; of the metrics named, without their 90th percentiles."""
    return _measured(whole, scope, names, period, every, by)


def compared(whole: View, scope: Scope, names: tuple[str, ...]) -> pl.DataFrame:
    """The rows of `compare` for a scope's window and the one before it."""
    return _compared(whole, scope, names)


def explanation(whole: View, scope: Scope, name: str) -> Explanation:
    """How a number came about: its definition, the rows counted, the rows left out and why."""
    start, end = scope.period(whole.horizon)
    return explain(narrowed(whole, scope), name, start=start, end=end)


def readiness(whole: View, scope: Scope) -> list[Ready]:
    """Whether each service of a scope could be rolled back now."""
    return could_roll_back(narrowed(whole, scope))


@st.cache_data(max_entries=32, show_spinner="Measuring the practices", hash_funcs=BY_CONTENT)
def scorecard(whole: View, scope: Scope) -> list[dict[str, Any]]:
    """A row a practice: number, interval, course, against the window before, where it is worst, what to do."""
    start, end = scope.period(whole.horizon)
    return scorecard_of(narrowed(whole, scope), start=start, end=end)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=BY_CONTENT)
def steps(whole: View, scope: Scope) -> pl.DataFrame:
    """Each step of the playbooks, with the recovery with it and without."""
    start, end = scope.period(whole.horizon)
    return steps_of(narrowed(whole, scope), start=start, end=end)


@st.cache_resource(max_entries=1_024, show_spinner=False, hash_funcs=BY_CONTENT)
def _findings(whole: View, id: str) -> Findings:
    return findings_of(whole.facts, whole.meta, id)


@st.cache_resource(max_entries=1_024, show_spinner=False, hash_funcs=BY_CONTENT)
def _what_if(whole: View, id: str) -> WhatIf:
    return what_if_of(workspace(), _findings(whole, id))


@st.cache_data(ttl=15, max_entries=8, show_spinner=False, hash_funcs=BY_CONTENT)
def _overtaken(root: str, whole: View) -> bool:
    try:
        return publishing.overtaken(Workspace(Path(root)), whole.meta)
    except KnowngoodError:
        return False


@st.cache_resource(max_entries=VERSIONS, show_spinner="Reading the warehouse")
def _read(path: Path) -> View:
    tables = {table.name: warehouse.read(path, table.name).lazy() for table in fields(Frames)}
    return View(facts=Frames(**tables), meta=warehouse.meta(path))


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=BY_CONTENT)
def _measured(
    whole: View, scope: Scope, names: tuple[str, ...], period: tuple[datetime, datetime], every: Every | None, by: By | None
) -> pl.DataFrame:
    rows = measure(narrowed(whole, scope), *names, start=period[0], end=period[1], every=every, by=by)
    return rows.filter(pl.col("metric").is_in(names))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=BY_CONTENT)
def _compared(whole: View, scope: Scope, names: tuple[str, ...]) -> pl.DataFrame:
    return compare(narrowed(whole, scope), *names, window=f"{scope.weeks}w")
