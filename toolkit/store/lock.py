"""Locks between processes: whoever cannot get in is told who is inside and since when."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from toolkit.errors import Busy

__all__ = ["hold", "holder"]


@contextmanager
def hold(path: Path, *, shared: bool = False, wait: float = 0.0, what: str | None = None) -> Iterator[None]:
    """Hold the lock file at `path` for the block; wait up to `wait` seconds for it.

    The kernel frees the lock when the process dies, however it dies, so a lock file left behind is never stale.
    Raises Busy naming the holder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    end = time.monotonic() + wait
    with ExitStack() as held:
        handle = _opened(path, held)
        with ExitStack() as queue:
            # Whoever waits for the lock holds the door: readers that follow each other closely cannot keep a writer out for ever,
            # and a writer that comes again at once finds the reader that waited before it.
            door = _opened(path.with_suffix(".door"), queue)
            _acquire(door, path, mode, end)
            _acquire(handle, path, mode, end)
        _sign(handle, what)
        yield


def _opened(path: Path, stack: ExitStack) -> int:
    # 0666 less the umask: a team may share one workspace folder.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    stack.callback(os.close, handle)
    return handle


def holder(path: Path) -> str:
    """Who took the lock last, in words."""
    try:
        who = json.loads(path.read_text())
        return f"{who['command']} (pid {who['pid']}) since {who['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"


def _acquire(handle: int, path: Path, mode: int, end: float) -> None:
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Busy(f"busy: held by {holder(path)}. Run this again when that is done.") from None
            time.sleep(0.02)


def _sign(handle: int, what: str | None) -> None:
    """Write who holds it. Several readers may share a lock: the last one in signs."""
    command = what or " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])[:200]
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    entry = json.dumps({"pid": os.getpid(), "command": command, "since": since}).encode()
    # One write over the old one, then cut: a reader in between sees an entry, or one it calls "another process".
    os.pwrite(handle, entry, 0)
    os.ftruncate(handle, len(entry))
