"""Google's Four Keys: a commit typed into the incident links it; every incident row counts, so the rate can pass 1."""

from __future__ import annotations

import polars as pl

from toolkit.definitions.definition import Definition, History, Part, median, with_place

__all__ = ["FOURKEYS"]


def link(history: History) -> pl.LazyFrame:
    """Every successful deployment of the commit that the incident names as its root cause."""
    named = history.incidents.select(incident="id", deployment="names").explode("deployment").drop_nulls("deployment")
    return named.join(history.deployments.filter("successful").select(deployment="id"), on="deployment", how="semi")


def failed(history: History) -> Part:
    """One row for each incident and deployment of its commit: two incidents of one deployment are two."""
    ended = history.deployments.select(deployment="id", at="deployed_at")
    return Part("deployments", with_place(link(history).with_columns(id="incident").join(ended, on="deployment"), history, "deployments"))


def recovery(history: History) -> Part:
    """Whole hours from creation, or from the deployment of the named commit if that was earlier, to resolution; open ones are dropped."""
    ended = history.deployments.select("deployed_at", deployment="id")
    earliest = link(history).join(ended, on="deployment").group_by("incident").agg(shipped=pl.col("deployed_at").min())
    rows = history.incidents.drop_nulls(["created_at", "closed_at"]).rename({"id": "incident"}).join(earliest, on="incident", how="left")
    rows = rows.with_columns(begun=pl.min_horizontal("created_at", "shipped"), ended="closed_at", id="incident")
    whole = (pl.col("ended") - pl.col("begun")).dt.total_hours()
    return Part("incidents", rows.with_columns(minutes=whole * 60.0, at="begun"))


FOURKEYS = Definition(
    name="fourkeys",
    link=link,
    failed=failed,
    denominator=lambda: pl.col("successful"),
    recovery=recovery,
    summary=median,
    rate="incident rows ÷ distinct deployments",
    spans="continuous median of whole hours",
    blames="its commit is typed into {}",
    left_out="only successful deployments count",
)
