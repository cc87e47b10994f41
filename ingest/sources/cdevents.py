"""Source cdevents: files of CDEvents v0.5.1, one event a line, that something else writes or `knowngood events` wrote."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingest.cdevents.envelope import Address, Event, Refusal, event_of, without_people
from ingest.cdevents.reading import records_of
from ingest.pages import Page, Raw
from ingest.sources.files import matching
from toolkit.store.ledger import Ledger
from toolkit.store.people import People
from toolkit.store.problems import Problem

__all__ = ["again", "read", "remade"]

# Events at a time: each costs about three kilobytes until it is in.
_PORTION = 50_000
# Things a page: what is in memory beside the events themselves.
_PAGE = 1_000
# A longer line is no event.
_LONGEST = 1 << 20
_KEPT = 20_000

# The events of each thing, as text, with the key under which a refused one would be in quarantine.
Events = dict[Address, dict[str, str]]


def read(since: dict[str, Any] | None, *, root: Path, ledger: Ledger, path: str | list[str], again: bool = False) -> Iterator[Page]:
    """Events in the files that `path` names (files or patterns, relative to `root`), as the records they make.

    Files that are known, byte for byte, are left alone unless `again`. Several events of one thing make one record, together with
    all that earlier files said of it: in whatever order files come, and however often. Raises UsageError where nothing matches.
    """
    known = (since or {}).get("files", {})
    digests = {str(file): _sha256(file) for file in matching(root, path)}
    changed = [file for file, digest in digests.items() if again or known.get(file) != digest]
    if not changed:
        return
    people = ledger.people
    cursor = since or {"files": {}}
    for fresh, refused in _portions(changed, people):
        yield from _pages(fresh, refused, ledger, people, cursor)
    # The files are known once all their events are in.
    yield Page({}, [], {"files": known | digests})


def again(since: dict[str, Any] | None, *, ledger: Ledger, rows: list[dict[str, Any]]) -> Iterator[Page]:
    """Events that were refused, as quarantine keeps them, once more."""
    fresh: Events = {}
    refused: list[tuple[str, Problem]] = []
    for row in rows:
        # What was cut short cannot be read any better.
        found = _event(0, row["raw"].encode(), ledger.people) if len(row["raw"]) < _KEPT else None
        if isinstance(found, Event):
            fresh.setdefault(found.address, {})[found.text] = found.key
        elif found is not None:
            refused.append((row["path"], replace(found, place=row["place"])))
    yield from _pages(fresh, refused, ledger, ledger.people, since or {"files": {}})


def remade(raw: Raw, people: People) -> Iterator[tuple[str, dict[str, Any]]]:
    """All records that the kept events make, by kind."""
    portions = sum(1 for _ in raw()) // _PORTION + 1
    for portion in range(portions):
        told: dict[Address, list[Event]] = {}
        for _, _, said in raw():
            try:
                event = event_of(said, people)
            except Refusal:
                # Once read, no longer understood: what it said is no record any more.
                continue
            if zlib.crc32(repr(event.address).encode()) % portions == portion and event.address.record:
                told.setdefault(event.address, []).append(event)
        for thing, events in told.items():
            yield from ((thing.record, fields) for fields in records_of(thing, events))


def _pages(fresh: Events, refused: list[tuple[str, Problem]], ledger: Ledger, people: People, cursor: dict[str, Any]) -> Iterator[Page]:
    before = _before(ledger, fresh, people)
    things = list(fresh)
    for first in range(0, len(things), _PAGE):
        yield _page(things[first : first + _PAGE], fresh, before, people, cursor)
    # What comes next looks at what is kept, so this has to be.
    yield Page({}, [], cursor, what="event", refused=refused, closes=True)


def _portions(files: list[str], people: People) -> Iterator[tuple[Events, list[tuple[str, Problem]]]]:
    """The events of the files, and what is none with its file, as many at a time as memory is to hold."""
    fresh: Events = {}
    refused: list[tuple[str, Problem]] = []
    held = 0
    for file in files:
        for found in _events(Path(file), people):
            if isinstance(found, Problem):
                refused.append((file, found))
            else:
                fresh.setdefault(found.address, {})[found.text] = found.key
            held += 1
            if held >= _PORTION:
                yield fresh, refused
                fresh, refused, held = {}, [], 0
    yield fresh, refused


def _page(things: list[Address], fresh: Events, before: dict[Address, set[str]], people: People, cursor: dict[str, Any]) -> Page:
    page = Page({}, [], cursor, log=True, what="event")
    for thing in things:
        earlier = before.get(thing, set())
        texts = dict.fromkeys((*fresh[thing], *earlier))
        if thing.record:
            page.records.setdefault(thing.record, []).extend(records_of(thing, (event_of(json.loads(text), people) for text in texts)))
        page.raw.extend(json.loads(text) for text in fresh[thing] if text not in earlier)
        page.settled.extend(fresh[thing].values())
    return page


def _before(ledger: Ledger, fresh: Events, people: People) -> dict[Address, set[str]]:
    """The events that earlier files said of the same things, as they were kept."""
    ids = {thing.source_id for thing in fresh}
    found: dict[Address, set[str]] = {}
    for _, _, items in ledger.raw("cdevents"):
        for line in gzip.decompress(items).splitlines():
            said = json.loads(line)
            if ids.isdisjoint(_ids(said)):
                continue
            event = event_of(said, people)
            if event.address in fresh:
                found.setdefault(event.address, set()).add(event.text)
    return found


def _ids(said: dict[str, Any]) -> set[str]:
    """All that could be the id of what a kept event speaks of: a quick look before a thorough one."""
    mark = said.get("customData", {}).get("knowngood", {})
    return {said["context"]["id"], said["subject"]["id"], mark.get("source_id", ""), str(said["subject"]["content"].get("source_id", ""))}


def _events(file: Path, people: People) -> Iterator[Event | Problem]:
    """Line by line: the event, or why there is none."""
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
        number = 0
        while line := lines.readline(_LONGEST + 1):
            number += 1
            if len(line) > _LONGEST and not line.endswith(b"\n"):
                while (rest := lines.readline(_LONGEST)) and not rest.endswith(b"\n"):
                    pass
                yield _problem(number, line, Refusal(None, "too_long", "The line is longer than 1 MiB."))
            elif line.strip():
                yield _event(number, line, people)


def _event(number: int, line: bytes, people: People) -> Event | Problem:
    said = None
    try:
        said = json.loads(line)
        if b"\\u" in line:
            # Half a character is none, and no table can hold it.
            json.dumps(said, ensure_ascii=False).encode()
        return event_of(said, people)
    except UnicodeEncodeError:
        return _problem(number, line, Refusal(None, "surrogate", "This line holds half a character (an unpaired surrogate)."))
    except ValueError:
        return _problem(number, line, Refusal(None, "json", "This line is not JSON. Write one event a line."))
    except RecursionError:
        return _problem(number, line, Refusal(None, "depth", "This line nests too deep to be an event."))
    except Refusal as refusal:
        return _problem(number, line, refusal, said, people)


def _problem(number: int, line: bytes, refusal: Refusal, said: Any = None, people: People | None = None) -> Problem:
    raw = line.decode("utf-8", "replace").strip()
    key = None
    if isinstance(said, dict) and people is not None:
        # Custom data may name anybody; what refuses an event is elsewhere.
        try:
            raw = json.dumps(without_people({name: value for name, value in said.items() if name != "customData"}, people))
        except RecursionError:
            raw = ""
        context = said.get("context")
        key = f"{context.get('source')} {context.get('id')}" if isinstance(context, dict) else None
    return Problem(f"line {number}", refusal.field, refusal.rule, refusal.reason, raw[:_KEPT], "", key)


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
