"""A load that is killed: the ledger is at its last flush, and the next load ends where an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.engine import load
from tests.warm import WARM, started
from toolkit.store import folding
from toolkit.store import ledger as ledgers
from toolkit.store.ledger import Ledger
from toolkit.workspace import Workspace

KILLS = 50
ROWS, KEYS, FLUSH = 780, 600, 100


def deployments(path: Path) -> Path:
    """Rows with repeated keys, two wordings of some, and some that are no records."""
    lines = ["id,service,version,finished_at,actor"]
    for row in range(ROWS):
        number = row % KEYS
        when = "soon" if row % 97 == 0 else f"2026-01-{number % 28 + 1:02}T{number % 24:02}:00:00Z"
        lines.append(f"d{number},svc{number % 7},v{row // 690},{when},person {row % 5}")
    path.write_text("\n".join(lines) + "\n")
    return path


def content(ledger: Ledger) -> tuple[str, pl.DataFrame, pl.DataFrame, list[str]]:
    """All that must be equal, clocks and references of ours left out."""
    ours = ["seen_at", "revised_at", "raw_ref"]
    current = ledger.read("deployments").drop(ours).sort("source_id")
    versions = ledger.versions("deployments").drop(ours).sort("source_id", "content_hash")
    assert ledger.digest() == ledger.recount()
    return ledger.digest(), current, versions, sorted(ledger.quarantine()["id"])


def loading(root: Path, path: Path, ready: Connection) -> None:
    ready.send("ready")
    load(Workspace(root), path, "deployment", flush_rows=2 * FLUSH)


def start(site: Workspace, path: Path) -> BaseProcess:
    begun, ready = WARM.Pipe(duplex=False)
    child = started(loading, site.root, path, ready)
    ready.close()
    assert begun.recv() == "ready"
    return child


def test_fifty_kills_leave_nothing_behind(tmp_path: Path) -> None:
    path = deployments(tmp_path / "d.csv")
    undisturbed = Workspace.init(tmp_path / "undisturbed", published_key=True)
    child, began = start(undisturbed, path), time.monotonic()
    child.join()
    whole = time.monotonic() - began
    expected = content(undisturbed.ledger)
    chance = random.Random(2)
    kills, finished = 0, 0
    site = Workspace.init(tmp_path / "0", published_key=True)
    while kills < KILLS:
        child = start(site, path)
        time.sleep(chance.uniform(0, whole))
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        cursor = site.ledger.cursor("files", f"deployment {path.resolve()}")
        # What is there is there in whole flushes, and readable at once.
        rows = site.ledger.read("deployments", ["source_id"]).height
        assert rows == (cursor["counts"]["new"] if cursor else 0)
        if cursor and cursor["complete"]:
            assert_equal(content(site.ledger), expected)
            finished += 1
            site = Workspace.init(tmp_path / str(finished), published_key=True)
    report = load(site, path, "deployment", flush_rows=2 * FLUSH)
    assert (report.read, report.new) == (ROWS, expected[1].height)
    assert_equal(content(site.ledger), expected)
    assert finished > 0
    assert not list(site.state.glob("staging*"))
    assert "running" not in site.ledger.runs()["status"].to_list()


@pytest.mark.parametrize("at", ["the copy is being made", "the copy is whole", "the log is gone", "the copy stands in its place"])
def test_a_kill_while_a_log_is_folded_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """What flushes write stays in a log, and is brought into the file in a copy. Each state that a kill can leave is a good ledger."""
    kept = Workspace.init(tmp_path / "site", published_key=True)
    file, log = kept.state / "ledger.duckdb", kept.state / "ledger.duckdb.wal"
    path = deployments(tmp_path / "deployments.csv")
    with monkeypatch.context() as patched:
        patched.setattr(ledgers, "fold", lambda path: None)
        load(kept, path, "deployment", flush_rows=2 * FLUSH)
    assert log.stat().st_size > file.stat().st_size / 8
    expected = content(kept.ledger)
    before = {one: one.read_bytes() for one in (file, log)}
    folding.fold(file)
    folded = file.read_bytes()
    assert not log.exists()
    if at == "the copy is being made":
        left = {**before, file.with_suffix(".folding"): folded[:5_000], file.with_suffix(".folding.wal"): b"torn"}
    elif at == "the copy is whole":
        left = {**before, file.with_suffix(".folded"): folded}
    elif at == "the log is gone":
        left = {file: before[file], file.with_suffix(".folded"): folded}
    else:
        left = {file: folded}
    file.unlink()
    for one, stored in left.items():
        one.write_bytes(stored)
    assert_equal(content(Ledger(file)), expected)
    # And it goes on from there, without a rest of it.
    load(kept, path, "deployment", flush_rows=2 * FLUSH)
    assert_equal(content(Ledger(file)), expected)
    folding.fold(file)
    assert not [one.name for one in kept.state.iterdir() if ".fold" in one.name]


def test_a_log_that_has_grown_long_is_folded_and_a_short_one_left(tmp_path: Path) -> None:
    kept = Workspace.init(tmp_path / "site", published_key=True)
    load(kept, deployments(tmp_path / "deployments.csv"), "deployment", flush_rows=2 * FLUSH)
    file, log = kept.state / "ledger.duckdb", kept.state / "ledger.duckdb.wal"
    assert 0 < log.stat().st_size < file.stat().st_size / 8


def assert_equal(found: tuple[object, ...], expected: tuple[object, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.equals(other) if isinstance(one, pl.DataFrame) else one == other


def killed_before_its_fourth_flush(root: Path, path: Path) -> None:
    whole, flushes = ledgers.write_rows, list[Any]()

    def write_rows(*args: Any) -> Any:
        flushes.append(args)
        counts = whole(*args)
        if len(flushes) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return counts

    ledgers.write_rows = write_rows  # type: ignore[assignment]
    load(Workspace(root), path, "deployment", flush_rows=FLUSH)


def test_a_resumed_load_goes_on_from_its_last_flush_with_its_own_time(tmp_path: Path) -> None:
    """Killed, another load of the same keys, resumed: the other one began later and stays."""
    path = deployments(tmp_path / "d.csv")
    site = Workspace.init(tmp_path / "team", published_key=True)
    killed = started(killed_before_its_fourth_flush, site.root, path)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert 200 < site.ledger.read("deployments", ["source_id"]).height <= 300
    other = tmp_path / "other.csv"
    other.write_text("id,service,version\nd1,shop,other\nd599,shop,other\n")
    load(site, other, "deployment")
    report = load(site, path, "deployment", flush_rows=FLUSH)
    assert report.resumed
    assert report.read == ROWS
    rows = site.ledger.read("deployments").filter(pl.col("source_id").is_in(["d1", "d599"]))
    assert rows["version"].to_list() == ["other", "other"]
