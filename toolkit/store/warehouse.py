"""What was computed: one read-only DuckDB file a version, a pointer to the current one, the last two kept."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from toolkit.errors import DataError
from toolkit.store.connect import connect, literal, opened, quoted, select_list
from toolkit.store.layout import Layout, Table, create, lay, layout_of, put_together, separated
from toolkit.store.lock import hold

__all__ = ["current", "is_readable", "meta", "read", "schema", "tables", "write"]

Tables = Mapping[str, Table] | Iterable[tuple[str, Table]]

_POINTER = "CURRENT"
# A file that DuckDB 1.4 and later open.
_STORAGE = "v1.4.0"
_KEPT = 2


def write(folder: Path, version: str, tables: Tables, meta: dict[str, Any]) -> Path:
    """Publish `tables` (by name, in the schema `facts`; or one after the other, as they come to be) and `meta` as the current warehouse.
    Returns its path.

    Readers see the old warehouse or the new one, never a part: the file is whole and on disk before the pointer moves. A process
    killed on the way leaves a draft that the next publish removes. Files of the last two versions stay, so that a reader that has just
    read the pointer still finds its file.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", version):
        raise ValueError(f"{version!r} cannot be part of a file name")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"warehouse-{version}.duckdb"
    with hold(folder / "publish.lock", wait=60.0):
        for left in folder.glob("warehouse-*.draft*"):
            left.unlink()
        draft = folder / f"{path.name}.draft"
        _fill(draft, tables, {**meta, "version": version})
        _sync(draft)
        os.replace(draft, path)
        before = current(folder)
        pointer = folder / f"{_POINTER}.draft"
        pointer.write_text(path.name + "\n")
        _sync(pointer)
        os.replace(pointer, folder / _POINTER)
        _sync(folder)
        _drop_old(folder, path, before)
    return path


def current(folder: Path) -> Path | None:
    """The current warehouse's path; None before the first publish."""
    try:
        return folder / (folder / _POINTER).read_text().strip()
    except FileNotFoundError:
        return None


def read(path: Path, table: str, columns: list[str] | None = None) -> pl.DataFrame:
    """A table of the warehouse at `path`, with the types it was written with. Raises KeyError for a table it does not have."""
    with _opened(path) as con:
        types, layout = _entry(con, path, table)
        asked = list(types) if columns is None else columns
        if layout:
            frame = put_together(con, table, asked, layout)
        else:
            frame = con.sql(f"SELECT {select_list(asked)} FROM facts.{quoted(table)}").pl()
    # Also a cast that changes nothing copies.
    return frame.with_columns(pl.col(name).cast(types[name]) for name in asked if frame.schema[name] != types[name])


def schema(path: Path, table: str) -> pl.Schema:
    """The types of a table's columns. Raises KeyError for a table that the warehouse at `path` does not have."""
    with _opened(path) as con:
        return _entry(con, path, table)[0]


def is_readable(path: Path) -> bool:
    """Whether it is there, and lies as this program lays it: another release may lay equal facts otherwise."""
    try:
        return path.exists() and all(schema(path, table) is not None for table in tables(path)[:1])
    except DataError:
        return False


def _entry(con: Any, path: Path, table: str) -> tuple[pl.Schema, Layout]:
    try:
        found = con.execute("SELECT types, layout FROM tables WHERE name = ?", [table]).fetchall()
    except duckdb.BinderException:
        raise DataError(f"{path.name} was published by another version of knowngood. Run `knowngood publish`.") from None
    if not found:
        names = [name for (name,) in con.execute("SELECT name FROM tables ORDER BY name").fetchall()]
        raise KeyError(f"No table {table!r} in {path.name}. There are: {', '.join(names)}.")
    return pl.read_ipc(found[0][0]).schema, Layout.from_json(found[0][1])


def tables(path: Path) -> list[str]:
    """Names of the tables in the warehouse at `path`."""
    with _opened(path) as con:
        return [name for (name,) in con.execute("SELECT name FROM tables ORDER BY name").fetchall()]


def meta(path: Path) -> dict[str, Any]:
    """What publish said about the warehouse at `path`; `version` among it."""
    with _opened(path) as con:
        found: dict[str, Any] = json.loads(con.execute("SELECT value FROM meta").fetchall()[0][0])
    return found


def _opened(path: Path) -> Any:
    if not path.exists():
        raise DataError(f"{path.name} is gone: a newer warehouse has been published. Open the current one.")
    return opened(path, read_only=True)


def _fill(path: Path, frames: Tables, about: dict[str, Any]) -> None:
    path.unlink(missing_ok=True)
    with connect(memory_limit="1GB") as con:
        # It can be computed again at any time: four times the size for two thirds of the time is the better bargain.
        con.execute("SET force_compression = 'uncompressed'")
        con.execute(f"ATTACH {literal(path)} AS out (STORAGE_VERSION '{_STORAGE}')")
        con.execute("BEGIN; CREATE SCHEMA out.facts; CREATE SCHEMA out.dense; CREATE SCHEMA out.thin; CREATE SCHEMA out.constant")
        con.execute("CREATE TABLE out.meta (value VARCHAR); CREATE TABLE out.tables (name VARCHAR, types BLOB, layout VARCHAR)")
        con.execute("INSERT INTO out.meta VALUES (?)", [json.dumps(about)])
        entries = []
        for name, table in frames.items() if isinstance(frames, Mapping) else frames:
            frame, apart = separated(table)
            flat, few = _flattened(frame), _flattened(apart) if apart is not None else None
            layout = layout_of(flat, few)
            if layout:
                lay(con, name, flat, few, layout, list(table.schema))
            else:
                create(con, f"TABLE out.facts.{quoted(name)} AS SELECT * FROM frame", flat)
            entries.append((name, _types(table.schema), layout.to_json()))
        con.executemany("INSERT INTO out.tables VALUES (?, ?, ?)", entries)
        con.execute("COMMIT")
        con.execute("DETACH out")


def _flattened(frame: pl.DataFrame) -> pl.DataFrame:
    """Durations as whole numbers and categories as text: DuckDB's interval does not come back as a duration. A column without any
    value has no type of its own; text holds nulls as well as any. Words that are numbers already (Enum) are text to whoever reads them."""
    changes = []
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Duration):
            changes.append(pl.col(name).to_physical())
        elif isinstance(kind, pl.Categorical) or kind == pl.Null:
            changes.append(pl.col(name).cast(pl.String))
    return frame.with_columns(changes)


def _types(schema: pl.Schema) -> bytes:
    """What the flattened rows are to become again, as the file of a frame without rows."""
    empty = io.BytesIO()
    pl.DataFrame(schema=schema).write_ipc(empty)
    return empty.getvalue()


def _drop_old(folder: Path, path: Path, before: Path | None) -> None:
    files = sorted(folder.glob("warehouse-*.duckdb"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    keep = [path, *([before] if before is not None and before != path and before.exists() else [])]
    keep += [file for file in files if file not in keep]
    for old in keep[_KEPT:]:
        old.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
