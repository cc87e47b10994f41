"""A history as files that `knowngood load` reads without a mapping: CSV to look at, Parquet for the telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from toolkit.records import RECORDS

if TYPE_CHECKING:
    from toolkit.synthetic import History

__all__ = ["file_name", "write"]


def file_name(record: str) -> str:
    """deployments.csv, …, samples.parquet: named as the record's table."""
    return f"{RECORDS[record].table}.{'parquet' if record == 'sample' else 'csv'}"


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """Times in ISO 8601 with Z; lists as JSON."""
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        return column.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(dtype, pl.List):
        quoted = column.list.eval(pl.concat_str(pl.lit('"'), pl.element(), pl.lit('"'))).list.join(",")
        return pl.when(column.is_not_null()).then(pl.concat_str(pl.lit("["), quoted, pl.lit("]"))).alias(name)
    return column


def write(history: History, folder: str | Path) -> list[Path]:
    """One file a record that has rows, without `source`: the loader names it. Equal histories give equal bytes. Returns the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for record, table in history.records.items():
        if table.is_empty():
            continue
        path, rows = folder / file_name(record), table.drop("source")
        if path.suffix == ".parquet":
            rows.write_parquet(path, compression="zstd", compression_level=9)
        else:
            rows.select(_as_text(name, dtype) for name, dtype in rows.schema.items()).write_csv(path)
        paths.append(path)
    return paths
