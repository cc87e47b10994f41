"""Pages from an outside system into the ledger: gathered to a flush, which carries its records, their raw form and the cursor."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ingest.report import RunReport
from toolkit.errors import KnowngoodError
from toolkit.records import RECORDS
from toolkit.store.books import Counts, Load, Seen
from toolkit.store.ledger import Ledger
from toolkit.store.mapping import Mapping
from toolkit.store.problems import Problem
from toolkit.store.staging import stage

__all__ = ["Page", "Raw", "line", "sync_pages"]

FLUSH_ROWS = 25_000
FLUSH_SECONDS = 5.0
STREAM = "pages"

# Item by item what records were made from: source, when it was seen, the item. Called for each time it is read.
Raw = Callable[[], Iterator[tuple[str, datetime, Any]]]


@dataclass(frozen=True)
class Page:
    """What one request brought.

    `records`: by kind ("deployment", …), each with the fields of records.py; a kind that is named without any was looked for in vain.
    `raw`: what they were made from, without people's names. `cursor`: where a later sync goes on once this page is in. `covers`: the
    interval that was seen completely, where that is known. `gap`: one that no longer can be seen.
    """

    records: dict[str, list[dict[str, Any]]]
    raw: list[Any]
    cursor: dict[str, Any]
    covers: tuple[datetime, datetime] | None = None
    gap: tuple[datetime, datetime] | None = None
    # Keep raw even where no record changed, since later items are understood together with it.
    log: bool = False
    # To be flushed before the next is asked for: it looks at what the ledger holds.
    closes: bool = False
    # Pieces of files that make no record, called `what` ("event", …), each with its path; and the keys of those that are settled.
    what: str = ""
    refused: list[tuple[str, Problem]] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)


def sync_pages(ledger: Ledger, source: str, kind: str, read: Any, options: dict[str, Any]) -> list[RunReport]:
    """Read on from the cursor to the end, under the sync lock, by a source of this kind. One report for each kind of record.

    What came in before an error stays: the cursor moved with it.
    """
    began = time.monotonic()
    now = datetime.now(UTC)
    run = ledger.begin_run(source=source, record="", path=None, now=now)
    totals: dict[str, Counts] = {}
    failed: KnowngoodError | None = None
    try:
        for pages in _batches(read(since=ledger.cursor(source, STREAM), **options)):
            _flush(ledger, run, source, kind, pages, totals)
    except KnowngoodError as error:
        failed = error
    except BaseException as error:
        ledger.end_run(run, status="failed", error=f"{type(error).__name__}: {error}", now=datetime.now(UTC))
        raise
    said = failed.message if failed else None
    ledger.end_run(run, status="failed" if failed else "ok", error=said, now=datetime.now(UTC))
    seconds = time.monotonic() - began
    reports = [RunReport(source, record, None, **asdict(counts), seconds=seconds) for record, counts in totals.items()]
    if failed:
        reports.append(RunReport(source, "", None, error=said, exit_code=failed.exit_code))
    # Nothing came, and that is well: it is said, and not passed over in silence.
    return reports or [RunReport(source, "", None, skipped=True, seconds=seconds)]


def _batches(pages: Iterable[Page]) -> Iterator[list[Page]]:
    """Pages for one flush: many enough that the comparison with the ledger pays, few enough that a kill costs seconds."""
    batch: list[Page] = []
    rows, began = 0, time.monotonic()
    for page in pages:
        batch.append(page)
        rows += sum(map(len, page.records.values()))
        if page.closes or rows >= FLUSH_ROWS or time.monotonic() - began >= FLUSH_SECONDS:
            yield batch
            batch, rows, began = [], 0, time.monotonic()
    if batch:
        yield batch


def _flush(ledger: Ledger, run: int, source: str, kind: str, pages: list[Page], totals: dict[str, Counts]) -> None:
    """One batch. The cursor and what was covered move with the last kind of record: a kill in between costs a repeat, never a row."""
    gathered: dict[str, list[dict[str, Any]]] = {}
    for page in pages:
        for record, items in page.records.items():
            gathered.setdefault(record, []).extend(items)
    kinds = [record for record, items in gathered.items() if items]
    now = datetime.now(UTC)
    mapping = Mapping()
    # Level 1 packs what differs in an id and a time as tightly as 9 does, in a fifth of the time.
    raw = gzip.compress(_lines(item for page in pages for item in page.raw), compresslevel=1, mtime=0)
    load = Load(run, "", source, None, hashlib.sha256(raw).hexdigest(), "", now, mapping.model_dump_json(), items=raw, kind=kind)
    load = replace(load, log=any(page.log and page.raw for page in pages))
    last = replace(load, stream=STREAM, cursor=pages[-1].cursor)
    _refuse(ledger, load, pages, totals)
    if not kinds:
        if load.log:
            ledger.keep(load)
        ledger.move_cursor(replace(last, seen=_seen(pages, list(gathered))))
    for record in kinds:
        draft = ledger.folder / "staging.jsonl"
        draft.write_bytes(_lines(gathered[record]))
        # A kind without records has no flush of its own: what was covered of it is noted with the last.
        lost = [other for other in gathered if other not in kinds] if record == kinds[-1] else []
        load = replace(last if record == kinds[-1] else load, seen=_seen(pages, [record, *lost]))
        try:
            with stage(
                draft,
                RECORDS[record],
                mapping=mapping,
                source=source,
                now=now,
                stamp=now,
                revised=None,
                people=ledger.people,
                scratch=ledger.folder / "staging.duckdb",
            ) as staged:
                before = totals.get(record, Counts())
                this = replace(load, record=record, before=sum(totals.values(), Counts()))
                totals[record] = before + ledger.flush(staged, 0, staged.rows - 1, load=this, final=True)
        finally:
            draft.unlink(missing_ok=True)
    _settle(ledger, load, pages)


def _refuse(ledger: Ledger, load: Load, pages: list[Page], totals: dict[str, Counts]) -> None:
    """What makes no record goes to quarantine before the cursor moves."""
    for what in dict.fromkeys(page.what for page in pages if page.refused):
        refused = [one for page in pages if page.what == what for one in page.refused]
        ledger.refuse(replace(load, record=what), refused)
        totals[what] = totals.get(what, Counts()) + Counts(read=len(refused), quarantined=len(refused))


def _settle(ledger: Ledger, load: Load, pages: list[Page]) -> None:
    """What has come in leaves the quarantine only then: it may be the one place where it stood."""
    for what in dict.fromkeys(page.what for page in pages if page.settled):
        ledger.settle(replace(load, record=what), [key for page in pages if page.what == what for key in page.settled])


def _seen(pages: list[Page], kinds: list[str]) -> tuple[Seen, ...]:
    covered, lost = _joined(page.covers for page in pages), _joined(page.gap for page in pages)
    return tuple(
        Seen(RECORDS[kind].table, *interval, gap=gap)
        for kind in kinds
        for gap, some in ((False, covered), (True, lost))
        for interval in some
    )


def _joined(intervals: Iterable[tuple[datetime, datetime] | None]) -> list[tuple[datetime, datetime]]:
    """Intervals in order, those that touch or overlap as one."""
    joined: list[tuple[datetime, datetime]] = []
    for first, last in sorted(interval for interval in intervals if interval is not None):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _lines(items: Iterable[Any]) -> bytes:
    return "".join(map(line, items)).encode()


def line(item: Any) -> str:
    """An item, or a record's fields, as a line of JSON."""
    return f"{_JSON.encode(item)}\n"


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be kept as JSON")


_JSON = json.JSONEncoder(default=_iso, check_circular=False)
