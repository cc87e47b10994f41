"""The warehouse for the pages: read once per version, shared by everyone who looks; no page holds a connection."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from toolkit.metrics import Explanation, compare, explain, measure
from toolkit.metrics.scope import By, Every
from toolkit.store import warehouse
from toolkit.ui.scope import Frames, Scope, View, narrowed
from toolkit.workspace import Workspace

__all__ = ["BY_CONTENT", "compared", "explanation", "measured", "view"]

# The one before stays for those whose page was drawn from it.
VERSIONS = 2
# Caches know a view by what it was made of, and never look inside.
BY_CONTENT: dict[str | type, Any] = {View: lambda whole: whole.identity}


def view() -> View | None:
    """What the workspace last published; None where nothing was published, or nothing was in it.

    The workspace is the folder in KNOWNGOOD_WORKSPACE, else the current one; an error says so when there is none."""
    workspace = Workspace.find(Path(os.environ.get("KNOWNGOOD_WORKSPACE") or Path.cwd()))
    path = warehouse.current(workspace.state)
    if path is None:
        return None
    whole = replace(_read(path), settings=workspace.settings)
    return whole if whole.meta.get("horizon") else None


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
