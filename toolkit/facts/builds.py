"""Which build a row is about: what the registry knows of a digest, a version or a commit, filled in where it is beyond doubt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from toolkit.facts.told import told, until
from toolkit.facts.versions import MUTABLE_TAGS

__all__ = ["fixed_version", "identified", "registry_of", "same_build", "versions", "with_names"]


def fixed_version() -> pl.Expr:
    """The version, where it is a name that stays."""
    return pl.when(~pl.col("version").is_in(MUTABLE_TAGS)).then("version")


def registry_of(records: Mapping[str, pl.DataFrame], horizon: datetime | None = None) -> pl.DataFrame:
    """Builds that the registry had told of by the horizon: id, service, digest, version, revision, built_at, signed_at, …"""
    rows = told("artifact", records).rename({"artifact_digest": "digest", "vcs_revision": "revision"})
    if horizon is None:
        return rows
    return until(rows.filter((pl.col("built_at") <= horizon).fill_null(value=True)), horizon, "signed_at")


def with_names(rows: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Deployments (source, source_id) with digest and revision as their records tell them."""
    names = {"artifact_digest": "digest", "vcs_revision": "revision"}
    raw = records.get("deployment")
    if raw is None or rows.is_empty():
        return rows.with_columns(pl.lit(None, pl.String).alias(name) for name in names.values())
    told_of = [name for name in names if name in raw.columns]
    # Mostly a few are asked about out of all.
    asked = pl.col("source_id").is_in(rows["source_id"].unique().implode())
    raw = raw.lazy().filter(asked).select("source", "source_id", *told_of).rename({name: names[name] for name in told_of}).collect()
    raw = raw.with_columns(pl.lit(None, pl.String).alias(name) for name in names.values() if name not in raw.columns)
    return rows.join(raw, on=["source", "source_id"], how="left", maintain_order="left")


def identified(rows: pl.DataFrame, registry: pl.DataFrame) -> pl.DataFrame:
    """Rows (service, digest, version, revision) with the identifiers that the registry adds, and what it says of the build: artifact,
    built_at, signed_at, built_from (its commit). By digest; without one by a version, else a commit, that has one build only.

    """
    rows = rows.with_columns(version=fixed_version())
    known = registry.with_columns(version=fixed_version()).sort("built_at", "id", nulls_last=True)
    lone = pl.col("builds") == 1
    build = pl.coalesce("digest", "id")
    for key in ("digest", "version", "revision"):
        others = [name for name in ("digest", "version", "revision") if name != key]
        found = known.drop_nulls(key).group_by("service", key, maintain_order=True).agg(
            pl.col("id").first().alias("_artifact"),
            pl.col("built_at").min().alias("_built_at"),
            pl.col("signed_at").min().alias("_signed_at"),
            pl.col("revision").drop_nulls().first().alias("_built_from"),
            *(pl.col(name).drop_nulls().first().alias(f"_{name}") for name in others),
            builds=build.n_unique(),
        )  # fmt: skip
        found = found.filter(lone).drop("builds") if key != "digest" else found.drop("builds")
        rows = rows.join(found, on=["service", key], how="left", maintain_order="left")
        # A digest that the registry does not know is another build, whatever its version is called.
        told = {name: f"_{name}" for name in (*others, "artifact", "built_at", "signed_at", "built_from")}
        fits = pl.lit(value=True) if key == "digest" else pl.col("_had_digest").not_() & pl.col("artifact").is_null()
        if key == "digest":
            rows = rows.with_columns(
                _had_digest=pl.col("digest").is_not_null(),
                artifact=pl.lit(None, pl.String),
                built_at=pl.lit(None, pl.Datetime("us", "UTC")),
                signed_at=pl.lit(None, pl.Datetime("us", "UTC")),
                built_from=pl.lit(None, pl.String),
            )
        rows = rows.with_columns(pl.coalesce(name, pl.when(fits).then(of)).alias(name) for name, of in told.items()).drop(told.values())
    return rows.drop("_had_digest")


def same_build(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Pairs (left, right: row numbers `l` and `r`) of a service that are of one build by the strongest identifier that both carry.

    Both: service, digest, version, revision as `identified` gives them, and their number.
    """
    l, r = left.select("l", "service", *_NAMES), right.select("r", "service", *_NAMES)  # noqa: E741
    pairs = []
    for place, key in enumerate(_NAMES):
        both = l.drop_nulls(key).join(r.drop_nulls(key), on=["service", key], suffix="_r")
        for stronger in _NAMES[:place]:
            both = both.filter(pl.col(stronger).is_null() | pl.col(f"{stronger}_r").is_null())
        pairs.append(both.select("l", "r"))
    return pl.concat(pairs)


_NAMES = ("digest", "version", "revision")


def versions(registry: pl.DataFrame, deployed: pl.DataFrame) -> pl.DataFrame:
    """A row a version of a service that anybody saw with a digest: digests (in the order in which they appeared), mutated, at (when the
    second digest appeared; else when the first did).

    deployed: service, version, digest, deployed_at.
    """
    seen = pl.concat(
        [
            registry.select("service", fixed_version(), "digest", at="built_at"),
            deployed.select("service", fixed_version(), "digest", at="deployed_at"),
        ]
    ).drop_nulls()
    firsts = seen.group_by("service", "version", "digest").agg(pl.col("at").min()).sort("at", "digest")
    rows = firsts.group_by("service", "version", maintain_order=True).agg(
        digests="digest", first=pl.col("at").first(), second=pl.col("at").gather(1, null_on_oob=True).first()
    )
    return rows.select(
        pl.format("{} {}", "service", "version").alias("id"),
        "service",
        "version",
        pl.lit(None, pl.String).alias("environment"),
        pl.lit(value=True).alias("production"),
        "digests",
        mutated=pl.col("digests").list.len() > 1,
        at=pl.coalesce("second", "first"),
    ).sort("at", "id")
