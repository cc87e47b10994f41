"""Build git repositories, commit by commit, at times of one's own."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Repository", "at"]

PERSON = "Ann Example <ann@example.org>"


def at(text: str) -> datetime:
    """01-05 10:30 of 2026, in UTC."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


class Repository:
    """A repository with a work tree at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str, when: datetime | None = None, by: str = PERSON, check: bool = True, data: bytes | None = None) -> str:
        """Runs git there; returns what it printed."""
        name, mail = by.removesuffix(">").split(" <", 1)
        stamp = f"{int((when or at('01-01 00:00')).timestamp())} +0000"
        who = {
            f"GIT_{role}_{what}": said
            for role in ("AUTHOR", "COMMITTER")
            for what, said in (("NAME", name), ("EMAIL", mail), ("DATE", stamp))
        }
        quiet = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(["git", "-C", str(self.path), *args], env=quiet | who, input=data, capture_output=True, check=check)
        return done.stdout.decode("utf-8", "replace").strip()

    def write(self, files: dict[str, str | bytes | None]) -> None:
        """Files by their paths; None removes one."""
        for name, text in files.items():
            file = self.path / name
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(self, when: str, files: dict[str, str | bytes | None], message: str = "Change", by: str = PERSON) -> str:
        """A commit of these files at that time; returns its name."""
        self.write(files)
        self.git("add", "--all", when=at(when))
        self.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "-m", message, when=at(when), by=by)
        return self.git("rev-parse", "HEAD")

    def merge(self, when: str, branch: str, message: str | None = None, by: str = PERSON) -> str:
        """A merge of the branch into the current one, as a commit of its own."""
        self.git("merge", "--quiet", "--no-ff", "-X", "theirs", "-m", message or f"Merge branch '{branch}'", branch, when=at(when), by=by)
        return self.git("rev-parse", "HEAD")
