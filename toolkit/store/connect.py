"""Open DuckDB, always in UTC, within a memory limit, and closed again; quote names and values for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

__all__ = ["connect", "literal", "quoted", "select_list"]

# Enough for a million wide rows; beyond it DuckDB spills beside the file instead of growing.
MEMORY_LIMIT = "768MB"


@contextmanager
def connect(
    path: Path | str | None = None,
    *,
    read_only: bool = False,
    memory_limit: str = MEMORY_LIMIT,
    threads: int | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that closes with the block. `path` None is a database in memory.

    Times leave in UTC whatever the machine's zone is, because the session's zone is what Arrow hands out.
    """
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": memory_limit}
    if threads is not None:
        config["threads"] = threads
    con = duckdb.connect(":memory:" if path is None else str(path), read_only=read_only, config=config)
    try:
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """`value` as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


def select_list(names: list[str] | tuple[str, ...], table: str = "") -> str:
    """The names, quoted and joined for a SELECT; prefixed by `table` where given."""
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + quoted(name) for name in names)
