"""What somebody else's definition consists of, and the records it is computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from toolkit.metrics.reading import Published

__all__ = ["ADDED", "Definition", "History", "Part", "history_of", "lower_median", "mean", "median", "newest_before"]

Fact = Literal["deployments", "incidents"]
Places = {
    "deployments": ("service", "environment", "production"),
    "incidents": ("services", "environment", "production", "severity"),
}
# Columns of a definition's own rows, beside the place they belong to.
ADDED = ("id", "at", "deployment", "incident", "minutes", "begun", "ended")


@dataclass(frozen=True)
class History:
    """What other tools see: deployments as they ran, and tickets from created_at to closed_at. Duplicates are folded and planned
    maintenance is gone before any definition is asked: that is about what an incident is, not about what it is linked to."""

    deployments: pl.LazyFrame
    incidents: pl.LazyFrame


@dataclass(frozen=True)
class Part:
    """Rows of one number: the fact whose places they have, and the frame with `id` and `at`, the moment by which they fall into a window.
    Of a recovery also minutes, begun and ended; `deployment` and `incident` where the row is about one."""

    fact: Fact
    rows: pl.LazyFrame


@dataclass(frozen=True)
class Definition:
    """One tool's change failure rate and recovery time.

    link: incident (or rollback) and the deployment it is held against; no rows where the tool links nothing. failed: the numerator.
    denominator: which deployments are divided by. recovery: spans with both of their ends. summary: of minutes. needs: facts without
    which nothing is said. none: the rate of no deployments. at: by what a deployment falls into a window.
    rate, spans, blames, left_out: words for the method, the summary, why a deployment failed and why one is not counted.
    """

    name: str
    link: Callable[[History], pl.LazyFrame]
    failed: Callable[[History], Part]
    denominator: Callable[[], pl.Expr]
    recovery: Callable[[History], Part]
    summary: Callable[[Sequence[float]], float]
    rate: str
    spans: str
    blames: str
    left_out: str
    needs: tuple[str, ...] = ("deployments", "incidents")
    none: float | None = None
    at: str = "deployed_at"
    both_in_window: bool = False

    def deployments(self, history: History) -> Part:
        """What the rate is divided by."""
        rows = history.deployments.filter(self.denominator().fill_null(value=False))
        return Part("deployments", rows.with_columns(at=self.at, deployment="id"))


def history_of(w: Published) -> History:
    """The published facts as other tools would see them."""
    names = ["id", *Places["deployments"], "version", "status", "kind", "started_at", "finished_at", "deployed_at", "successful"]
    deployments = w.facts.deployments.select(*names, "restores").with_columns(pl.col("service", "id").cast(pl.String))
    # When a ticket was opened no record says; it was when somebody or something noticed.
    tickets = w.facts.incidents.filter(~pl.col("planned").fill_null(value=False)).select(
        "id",
        *Places["incidents"],
        created_at=pl.coalesce("detected_at", "link_time"),
        closed_at=pl.coalesce("resolved_at", "recovered_at"),
        # A commit typed in, or the deployment itself.
        names=pl.col("names_deployments").list.set_union(
            pl.when(pl.col("cause_source") == "declared").then(pl.concat_list("cause_deployment")).otherwise([])
        ),
    )
    return History(deployments, tickets)


def newest_before(history: History, moment: str, *, strictly: bool) -> pl.LazyFrame:
    """incident, deployment: the newest successful production deployment of the incident's services whose `moment` lies before its
    creation (or at it, unless strictly). A project of the tool is here the services that the incident names."""
    ships = history.deployments.filter(pl.col("successful") & pl.col("production")).drop_nulls(moment)
    ships = ships.select("service", deployment="id", moment=moment).sort("moment", "deployment")
    tickets = history.incidents.drop_nulls("created_at").select("created_at", incident="id", service="services").explode("service")
    tickets = tickets.with_columns(pl.col("service").cast(pl.String)).sort("created_at", "incident")
    found = tickets.join_asof(
        ships,
        left_on="created_at",
        right_on="moment",
        by="service",
        strategy="backward",
        allow_exact_matches=not strictly,
        check_sortedness=False,
    )
    newest = found.drop_nulls("deployment").sort("incident", "moment", "deployment").unique("incident", keep="last", maintain_order=True)
    return newest.select("incident", "deployment")


def with_place(rows: pl.LazyFrame, history: History, fact: Fact) -> pl.LazyFrame:
    """Adds the places of the row's deployment or incident, by which it is asked for."""
    key = fact.removesuffix("s")
    there: pl.LazyFrame = getattr(history, fact)
    return rows.join(there.select(*Places[fact], pl.col("id").alias(key)), on=key, how="inner")


def lower_median(values: Sequence[float]) -> float:
    """The largest value with at most half of the others below it."""
    return sorted(values)[(len(values) - 1) // 2]


def median(values: Sequence[float]) -> float:
    """The middle one, or half way between the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def mean(values: Sequence[float]) -> float:
    """Sum ÷ number."""
    return sum(values) / len(values)


def nothing(_: Any) -> pl.LazyFrame:
    """The links of a tool that links nothing."""
    return pl.LazyFrame(schema={"incident": pl.String, "deployment": pl.String})


def span(begun: str, ended: str) -> list[pl.Expr]:
    """minutes, begun, ended of two moments."""
    return [
        ((pl.col(ended) - pl.col(begun)).dt.total_microseconds() / 60e6).alias("minutes"),
        pl.col(begun).alias("begun"),
        pl.col(ended).alias("ended"),
    ]
