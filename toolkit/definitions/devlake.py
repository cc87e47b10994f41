"""Apache DevLake: each incident is held against the newest deployment that had finished before it was created."""

from __future__ import annotations

import polars as pl

from toolkit.definitions.definition import Definition, History, Part, lower_median, newest_before, span, with_place

__all__ = ["DEVLAKE"]


def link(history: History) -> pl.LazyFrame:
    """The newest successful production deployment with finished_at strictly before the creation; however long ago."""
    return newest_before(history, "finished_at", strictly=True)


def failed(history: History) -> Part:
    """Deployments with an incident, each once."""
    once = link(history).select("deployment").unique().with_columns(id="deployment")
    ended = history.deployments.select(deployment="id", at="finished_at")
    return Part("deployments", with_place(once.join(ended, on="deployment"), history, "deployments"))


def recovery(history: History) -> Part:
    """From the end of the deployment to the resolution of its incident, both in the window; open incidents are dropped."""
    tickets = history.incidents.select("closed_at", incident="id").drop_nulls()
    rows = link(history).join(tickets, on="incident").join(history.deployments.select("finished_at", deployment="id"), on="deployment")
    rows = rows.select("deployment", "incident", *span("finished_at", "closed_at"), id="incident", at="closed_at")
    return Part("deployments", with_place(rows, history, "deployments"))


DEVLAKE = Definition(
    name="devlake",
    link=link,
    failed=failed,
    denominator=lambda: pl.col("successful") & pl.col("finished_at").is_not_null(),
    recovery=recovery,
    summary=lower_median,
    rate="deployments with an incident ÷ successful deployments",
    spans="lower median of resolution − deployment finish",
    blames="newest successful deployment that had finished before {}",
    left_out="only successful deployments with an end count",
    at="finished_at",
    both_in_window=True,
)
