"""What people said about an incident: corrections, notes, action items and signatures, and how far its review is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from toolkit.store.entries import subject
from toolkit.store.journal import Entry

__all__ = ["STATES", "Item", "Said", "State", "about", "person", "said_of"]

State = Literal["not reviewed", "in review", "signed by one", "signed off", "changed since sign-off"]
STATES: tuple[State, ...] = ("not reviewed", "in review", "signed by one", "signed off", "changed since sign-off")


@dataclass(frozen=True)
class Item:
    """An action item as it stands now. asked, settled: when; settled is null while it is open."""

    id: str
    title: str
    kind: str | None
    owner: str | None
    due: date | None
    state: Literal["open", "done", "dropped"]
    asked: datetime
    asked_by: str
    settled: datetime | None


@dataclass(frozen=True)
class Said:
    """Entries about one incident, in order, and what follows from them.

    corrections, waivers: those in force; of a waiver it is not asked whether its day is over. signatures: those of one content since
    the last reopening, at most two; closed: both are there."""

    entries: tuple[Entry, ...]
    corrections: tuple[Entry, ...]
    waivers: tuple[Entry, ...]
    notes: tuple[Entry, ...]
    items: tuple[Item, ...]
    signatures: tuple[Entry, ...]

    @property
    def closed(self) -> bool:
        """Whether two people signed the same: then nothing is changed until somebody reopens it."""
        return len(self.signatures) == 2

    @property
    def last(self) -> int:
        """Number of the last entry; 0 without one."""
        return max((entry.seq for entry in self.entries), default=0)

    @property
    def correctors(self) -> set[str]:
        """Whoever changed what is computed about this incident."""
        return {person(entry.author) for entry in self.entries if entry.fact}

    def state(self, digest: str | None) -> State:
        """How far the review is, given the digest of what a signature would stand for now."""
        if not self.entries:
            return "not reviewed"
        if self.signatures and self.signatures[0].body["digest"] == digest:
            return "signed off" if self.closed else "signed by one"
        return "changed since sign-off" if self.closed else "in review"


def about(incident: Mapping[str, Any]) -> str:
    """What an entry about this incident is about; one that came back as a new incident has entries of its own."""
    _, hashed, again = incident["id"].rpartition("#")
    part = f"#{again}" if hashed and incident["id"] != incident["source_id"] else ""
    return subject("incident", incident["source"], f"{incident['source_id']}{part}")


def person(name: str) -> str:
    """A name as it is compared: neither case nor width nor spaces make another person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def said_of(entries: Iterable[Entry], subjects: Iterable[str]) -> Said:
    """What the entries about any of the subjects come to."""
    wanted = set(subjects)
    own = tuple(entry for entry in entries if entry.about in wanted)
    gone = {entry.body["entry"] for entry in own if entry.kind == "withdrawal"}

    def in_force(kind: str, target: str) -> tuple[Entry, ...]:
        last = {(entry.about, entry.body[target]): entry for entry in own if entry.kind == kind and entry.id not in gone}
        return tuple(sorted(last.values(), key=lambda entry: entry.seq))

    return Said(
        entries=own,
        corrections=in_force("override", "field"),
        waivers=in_force("waiver", "rule"),
        notes=tuple(entry for entry in own if entry.kind == "note"),
        items=_items(own),
        signatures=_signatures(own),
    )


def _items(entries: Iterable[Entry]) -> tuple[Item, ...]:
    found: dict[str, Item] = {}
    for entry in entries:
        if entry.kind != "action_item":
            continue
        first = found.get(entry.body["item"] or "")
        body, state = entry.body, entry.body["state"]
        due = date.fromisoformat(body["due"]) if body["due"] else None
        asked, by = (first.asked, first.asked_by) if first else (entry.at, entry.author)
        name = first.id if first else entry.id
        settled = None if state == "open" else entry.at
        found[name] = Item(name, body["title"], body["kind"], body["owner"], due, state, asked, by, settled)
    return tuple(found.values())


def _signatures(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Two signatures of the same content, the second by somebody else who corrected nothing; a signature of other content starts over."""
    held: tuple[Entry, ...] = ()
    correctors: set[str] = set()
    for entry in entries:
        if entry.fact:
            correctors.add(person(entry.author))
        elif entry.kind == "reopening":
            held = ()
        elif entry.kind == "sign_off" and len(held) < 2:
            if not held or held[0].body["digest"] != entry.body["digest"]:
                held = (entry,)
            elif person(entry.author) not in correctors | {person(held[0].author)}:
                held = (held[0], entry)
    return held
