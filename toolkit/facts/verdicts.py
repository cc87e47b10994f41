"""What canary judges said: whom they asked to stop, and what became of the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.observed import placed, resolve
from toolkit.facts.parted import Parted
from toolkit.facts.told import in_production, told

__all__ = ["asked_to_stop", "verdicts"]

# A verdict that names no deployment is about the latest one that had begun, at most so long before.
ABOUT = timedelta(hours=24)
STOPS = ("revert", "pause")
# What automation may act on: a judge that cannot tell stops a rollout as well.
NO_GO = (*STOPS, "inconclusive", "error")


def asked_to_stop(told: pl.DataFrame, deployments: pl.DataFrame, line: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """idx, stop_at: when a verdict first asked to stop a deployment of its own service and environment.

    told: typed verdicts up to the horizon; deployments: with `row`, whether or not they are in the lineage, so that a name means one.
    """
    rows = told.filter(pl.col("decision").is_in(NO_GO))
    rows = placed(rows, parts).drop_nulls("part").select("source", "part", "at", ref="deployment")
    here = line.lazy().filter(pl.col("part").is_in(rows["part"].unique().implode()), ~pl.col("entered"))
    begun = here.select("idx", "row", "part", "id", "start").collect()
    named = resolve(rows.drop_nulls("ref"), deployments.select("source", "source_id", "row"), "row")
    named = named.join(begun, on=["row", "part"]).select("idx", "at")
    silent = _latest(rows.filter(pl.col("ref").is_null()), begun.select("idx", "part", "id", "start"), ["part"]).select("idx", "at")
    return pl.concat([named, silent.drop_nulls("idx")]).group_by("idx").agg(stop_at=pl.col("at").min())


def _latest(rows: pl.DataFrame, begun: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """rows (by, at) with the latest of `begun` (by, start, id) at that moment, if it had begun at most 24 h before."""
    begun = begun.sort("start", "id").rename({"start": "at"})
    return rows.sort("at").join_asof(begun, on="at", by=by, strategy="backward", tolerance=ABOUT, check_sortedness=False)


def verdicts(
    records: Mapping[str, pl.DataFrame], deployments: Parted, doubles: pl.DataFrame, *, horizon: datetime, production: Sequence[str]
) -> pl.DataFrame:
    """Verdicts with of_deployment (what they judge), `last` (no later decision of the same tool on it) and `outcome`.

    outcome: overridden (a person decided otherwise), caught, missed, false_stop or quiet; null where the tool did not decide, the
    deployment is not known, or a pipeline refused it before production: whether it would have failed nobody knows.
    """
    rows = told("verdict", records).filter(pl.col("at") <= horizon).with_row_index("row")
    rows = in_production(rows, production)
    here = deployments.dense["service"].is_in(rows["service"].unique().implode()).arg_true()
    judged = deployments.at(here).select(*_OF, start=pl.coalesce("started_at", "finished_at"))
    known = judged.select("source", "source_id", "id")
    # What another source told of the same deployment means it as well.
    standing = known.rename({"source": "of_source", "source_id": "of_source_id"})
    known = pl.concat([known, doubles.join(standing, on=["of_source", "of_source_id"]).select(known.columns)])
    named = resolve(rows.select("row", "source", ref="deployment").drop_nulls("ref"), known, "id")
    named = named.drop_nulls("id").select("row", "id", how=pl.lit("declared"))
    silent = rows.filter(pl.col("deployment").is_null()).select("row", "service", "environment", "at")
    begun = judged.drop_nulls("start").select("service", "environment", "id", "start")
    latest = _latest(silent, begun, ["service", "environment"])
    latest = latest.drop_nulls("id").select("row", "id", how=pl.lit("derived:latest"))
    found = pl.concat([named, latest]).rename({"id": "of_deployment", "how": "deployment_source"})
    rows = rows.join(found, on="row", how="left", maintain_order="left")
    facts = judged.select("version", "matured", "drill", "stopped", "failed_final", of_deployment="id")
    rows = rows.join(facts, on="of_deployment", how="left", maintain_order="left")
    decided = pl.col("decision").is_in(["proceed", *STOPS])
    rows = rows.with_columns(overridden=pl.col("overridden_by").is_not_null()).sort("at", "id")
    rows = rows.with_columns(turn=pl.when(decided & pl.col("of_deployment").is_not_null()).then(pl.int_range(pl.len())))
    rows = rows.with_columns(last=(pl.col("turn") == pl.col("turn").max().over("of_deployment", "tool")).fill_null(value=False))
    stop, failed = pl.col("decision").is_in(STOPS), pl.col("failed_final").is_in(["certain", "likely"]).fill_null(value=False)
    outcome = (
        pl.when(~decided | pl.col("of_deployment").is_null())
        .then(None)
        .when("overridden")
        .then(pl.lit("overridden"))
        .when(stop & pl.col("stopped"))
        .then(None)
        .when(stop & failed)
        .then(pl.lit("caught"))
        .when(failed)
        .then(pl.lit("missed"))
        .when(stop)
        .then(pl.lit("false_stop"))
        .otherwise(pl.lit("quiet"))
    )
    return rows.with_columns(outcome=outcome, decided=decided).select(_VERDICT)


_OF = [
    "id", "source", "source_id", "service", "environment", "version", "matured", "drill", "stopped", "failed_final",
]  # fmt: skip
_VERDICT = [
    "id", "source", "source_id", "service", "environment", "production", "deployment", "of_deployment", "deployment_source", "version",
    "tool", "criterion", "decision", "decided", "score", "checks", "overridden", "last", "matured", "drill", "stopped", "failed_final",
    "outcome", "at",
]  # fmt: skip
