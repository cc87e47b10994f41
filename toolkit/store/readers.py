"""Files through DuckDB's own readers: CSV, Parquet and JSON lines, each as a table of cells."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import duckdb

from toolkit.errors import DataError, UsageError
from toolkit.store.connect import literal, quoted

__all__ = ["LINE_LIMIT", "Cells", "format_of", "read_cells", "with_plain_line_ends", "without_open_quotes"]

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
    # Columns that are times already, "aware" of their zone or "naive".
    times: dict[str, Literal["aware", "naive"]]
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


def with_plain_line_ends(path: Path, copy: Path) -> Path:
    """The file itself where all its lines end alike; else `copy`, in which they end in a newline.

    DuckDB's reader refuses a file that changes its line ends, as one written on two systems does.
    """
    if format_of(path) == "parquet":
        return path
    plain = windows = old = 0
    last = b""
    with _opened(path) as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path}: this is UTF-16, not UTF-8. Save the file as UTF-8 and load it again.")
        file.seek(0)
        for block in _blocks(file):
            # A pair that is cut by the end of a block counts once: with the block it ends in.
            windows += block.count(b"\r\n") + (last == b"\r" and block.startswith(b"\n"))
            plain += block.count(b"\n")
            old += block.count(b"\r")
            last = block[-1:]
    if (windows in (0, plain)) and old == windows:
        return path
    with _opened(path) as file, copy.open("wb") as out:
        held = b""
        for block in itertools.chain(_blocks(file), [b""]):
            text = held + block
            # Wait for what follows a carriage return at the very end.
            held = b"\r" if block and text.endswith(b"\r") else b""
            text = text.removesuffix(held) if held else text
            out.write(text.replace(b"\r\n", b"\n").replace(b"\r", b"" if plain else b"\n"))
    return copy


def without_open_quotes(path: Path, copy: Path) -> list[tuple[int, str]]:
    """Write `copy`: the CSV file with an empty line for each line whose quote is never closed. Returns those lines, numbered.

    To a CSV reader everything after such a quote is one cell, so rows that are whole would be lost with it.
    """
    names, delimiter = _header(path)
    open_lines: list[tuple[int, str]] = []
    with _opened(path) as file, copy.open("wb") as out:
        lines = enumerate(file, start=1)
        ahead: list[tuple[int, bytes]] = []
        while first := (ahead.pop(0) if ahead else next(lines, None)):
            number, line = first
            if line.count(b'"') % 2 == 0:
                out.write(line)
                continue
            taken = _cell_over_lines(line, ahead, lines, delimiter, len(names))
            if taken is None:
                open_lines.append((number, line.decode("utf-8", "replace").rstrip("\r\n")))
                out.write(b"\n")
            else:
                out.write(line + b"".join(more for _, more in ahead[:taken]))
                del ahead[:taken]
    return open_lines


def _cell_over_lines(
    line: bytes, ahead: list[tuple[int, bytes]], lines: Iterator[tuple[int, bytes]], delimiter: str, width: int
) -> int | None:
    """How many of the lines ahead belong to the cell that `line` opens; None where they do not make a row. Reads ahead as needed."""
    text, size = [line], len(line)
    for place in itertools.count():
        if place == len(ahead):
            more = next(lines, None)
            if more is None:
                return None
            ahead.append(more)
        text.append(ahead[place][1])
        size += len(text[-1])
        if size > LINE_LIMIT:
            return None
        if text[-1].count(b'"') % 2 == 1:
            whole = b"".join(text).decode("utf-8", "replace")
            try:
                rows = list(csv.reader(whole.splitlines(keepends=True), delimiter=delimiter, strict=True))
            except csv.Error:
                return None
            return place + 1 if len(rows) == 1 and len(rows[0]) == width else None
    return None


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(1 << 22):
        yield block


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
    with _opened(path) as file:
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
    lines = (
        f"read_csv({literal(path)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, delim = e'\\x01', quote = '', "
        f"escape = '', store_rejects = true, rejects_limit = 0, max_line_size = {LINE_LIMIT})"
    )
    # Empty lines are no rows; a byte order mark is no part of the first.
    table = f"(SELECT ltrim(line, chr(65279)) AS line FROM {lines} WHERE ltrim(line) <> '')"
    readable = "(json_valid(line) AND json_type(line) = 'OBJECT')"
    # Keys with values of all kinds make few different structures; each is looked at once.
    structures = con.execute(f"SELECT DISTINCT json_structure(line)::VARCHAR FROM {table} WHERE {readable}").fetchall()
    _forget_rejects(con)
    found: set[tuple[str | None, str]] = set()
    empty: set[str] = set()
    for (structure,) in structures:
        for key, kind in json.loads(structure).items():
            found |= {(key, inner) for inner in kind} if isinstance(kind, dict) else {(None, key)} if kind != "NULL" else set()
            empty |= {key} if kind == "NULL" else set()
    # A key that is null wherever it occurs is a column all the same; one that is an object elsewhere is that object.
    found |= {(None, key) for key in empty - {parent for parent, _ in found}}
    paths: dict[str, str] = {}
    for parent, key in sorted(found, key=lambda pair: (pair[0] is not None, pair)):
        if parent is None:
            paths[key] = _pointer(key)
        else:
            # A flat key of the same name says it already.
            paths.setdefault(f"{parent}_{key}", _pointer(parent, key))
    listed = ", ".join(literal(path) for path in paths.values())
    cells = f"(SELECT line, CASE WHEN {readable} THEN json_extract_string(line, [{listed}]::VARCHAR[]) END AS cells FROM {table})"
    columns = {name: f"cells[{place}]" for place, name in enumerate(paths, start=1)}
    return Cells(cells, columns, {}, "line", "cells IS NOT NULL")


def _pointer(*keys: str) -> str:
    """A JSON pointer (RFC 6901): unlike a path it can name any key."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def _parquet(con: duckdb.DuckDBPyConnection, path: Path) -> Cells:
    table = f"read_parquet({literal(path)})"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{path} is no Parquet file that can be read: {str(error).splitlines()[0]}") from error
    columns: dict[str, str] = {}
    times: dict[str, Literal["aware", "naive"]] = {}
    for name, kind, *_ in described:
        if kind.startswith("STRUCT("):
            fields = con.execute(f"SELECT unnest(struct_keys({quoted(name)})) FROM (SELECT {quoted(name)} FROM {table} LIMIT 1)").fetchall()
            columns |= {f"{name}_{field}": f"{quoted(name)}.{quoted(field)}::VARCHAR" for (field,) in fields}
        elif kind.startswith(("TIMESTAMP", "DATE")):
            # Nanoseconds have types of their own: pandas writes them.
            aware = kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
            columns[name] = f"{quoted(name)}::{'TIMESTAMPTZ' if aware else 'TIMESTAMP'}"
            times[name] = "aware" if aware else "naive"
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
