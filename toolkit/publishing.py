"""Publish in the background after a decision was saved: one at a time, and the last save is always in the last publish."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import KnowngoodError
from toolkit.publish import STITCHING, publish, settings_of, version_of
from toolkit.store import warehouse
from toolkit.store.entries import Body
from toolkit.store.journal import Entry
from toolkit.workspace import Workspace

__all__ = ["Saved", "catch_up", "failure", "overtaken", "publish_soon", "save", "state"]

# Whoever holds it is about to publish, and has not looked at the journal yet.
_NEXT = "publishing.lock"
_LOG = "publishing.log"
# Somebody who only looks whether it is held holds it for less than this.
_LOOKS = 0.05


@dataclass(frozen=True)
class Saved:
    """An entry that is on disk, and what to tell its author."""

    entry: Entry
    word: str


def save(
    workspace: Workspace,
    kind: str,
    about: str,
    body: Mapping[str, Any] | Body,
    *,
    author: str,
    why: str | None = None,
    verified: bool = False,
    seen: int | None = None,
) -> Saved:
    """Adds an entry to the journal (see `Journal.append`); of a fact, the facts are computed anew in the background."""
    entry = workspace.journal.append(kind, about, body, author=author, why=why, verified=verified, seen=seen)
    if not entry.fact:
        return Saved(entry, "Saved.")
    started = publish_soon(workspace)
    how = "are being computed anew" if started else "will be computed anew, together with what was saved just before"
    return Saved(entry, f"Saved. The facts {how}; what is shown until then is from before.")


def publish_soon(workspace: Workspace) -> int | None:
    """Starts a publish in a process of its own that outlives this one; returns its pid. None: one is about to begin, and will read
    what has been saved by now.

    At most two are there at a time: one that stitches, and one that waits for it and has not looked yet. The lock is handed to the
    child open, so there is no moment in which nobody holds it; the kernel frees it when the child dies.
    """
    next_one = _taken(workspace.state / _NEXT)
    if next_one is None:
        return None
    log = os.open(workspace.state / _LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # -P: files that lie in the workspace are data, whatever modules they are called after.
    command = [sys.executable, "-P", "-W", "ignore", "-m", "toolkit.publishing", str(workspace.root), str(next_one)]
    package = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and module, no shell
            command,
            cwd=workspace.root,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=(next_one,),
            start_new_session=True,
        )
    finally:
        os.close(log)
        os.close(next_one)
    # Somebody must collect what it leaves in the process table.
    threading.Thread(target=child.wait, daemon=True).start()
    return child.pid


def state(workspace: Workspace) -> Literal["current", "publishing", "behind"]:
    """Whether the published facts rest on the decisions in force; if not, whether a publish is under way. Looks at the journal only,
    not at the ledger."""
    # In this order: whoever waits takes the second lock before letting go of the first, and publishes before letting go of the second.
    under_way = any(_is_held(workspace.state / name) for name in (_NEXT, STITCHING))
    path = warehouse.current(workspace.state)
    if path is not None and warehouse.meta(path).get("journal_digest") == workspace.journal.digest():
        return "current"
    return "publishing" if under_way else "behind"


def overtaken(workspace: Workspace, meta: Mapping[str, Any]) -> bool:
    """Whether records, settings, policy or rules have changed since the facts of this meta were published; what people decided is told by
    `state`. Raises Busy where somebody is writing to the ledger, DataError for a policy that cannot be read."""
    ledger = workspace.ledger
    ledger.wait = _LOOKS
    settings = settings_of(workspace, workspace.policy)
    return version_of(ledger.digest(), settings, ledger.coverage(), meta.get("journal_digest", "")) != meta.get("version")


def catch_up(workspace: Workspace) -> bool:
    """Starts a publish where decisions were saved and none followed, since something crashed in between. Returns whether it did."""
    published = warehouse.current(workspace.state) is not None
    return published and state(workspace) == "behind" and publish_soon(workspace) is not None


def failure(workspace: Workspace) -> str | None:
    """Why the last publish in the background failed; None: it did not."""
    try:
        return (workspace.state / _LOG).read_text(errors="replace").strip()[-2_000:] or None
    except FileNotFoundError:
        return None


def _taken(path: Path) -> int | None:
    """The lock file, open and locked; None while another holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    end = time.monotonic() + _LOOKS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(handle)
                return None
            time.sleep(0.005)


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _main(root: str, next_one: str) -> int:
    try:
        # From when this one may stitch on, a save needs another one.
        publish(Workspace(root), begun=lambda: os.close(int(next_one)))
    except KnowngoodError as error:
        sys.stderr.write(error.message + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
