"""The warehouse for the pages: read once per version, shared by everyone who looks; no page holds a connection."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from toolkit.metrics import Explanation, explain, measure
from toolkit.metrics.scope import Every
from toolkit.store import warehouse
from toolkit.ui.scope import Frames, Scope, View, narrowed
from toolkit.workspace import Workspace

__all__ = ["explanation", "measured", "view"]

# The one before stays for those whose page was drawn from it.
VERSIONS = 2


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
    whole: View, scope: Scope, names: tuple[str, ...], period: tuple[datetime, datetime], *, every: Every | None = None
) -> list[dict[str, Any]]:
    """The rows of `measure` for a scope and a period."""
    return _measured(whole, scope, names, period, every).to_dicts()


def explanation(whole: View, scope: Scope, name: str) -> Explanation:
    """How a number came about: its definition, the rows counted, the rows left out and why."""
    start, end = scope.period(whole.horizon)
    return explain(narrowed(whole, scope), name, start=start, end=end)


@st.cache_resource(max_entries=VERSIONS, show_spinner="Reading the warehouse")
def _read(path: Path) -> View:
    tables = {table.name: warehouse.read(path, table.name).lazy() for table in fields(Frames)}
    return View(facts=Frames(**tables), meta=warehouse.meta(path))


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={View: lambda whole: whole.identity})
def _measured(whole: View, scope: Scope, names: tuple[str, ...], period: tuple[datetime, datetime], every: Every | None) -> pl.DataFrame:
    return measure(narrowed(whole, scope), *names, start=period[0], end=period[1], every=every)
