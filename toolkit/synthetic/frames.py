"""Frames with the columns of the records, built from what simulated tools wrote down."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

import polars as pl

from toolkit.records import RECORDS

__all__ = ["columns_of", "frame", "schema_of"]

TIME = pl.Datetime("us", "UTC")


def columns_of(record: str) -> dict[str, Any]:
    """Field name as loaders know it → pydantic field, in the record's order."""
    return {field.alias or name: field for name, field in RECORDS[record].model_fields.items()}


def _dtype(annotation: Any) -> Any:
    while True:
        origin = get_origin(annotation)
        if origin in (Union, types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not types.NoneType)
        elif origin is Literal:
            return pl.String
        elif origin is list:
            return pl.List(pl.String)
        elif hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
        else:
            return {datetime: TIME, int: pl.Int64, float: pl.Float64, bool: pl.Boolean}.get(annotation, pl.String)


def schema_of(record: str) -> dict[str, Any]:
    """`source`, then the record's columns with their types."""
    return {"source": pl.String} | {name: _dtype(field.annotation) for name, field in columns_of(record).items()}


def frame(record: str, rows: Iterable[Mapping[str, Any]], *, source: str) -> pl.DataFrame:
    """Rows that name only what they know; a boolean without a word is false."""
    schema = schema_of(record)
    filled = ({"source": source} | dict(row) for row in rows)
    table = pl.DataFrame([tuple(row.get(name) for name in schema) for row in filled], schema=schema, orient="row")
    return table.with_columns(pl.selectors.boolean().fill_null(value=False))
