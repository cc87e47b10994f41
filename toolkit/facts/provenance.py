"""Where each deployment to production came from: its build, its rehearsal elsewhere, and the gates that its artifact had met before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from toolkit.facts.builds import fixed_version, identified, registry_of, same_build, versions, with_names
from toolkit.facts.parted import Parted
from toolkit.facts.told import in_production, told, until

__all__ = ["supply_facts"]

_OF = [
    "id", "source", "source_id", "service", "environment", "production", "version", "started_at", "deployed_at", "kind", "kind_source",
    "hotfix", "hotfix_source", "successful", "ended", "drill", "stopped", "matured", "provisional", "failed_final", "failed_source", "at",
]  # fmt: skip


def supply_facts(
    records: Mapping[str, pl.DataFrame],
    deployments: Parted,
    rollbacks: pl.DataFrame,
    *,
    horizon: datetime,
    production: Sequence[str],
) -> dict[str, pl.DataFrame]:
    """versions, gates, checks, provenance; empty where nobody connected a registry or gates.

    provenance: a row a deployment to production: pinned, registered, traceable, staged, promoted_unchanged (null: not known), gates_since
    (when gates of its service were first told of), passed (kinds of gates), tested, usual (gates that half of the service's releases
    had passed until then) and skipped (those of them that it had not), rollback_tested_at (the last test or drill that worked, before).
    checks: a row a deployment and kind of gate: how the last run on its artifact had ended.
    """
    registry = registry_of(records, horizon)
    gates = until(told("gate", records), horizon, "finished_at").with_columns(at=pl.coalesce("finished_at", "started_at"))
    gates = gates.filter(pl.col("at") <= horizon).rename({"artifact_digest": "digest", "vcs_revision": "revision"})
    gates = in_production(gates, production)
    connected = len(registry) or len(gates)
    rows = deployments.select(_OF) if connected else pl.DataFrame(schema={name: deployments.schema[name] for name in _OF})
    rows = with_names(rows, records)
    rows = rows.with_columns(start=pl.coalesce("started_at", "deployed_at")).with_row_index("row")
    seen = versions(registry, rows)
    pinned = pl.col("digest").is_not_null()
    named = pinned | fixed_version().is_not_null() | pl.col("revision").is_not_null()
    promoted = _promotions(rows)
    own = rows.filter("production").with_columns(pinned=pinned, named=named, own_revision="revision")
    own = identified(own, registry).join(promoted, on="row", how="left", maintain_order="left")
    own = own.with_columns(
        registered=pl.col("artifact").is_not_null(),
        staged=pl.col("staged").fill_null(value=False),
        traceable=pl.when("named").then(
            (
                pl.col("built_from").is_not_null() & (pl.col("own_revision").fill_null(pl.col("built_from")) == pl.col("built_from"))
            ).fill_null(value=False)
        ),
    )
    checks = _checks(own, identified(gates.drop("built_at", "signed_at", strict=False), registry))
    own = own.pipe(_with_gates, checks, gates).pipe(_with_usual).pipe(_with_proof, gates, rollbacks)
    told_of = own.select("row", *(name for name in _OF if name not in ("source", "source_id", "at")))
    checks = checks.rename({"at": "gate_at"}).join(told_of.join(own.select("row", "at"), on="row"), on="row", maintain_order="left")
    checks = checks.select(pl.format("{} {}", "id", "gate").alias("id"), pl.col("id").alias("deployment"), *_CHECK).sort("at", "id")
    return {
        "versions": seen,
        "gates": gates.select(_GATE).sort("at", "id"),
        "checks": checks,
        "provenance": own.select(_PROVENANCE).sort("at", "id", nulls_last=True),
    }


_GATE: list[str | pl.Expr] = [
    "id", "source", "source_id", "service", "environment", pl.lit(value=True).alias("production"), "version", "digest", "revision", "kind",
    "status", "started_at", "finished_at", "at",
]  # fmt: skip
_CHECK: list[str | pl.Expr] = [
    "service", "environment", "production", "version", pl.col("gate").alias("kind"), pl.col("kind").alias("change"),
    "kind_source", "hotfix", "hotfix_source", "status", "gate_at", "successful", "ended", "drill", "stopped", "matured", "failed_final",
    "failed_source", "at",
]  # fmt: skip
_PROVENANCE = [
    *_OF, "pinned", "named", "artifact", "built_at", "signed_at", "registered", "traceable", "staged", "promoted_unchanged",
    "gates_since", "passed", "tested", "usual", "skipped", "rollback_tested_at",
]  # fmt: skip


def _promotions(rows: pl.DataFrame) -> pl.DataFrame:
    """row, staged, promoted_unchanged: whether the same version (else commit) had succeeded outside production before, and whether
    those were the same bytes."""
    fixed = rows.with_columns(version=fixed_version())
    before = fixed.filter(~pl.col("production") & pl.col("successful")).with_row_index("r")
    own = fixed.filter("production").with_row_index("l")
    blind = pl.lit(None, pl.String).alias("digest")
    pairs = same_build(own.with_columns(blind), before.with_columns(blind))
    pairs = pairs.join(own.select("l", "row", "digest", "start"), on="l").join(
        before.select("r", staged_digest="digest", staged_at="deployed_at"), on="r"
    )
    pairs = pairs.filter(pl.col("staged_at") <= pl.col("start"))
    same = pl.col("digest") == pl.col("staged_digest")
    return pairs.group_by("row").agg(
        staged=pl.lit(value=True),
        promoted_unchanged=pl.when(same.any()).then(pl.lit(value=True)).when(same.is_not_null().any()).then(pl.lit(value=False)),
    )


def _checks(own: pl.DataFrame, gates: pl.DataFrame) -> pl.DataFrame:
    """row, gate (its kind), status, at: the last run on the artifact before the deployment began."""
    gates = gates.with_row_index("r")
    pairs = same_build(own.rename({"row": "l"}), gates)
    pairs = pairs.join(own.select("start", l="row"), on="l").join(gates.select("r", "status", "at", "id", gate="kind"), on="r")
    pairs = pairs.filter(pl.col("at") <= pl.col("start")).sort("at", "id")
    last = pairs.group_by("l", "gate", maintain_order=True).agg(pl.col("status", "at").last())
    return last.rename({"l": "row"}).sort("row", "gate")


def _with_gates(own: pl.DataFrame, checks: pl.DataFrame, gates: pl.DataFrame) -> pl.DataFrame:
    """Adds gates_since, passed and tested (null: it carries no identifier, or gates of its service were not told of yet)."""
    passed = checks.filter(pl.col("status") == "passed").group_by("row", maintain_order=True).agg(passed="gate")
    since = gates.group_by("service").agg(gates_since=pl.coalesce("started_at", "at").min())
    own = own.join(passed, on="row", how="left", maintain_order="left").join(since, on="service", how="left", maintain_order="left")
    known = pl.col("named") & (pl.col("gates_since") <= pl.col("start"))
    own = own.with_columns(pl.when(known).then(pl.col("passed").fill_null([])).alias("passed"))
    return own.with_columns(tested=pl.col("passed").list.len() > 0)


def _with_usual(own: pl.DataFrame) -> pl.DataFrame:
    """Adds usual and skipped: what half of the service's releases had passed until then, and this one had not."""
    own = own.sort("start", "id", nulls_last=True).with_columns(turn=pl.int_range(pl.len()))
    release = (pl.col("kind") == "release") & ~pl.col("hotfix").is_in(["certain", "likely"]).fill_null(value=False) & pl.col("successful")
    known = own.filter(release.fill_null(value=False) & pl.col("passed").is_not_null()).select("service", "environment", "turn", "passed")
    counted = known.with_columns(releases=pl.int_range(1, pl.len() + 1).over("service", "environment")).sort("turn")
    by = ["service", "environment"]
    kinds = counted.explode("passed").drop_nulls("passed").with_columns(times=pl.int_range(1, pl.len() + 1).over(*by, "passed"))
    asked = own.filter(pl.col("passed").is_not_null()).select("row", "turn", *by, had="passed")
    so_far = asked.join_asof(
        counted.select(*by, "turn", "releases"), on="turn", by=by, strategy="backward", allow_exact_matches=False, check_sortedness=False
    ).drop_nulls("releases")
    each = so_far.join(kinds.select(*by, gate="passed").unique(), on=by).sort("turn", "gate")
    each = each.join_asof(
        kinds.select(*by, "turn", "times", gate="passed").sort("turn"),
        on="turn", by=[*by, "gate"], strategy="backward", allow_exact_matches=False, check_sortedness=False,
    )  # fmt: skip
    each = each.filter(pl.col("times") * 2 >= pl.col("releases"))
    missing = pl.col("gate").filter(~pl.col("gate").is_in("had"))
    found = each.group_by("row", maintain_order=True).agg(usual="gate", skipped=missing)
    return own.join(found, on="row", how="left", maintain_order="left").drop("turn")


def _with_proof(own: pl.DataFrame, gates: pl.DataFrame, rollbacks: pl.DataFrame) -> pl.DataFrame:
    """Adds rollback_tested_at: when a rollback test of the service, or a drill in that environment, had last worked."""
    tests = gates.filter((pl.col("kind") == "rollback") & (pl.col("status") == "passed")).select("service", "at").sort("at")
    drilled = (pl.col("outcome") == "drill") & (pl.col("status") == "completed")
    drills = rollbacks.filter(drilled).select("service", "environment", at="completed_at").drop_nulls().sort("at")
    asked = own.select("row", "service", "environment", "start").drop_nulls("start").sort("start")
    tested = asked.join_asof(tests, left_on="start", right_on="at", by="service", coalesce=False, check_sortedness=False)
    drilled_at = asked.join_asof(
        drills, left_on="start", right_on="at", by=["service", "environment"], coalesce=False, check_sortedness=False
    )
    both = (
        pl.concat([tested.select("row", "at"), drilled_at.select("row", "at")]).group_by("row").agg(rollback_tested_at=pl.col("at").max())
    )
    return own.join(both, on="row", how="left", maintain_order="left")
