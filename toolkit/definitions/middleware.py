"""Middleware: an incident belongs to the deployment after which it was created, until the next deployment."""

from __future__ import annotations

import polars as pl

from toolkit.definitions.definition import Definition, History, Part, mean, newest_before, span, with_place

__all__ = ["MIDDLEWARE"]


def link(history: History) -> pl.LazyFrame:
    """deployment ≤ created < next deployment."""
    return newest_before(history, "deployed_at", strictly=False)


def failed(history: History) -> Part:
    """Deployments with incidents, each once."""
    once = link(history).select("deployment").unique().with_columns(id="deployment")
    ended = history.deployments.select(deployment="id", at="deployed_at")
    return Part("deployments", with_place(once.join(ended, on="deployment"), history, "deployments"))


def recovery(history: History) -> Part:
    """From created to resolved, for incidents resolved in the window."""
    rows = history.incidents.drop_nulls(["created_at", "closed_at"])
    return Part("incidents", rows.with_columns(*span("created_at", "closed_at"), at="closed_at", incident="id"))


MIDDLEWARE = Definition(
    name="middleware",
    link=link,
    failed=failed,
    denominator=lambda: pl.col("successful"),
    recovery=recovery,
    summary=mean,
    rate="deployments with incidents ÷ deployments",
    spans="mean of resolved − created",
    blames="{} was created after it and before the next",
    left_out="only successful deployments count",
    none=0.0,
)
