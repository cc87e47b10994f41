"""Publishing: equal input gives an equal version and equal tables, whatever its order; readers and writers leave each other alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from examples import FIRST, examples

from ingest.engine import load
from toolkit.errors import DataError
from toolkit.publish import horizon_of, publish
from toolkit.store import warehouse
from toolkit.synthetic import file_name, synthesize
from toolkit.workspace import Workspace

RECORDS = ("deployment", "rollback", "incident", "incident_event", "flag_change", "owner")


@pytest.fixture(scope="module")
def history() -> dict[str, pl.DataFrame]:
    return synthesize(seed=11, services=3, months=2, telemetry_share=0.0).records


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, history: dict[str, pl.DataFrame]) -> Workspace:
    workspace = loaded(tmp_path_factory.mktemp("plain"), history, seed=0, pieces=1)
    publish(workspace)
    return workspace


def tables_of(workspace: Workspace) -> dict[str, str]:
    """A digest of every published table, rows in the order in which they were published."""
    path = workspace.warehouse
    return {name: hashlib.sha256(warehouse.read(path, name).write_json().encode()).hexdigest() for name in warehouse.tables(path)}


def loaded(root: Path, history: dict[str, pl.DataFrame], *, seed: int, pieces: int) -> Workspace:
    """The history in shuffled rows, cut in pieces, the kinds of record in any order."""
    workspace = Workspace.init(root, published_key=True)
    names = list(RECORDS[seed % len(RECORDS) :] + RECORDS[: seed % len(RECORDS)])
    for name in names:
        rows = history[name].sample(fraction=1.0, shuffle=True, seed=seed) if len(history[name]) else history[name]
        size = max(1, -(-len(rows) // pieces))
        for number, piece in enumerate(rows.iter_slices(size)):
            path = root / f"{number}-{file_name(name)}".replace(".csv", ".parquet")
            piece.write_parquet(path)
            load(workspace, path, name)
    return workspace


@pytest.fixture
def site(plain: Workspace, tmp_path: Path) -> Workspace:
    """The same history, to write in."""
    return Workspace(shutil.copytree(plain.root, tmp_path / "site"))


@pytest.mark.parametrize("number", range(1, examples(1) + 1))
def test_the_same_input_in_any_order_and_cut_on_any_number_of_threads_gives_the_same_version_and_tables(
    root: Path, tmp_path: Path, history: dict[str, pl.DataFrame], plain: Workspace, number: int
) -> None:
    other = loaded(tmp_path, history, seed=FIRST + number, pieces=1 + number % 3)
    threads = os.environ | {"POLARS_MAX_THREADS": str(1 + number), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-m", "toolkit.cli", "publish", "--workspace", tmp_path], check=True, env=threads, cwd=tmp_path)
    assert other.meta["version"] == plain.meta["version"]
    assert tables_of(other) == tables_of(plain)


def test_publishing_again_without_news_writes_nothing(site: Workspace) -> None:
    before = site.warehouse.stat().st_mtime_ns
    publish(site)
    assert site.warehouse.stat().st_mtime_ns == before


def test_what_an_older_program_laid_otherwise_is_published_again(site: Workspace) -> None:
    version = publish(site)
    with duckdb.connect(str(site.warehouse)) as con:
        con.execute("ALTER TABLE tables DROP COLUMN layout")
    with pytest.raises(DataError, match="knowngood publish"):
        site.facts.deployments.collect()
    assert publish(site) == version
    assert len(site.facts.deployments.collect())


def test_a_setting_that_changes_the_facts_changes_the_version(site: Workspace) -> None:
    before = site.meta["version"]
    (site.root / "knowngood.toml").write_text('production = ["staging"]\n')
    publish(Workspace(site.root))
    assert Workspace(site.root).meta["version"] != before


def test_a_notebook_that_keeps_the_warehouse_open_blocks_neither_a_load_nor_a_publish(
    site: Workspace, tmp_path: Path, history: dict[str, pl.DataFrame]
) -> None:
    opened = tmp_path / "opened"
    notebook = f"""
import duckdb, pathlib, time
con = duckdb.connect({str(site.warehouse)!r}, read_only=True)
print(con.sql("SELECT count(*) FROM facts.deployments").fetchall()[0][0], flush=True)
pathlib.Path({str(opened)!r}).touch()
time.sleep(60)
"""
    reader = subprocess.Popen([sys.executable, "-c", notebook], env=os.environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not opened.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert opened.exists()
        before = site.meta["version"]
        news = history["deployment"].head(1).with_columns(source_id=pl.lit("one more"), version=pl.lit("v999"))
        news.write_parquet(tmp_path / "news.parquet")
        assert load(site, tmp_path / "news.parquet", "deployment").new == 1
        assert publish(site) != before
        assert reader.poll() is None, "the reader is still there"
        assert "one more" in site.facts.deployments.collect()["source_id"].to_list()
    finally:
        reader.kill()
        reader.wait()


def test_the_horizon_is_the_setting_then_declared_coverage_then_the_latest_event() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records = {
        name: pl.DataFrame({"source": []}, schema={"source": pl.String})
        for name in ("deployment", "rollback", "incident", "incident_event", "flag_change")
    }
    records["deployment"] = pl.DataFrame(
        {"source": ["s"], "started_at": [noon], "finished_at": [None]}, schema_overrides={"finished_at": pl.Datetime("us", "UTC")}
    )

    def covered(*rows: tuple[str, datetime, bool]) -> pl.DataFrame:
        schema = {"stream": pl.String, "end": pl.Datetime("us", "UTC"), "assumed": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(gap=pl.lit(value=False))

    day = datetime(2026, 3, 2, tzinfo=UTC)
    later = datetime(2026, 3, 5, tzinfo=UTC)
    declared = covered(("deployments", later, False), ("incidents", day, False))
    assert horizon_of(records, declared, None) == (day, "coverage")
    assert horizon_of(records, covered(("deployments", later, True)), None) == (noon, "latest event")
    assert horizon_of(records, declared, noon) == (noon, "setting")


def test_coverage_that_a_mapping_declares_changes_the_version_since_it_sets_the_horizon(
    site: Workspace, tmp_path: Path, history: dict[str, pl.DataFrame]
) -> None:
    before = site.meta
    history["deployment"].write_parquet(tmp_path / "again.parquet")
    (tmp_path / "again.toml").write_text('record = "deployment"\ncovers = [2020-01-01T00:00:00Z, 2026-06-01T00:00:00Z]\n')
    assert load(site, tmp_path / "again.parquet", "deployment", tmp_path / "again.toml").new == 0
    assert publish(site) != before["version"]
    assert site.meta["horizon_source"] == "coverage"
