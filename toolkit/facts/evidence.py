"""What says that a deployment failed, and how strongly."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from toolkit.facts.incidents import Incidents
from toolkit.facts.joins import moments_in, of_rows
from toolkit.facts.observed import resolve

__all__ = ["LEVELS", "causes_declared", "evidence_by_time", "evidence_by_undoing", "likely_hotfixes", "strongest"]

# Strongest first: a sort by this enum puts the best evidence at the top.
LEVELS = pl.Enum(["certain", "likely", "possible"])
UNDONE_SOON = timedelta(days=7)
NEAR = timedelta(hours=1)
HOTFIX_RECOVERS = timedelta(minutes=60)
_INSTANT = timedelta(microseconds=1)
_SAID = pl.when("cause_said").then(pl.lit("override")).otherwise(pl.lit("declared"))
_COLUMNS = ["idx", "level", "at", "rule", "inc", "attempt"]


def causes_declared(incidents: Incidents, deployments: pl.DataFrame, line: pl.DataFrame) -> pl.DataFrame:
    """inc, row, idx, rule: the suspected deployment, of the incident's environment; not_a_deployment wins. One without any time is in no
    lineage (idx: null), and the cause all the same."""
    named = incidents.rows.filter(~pl.col("not_a_deployment") & ~pl.col("planned"))
    refs = named.select("inc", source="suspected_source", where="environment", ref="suspected_deployment", rule=_SAID).drop_nulls("ref")
    found = resolve(refs, deployments, "row").drop_nulls("row")
    found = of_rows(found, "row", deployments, environment="environment", production="production")
    fits = pl.when(pl.col("where").is_null()).then("production").otherwise(pl.col("where") == pl.col("environment"))
    placed = line.lazy().filter(pl.col("row").is_in(found["row"].implode())).select("row", "idx").collect()
    return found.filter(fits).join(placed, on="row", how="left", maintain_order="left").select("inc", "row", "idx", "rule")


def likely_hotfixes(incidents: Incidents, deployments: pl.DataFrame, attempts: pl.DataFrame) -> pl.DataFrame:
    """inc, part, idx: the last new artifact that came while the incident was open, recovery following within 60 min, no attempt ending
    later."""
    fresh = ~pl.col("seen") & pl.col("artifact").is_not_null() & pl.col("successful") & (pl.col("kind") != "rollback") & ~pl.col("entered")
    new = deployments.lazy().filter(fresh).select("idx", "part", "start", moment="deployed_at").collect()
    spells = incidents.rows.select("inc", "link_time", "recovered_at").drop_nulls().join(incidents.places, on="inc")
    spells = spells.select(
        "inc",
        "part",
        "link_time",
        pl.max_horizontal("link_time", pl.col("recovered_at") - HOTFIX_RECOVERS + _INSTANT).alias("from"),
        until=pl.col("recovered_at") + _INSTANT,
    )
    pairs = moments_in(new, spells).filter(pl.col("start") >= pl.col("link_time"))
    last = pairs.sort("idx").group_by("inc", "part").agg(pl.col("idx", "moment").last())
    worked = attempts.filter(pl.col("inc").is_not_null() & ~pl.col("status").is_in(["failed", "cancelled", "partial"]))
    later = last.join(worked.select("inc", "part", "completed_at"), on=["inc", "part"]).filter(pl.col("completed_at") > pl.col("moment"))
    return last.join(later, on=["inc", "part"], how="anti").select("inc", "part", "idx").sort("inc", "part")


def evidence_by_time(incidents: Incidents, causes: pl.DataFrame, latest: pl.DataFrame, hotfixed: pl.DataFrame) -> pl.DataFrame:
    """Evidence rows from incidents: declared causes, else the latest candidate. hotfixed: inc of incidents that a hotfix names."""
    links = incidents.rows.select("inc", at="link_time", apart="not_a_deployment")
    declared = causes.drop_nulls("idx").join(links, on="inc").select("idx", level=pl.lit("certain"), at="at", rule="rule", inc="inc")
    free = latest.join(causes, on="inc", how="anti").join(links.filter(~pl.col("apart")), on="inc")
    free = free.join(hotfixed.select("inc", named=pl.lit(value=True)).unique(), on="inc", how="left")
    near = pl.col("distance") <= NEAR
    by_time = free.select(
        "idx",
        level=pl.when(near | pl.col("named")).then(pl.lit("likely")).otherwise(pl.lit("possible")),
        at="at",
        rule=pl.when(near)
        .then(pl.lit("derived:within_1h"))
        .when("named")
        .then(pl.lit("derived:hotfix"))
        .otherwise(pl.lit("derived:within_24h")),
        inc="inc",
    )
    return pl.concat([declared, by_time]).with_columns(attempt=pl.lit(None, pl.Int64)).select(_COLUMNS)


def evidence_by_undoing(attempts: pl.DataFrame, parts: pl.DataFrame, deployments: pl.DataFrame) -> pl.DataFrame:
    """Evidence rows from attempts: what they undid, and what an undone rollback had brought back. parts: key, attempt, undoes,
    restores, also."""
    real = attempts.filter(~pl.col("drill") & ~pl.col("race") & ~pl.col("code_level"))
    undone = parts.select("attempt", "undoes", "also").join(
        real.select("attempt", "episode", "episode_order", at="started_at"), on="attempt"
    )
    undone = of_rows(undone.drop_nulls("undoes"), "undoes", deployments, born="deployed_at", artifact="artifact")
    soon = pl.col("at") - pl.col("born") < UNDONE_SOON
    undone = undone.with_columns(level=pl.when(soon).then(pl.lit("likely")).otherwise(pl.lit("possible")))
    direct = undone.select(idx="undoes", level="level", at="at", rule=pl.lit("derived:undone"), attempt="attempt")
    current = undone.drop_nulls("also").select(idx="also", level="level", at="at", rule=pl.lit("derived:undone_with"), attempt="attempt")
    # V3 → V2 → V1 within one episode: V2, brought back by the first step, failed too; so did the release that first brought it in.
    restored = parts.select("attempt", "restores").drop_nulls().unique()
    restored = restored.join(real.select("attempt", "episode", earlier="episode_order"), on="attempt").drop("attempt")
    restored = of_rows(restored, "restores", deployments, artifact="artifact").select("episode", "earlier", "artifact")
    again = undone.join(restored, on=["episode", "artifact"]).filter(pl.col("earlier") < pl.col("episode_order"))
    its = pl.col("artifact").is_in(again["artifact"].unique().implode())
    successes = deployments.lazy().filter(its, "successful", ~pl.col("entered")).select("idx", "artifact", "kind").collect()
    again = again.join(successes.rename({"idx": "first"}), on="artifact").filter(pl.col("first") < pl.col("undoes"))
    again = again.sort(pl.col("kind") != "release", "first").unique(["attempt", "undoes"], keep="first", maintain_order=True)
    origin = again.select(idx="first", level="level", at="at", rule=pl.lit("derived:undone_again"), attempt="attempt")
    rows = pl.concat([direct, current, origin]).unique().with_columns(inc=pl.lit(None, pl.Int64))
    return rows.select(_COLUMNS)


def strongest(evidence: pl.DataFrame, level: str = "level") -> pl.DataFrame:
    """idx, failed, failed_source, failed_at (earliest moment of certain or likely evidence), evidence_inc."""
    ranked = evidence.with_columns(pl.col(level).cast(LEVELS)).sort("idx", level, "at", "rule", "inc", "attempt", nulls_last=True)
    firm = pl.col(level).is_in(["certain", "likely"])
    return ranked.group_by("idx", maintain_order=True).agg(
        failed=pl.col(level).first().cast(pl.String),
        failed_source=pl.col("rule").first(),
        failed_at=pl.col("at").filter(firm).min(),
        evidence_inc=pl.col("inc").drop_nulls().first(),
    )
