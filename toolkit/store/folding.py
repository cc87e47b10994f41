"""Bring what a DuckDB file's log says into the file, in a copy that takes its place.

DuckDB rewrites a block of what it knows of its tables in place whenever it does that itself: a process killed in the middle of that write
leaves a file that cannot be opened. To the log it only appends, and rows go to room that nothing refers to yet.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from toolkit.store.connect import opened

__all__ = ["finish_folding", "fold", "is_half_folded"]

# A log is read whenever the file is opened; folding it copies the file.
_SHORT = 1 / 8
_LONG = 64 * 2**20


def is_half_folded(path: Path) -> bool:
    """Whether somebody was killed between making the copy and putting it in place."""
    return _ready(path).exists()


def fold(path: Path) -> None:
    """Fold the log of the file at `path` where it has grown long. Hold the file's lock; nobody has it open."""
    log = _log(path)
    if not log.exists() or log.stat().st_size < min(_LONG, _SHORT * path.stat().st_size):
        return
    copy = path.with_suffix(".folding")
    _log(copy).unlink(missing_ok=True)
    shutil.copy(path, copy)
    shutil.copy(log, _log(copy))
    with opened(copy, read_only=False) as con:
        con.execute("CHECKPOINT")
    _log(copy).unlink(missing_ok=True)
    os.replace(copy, _ready(path))
    finish_folding(path)


def finish_folding(path: Path) -> None:
    """Put the copy in place: it is whole, and says all that the log says. Killed in here, another does it again."""
    if is_half_folded(path):
        _log(path).unlink(missing_ok=True)
        os.replace(_ready(path), path)


def _ready(path: Path) -> Path:
    return path.with_suffix(".folded")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
