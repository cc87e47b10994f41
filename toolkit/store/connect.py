"""Open DuckDB, always in UTC, within a memory limit, and closed again; quote names and values for it."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

__all__ = ["LOG_ONLY", "connect", "literal", "opened", "quoted", "select_list"]

# Enough for a million wide rows; beyond it DuckDB spills beside the file instead of growing.
MEMORY_LIMIT = "768MB"
# A query of more than two seconds would draw a bar on standard output, into the JSON that stands there.
_SILENT = "SET enable_progress_bar_print = false"
# Texts leave as polars holds them.
_VIEWS = "SET GLOBAL produce_arrow_string_view = true; SET GLOBAL arrow_output_version = '1.4'"

# What is written stays in a file's log: toolkit.store.folding says why, and brings it into the file.
LOG_ONLY = "SET GLOBAL checkpoint_threshold = '1TB'; PRAGMA disable_checkpoint_on_shutdown"


@contextmanager
def connect(
    path: Path | str | None = None,
    *,
    read_only: bool = False,
    memory_limit: str = MEMORY_LIMIT,
    threads: int | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own that closes with the block. `path` None is a database in memory.

    Times leave in UTC whatever the machine's zone is, because the session's zone is what Arrow hands out.
    """
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": memory_limit}
    if threads is not None:
        config["threads"] = threads
    con = duckdb.connect(":memory:" if path is None else str(path), read_only=read_only, config=config)
    try:
        con.execute(f"SET TimeZone = 'UTC'; {_SILENT}; {_VIEWS}")
        yield con
    finally:
        con.close()


@contextmanager
def opened(path: Path | str, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file at `path`, open for the block as the current database of a connection, and let go of after it.

    Files that are opened for moments share one engine: to start one takes ten times as long as to open a file.
    """
    name = _ENGINE.attach(Path(path).absolute(), read_only=read_only)
    try:
        with _ENGINE.cursor() as con:
            con.execute(f"USE {name}; {_SILENT}")
            yield con
    finally:
        _ENGINE.detach(name)


@dataclass
class _Held:
    path: Path
    read_only: bool
    users: int = 1


@dataclass
class _Engine:
    """One DuckDB in this process, and the files that are open in it by the name they go under; several threads may read one file."""

    base: duckdb.DuckDBPyConnection | None = None
    left: duckdb.DuckDBPyConnection | None = None
    files: dict[str, _Held] = field(default_factory=dict)
    named: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def attach(self, path: Path, *, read_only: bool) -> str:
        with self.lock:
            for name, held in self.files.items():
                if held.path == path and held.read_only and read_only:
                    held.users += 1
                    return name
            if self.base is None:
                self.base = duckdb.connect(config={"memory_limit": MEMORY_LIMIT})
                self.base.execute(f"SET GLOBAL TimeZone = 'UTC'; {_VIEWS}; {LOG_ONLY}")
            self.named += 1
            name = f"file_{self.named}"
            self.base.execute(f"ATTACH {literal(path)} AS {name}{' (READ_ONLY)' if read_only else ''}")
            self.files[name] = _Held(path, read_only)
            return name

    def cursor(self) -> duckdb.DuckDBPyConnection:
        assert self.base is not None  # noqa: S101 (attach came first)
        return self.base.cursor()

    def detach(self, name: str) -> None:
        with self.lock:
            held = self.files[name]
            held.users -= 1
            if held.users == 0:
                del self.files[name]
                if self.base is not None:
                    self.base.execute(f"DETACH {name}")

    def close(self) -> None:
        if self.base is not None:
            self.base.close()
            self.base = None

    def forget(self) -> None:
        """In a forked process: an engine's threads do not come along, it starts its own."""
        # Closing the old one would wait for those threads.
        self.left, self.base, self.files, self.lock = self.base, None, {}, threading.Lock()


_ENGINE = _Engine()
atexit.register(_ENGINE.close)

os.register_at_fork(after_in_child=_ENGINE.forget)


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
