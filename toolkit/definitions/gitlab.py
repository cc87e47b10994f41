"""GitLab: incidents divided by deployments; nothing is linked to anything."""

from __future__ import annotations

import polars as pl

from toolkit.definitions.definition import Definition, History, Part, median, nothing, span

__all__ = ["GITLAB"]


def failed(history: History) -> Part:
    """Each incident created in the window is a failure."""
    return Part("incidents", history.incidents.with_columns(at="created_at", incident="id"))


def recovery(history: History) -> Part:
    """From created to closed, for incidents closed in the window."""
    rows = history.incidents.drop_nulls(["created_at", "closed_at"])
    return Part("incidents", rows.with_columns(*span("created_at", "closed_at"), at="closed_at", incident="id"))


GITLAB = Definition(
    name="gitlab",
    link=nothing,
    failed=failed,
    denominator=lambda: pl.col("successful"),
    recovery=recovery,
    summary=median,
    rate="incidents ÷ deployments",
    spans="median of closed − created",
    blames="{} counts, whatever caused it",
    left_out="only successful deployments count",
)
