"""Files through DuckDB's own readers: CSV, Parquet and JSON lines, each as a table of cells."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from toolkit.errors import DataError, UsageError
from toolkit.store.connect import literal, quoted

__all__ = ["LINE_LIMIT", "Cells", "format_of", "read_cells"]

Format = Literal["csv", "jsonl", "parquet"]
# A line longer than this is no row of ours; reading on costs its length in memory.
LINE_LIMIT = 1 << 20
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True)
class Cells:
    """A file as SQL: `table` yields the row, `columns` says how to get each column's text (or time) out of it."""

    table: str
    columns: dict[str, str]
    # Columns that are times already: "TIMESTAMP WITH TIME ZONE" or "TIMESTAMP" (no zone).
    times: dict[str, str]
    raw: str
    readable: str = "true"


def format_of(path: Path) -> Format:
    """The format a file's name stands for. Raises UsageError."""
    suffix = next((s.lower() for s in reversed(path.suffixes) if s.lower() != ".gz"), "")
    if suffix not in _SUFFIXES:
        raise UsageError(f"{path.name}: cannot tell the format from the name. Name it .csv, .tsv, .jsonl or .parquet.")
    return _SUFFIXES[suffix]


def read_cells(con: duckdb.DuckDBPyConnection, path: Path) -> Cells:
    """What the file holds. Lines that are no rows end in `reject_errors` once the table has been read."""
    match format_of(path):
        case "csv":
            return _csv(path)
        case "jsonl":
            return _jsonl(con, path)
        case "parquet":
            return _parquet(con, path)


def _csv(path: Path) -> Cells:
    header, delimiter = _header(path)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    table = (
        f"read_csv({literal(path)}, columns = {{{types}}}, header = true, auto_detect = false, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', store_rejects = true, rejects_limit = 0, max_line_size = {LINE_LIMIT})"
    )
    columns = {name: quoted(name) for name in header}
    return Cells(table, columns, {}, _as_json(columns))


def _header(path: Path) -> tuple[list[str], str]:
    """The names in a CSV file's first line and what separates them."""
    with path.open("rb") as file:
        first = file.readline(LINE_LIMIT)
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise DataError(f"{path}: the first line is not UTF-8. Save the file as UTF-8 (it may be UTF-16 or Latin-1).") from None
    if not line.strip():
        raise DataError(f"{path}: the first line is empty. It must name the columns.")
    delimiter = max(",;\t|", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        what = f"columns {', '.join(twice)} occur twice" if twice and twice != [""] else "a column has no name"
        raise DataError(f"{path}: {what}. Give every column one name of its own.")
    return names, delimiter


def _jsonl(con: duckdb.DuckDBPyConnection, path: Path) -> Cells:
    # Lines are read as one-column CSV: DuckDB's JSON reader would lose the text of a broken line, and a control character
    # cannot occur in JSON text.
    table = (
        f"read_csv({literal(path)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, delim = chr(1), quote = '', "
        f"escape = '', store_rejects = true, rejects_limit = 0, max_line_size = {LINE_LIMIT})"
    ).replace("chr(1)", "e'\\x01'")
    readable = "(json_valid(line) AND json_type(line) = 'OBJECT')"
    keys = f"""
        WITH objects AS (SELECT line FROM {table} WHERE {readable}),
        nested AS (
            SELECT DISTINCT key FROM (SELECT line, unnest(json_keys(line)) AS key FROM objects)
            WHERE json_type(json_extract(line, '$."' || replace(key, '"', '\\"') || '"')) = 'OBJECT'
        )
        SELECT DISTINCT NULL, unnest(json_keys(line)) FROM objects
        UNION ALL
        SELECT DISTINCT key, unnest(json_keys(line, '$."' || replace(key, '"', '\\"') || '"')) FROM objects, nested
    """
    found: list[tuple[str | None, str]] = sorted(con.execute(keys).fetchall(), key=lambda row: (row[0] is not None, row))
    _forget_rejects(con)
    parents = {parent for parent, _ in found if parent is not None}
    paths: dict[str, str] = {}
    for parent, key in found:
        if parent is None and key not in parents:
            paths[key] = f'$."{_escaped(key)}"'
        elif parent is not None:
            # A flat key of the same name says it already.
            paths.setdefault(f"{parent}_{key}", f'$."{_escaped(parent)}"."{_escaped(key)}"')
    listed = ", ".join(literal(path) for path in paths.values())
    cells = f"(SELECT line, CASE WHEN {readable} THEN json_extract_string(line, [{listed}]::VARCHAR[]) END AS cells FROM {table})"
    columns = {name: f"cells[{place}]" for place, name in enumerate(paths, start=1)}
    return Cells(cells, columns, {}, "line", "cells IS NOT NULL")


def _escaped(key: str) -> str:
    return key.replace('"', '\\"')


def _parquet(con: duckdb.DuckDBPyConnection, path: Path) -> Cells:
    table = f"read_parquet({literal(path)})"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{path} is no Parquet file that can be read: {str(error).splitlines()[0]}") from error
    columns: dict[str, str] = {}
    times: dict[str, str] = {}
    for name, kind, *_ in described:
        if kind.startswith("STRUCT("):
            fields = con.execute(f"SELECT unnest(struct_keys({quoted(name)})) FROM (SELECT {quoted(name)} FROM {table} LIMIT 1)").fetchall()
            columns |= {f"{name}_{field}": f"{quoted(name)}.{quoted(field)}::VARCHAR" for (field,) in fields}
        elif kind.startswith(("TIMESTAMP", "DATE")):
            columns[name] = quoted(name)
            times[name] = "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMP WITH TIME ZONE" else "TIMESTAMP"
        elif kind.endswith("[]"):
            columns[name] = f"to_json({quoted(name)})::VARCHAR"
        else:
            columns[name] = f"{quoted(name)}::VARCHAR"
    return Cells(table, columns, times, _as_json({name: f"{cell}::VARCHAR" for name, cell in columns.items()}))


def _as_json(columns: dict[str, str]) -> str:
    pairs = ", ".join(f"{literal(name)}, {cell}" for name, cell in columns.items())
    return f"json_object({pairs})::VARCHAR"


def _forget_rejects(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
