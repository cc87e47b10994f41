"""When commits reached the main line of a history: merged there, brought there as a copy, or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ingest.ancestry import History
from ingest.copies import SQUASHED, alike, named, squashed
from ingest.gitlog import Clone

__all__ = ["Arrival", "arrivals"]

How = Literal["merged", "cherry_pick", "same_change", "nothing_new", "not_found", "not_compared"]


@dataclass(frozen=True)
class Arrival:
    """A commit on the main line since `at`; None: not there, or nobody can tell (not compared). `name`: what it is called there, if not by
    its own name. `by`: the commit that brought it."""

    sha: str
    at: datetime | None
    how: How
    name: str | None = None
    by: str | None = None


def arrivals(clone: Clone, history: History, came: Mapping[str, str], changes: Mapping[str, Sequence[str]]) -> Iterator[Arrival]:
    """When each of these commits reached the main line.

    came: of every commit on the main line the one that brought it. changes: commit → the commits whose changes it ships. It has arrived
    when it came itself, or once all of them were there, by themselves or as copies, if that was earlier: a release branch may be merged
    long after its fixes were picked from the main line.
    """
    # What was made on the line itself can have come no earlier.
    asked = {one for ships in changes.values() for one in ships if came.get(one) != one}
    told = named(history, asked, came)
    same, untold = alike(clone, history, asked - told.keys(), came)
    alone = asked - told.keys() - same.keys()
    lacking = {sha: ships for sha, ships in changes.items() if sha not in came and len(ships) in SQUASHED and alone.issuperset(ships)}
    whole, unsure = squashed(clone, history, came, lacking)
    compared = {*same.values(), *whole.values()}
    for sha, ships in changes.items():
        own = [(history.messages[came[sha]].at, sha)] if sha in came else []
        copies = [_first(history, came, {one, told.get(one), same.get(one), whole.get(sha)}) for one in ships]
        there = [one for one in copies if one is not None]
        # By its last change; where it ships none, when its branch left.
        all_there = [max(there)] if there and len(there) == len(copies) else []
        if not own and not all_there:
            compared_all = sha not in unsure and all(copy is not None or one not in untold for one, copy in zip(ships, copies, strict=True))
            yield Arrival(sha, None, "not_found" if compared_all else "not_compared")
            continue
        at, name = min([*own, *all_there], key=lambda one: one[0])
        if name == sha:
            yield Arrival(sha, at, "merged", by=came[sha])
        else:
            how: How = "nothing_new" if name in ships else "same_change" if name in compared else "cherry_pick"
            yield Arrival(sha, at, how, name, came[name])


def _first(history: History, came: Mapping[str, str], names: Collection[str | None]) -> tuple[datetime, str] | None:
    """The one of these that was on the main line first, and when."""
    return min(((history.messages[came[one]].at, one) for one in names if one is not None and one in came), default=None)
