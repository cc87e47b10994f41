"""Where the reading of a history was left off, and what a force-push has taken out of it since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ingest.gitlog import Clone
from toolkit.records import EARLIEST

__all__ = ["Progress", "digest_of"]

Mark = tuple[str, datetime]


@dataclass(frozen=True)
class Progress:
    """`marks`: commits that were read, oldest first, the last one being where reading goes on. `start`: when the first one came to be."""

    reading: str
    start: datetime | None = None
    marks: tuple[Mark, ...] = ()
    # What was read once and is no longer part of the history: from the last commit that still is, to the last that was read.
    gap: tuple[datetime, datetime] | None = None

    @classmethod
    def of(cls, cursor: dict[str, Any] | None, clone: Clone, tip: str, reading: str) -> Self:
        """Read on from the cursor, or from the start where there is none, or where `reading` (how to read) has changed.

        A last commit that `tip` did not grow out of was taken away by a force-push: reading goes on from the last mark that is left.
        """
        if cursor is None or cursor.get("reading") != reading:
            return cls(reading)
        marks = [(sha, datetime.fromisoformat(at)) for sha, at in cursor["marks"]]
        start = datetime.fromisoformat(cursor["start"]) if cursor["start"] else None
        left = list(marks)
        while left and not clone.is_before(left[-1][0], tip):
            left.pop()
        if len(left) == len(marks):
            return cls(reading, start, tuple(marks))
        lost_from = left[-1][1] if left else start or marks[-1][1]
        gap = (min(lost_from, marks[-1][1]), marks[-1][1])
        return cls(reading, start, tuple(left), gap)

    @property
    def since(self) -> str | None:
        """The commit to go on from."""
        return self.marks[-1][0] if self.marks else None

    @property
    def until(self) -> datetime | None:
        """Up to when the history was read."""
        return self.marks[-1][1] if self.marks else None

    def after(self, commits: Iterable[Mark]) -> Self:
        """Once these commits are in. Times beyond now or before the year 2000 are moved there: clocks of authors set no horizon."""
        now = datetime.now(UTC)
        read = [*self.marks, *((sha, min(max(at, EARLIEST), now)) for sha, at in commits)]
        return replace(self, start=self.start or (read[0][1] if read else None), marks=tuple(_thinned(read)), gap=None)

    @property
    def cursor(self) -> dict[str, Any]:
        """What `of` reads."""
        start = self.start.isoformat() if self.start else None
        return {"reading": self.reading, "start": start, "marks": [[sha, at.isoformat()] for sha, at in self.marks]}


def digest_of(**options: Any) -> str:
    """Changes when the options do, so that a history is read anew when it is to be read otherwise."""
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _thinned(marks: list[Mark]) -> list[Mark]:
    """The last, and before it ever fewer: each about twice as long ago as the one after it. A few dozen reach back over any history."""
    if not marks:
        return []
    kept, reach = [marks[-1]], timedelta(0)
    for mark in reversed(marks[:-1]):
        age = marks[-1][1] - mark[1]
        if age >= 2 * reach and age > timedelta(0):
            kept.append(mark)
            reach = age
    return kept[::-1]
