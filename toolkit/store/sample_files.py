"""Telemetry from a file of its own, beside the ledger: to replay, or to ask the gate about, what was never loaded."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from toolkit.errors import DataError, UsageError

__all__ = ["samples_from"]


def samples_from(path: Path) -> pl.DataFrame:
    """Samples of a .parquet, .csv or .jsonl file whose columns are named as in toolkit.records.Sample. Raises DataError for what is
    none."""
    try:
        match path.suffix:
            case ".parquet":
                rows = pl.read_parquet(path)
            case ".csv":
                rows = pl.read_csv(path, infer_schema_length=None)
            case ".jsonl" | ".ndjson":
                rows = pl.read_ndjson(path, infer_schema_length=None)
            case _:
                raise UsageError(f"{path} is neither .parquet, .csv nor .jsonl.")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    needed = {"service", "series", "at"} - set(rows.columns)
    if needed or not {"value", "bad"} & set(rows.columns):
        raise DataError(
            f"{path} lacks {', '.join(sorted(needed)) or 'value, or bad and total'}: name its columns as data/README.md does for samples."
        )
    try:
        if rows.schema["at"] == pl.String:
            rows = rows.with_columns(pl.col("at").str.to_datetime(time_unit="us", time_zone="UTC"))
        rows = rows.with_columns(pl.col("at").dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
        defaults = {"source": (pl.String, ""), "variant": (pl.String, "all"), "deployment": (pl.String, None)}
        numbers = dict.fromkeys(("value", "bad", "total", "step"), (pl.Float64, None))
        given = [
            (pl.col(name) if name in rows.columns else pl.lit(default)).cast(kind).alias(name)
            for name, (kind, default) in (defaults | numbers).items()
        ]
        return rows.select("service", "series", "at", *given)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]} Times are ISO 8601 with a zone, numbers are numbers.") from error
