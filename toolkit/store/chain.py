"""One entry of the journal, and the chain that they form: each holds the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from toolkit.store.entries import KINDS, canonical

__all__ = ["FIRST", "Entry", "Problem", "broken", "digest_of", "entry_of", "hash_of"]

# What the first entry follows.
FIRST = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One entry. seq: 1, 2, …; about: "incident:source/id", …; verified: whether the author's name was checked by a sign-in; before: the
    hash of the entry before; hash: of everything else here."""

    seq: int
    id: str
    kind: str
    about: str
    author: str
    verified: bool
    at: datetime
    why: str | None
    body: dict[str, Any]
    before: str
    hash: str

    @property
    def fact(self) -> bool:
        """Whether it changes what is computed."""
        return self.kind in KINDS and KINDS[self.kind].fact

    def as_json(self) -> dict[str, Any]:
        """Its fields as JSON has them."""
        return {**asdict(self), "at": self.at.isoformat().replace("+00:00", "Z")}


@dataclass(frozen=True)
class Problem:
    """What is wrong with the journal, and at which entry (None: with the file)."""

    seq: int | None
    what: str


def digest_of(facts: Iterable[Entry]) -> str:
    """One hash over what entries say; not over who said it, when and why, nor over their order."""
    # The reason of a waiver stands in the facts, in the place of the evidence.
    shown = {"waiver"}
    said = sorted(canonical([entry.kind, entry.about, entry.body, *([entry.why] if entry.kind in shown else [])]) for entry in facts)
    return hashlib.sha256(canonical(said).encode()).hexdigest()


def entry_of(row: tuple[Any, ...]) -> Entry:
    """The entry in a row of the file."""
    seq, id, kind, about, author, verified, at, why, body, before, own = row
    return Entry(seq, id, kind, about, author, bool(verified), datetime.fromisoformat(at), why, json.loads(body), before, own)


def hash_of(row: tuple[Any, ...]) -> str:
    """Of everything in the row, in the order of its columns, its own hash left out."""
    return hashlib.sha256(json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def broken(rows: list[tuple[Any, ...]], hashes: dict[int, str]) -> list[Problem]:
    """Problems of the entries by themselves; puts number → hash into `hashes`."""
    problems = []
    before, expected = FIRST, 1
    for row in rows:
        seq = row[0]
        if seq != expected:
            gone = f"entry {expected} is" if seq == expected + 1 else f"entries {expected} to {seq - 1} are"
            problems.append(Problem(seq, f"{gone} missing before it"))
        if hash_of(row[:-1]) != row[-1]:
            problems.append(Problem(seq, "was edited: what it says is not what its hash was made of"))
        if row[-2] != before and seq == expected:
            problems.append(Problem(seq, "does not follow the entry before it"))
        before, expected = row[-1], seq + 1
        hashes[seq] = row[-1]
    return problems
