"""Records around deployments as the practice passes read them: typed, cut at the horizon, and tied to the incident they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import polars as pl

from toolkit.facts.observed import fact_ids, resolve
from toolkit.records import RECORDS

__all__ = ["in_production", "named_incident", "told", "until"]

TIME = pl.Datetime("us", "UTC")
_TYPES: dict[str, Any] = {"root_causes": pl.List(pl.String), "score": pl.Float64, "checks": pl.Int64, "kill_switch": pl.Boolean}
_CLOCKS = ("at", "valid_from", "valid_to")
# What nobody counts, and people: of them only whether somebody is named.
_UNREAD = frozenset({"revised_at", "observed_at", "evidence", "confidence", "inferred_by", "owner", "actor"})


def told(record: str, records: Mapping[str, pl.DataFrame], *, also: Sequence[str] = ()) -> pl.DataFrame:
    """The record's rows by the names of its fields, in their types, with `id`, sorted; no such records: no rows. also: fields that are
    read of few records only."""
    frame = records.get(record)
    frame = pl.DataFrame(schema={"source": pl.String}) if frame is None else frame
    columns: list[pl.Expr] = [pl.col("source").cast(pl.String)]
    for name, field in RECORDS[record].model_fields.items():
        if name in _UNREAD and name not in also:
            continue
        kind = _TYPES.get(name, TIME if name in _CLOCKS or name.endswith("_at") else pl.String)
        stands = next((known for known in (name, field.alias) if known in frame.columns), None)
        default = None if field.is_required() else field.default
        value = pl.lit(None, kind) if stands is None else pl.col(stands).cast(kind)
        columns.append((value if default is None else value.fill_null(default)).alias(name))
    return fact_ids(frame.select(columns)).sort("source", "source_id")


def in_production(frame: pl.DataFrame, production: Sequence[str]) -> pl.DataFrame:
    """Adds `production`: whether the environment is one; what names none belongs to production."""
    names = frame["environment"].drop_nulls().unique().to_list()
    chosen = [name for name in names if any(fnmatchcase(name.lower(), pattern) for pattern in production)]
    return frame.with_columns(production=pl.col("environment").is_in(chosen).fill_null(value=True))


def named_incident(refs: pl.DataFrame, incidents: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """refs (row, source, ref, moment) → row, incident: the fact that each names; of a duplicate its original.

    Of an incident that came back as a new one: the last that had begun by the moment, else the first.
    """
    record = records.get("incident")
    known = pl.DataFrame(schema={"source": pl.String, "source_id": pl.String}) if record is None or record.is_empty() else record
    known = fact_ids(known.select(pl.col("source", "source_id").cast(pl.String)))
    folded = incidents.select("id", record="duplicates").explode("record").drop_nulls("record")
    own = incidents.select("id", "source", "source_id").join(known.rename({"id": "record"}), on=["source", "source_id"])
    own = own.select("id", "record")
    begun = incidents.select("id", begun="link_time")
    places = pl.concat([own, folded]).unique().join(begun, on="id").sort("begun", "id", nulls_last=True)
    found = resolve(refs.drop_nulls("ref"), known, "id").drop_nulls("id").rename({"id": "record"}).join(places, on="record")
    by_then = (pl.col("begun") <= pl.col("moment")).fill_null(value=False)
    ranked = found.with_columns(late=~by_then).sort(
        "row", "late", pl.when(by_then).then(-pl.col("begun").to_physical()).otherwise(pl.col("begun").to_physical()), "id", nulls_last=True
    )
    return ranked.unique("row", keep="first", maintain_order=True).select("row", incident="id")


def until(frame: pl.DataFrame, horizon: datetime, *stamps: str) -> pl.DataFrame:
    """Stamps beyond the horizon taken away: that has not happened."""
    return frame.with_columns(pl.when(pl.col(stamp) <= horizon).then(pl.col(stamp)).alias(stamp) for stamp in stamps)
