"""Source reviews: a folder of Markdown files, one retrospective each, with a front matter that says what is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from ingest.frontmatter import Flaw, Said, front_matter
from ingest.pages import Page
from toolkit.errors import UsageError
from toolkit.records import RECORDS
from toolkit.store.ledger import Ledger
from toolkit.store.people import People
from toolkit.store.problems import Problem

__all__ = ["read", "to_records"]

_LARGEST = 1 << 20
_REVIEW = ("id", "incident", "state", "held_at", "published_at", "url", "root_causes", "action_items")
_ITEM = ("id", "title", "kind", "owner", "created", "due", "closed", "url")
_TIMES = ("held_at", "published_at", "created", "due", "closed")


def read(
    since: dict[str, Any] | None, *, root: Path, ledger: Ledger, path: str = "reviews", time_zone: str = "UTC", again: bool = False
) -> Iterator[Page]:
    """The reviews in the folder `path`, relative to `root`: every .md below it but README.md and those whose name begins with _.

    Files that are known, byte for byte, are left alone unless `again`. `time_zone`: where a day begins that is written as a date
    alone. A file that does not fit goes to quarantine with its lines and reasons; the others come in. Raises UsageError.
    """
    folder = root / path
    if not folder.is_dir():
        raise UsageError(f"sources: there is no folder {folder}. Make it, or check path in knowngood.toml.")
    zone = _zone(time_zone)
    known = (since or {}).get("files", {})
    files: dict[str, str] = {}
    for file in sorted(folder.rglob("*.md")):
        name = file.relative_to(folder).as_posix()
        # A link may lead out of the folder, to what is nobody's review.
        if file.name == "README.md" or file.name.startswith("_") or not file.resolve().is_relative_to(folder.resolve()):
            continue
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
        files[name] = hashlib.sha256(f"{time_zone} ".encode() + content).hexdigest()
        if known.get(name) == files[name] and not again:
            continue
        place = f"{folder.name if Path(path).is_absolute() else path.rstrip('/')}/{name}"
        yield _page(content, name, place, {"files": known | files}, zone, ledger.people)


def _page(content: bytes, name: str, place: str, cursor: dict[str, Any], zone: ZoneInfo, people: People) -> Page:
    page = Page({}, [], cursor, what="review")
    lines = content.decode("utf-8", "replace").splitlines()
    try:
        if len(content) > _LARGEST:
            raise Flaw(1, "the file is larger than 1 MiB: put pictures and logs beside it")
        review, items = to_records(content.decode("utf-8"), name.removesuffix(".md"), place, zone)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        page.refused.append((place, _problem(place, Flaw(line, "this is not UTF-8: save the file as UTF-8"), lines)))
    except ExceptionGroup as flaws:
        page.refused.extend((place, _problem(place, flaw, lines)) for flaw in flaws.exceptions if isinstance(flaw, Flaw))
    except Flaw as flaw:
        page.refused.append((place, _problem(place, flaw, lines)))
    else:
        page.records.update(review=[review], action_item=items)
        hidden = [{**item, "owner": people.pseudonym(item["owner"])} if "owner" in item else item for item in items]
        page.settled.append(place)
        page.raw.append({"review": review, "action_items": hidden})
    return page


def _problem(place: str, flaw: Flaw, lines: list[str]) -> Problem:
    line = lines[flaw.line - 1].strip() if flaw.line <= len(lines) else ""
    # The line that names somebody is found by its number.
    shown = "" if "owner" in line else line[:200]
    return Problem(f"line {flaw.line}", None, "front_matter", f"{place}:{flaw.line}: {flaw.reason}", f"{place}: {shown}", "", place)


def to_records(text: str, name: str, place: str, zone: ZoneInfo) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The review and its action items in one file's text, as in records.py. Raises Flaw, or a group of them.

    `name`: the review's id unless it names one. `place`: where it can be read unless it says. An action item is known by its id, or
    its title: titles may change places, not words.
    """
    form = front_matter(text)
    flaws: list[Flaw] = []
    review = _fields(form, _REVIEW, zone, flaws)
    listed = review.pop("action_items", None) or []
    review = {"source_id": review.pop("id", name), "url": place, **review}
    if "incident" not in form:
        flaws.append(Flaw(1, "incident: every review looks back on one: write its id"))
    _check("review", review, form, flaws, 1)
    items: list[dict[str, Any]] = []
    for said in listed if isinstance(listed, list) else []:
        if not isinstance(said.value, dict):
            flaws.append(Flaw(said.line, "action_items: write `- title: …` for each, with kind, owner, due and closed below it"))
            continue
        item = _fields(said.value, _ITEM, zone, flaws)
        link = item.pop("url", None)
        own = item.pop("id", item.get("title"))
        if not own:
            flaws.append(Flaw(said.line, "title: every action item needs one"))
            continue
        item = {
            "source_id": f"{review['source_id']}/{own}"[:500],
            "incident": review.get("incident"),
            "review": review["source_id"],
            **item,
        }
        item |= {"evidence": [link]} if link else {}
        if any(other["source_id"] == item["source_id"] for other in items):
            flaws.append(Flaw(said.line, f"title: {str(own)[:80]!r} stands here twice: give one of them an id"))
        _check("action_item", item, said.value, flaws, said.line)
        items.append(item)
    if flaws:
        raise ExceptionGroup("front matter", sorted(flaws, key=lambda flaw: flaw.line))
    return review, items


def _fields(form: Mapping[str, Said], names: tuple[str, ...], zone: ZoneInfo, flaws: list[Flaw]) -> dict[str, Any]:
    """The values that are there, times as moments; what does not fit is noted in `flaws`."""
    found: dict[str, Any] = {}
    for name, said in form.items():
        if name not in names:
            flaws.append(Flaw(said.line, f"{name[:80]}: no such name; there are: {', '.join(names)}"))
        elif said.value is None:
            continue
        elif name == "action_items":
            if not isinstance(said.value, list):
                flaws.append(Flaw(said.line, "action_items: write `- title: …` lines"))
            found[name] = said.value
        elif name == "root_causes":
            parts = said.value if isinstance(said.value, list) else [said]
            found[name] = [part.value for part in parts]
        elif not isinstance(said.value, str):
            flaws.append(Flaw(said.line, f"{name}: write one value"))
        elif name in _TIMES:
            try:
                found[name] = _moment(said.value, zone, end=name == "due")
            except (ValueError, OverflowError):
                flaws.append(Flaw(said.line, f"{name}: {said.value[:80]!r} is no day: write 2026-05-31, or a time 2026-05-31T14:00Z"))
        else:
            found[name] = said.value
    return found


def _check(record: str, fields: dict[str, Any], form: Mapping[str, Said], flaws: list[Flaw], line: int) -> None:
    """What the record itself does not accept, by the line on which it stands."""
    try:
        RECORDS[record].model_validate(fields)
    except ValidationError as error:
        for one in error.errors():
            name = str(one["loc"][0])
            at = form[name].line if name in form else line
            if one["type"] == "literal_error":
                flaws.append(Flaw(at, f"{name}: {str(one['input'])[:80]!r} is none of {one['ctx']['expected']}"))
            elif one["type"] != "missing":
                flaws.append(Flaw(at, f"{name}: {one['msg'].removeprefix('Value error, ')}"))


def _moment(text: str, zone: ZoneInfo, *, end: bool) -> datetime:
    """A time with its offset, or a day: its beginning, and where something is due its end."""
    if len(text) <= 10:
        day = date.fromisoformat(text)
        return datetime.combine(day, time(23, 59, 59) if end else time(), zone).astimezone(UTC)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(f"sources: {name!r} is no time zone: write it like Europe/London or UTC.") from None
