"""What was computed: one read-only DuckDB file a version, a pointer to the current one, the last two kept."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import polars as pl

from toolkit.errors import DataError
from toolkit.store.connect import connect, literal, opened, quoted, select_list
from toolkit.store.lock import hold

__all__ = ["current", "meta", "read", "tables", "write"]

_POINTER = "CURRENT"
# A file that DuckDB 1.4 and later open.
_STORAGE = "v1.4.0"
_KEPT = 2
# In a long table, columns that are null in nine rows of ten stand apart, with the rows that they say anything of.
_LONG = 10_000
_THIN = 0.9


def write(folder: Path, version: str, tables: dict[str, pl.DataFrame], meta: dict[str, Any]) -> Path:
    """Publish `tables` (by name, in the schema `facts`) and `meta` as the current warehouse. Returns its path.

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


def read(path: Path, table: str, columns: list[str] | None = None, *, limit: int | None = None) -> pl.DataFrame:
    """A table of the warehouse at `path`, with the types it was written with. Raises KeyError for a table it does not have."""
    with _opened(path) as con:
        found = con.execute("SELECT types, thin FROM tables WHERE name = ?", [table]).fetchall()
        if not found:
            names = [name for (name,) in con.execute("SELECT name FROM tables ORDER BY name").fetchall()]
            raise KeyError(f"No table {table!r} in {path.name}. There are: {', '.join(names)}.")
        types: dict[str, str] = json.loads(found[0][0])
        thin: list[str] = json.loads(found[0][1])
        asked = list(types) if columns is None else columns
        until = "" if limit is None else f" LIMIT {int(limit)}"
        if not thin:
            frame = con.sql(f"SELECT {select_list(asked)} FROM facts.{quoted(table)}{until}").pl()
        else:
            frame = _put_together(con, table, asked, thin, until)
    return frame.with_columns(_restored(name, types[name]) for name in asked if types[name] != "")


def _put_together(con: Any, table: str, columns: list[str], thin: list[str], until: str) -> pl.DataFrame:
    """The view of a long table, with its rows in the order in which they were written."""
    dense, apart = [name for name in columns if name not in thin], [name for name in columns if name in thin]
    # Columns that stand apart do not say how many rows there are.
    frame = con.sql(f"SELECT {select_list(dense) or 'true'} FROM dense.{quoted(table)}{until}").pl()
    if apart:
        rows = con.sql(f"SELECT row, {select_list(apart)} FROM thin.{quoted(table)} WHERE row < {len(frame)}").pl()
        # With it come all the passes, which most readers of a warehouse do without.
        from toolkit.facts.joins import at_rows

        frame = at_rows(frame, rows, "row")
    return frame.select(columns)


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


def _fill(path: Path, frames: dict[str, pl.DataFrame], about: dict[str, Any]) -> None:
    path.unlink(missing_ok=True)
    with connect(memory_limit="1GB") as con:
        # It can be computed again at any time: four times the size for two thirds of the time is the better bargain.
        con.execute("SET force_compression = 'uncompressed'")
        con.execute(f"ATTACH {literal(path)} AS out (STORAGE_VERSION '{_STORAGE}')")
        con.execute("CREATE SCHEMA out.facts; CREATE SCHEMA out.dense; CREATE SCHEMA out.thin")
        con.execute("CREATE TABLE out.meta (value VARCHAR); CREATE TABLE out.tables (name VARCHAR, types VARCHAR, thin VARCHAR)")
        con.execute("INSERT INTO out.meta VALUES (?)", [json.dumps(about)])
        for name, frame in frames.items():
            flat, types = _flattened(frame)
            thin = [column.name for column in flat if len(flat) >= _LONG and column.null_count() >= _THIN * len(flat)]
            if thin:
                _write(con, f"dense.{quoted(name)}", flat.drop(thin))
                some = pl.any_horizontal(pl.col(thin).is_not_null())
                _write(con, f"thin.{quoted(name)}", flat.select(thin).with_row_index("row").filter(some))
                con.execute(f"CREATE VIEW out.facts.{quoted(name)} AS {_view(name, flat.columns, thin)}")
            else:
                _write(con, f"facts.{quoted(name)}", flat)
            con.execute("INSERT INTO out.tables VALUES (?, ?, ?)", [name, json.dumps(types), json.dumps(thin)])
        con.execute("DETACH out")


def _write(con: Any, table: str, frame: pl.DataFrame) -> None:
    con.register("frame", frame.to_arrow())
    con.execute(f"CREATE TABLE out.{table} AS SELECT * FROM frame")
    con.unregister("frame")


def _view(name: str, columns: list[str], thin: list[str]) -> str:
    listed = ", ".join(f"{'t' if column in thin else 'd'}.{quoted(column)}" for column in columns)
    return f"SELECT {listed} FROM dense.{quoted(name)} AS d LEFT JOIN thin.{quoted(name)} AS t ON t.row = d.rowid"


def _flattened(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Durations as whole numbers and categories as text: DuckDB's interval does not come back as a duration."""
    types = dict.fromkeys(frame.columns, "")
    changes = []
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Duration):
            types[name] = f"duration:{kind.time_unit}"
            changes.append(pl.col(name).to_physical())
        elif isinstance(kind, pl.Categorical | pl.Enum):
            types[name] = "enum:" + json.dumps(kind.categories.to_list()) if isinstance(kind, pl.Enum) else "categorical"
            changes.append(pl.col(name).cast(pl.String))
        elif kind == pl.Null:
            # A column without any value has no type of its own; text holds nulls as well as any.
            types[name] = "null"
            changes.append(pl.col(name).cast(pl.String))
    return frame.with_columns(changes), types


def _restored(name: str, kind: str) -> pl.Expr:
    what, _, detail = kind.partition(":")
    match what:
        case "duration":
            unit: Any = detail
            return pl.col(name).cast(pl.Duration(unit))
        case "enum":
            return pl.col(name).cast(pl.Enum(json.loads(detail)))
        case "null":
            return pl.col(name).cast(pl.Null)
        case _:
            return pl.col(name).cast(pl.Categorical())


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
