"""Could each service be rolled back now: what runs, what it could go back to, and what shows that the way works."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.attempts import DEPLOY_MECHANISMS
from toolkit.facts.builds import fixed_version, identified, registry_of, with_names
from toolkit.facts.ownership import owned_at
from toolkit.facts.parted import Parted
from toolkit.facts.told import told

__all__ = ["migrations", "readiness"]

# As in `to_known_good`: what ran so long without failing is worth going back to.
RAN_WELL = timedelta(hours=24)
RAN_BRIEFLY = timedelta(hours=1)
# Nobody goes back further than that.
LOOKED_BACK = 100
_KEY = ["service", "environment"]


def readiness(
    records: Mapping[str, pl.DataFrame],
    deployments: Parted,
    rollbacks: pl.DataFrame,
    *,
    horizon: datetime,
) -> pl.DataFrame:
    """A row a service and production environment, as of the horizon, with the evidence for each question beside it (an id, or null).

    running, running_version, since: what is there. known_good, known_good_version, known_good_digest, known_good_artifact: what it could
    go back to, and the build of it in the registry. proven_by, proven_at: the last rollback or drill that worked. irreversible:
    deployments since the known-good one whose migration cannot be taken back (null: nobody says anything of migrations, or there is
    nothing to go back to). kill_switch, kill_switch_at; rollback_test, rollback_test_status, rollback_test_at; owner, team, rota.
    """
    brought = _brought(deployments, rollbacks)
    last = brought.unique(_KEY, keep="last", maintain_order=True)
    rows = last.select(*_KEY, running="id", running_version="version", since="deployed_at").with_row_index("row")
    failed = deployments.of_few("failed_final").filter("production", pl.col("failed_final").is_in(["certain", "likely"]))
    rows = rows.pipe(_with_known_good, brought, failed.select(*_KEY, "id", "version"), records).pipe(_with_migration, brought, records)
    rows = rows.pipe(_with_proof, rollbacks).pipe(_with_switch, records, horizon).pipe(_with_test, records, horizon)
    owned = owned_at(rows.with_columns(moment=pl.lit(horizon)), records).drop("service_class")
    rows = rows.join(owned, on="row", how="left", maintain_order="left")
    return rows.select(pl.concat_str(*_KEY, separator=" ").alias("id"), *_READY, production=pl.lit(value=True), at=pl.lit(horizon))


_OF = [
    *_KEY, "id", "source", "source_id", "version", "kind", "deployed_at", "superseded_at", "at",
]  # fmt: skip
_READY = [
    *_KEY, "running", "running_version", "since", "known_good", "known_good_version", "known_good_digest", "known_good_artifact",
    "proven_by", "proven_at", "irreversible", "kill_switch", "kill_switch_at", "rollback_test", "rollback_test_status",
    "rollback_test_at", "owner", "team", "rota",
]  # fmt: skip


def _brought(deployments: Parted, rollbacks: pl.DataFrame) -> pl.DataFrame:
    """What brought an artifact into production, in order: the LOOKED_BACK last ones of each service and environment. A redeploy is
    transparent: what runs is what the one before had brought in; a rollback that no deployment carried out, a switch of traffic say,
    brings back what it restores."""
    live = pl.col("production") & pl.col("successful") & ~pl.col("drill") & ~pl.col("overlapped") & (pl.col("kind") != "redeploy")
    asked = deployments.select(["production", "successful", "drill", "overlapped", "kind", "at", *_KEY]).lazy()
    places = asked.with_row_index("place").filter(live & pl.col("at").is_not_null()).select("place", *_KEY).collect()
    # They lie in lineage order: a service's last rows are those before the next one begins.
    ends = places.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in _KEY).alias("end"))["end"].arg_true()
    spans = pl.DataFrame({"end": ends.cast(pl.Int64)}).with_columns(begin=pl.col("end").shift(1, fill_value=-1) + 1)
    spans = spans.with_columns(begin=pl.max_horizontal("begin", pl.col("end") + 1 - LOOKED_BACK))
    last = spans.select(pl.int_ranges("begin", pl.col("end") + 1).explode())["begin"].drop_nulls()
    runs = deployments.at(places["place"].gather(last)).select(_OF)
    moved = pl.col("parts").list.eval(pl.element().str.starts_with("deployment:")).list.any()
    switched = (
        rollbacks.lazy()
        .filter(
            pl.col("production"), ~pl.col("drill"), pl.col("mechanism").is_in(DEPLOY_MECHANISMS), pl.col("status") == "completed", ~moved
        )
        .select(*_KEY, "id", "restores", "completed_at")
        .drop_nulls()
        .collect()
    )
    if len(switched):
        named = pl.col("id").is_in(switched["restores"].implode())
        restored = deployments.dense.lazy().filter(named).select("source", "source_id", "version", restores="id").collect()
        back = switched.join(restored, on="restores").select(
            *_KEY, "id", "source", "source_id", "version", kind=pl.lit("rollback"), deployed_at="completed_at",
            superseded_at=pl.lit(None, pl.Datetime("us", "UTC")), at="completed_at",
        )  # fmt: skip
        runs = pl.concat([runs, back])
    runs = runs.sort(*_KEY, "deployed_at", "id")
    return runs.with_columns(superseded_at=pl.coalesce("superseded_at", pl.col("deployed_at").shift(-1).over(_KEY)))


def _with_known_good(rows: pl.DataFrame, brought: pl.DataFrame, failed: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The latest other version that had run well: 24 h in all, or an hour until something newer took its place; never failed."""
    name = pl.coalesce(fixed_version(), "id").alias("name")
    spells = brought.with_columns(name, next=pl.col("kind").shift(-1).over(_KEY))
    ran = pl.col("superseded_at") - pl.col("deployed_at")
    briefly = ((ran >= RAN_BRIEFLY) & (pl.col("next") != "rollback")).fill_null(value=False)
    good = (
        spells.group_by(*_KEY, "name")
        .agg(
            well=(ran.sum() >= RAN_WELL) | briefly.any(),
            current=pl.col("superseded_at").is_null().any(),
            **{column: pl.col(column).last() for column in ("id", "source", "source_id", "version", "deployed_at")},
        )
        .filter(pl.col("well") & ~pl.col("current"))
        .join(failed.select(*_KEY, name), on=[*_KEY, "name"], how="anti")
        .sort(*_KEY, "deployed_at", "id")
        .unique(_KEY, keep="last", maintain_order=True)
    )
    known = identified(with_names(good, records).with_columns(own="digest"), registry_of(records))
    known = known.select(
        *_KEY, known_good="id", known_good_version="version", known_good_at="deployed_at", known_good_digest="own",
        known_good_artifact="artifact",
    )  # fmt: skip
    return rows.join(known, on=_KEY, how="left", maintain_order="left")


def _with_migration(rows: pl.DataFrame, brought: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What has changed the data for good since the known-good version came in."""
    told_of = migrations(records)
    speaks = told_of.select("service").unique().with_columns(speaks=pl.lit(value=True))
    for_good = told_of.filter(pl.col("migration") == "irreversible").select("source", "source_id")
    changed = brought.join(for_good, on=["source", "source_id"], how="semi").select(*_KEY, "id", "deployed_at")
    since = rows.select(*_KEY, "known_good_at").join(changed, on=_KEY).filter(pl.col("deployed_at") > pl.col("known_good_at"))
    found = since.sort("deployed_at", "id").group_by(_KEY, maintain_order=True).agg(irreversible="id")
    rows = rows.join(found, on=_KEY, how="left", maintain_order="left").join(speaks, on="service", how="left", maintain_order="left")
    known = pl.col("speaks").is_not_null() & pl.col("known_good").is_not_null()
    return rows.with_columns(irreversible=pl.when(known).then(pl.col("irreversible").fill_null([])))


def migrations(records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """source, source_id, service, migration of the deployments that say something of migrations."""
    schema = dict.fromkeys(("source", "source_id", "service", "migration"), pl.String)
    frame = records.get("migration", records.get("deployment"))
    if frame is None or "migration" not in frame.columns:
        return pl.DataFrame(schema=schema)
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items()).drop_nulls("migration")


def _with_proof(rows: pl.DataFrame, rollbacks: pl.DataFrame) -> pl.DataFrame:
    worked = (pl.col("outcome") == "succeeded") | ((pl.col("outcome") == "drill") & (pl.col("status") == "completed"))
    ways = pl.col("mechanism").is_in(DEPLOY_MECHANISMS)
    last = rollbacks.filter(worked & ways & ~pl.col("code_level")).sort("completed_at", "id", nulls_last=False)
    last = last.unique(_KEY, keep="last", maintain_order=True).select(*_KEY, proven_by="id", proven_at="completed_at")
    return rows.join(last, on=_KEY, how="left", maintain_order="left")


def _with_switch(rows: pl.DataFrame, records: Mapping[str, pl.DataFrame], horizon: datetime) -> pl.DataFrame:
    changes = told("flag_change", records).filter(pl.col("kill_switch") & (pl.col("at") <= horizon)).sort("at", "id")
    last = changes.unique(_KEY, keep="last", maintain_order=True).select(*_KEY, kill_switch="flag", kill_switch_at="at")
    return rows.join(last, on=_KEY, how="left", maintain_order="left")


def _with_test(rows: pl.DataFrame, records: Mapping[str, pl.DataFrame], horizon: datetime) -> pl.DataFrame:
    gates = told("gate", records).with_columns(at=pl.coalesce("finished_at", "started_at"))
    tests = gates.filter((pl.col("kind") == "rollback") & pl.col("status").is_in(["passed", "failed"]) & (pl.col("at") <= horizon))
    last = tests.sort("at", "id").unique("service", keep="last", maintain_order=True)
    last = last.select("service", rollback_test="id", rollback_test_status="status", rollback_test_at="at")
    return rows.join(last, on="service", how="left", maintain_order="left")
