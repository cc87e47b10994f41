"""Sources that come in pages: records, raw and cursor move together."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingest import engine, pages
from ingest.pages import Page
from toolkit.errors import DataError
from toolkit.workspace import Workspace

Read = Callable[..., Iterator[Page]]


@pytest.fixture
def sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Read], Any]:
    """Sync a source "cd" of the workspace at tmp_path, each page a flush of its own."""
    site = Workspace.init(tmp_path, published_key=True)
    (tmp_path / "knowngood.toml").write_text('[sources.cd]\nproject = "shop"\n')
    monkeypatch.setattr(pages, "FLUSH_ROWS", 1)
    site = Workspace(tmp_path)

    def run(read: Read) -> Any:
        monkeypatch.setattr(engine, "source_named", lambda _: SimpleNamespace(read=read))
        return engine.sync(site)

    run.ledger = site.ledger  # type: ignore[attr-defined]
    return run


def deployment(number: int, **fields: Any) -> dict[str, Any]:
    return {"source_id": f"d{number}", "service": "shop", "finished_at": datetime(2026, 1, number + 1, tzinfo=UTC), **fields}


def numbered(since: dict[str, Any] | None, project: str, *, until: int = 4, fails_at: int | None = None) -> Iterator[Page]:
    """One deployment a page, on from the cursor."""
    for number in range(since["next"] if since else 0, until):
        if number == fails_at:
            raise DataError("page cannot be read")
        yield Page({"deployment": [deployment(number)]}, [{"id": number, "project": project}], {"next": number + 1})


def test_a_sync_that_fails_keeps_what_came_and_the_next_goes_on(sync: Any) -> None:
    first = sync(lambda since, project: numbered(since, project, fails_at=2))
    assert [(report.new, report.error) for report in first] == [(2, None), (0, "page cannot be read")]
    assert sync.ledger.cursor("cd", "pages") == {"next": 2}
    second = sync(numbered)
    assert [(report.read, report.new) for report in second] == [(2, 2)]
    assert sorted(sync.ledger.read("deployments")["source_id"]) == ["d0", "d1", "d2", "d3"]
    assert sync.ledger.runs()["status"].to_list() == ["ok", "failed"]


def test_a_page_that_comes_again_changes_nothing(sync: Any) -> None:
    sync(numbered)
    before = sync.ledger.digest()
    (report,) = sync(lambda since, project: numbered(None, project))
    assert (report.new, report.changed, report.unchanged) == (0, 0, 4)
    assert sync.ledger.digest() == before


def test_raw_is_what_the_records_were_made_from(sync: Any) -> None:
    sync(numbered)
    with sync.ledger.opened() as con:
        rows = con.execute("SELECT id, items FROM raw ORDER BY id").fetchall()
    raw = {number: json.loads(gzip.decompress(items)) for number, items in rows}
    for row in sync.ledger.read("deployments").iter_rows(named=True):
        assert raw[row["raw_ref"]] == {"id": int(row["source_id"][1:]), "project": "shop"}


def test_several_kinds_in_a_page_and_what_they_cover(sync: Any) -> None:
    covers = (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))

    def read(since: dict[str, Any] | None, project: str) -> Iterator[Page]:
        incident = {"source_id": "i1", "services": [project], "declared_by": "ann"}
        yield Page({"deployment": [deployment(1, status="odd"), deployment(2)], "incident": [incident]}, [], {"at": 1}, covers)
        yield Page({}, [], {"at": 2})

    found = {report.record: (report.new, report.quarantined) for report in sync(read)}
    assert found == {"deployment": (1, 1), "incident": (1, 0)}
    assert sync.ledger.cursor("cd", "pages") == {"at": 2}
    assert sync.ledger.coverage().select("stream", "start", "end", "assumed").rows() == [
        ("deployments", *covers, False),
        ("incidents", *covers, False),
    ]
    assert sync.ledger.read("incidents")["declared_by"][0].startswith("person-")


def test_an_option_that_the_source_does_not_have_is_named(sync: Any) -> None:
    (report,) = sync(lambda since: iter(()))
    assert "[sources.cd]" in report.error
    assert "project" in report.error
    assert report.exit_code == 2
