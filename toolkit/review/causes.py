"""Which deployments may have caused an incident, what speaks for each, and why one of them counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from toolkit.facts.links import ATTRIBUTION

__all__ = ["BECAUSE", "candidates_of"]

# Why a deployment counts as the cause, by the rule that the facts name.
BECAUSE = {
    "declared": "the incident names it",
    "derived:undone": "the first attempt to get back undid it",
    "derived:within_1h": "it is the latest change within an hour",
    "derived:hotfix": "it is the latest change, and a hotfix names the incident",
    "derived:within_24h": "it is the latest change, though more than an hour away",
    "override": "a reviewer said so",
}
LEVELS = {"certain": 0, "likely": 1, "possible": 2}
COLUMNS = [
    "id", "source", "source_id", "service", "environment", "version", "kind", "status", "deployed_at", "distance", "level", "evidence",
    "candidate", "counted", "why",
]  # fmt: skip


def candidates_of(facts: Any, incident: Mapping[str, Any]) -> pl.DataFrame:
    """The candidates, the cause first and then the nearest: id, source, source_id, service, environment, version, kind, status,
    deployed_at, distance (a span; null for what began after the link time), level (of the strongest evidence that this incident
    gives), evidence (a list, in words), candidate, counted, why.

    Candidates are those of the stitching: of the incident's services and environment, begun by its link time and within a day after
    they ended; no redeploy, no drill, none that carries an attempt of this very incident. What was declared, undone or named by a
    reviewer is listed even where it is none of these."""
    seen = facts.evidence.filter((pl.col("by") == incident["id"]) | pl.col("by").is_in(incident["attempts"])).collect()
    where = pl.col("production") if incident["environment"] is None else pl.col("environment") == incident["environment"]
    own = pl.col("service").is_in(incident["services"]) & where
    # Null, not an error, where the incident has no time: then nothing is near.
    moment = pl.lit(incident["link_time"], pl.Datetime("us", "UTC"))
    begun = pl.coalesce("started_at", "finished_at")
    until = pl.when(pl.col("ended") & ~pl.col("successful")).then("deployed_at").otherwise(pl.col("deployed_at") + ATTRIBUTION)
    carrying = pl.col("attempt").is_in(incident["attempts"]).fill_null(value=False)
    near = own & (begun <= moment) & (moment < until) & (pl.col("kind") != "redeploy") & ~pl.col("drill") & ~carrying
    named = pl.col("id").is_in([*seen["deployment"].to_list(), incident["cause_deployment"] or ""])
    zero = timedelta(0)
    rows = (
        facts.deployments.filter(near.fill_null(value=False) | named)
        .select(
            "id", "source", "source_id", "service", "environment", "version", "kind", "status", "deployed_at",
            candidate=near.fill_null(value=False),
            carrying=carrying,
            distance=pl.when(begun <= moment).then(
                pl.when(~pl.col("ended")).then(zero).otherwise(pl.max_horizontal(moment - pl.col("deployed_at"), zero))
            ),
            counted=pl.col("id") == (incident["cause_deployment"] or ""),
        )
        .collect()
    )  # fmt: skip
    rows = rows.join(_in_words(seen), on="id", how="left").with_columns(pl.col("evidence").fill_null([]))
    latest = pl.col("candidate") & (pl.col("deployed_at") == pl.col("deployed_at").filter("candidate").max().over("service", "environment"))
    return (
        rows.with_columns(why=_why(incident, latest.fill_null(value=False)))
        .sort(~pl.col("counted"), "distance", -pl.col("deployed_at").to_physical(), "id", nulls_last=True)
        .select(COLUMNS)
    )


def _in_words(seen: pl.DataFrame) -> pl.DataFrame:
    """id, level (the strongest), evidence: `likely: undone, by deployment:shop-2`."""
    said = pl.format(
        "{}: {}{}",
        "level",
        pl.col("rule").str.strip_prefix("derived:").str.replace_all("_", " "),
        pl.when(pl.col("by").is_not_null()).then(pl.format(", by {}", "by")).otherwise(pl.lit("")),
    )
    rank = pl.col("level").replace_strict(LEVELS, return_dtype=pl.Int8, default=9)
    return (
        seen.with_columns(said=said, rank=rank)
        .sort("rank", "at", "said")
        .group_by(id="deployment", maintain_order=True)
        .agg(pl.col("level").first(), evidence=pl.col("said").unique(maintain_order=True))
    )


def _why(incident: Mapping[str, Any], latest: pl.Expr) -> pl.Expr:
    rule = incident["cause_source"]
    counted = BECAUSE.get(rule or "", "it counts by the rule " + str(rule))
    if incident["not_a_deployment"]:
        passed = pl.lit("does not count: the cause is no deployment")
    elif incident["cause_deployment"] is None:
        passed = pl.lit("does not count: nothing points at it")
    else:
        passed = (
            pl.when(latest)
            .then(pl.lit(f"does not count: for {incident['cause_deployment']}, {counted}"))
            .when("candidate")
            .then(pl.lit("does not count: a later deployment came between"))
            .when("carrying")
            .then(pl.lit("does not count: it was an attempt to end this incident"))
            .otherwise(pl.lit("does not count: too far from the beginning"))
        )
    return pl.when("counted").then(pl.lit(f"counts: {counted}")).otherwise(passed)
