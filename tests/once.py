"""What is published in a workspace that tests share is read from its file once, however many copies of it they make."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from toolkit.store import warehouse
from toolkit.workspace import Workspace

__all__ = ["read_once"]

Mark = tuple[str, int, int]

_REAL = {name: getattr(warehouse, name) for name in ("read", "schema", "tables", "meta")}
_SHARED: set[Mark] = set()
_SAID: dict[tuple[Any, ...], Any] = {}


def read_once(workspace: Workspace) -> None:
    """Keep what the warehouse of `workspace` holds, for it and for copies of its folder.

    Not for other files: that a warehouse reads as it was written, whole and at any time, tests ask of files of their own.
    """
    _SHARED.add(_mark(workspace.warehouse))
    warehouse.read = _read
    for name in ("schema", "tables", "meta"):
        setattr(warehouse, name, _asked(name))


def _mark(path: Path) -> Mark:
    """What a published file and its copies have in common, and one that was changed in place no longer has."""
    about = path.stat()
    return path.name, about.st_size, about.st_mtime_ns


def _asked(name: str) -> Callable[..., Any]:
    def ask(path: Path, *words: str) -> Any:
        mark = _mark(path) if path.exists() else None
        if mark not in _SHARED:
            return _REAL[name](path, *words)
        if (name, mark, *words) not in _SAID:
            _SAID[name, mark, *words] = _REAL[name](path, *words)
        return copy.deepcopy(_SAID[name, mark, *words]) if name == "meta" else copy.copy(_SAID[name, mark, *words])

    return ask


def _read(path: Path, table: str, columns: list[str] | None = None) -> pl.DataFrame:
    if path.exists() and _mark(path) in _SHARED:
        frame: pl.DataFrame = _asked("read")(path, table)
        return frame if columns is None else frame.select(columns)
    whole: pl.DataFrame = _REAL["read"](path, table, columns)
    return whole
