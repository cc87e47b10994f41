"""What was computed: one read-only DuckDB file a version, a pointer to the current one, the last two kept."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from toolkit.errors import DataError
from toolkit.store.connect import connect, literal, opened, quoted, select_list
from toolkit.store.layout import Layout, Table, create, is_long, lay, lay_apart, layout_of, put_together
from toolkit.store.lock import hold

if TYPE_CHECKING:
    from toolkit.facts.parted import Parted

__all__ = ["Draft", "current", "draft", "is_readable", "meta", "read", "schema", "tables", "write"]

_POINTER = "CURRENT"
# A file that DuckDB 1.4 and later open.
_STORAGE = "v1.4.0"
_KEPT = 2


def write(folder: Path, version: str, tables: Mapping[str, Table], meta: dict[str, Any]) -> Path:
    """Publish `tables` (by name, in the schema `facts`) and `meta` as the current warehouse. Returns its path."""
    with draft(folder, version) as made:
        for name, table in tables.items():
            made.add(name, table)
        made.finish(meta)
    return made.path


@contextmanager
def draft(folder: Path, version: str) -> Iterator[Draft]:
    """A warehouse to be filled; where it was finished when the block ends, it becomes the current one.

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
        file = folder / f"{path.name}.draft"
        with connect(memory_limit="1GB", threads=1) as con:
            # It can be computed again at any time: four times the size for two thirds of the time is the better bargain.
            con.execute("SET force_compression = 'uncompressed'")
            con.execute(f"ATTACH {literal(file)} AS out (STORAGE_VERSION '{_STORAGE}')")
            con.execute("BEGIN; CREATE SCHEMA out.facts; CREATE SCHEMA out.dense; CREATE SCHEMA out.thin; CREATE SCHEMA out.constant")
            con.execute("CREATE TABLE out.meta (value VARCHAR); CREATE TABLE out.tables (name VARCHAR, types BLOB, layout VARCHAR)")
            made = Draft(path, version, con)
            yield made
            con.execute("COMMIT")
            con.execute("DETACH out")
        if not made.finished:
            file.unlink()
            return
        _sync(file)
        os.replace(file, path)
        before = current(folder)
        pointer = folder / f"{_POINTER}.draft"
        pointer.write_text(path.name + "\n")
        _sync(pointer)
        os.replace(pointer, folder / _POINTER)
        _sync(folder)
        _drop_old(folder, path, before)


@dataclass
class Draft:
    """A warehouse that is being filled: by one thread at a time, whichever that is."""

    path: Path
    version: str
    con: Any
    finished: bool = False
    _begun: dict[str, tuple[Layout, pl.DataFrame]] = field(default_factory=dict)

    def add(self, name: str, table: Table) -> None:
        """Write a table as a whole."""
        if isinstance(table, pl.DataFrame):
            flat = _flattened(table)
            if layout := layout_of(flat):
                lay_apart(self.con, name, lay(self.con, name, flat, layout), layout, table.columns)
            else:
                create(self.con, f"TABLE out.facts.{quoted(name)} AS SELECT * FROM frame", flat)
            self._enter(name, table.schema, layout)
        elif is_long(table):
            self.begin(name, table.dense)
            self.end(name, table)
        else:
            self.add(name, table.whole())

    def begin(self, name: str, dense: pl.DataFrame) -> None:
        """Write what a table says of all rows; what stands apart may not be known yet."""
        if is_long(dense):
            flat = _flattened(dense)
            layout = layout_of(flat)
            self._begun[name] = layout, lay(self.con, name, flat, layout)
            self.settle()

    def end(self, name: str, table: Parted) -> None:
        """Write the rest of a table that was begun."""
        if name not in self._begun:
            return self.add(name, table.whole())
        layout, thin = self._begun.pop(name)
        thin = thin.join(_flattened(table.apart), on="row", how="full", coalesce=True).sort("row")
        layout = layout.with_apart(table.apart)
        lay_apart(self.con, name, thin, layout, table.columns)
        return self._enter(name, table.schema, layout)

    def settle(self) -> None:
        """Bring to the file what was written so far: while others work, rather than at the end."""
        self.con.execute("COMMIT; BEGIN")

    def finish(self, meta: dict[str, Any]) -> None:
        """Say what is to be said of the whole. With the end of the block it is published."""
        self.con.execute("INSERT INTO out.meta VALUES (?)", [json.dumps({**meta, "version": self.version})])
        self.finished = True

    def _enter(self, name: str, schema: pl.Schema, layout: Layout) -> None:
        self.con.execute("INSERT INTO out.tables VALUES (?, ?, ?)", [name, _types(schema), layout.to_json()])


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
