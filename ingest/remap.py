"""Records made anew from what sources said, as it is kept: no source is asked again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.catalog import source_named, source_names
from ingest.engine import Site
from ingest.pages import line
from toolkit.errors import UsageError
from toolkit.records import RECORDS
from toolkit.store.ledger import Ledger
from toolkit.store.lock import hold
from toolkit.store.mapping import Mapping
from toolkit.store.remake import Remade
from toolkit.store.staging import stage

__all__ = ["remap"]


def remap(site: Site, kinds: Sequence[str] = (), *, apply: bool = True) -> dict[tuple[str, str], Remade]:
    """Make the records of sources of these kinds (default: all whose raw can be read again) anew from their raw, by kind and record.

    A program that understands more of what a source said gives other records than the one that read it first. Without `apply` nothing
    is written. Files are not among it: `sync` reads one again when its mapping has changed.
    """
    ledger = site.ledger
    able = [kind for kind in ledger.kinds() if kind in source_names() and hasattr(source_named(kind), "remade")]
    unknown = [kind for kind in kinds if kind not in able]
    if unknown:
        raise UsageError(f"Nothing that {', '.join(unknown)} said can be read again. Of these it can: {', '.join(able) or 'none yet'}.")
    with hold(ledger.folder / "sync.lock"):
        return {(kind, record): found for kind in kinds or able for record, found in _remade(ledger, kind, apply=apply)}


def _remade(ledger: Ledger, kind: str, *, apply: bool) -> Iterator[tuple[str, Remade]]:
    def raw() -> Iterator[tuple[str, datetime, Any]]:
        for source, seen, items in ledger.raw(kind):
            yield from ((source, seen, json.loads(item)) for item in gzip.decompress(items).splitlines())

    drafts = {record: ledger.folder / f"staging.{record}.jsonl" for record in RECORDS}
    try:
        opened = {record: draft.open("w", encoding="utf-8") for record, draft in drafts.items()}
        try:
            for record, fields in source_named(kind).remade(raw, ledger.people):
                opened[record].write(line(fields))
        finally:
            for file in opened.values():
                file.close()
        # Of some that there are, there may be none any more.
        there = ledger.made_of(kind)
        for record, draft in drafts.items():
            if record in there or draft.stat().st_size:
                yield record, _laid_over(ledger, draft, record, kind, apply=apply)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _laid_over(ledger: Ledger, draft: Path, record: str, kind: str, *, apply: bool) -> Remade:
    now = datetime.now(UTC)
    with stage(
        draft,
        RECORDS[record],
        mapping=Mapping(),
        source=kind,
        now=now,
        stamp=now,
        revised=None,
        people=ledger.people,
        scratch=ledger.folder / "staging.duckdb",
    ) as staged:
        return ledger.remake(staged, kind, apply=apply)
