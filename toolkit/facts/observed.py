"""What had happened by the horizon: records with defaults filled, later stamps taken away, and rows numbered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import polars as pl

from toolkit.facts.joins import is_even, kept
from toolkit.records import RECORDS

__all__ = [
    "PRODUCTION",
    "UNREAD",
    "deployments_until",
    "fact_ids",
    "flags_until",
    "incidents_until",
    "partitions",
    "placed",
    "resolve",
    "rollbacks_until",
    "typed",
]

TIME = pl.Datetime("us", "UTC")
PRODUCTION = ("production", "production-*", "prod", "prod-*", "live")
ENDED_WELL = ["succeeded", "superseded"]
ENDED_BADLY = ["failed", "cancelled"]
# A byte a row instead of sixteen.
_STATUS = pl.Enum(["queued", "in_progress", *ENDED_WELL, *ENDED_BADLY])
# Fields that no pass reads: an empty column of a million rows is 16 MB all the same.
UNREAD = frozenset(
    {"revised_at", "observed_at", "evidence", "confidence", "inferred_by", "artifact_purl", "queued_at", "actor", "strategy", "migration"}
)
_LISTS = {"services", "evidence", "labels"}
_NUMBERS = {"changes_files", "changes_lines", "changes_review_minutes", "impact_users", "impact_requests"}
_FLAGS = {"drill", "kill_switch"}


def typed(record: str, frame: pl.DataFrame | None) -> pl.DataFrame:
    """The frame with the columns of its record that the passes read, in their types; missing ones are filled with the record's default."""
    model = RECORDS[record]
    frame = pl.DataFrame({"source": []}, schema={"source": pl.String}) if frame is None else frame
    columns: list[pl.Expr] = []
    for field, about in model.model_fields.items():
        name = about.alias or field
        if name in UNREAD:
            continue
        dtype = _STATUS if (record, name) == ("deployment", "status") else _dtype(name)
        default = None if about.is_required() else about.default
        expr = pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype)
        columns.append((expr.fill_null(default) if default is not None else expr).alias(name))
    return frame.select(pl.col("source").cast(pl.String), *columns)


def _dtype(name: str) -> pl.DataType:
    if name in _LISTS:
        return pl.List(pl.String)
    if name in _NUMBERS:
        return pl.Int64()
    if name in _FLAGS:
        return pl.Boolean()
    if name.endswith("_at") or name in {"at", "valid_from", "valid_to"}:
        return TIME
    return pl.Float64() if name in {"confidence", "value", "bad", "total", "step"} else pl.String()


def known(name: str, horizon: datetime) -> pl.Expr:
    """A stamp, or null where it lies beyond the horizon: that has not happened."""
    return pl.when(pl.col(name) <= horizon).then(pl.col(name)).alias(name)


def fact_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `id`: the source's id where no other source uses it too, else source/id."""
    if frame["source"].n_unique() <= 1:
        return frame.with_columns(id=pl.col("source_id"))
    shared = pl.col("source").n_unique().over("source_id") > 1
    return frame.with_columns(id=pl.when(shared).then(pl.format("{}/{}", "source", "source_id")).otherwise("source_id"))


def resolve(refs: pl.DataFrame, targets: pl.DataFrame, key: str) -> pl.DataFrame:
    """refs (source, ref, …) with the `key` of the record they name: of their own source first, else of the first source that has it."""
    if refs.is_empty() or targets.is_empty():
        return refs.with_columns(pl.lit(None, targets.schema[key]).alias(key))
    wanted = targets.select("source", "source_id", key).join(refs.select(source_id="ref").unique(), on="source_id", how="semi")
    own = refs.join(wanted.rename({"source_id": "ref"}), on=["source", "ref"], how="left", maintain_order="left")
    first = wanted.sort("source").unique("source_id", keep="first", maintain_order=True).select(ref="source_id", _first=key)
    return own.join(first, on="ref", how="left", maintain_order="left").with_columns(pl.coalesce(key, "_first").alias(key)).drop("_first")


def partitions(frames: Sequence[pl.DataFrame], production: Sequence[str]) -> pl.DataFrame:
    """The services in their environments: part (dense number), service, environment, production."""
    parts = pl.concat([_once_each(frame) for frame in frames]).drop_nulls().unique()
    parts = parts.sort("service", "environment").with_row_index("part")
    environments = parts["environment"].unique().to_list()
    chosen = [name for name in environments if any(fnmatchcase(name.lower(), pattern) for pattern in production)]
    return parts.with_columns(pl.col("part").cast(pl.Int64), production=pl.col("environment").is_in(chosen))


def _once_each(frame: pl.DataFrame) -> pl.DataFrame:
    """service and environment, each pair once. Most histories are of one environment: then services are looked through alone."""
    if len(frame) and is_even(frame["environment"]):
        return frame.select(pl.col("service").unique(), pl.col("environment").first())
    return frame.select("service", "environment").unique()


def placed(frame: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Adds part and production of the row's service and environment; null where there is none such.

    Names become numbers, and their pair a place in a table of all pairs: no row is joined.
    """
    services, environments = (pl.Enum(parts[name].unique().sort()) for name in ("service", "environment"))
    width = len(environments.categories)

    def pairs(rows: pl.DataFrame) -> pl.Series:
        service, environment = (
            rows[name].cast(kind, strict=False).to_physical().cast(pl.UInt32)
            for name, kind in (("service", services), ("environment", environments))
        )
        return service * width + environment

    at = pairs(frame)
    known = pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(services.categories) * width)
    known = known.scatter(pairs(parts), pl.int_range(len(parts), dtype=pl.UInt32, eager=True)) if len(parts) else known
    return frame.hstack(parts.select("part", "production").select(pl.all().gather(known.gather(at))))


def deployments_until(frame: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Adds start, end, deployed_at, successful, unsuccessful, ended; one that ends beyond the horizon is in progress, one that begins
    there is not yet."""
    frame = kept(frame, ~(pl.coalesce("started_at", "finished_at") > horizon).fill_null(value=False))
    unfinished = (pl.col("finished_at") > horizon).fill_null(value=False)
    ended_status = pl.col("status").is_in(ENDED_WELL + ENDED_BADLY)
    frame = frame.with_columns(status=pl.when(unfinished & ended_status).then(pl.lit("in_progress", _STATUS)).otherwise("status"))
    frame = frame.with_columns(known("finished_at", horizon), known("committed_at", horizon))
    successful, unsuccessful = pl.col("status").is_in(ENDED_WELL), pl.col("status").is_in(ENDED_BADLY)
    return frame.with_columns(
        start=pl.coalesce("started_at", "finished_at"),
        deployed_at=pl.coalesce("finished_at", "started_at"),
        successful=successful,
        unsuccessful=unsuccessful,
        cancelled=(pl.col("status") == "cancelled"),
        ended=successful | unsuccessful,
    )


def rollbacks_until(frame: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Adds start, end and status (completed, failed, cancelled, partial, in_progress)."""
    start = pl.coalesce("started_at", known("decided_at", horizon), "completed_at")
    frame = frame.with_columns(start=start).filter(~(pl.col("start") > horizon).fill_null(value=False))
    unfinished = pl.col("unfinished")
    frame = frame.with_columns(unfinished=(pl.col("completed_at") > horizon).fill_null(value=False)).with_columns(
        outcome=pl.when(~unfinished).then("outcome"),
        **{name: known(name, horizon) for name in ("decided_at", "completed_at", "verified_at")},
    )
    bad = pl.col("outcome").is_in(["failed", "cancelled", "partial"])
    return frame.with_columns(
        end=pl.coalesce("completed_at", "start"),
        status=pl.when(unfinished).then(pl.lit("in_progress")).when(bad).then("outcome").otherwise(pl.lit("completed")),
    )


def incidents_until(frame: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Stamps up to the horizon, `planned` and `not_a_deployment`."""
    stamps = ("started_at", "detected_at", "acknowledged_at", "decided_at", "mitigated_at", "resolved_at", "criterion_met_at")
    words = ["maintenance", "planned", "scheduled"]
    return frame.with_columns(
        *(known(stamp, horizon) for stamp in stamps),
        planned=(pl.col("severity").str.to_lowercase().is_in(words) | pl.col("status").str.to_lowercase().is_in(words)).fill_null(
            value=False
        ),
        not_a_deployment=(pl.col("cause") == "not_a_deployment").fill_null(value=False),
    )


def flags_until(frame: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Flag changes that turn something off."""
    off = pl.col("action").str.to_lowercase().is_in(["off", "disable", "disabled", "turned_off", "killed", "kill"])
    after = pl.col("after").str.to_lowercase().is_in(["off", "false", "0", "disabled"])
    return frame.filter((off.fill_null(value=False) | after.fill_null(value=False)) & (pl.col("at") <= horizon))
