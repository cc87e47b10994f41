"""The head file: number and hash of the journal's last entry, kept beside it so that a cut-off end can be told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from toolkit.store.chain import Problem

__all__ = ["Head"]


class Head:
    """The head file at `path`. It may lag behind the journal, never lead it. Whoever writes it holds the journal's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[int, str] | None:
        """Number and hash; None where there is no file. Raises ValueError for one that cannot be read."""
        try:
            told = json.loads(self.path.read_text())
            return int(told["seq"]), str(told["hash"])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} cannot be read: {error}") from error

    def write(self, number: int, last: str) -> None:
        """Replaces the file, so that a reader finds the old one or the new one."""
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, json.dumps({"seq": number, "hash": last}).encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(draft, self.path)

    def missed(self, hashes: Mapping[int, str]) -> list[Problem]:
        """What the file knows of and the journal has not. hashes: of its entries, by number; 0 before the first."""
        try:
            told = self.read()
        except ValueError:
            return [Problem(None, "the head file cannot be read: whether the end was cut off cannot be told")]
        last = max(hashes)
        if told is None:
            return [Problem(None, "the head file is gone: whether the end was cut off cannot be told")] if last else []
        number, expected = told
        if number > last:
            return [Problem(None, f"the end is cut off: the journal had {number} entries and has {last}")]
        if hashes.get(number) not in (expected, None):
            return [Problem(number, "is not the entry that the head file knows: the journal was cut off, replaced or rewritten before it")]
        return []
