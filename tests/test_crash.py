"""A load that is killed: the ledger is at its last flush, and the next load ends where an undisturbed one does."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from ingest.engine import load
from toolkit.store.ledger import Ledger
from toolkit.workspace import Workspace

KILLS = 50
ROWS, FLUSH = 1_300, 100

CHILD = """
import sys
from ingest.engine import load
from toolkit.workspace import Workspace
print("ready", flush=True)
report = load(Workspace(sys.argv[1]), sys.argv[2], "deployment", flush_rows=int(sys.argv[3]))
print("done", report.new, report.read, report.quarantined, flush=True)
"""

KILLED_BEFORE_ITS_FOURTH_FLUSH = """
import os, signal
from toolkit.store import ledger
whole, flushes = ledger.write_rows, []
def write_rows(*args):
    flushes.append(args)
    counts = whole(*args)
    if len(flushes) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return counts
ledger.write_rows = write_rows
"""


def deployments(path: Path) -> Path:
    """Rows with repeated keys, two wordings of some, and some that are no records."""
    lines = ["id,service,version,finished_at,actor"]
    for row in range(ROWS):
        number = row % 1_000
        when = "soon" if row % 97 == 0 else f"2026-01-{number % 28 + 1:02}T{number % 24:02}:00:00Z"
        lines.append(f"d{number},svc{number % 7},v{row // 1_150},{when},person {row % 5}")
    path.write_text("\n".join(lines) + "\n")
    return path


def content(ledger: Ledger) -> tuple[str, pl.DataFrame, pl.DataFrame, list[str]]:
    """All that must be equal, clocks and references of ours left out."""
    ours = ["seen_at", "revised_at", "raw_ref"]
    current = ledger.read("deployments").drop(ours).sort("source_id")
    versions = ledger.versions("deployments").drop(ours).sort("source_id", "content_hash")
    return ledger.digest(), current, versions, sorted(ledger.quarantine()["id"])


def start(site: Workspace, path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(site.root), str(path), str(FLUSH)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_fifty_kills_leave_nothing_behind(tmp_path: Path) -> None:
    path = deployments(tmp_path / "d.csv")
    undisturbed = Workspace.init(tmp_path / "undisturbed", published_key=True)
    began = time.monotonic()
    load(undisturbed, path, "deployment", flush_rows=FLUSH)
    whole = time.monotonic() - began
    expected = content(undisturbed.ledger)
    chance = random.Random(2)
    kills, finished = 0, 0
    site = Workspace.init(tmp_path / "0", published_key=True)
    while kills < KILLS:
        with start(site, path) as child:
            time.sleep(chance.uniform(0, whole))
            child.kill()
        kills += child.returncode == -signal.SIGKILL
        cursor = site.ledger.cursor("files", f"deployment {path.resolve()}")
        # What is there is there in whole flushes, and readable at once.
        rows = site.ledger.read("deployments", ["source_id"]).height
        assert rows == (cursor["counts"]["new"] if cursor else 0)
        if cursor and cursor["complete"]:
            assert_equal(content(site.ledger), expected)
            finished += 1
            site = Workspace.init(tmp_path / str(finished), published_key=True)
    report = load(site, path, "deployment", flush_rows=FLUSH)
    assert (report.read, report.new) == (ROWS, expected[1].height)
    assert_equal(content(site.ledger), expected)
    assert finished > 0
    assert not list(site.state.glob("staging*"))
    assert "running" not in site.ledger.runs()["status"].to_list()


def assert_equal(found: tuple[object, ...], expected: tuple[object, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.equals(other) if isinstance(one, pl.DataFrame) else one == other


def test_a_resumed_load_goes_on_from_its_last_flush_with_its_own_time(tmp_path: Path) -> None:
    """Killed, another load of the same keys, resumed: the other one began later and stays."""
    path = deployments(tmp_path / "d.csv")
    site = Workspace.init(tmp_path / "team", published_key=True)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_ITS_FOURTH_FLUSH + CHILD, str(site.root), str(path), str(FLUSH)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert 200 < site.ledger.read("deployments", ["source_id"]).height <= 300
    other = tmp_path / "other.csv"
    other.write_text("id,service,version\nd1,shop,other\nd999,shop,other\n")
    load(site, other, "deployment")
    report = load(site, path, "deployment", flush_rows=FLUSH)
    assert report.resumed
    assert report.read == ROWS
    rows = site.ledger.read("deployments").filter(pl.col("source_id").is_in(["d1", "d999"]))
    assert rows["version"].to_list() == ["other", "other"]
