"""The warehouse: whole or not there, readable while it is replaced, types that come back."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.warm import WARM, started
from toolkit.errors import DataError
from toolkit.facts import Parted
from toolkit.store import warehouse
from toolkit.store.connect import connect, opened


def frame(value: int, rows: int = 3) -> pl.DataFrame:
    return pl.DataFrame({"n": [value] * rows})


def test_every_type_comes_back_as_it_went_in(tmp_path: Path) -> None:
    written = pl.DataFrame(
        {
            "text": ["a", None],
            "span": [timedelta(hours=-1), None],
            "at": [datetime(2026, 1, 1, tzinfo=UTC), None],
            "names": [["a", "b"], None],
            "level": pl.Series(["likely", None], dtype=pl.Enum(["certain", "likely"])),
            "kind": pl.Series(["x", None], dtype=pl.Categorical()),
            "nothing": [None, None],
            "small": pl.Series([1, None], dtype=pl.UInt32),
            "rank": pl.Series([1, None], dtype=pl.Int8),
            "flag": [True, None],
            "value": [0.1, None],
        }
    )
    path = warehouse.write(tmp_path, "v1", {"facts": written, "empty": written.head(0)}, {"a": 1})
    for name, expected in (("facts", written), ("empty", written.head(0))):
        read = warehouse.read(path, name)
        assert read.schema == expected.schema
        assert read.equals(expected)
    assert warehouse.read(path, "facts", ["span", "text"]).columns == ["span", "text"]
    assert warehouse.meta(path) == {"a": 1, "version": "v1"}
    assert warehouse.tables(path) == ["empty", "facts"]


def test_columns_of_a_long_table_that_say_little_stand_apart_and_nobody_notices(tmp_path: Path) -> None:
    rows = 20_000
    written = pl.DataFrame(
        {
            "id": [f"d{row}" for row in range(rows)],
            "undone_by": [f"r{row}" if row % 1_000 == 7 else None for row in range(rows)],
            "seen": [row % 10 > 0 for row in range(rows)],
            "took": [timedelta(seconds=row) if row % 500 == 7 else None for row in range(rows)],
            "undoes_all": [["a", "b"] if row == rows - 1 else None for row in range(rows)],
            "nothing": pl.Series([None] * rows, dtype=pl.String),
            "service": [("shop", "o'brien's \"search\"", "", None)[row % 4] for row in range(rows)],
            "environment": ["production"] * rows,
            "live": [True] * rows,
            "same": [f"d{row}" for row in range(rows)],
            "alike": [f"d{row}" if row < rows - 1 else "other" for row in range(rows)],
        }
    )
    path = warehouse.write(tmp_path, "v1", {"long": written}, {})
    assert warehouse.read(path, "long").equals(written)
    assert warehouse.read(path, "long").schema == written.schema
    for columns in (["took", "id"], ["undone_by", "nothing"], ["seen"], ["same", "environment"], ["live"], ["service", "alike"]):
        assert warehouse.read(path, "long", columns).equals(written.select(columns))
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{path}' AS anybody (READ_ONLY)")
        (whole, undone) = con.execute("SELECT count(*), count(undone_by) FROM anybody.facts.long").fetchall()[0]
        assert con.execute("SELECT undone_by FROM anybody.facts.long WHERE id = 'd1007'").fetchall() == [("r1007",)]
    assert (whole, undone) == (rows, 20)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{path}' AS anybody (READ_ONLY)")
        laid = {name: kind for name, kind, *_ in con.execute("DESCRIBE anybody.dense.long").fetchall()}
        shown = con.execute("SELECT service, environment, live, same FROM anybody.facts.long WHERE id = 'd1001'").fetchall()
        assert con.execute("SELECT typeof(service) FROM anybody.facts.long LIMIT 1").fetchall() == [("VARCHAR",)]
    # What is the same everywhere or in another column is not there once more, and words are numbers.
    assert list(laid) == ["id", "seen", "service", "alike"]
    assert laid["service"].startswith("ENUM")
    assert laid["alike"] == "VARCHAR"
    assert shown == [("o'brien's \"search\"", "production", True, "d1001")]


@pytest.mark.parametrize(("rows", "each"), [(20_000, 50), (20_000, 3), (20, 5)])
def test_a_table_in_parts_reads_as_it_does_whole(tmp_path: Path, rows: int, each: int) -> None:
    """Something said of few rows of many, of many of many, and a short table."""
    told = range(0, rows, each)
    whole = pl.DataFrame(
        {
            "id": [f"d{row}" for row in range(rows)],
            "undone_by": [f"r{row}" if row in told else None for row in range(rows)],
            "changes": [row if row % 997 == 1 else None for row in range(rows)],
            "took": [timedelta(seconds=row) if row in told else None for row in range(rows)],
            "service": [f"s{row % 3}" for row in range(rows)],
            "stopped": [row in told for row in range(rows)],
        }
    )
    apart = whole.with_row_index("row").filter("stopped").select("row", "undone_by", "took", "stopped")
    parted = Parted(whole.select("id", "changes", "service"), apart, whole.columns)
    one, other = (warehouse.write(tmp_path, version, {"t": table}, {}) for version, table in (("v1", whole), ("v2", parted)))
    assert warehouse.read(other, "t").equals(whole)
    assert warehouse.schema(one, "t") == warehouse.schema(other, "t") == parted.schema
    assert warehouse.read(other, "t", ["took", "changes"]).equals(whole.select("took", "changes"))
    assert warehouse.read(other, "t", ["stopped"]).equals(whole.select("stopped"))
    laid = []
    for path in (one, other):
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{path}' AS anybody (READ_ONLY)")
            laid.append({name for (name,) in con.execute("SELECT schema_name FROM duckdb_columns() WHERE column_name = 'took'").fetchall()})
            assert con.sql("SELECT undone_by, stopped FROM anybody.facts.t").pl().equals(whole.select("undone_by", "stopped"))
    # Where all is known at once, the warehouse looks for itself how it lies.
    assert laid == {50: [{"facts", "thin"}] * 2, 3: [{"facts", "dense"}, {"facts", "thin"}], 5: [{"facts"}] * 2}[each]
    assert parted.of_few("undone_by").equals(whole.filter(pl.col("undone_by").is_not_null()))
    assert parted.of_few("changes").equals(whole.filter(pl.col("changes").is_not_null()))
    assert Parted.of(whole).whole().equals(whole)


def test_a_warehouse_of_an_older_program_says_to_publish_again(tmp_path: Path) -> None:
    path = warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    with duckdb.connect(str(path)) as con:
        con.execute("ALTER TABLE tables DROP COLUMN layout")
    with pytest.raises(DataError, match="knowngood publish"):
        warehouse.read(path, "t")


def test_the_pointer_names_the_newest_and_the_last_two_stay(tmp_path: Path) -> None:
    assert warehouse.current(tmp_path) is None
    for number in range(4):
        warehouse.write(tmp_path, f"v{number}", {"t": frame(number)}, {})
    assert sorted(file.name for file in tmp_path.glob("warehouse-*")) == ["warehouse-v2.duckdb", "warehouse-v3.duckdb"]
    path = warehouse.current(tmp_path)
    assert path is not None
    assert warehouse.read(path, "t")["n"].to_list() == [3, 3, 3]
    with pytest.raises(DataError, match="newer warehouse"):
        warehouse.read(tmp_path / "warehouse-v0.duckdb", "t")


def test_publishing_an_older_version_again_makes_it_current_and_keeps_the_one_before(tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        warehouse.write(tmp_path, name, {"t": frame(1)}, {})
    current = warehouse.current(tmp_path)
    assert current is not None
    assert current.name == "warehouse-a.duckdb"
    assert len(list(tmp_path.glob("warehouse-*"))) == 2


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    with pytest.raises(KeyError, match="No table 'x'.*There are: t"):
        warehouse.read(path, "x")


def test_the_file_has_the_storage_version_that_older_programs_open(tmp_path: Path) -> None:
    path = warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    with duckdb.connect(str(path), read_only=True) as con:
        (tags,) = con.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()[0]
    assert tags["storage_version"].startswith("v1.4.0")


def test_a_long_query_draws_nothing_where_json_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    for connection in (connect(), opened(path, read_only=True)):
        with connection as con:
            con.execute("SET progress_bar_time = 1")
            con.execute("SELECT count(*) FROM range(8_000) AS a, range(4_000) AS b WHERE (a.range * b.range) % 7 = 3").fetchall()
    assert capfd.readouterr().out == ""


def test_a_draft_that_is_not_finished_changes_nothing(tmp_path: Path) -> None:
    warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    before = sorted(file.name for file in tmp_path.iterdir())
    with warehouse.draft(tmp_path, "v2") as given_up:
        given_up.add("t", frame(2))
    with contextlib.suppress(RuntimeError), warehouse.draft(tmp_path, "v3") as failed:
        failed.begin("t", frame(3, 20_000))
        failed.finish({})
        raise RuntimeError("on the way")
    path = warehouse.current(tmp_path)
    assert path is not None
    assert warehouse.read(path, "t").equals(frame(1))
    warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_a_version_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file name"):
        warehouse.write(tmp_path, "../v1", {"t": frame(1)}, {})


def test_readers_meet_a_whole_warehouse_while_others_publish(tmp_path: Path) -> None:
    warehouse.write(tmp_path, "v0", {"t": frame(0)}, {"number": 0})
    stop = WARM.Event()
    writers = [started(_publish, str(tmp_path), offset, stop) for offset in (0, 1)]
    seen: set[int] = set()
    reads, end = 0, time.monotonic() + 60
    try:
        while time.monotonic() < end and (reads < 25 or len(seen) < 5):
            path = warehouse.current(tmp_path)
            assert path is not None
            try:
                values = set(warehouse.read(path, "t")["n"])
            except DataError:
                # Two publishes between reading the pointer and opening the file: look again.
                continue
            assert values == {warehouse_number(path)}
            seen |= values
            reads += 1
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(seen) >= 5
    assert len(list(tmp_path.glob("warehouse-*"))) == 2


def warehouse_number(path: Path) -> int:
    return int(path.stem.removeprefix("warehouse-v"))


def _publish(folder: str, offset: int, stop: Any) -> None:
    number = offset
    while not stop.is_set():
        number += 2
        warehouse.write(Path(folder), f"v{number}", {"t": frame(number)}, {"number": number})


def publishing(folder: Path, ready: Connection) -> None:
    ready.send("ready")
    number = 1
    while True:
        number += 1
        warehouse.write(folder, f"v{number}", {"t": frame(number, 50_000)}, {})


def test_a_publish_that_is_killed_leaves_the_published_one_whole(tmp_path: Path) -> None:
    warehouse.write(tmp_path, "v1", {"t": frame(1)}, {})
    for attempt in range(8):
        begun, ready = WARM.Pipe(duplex=False)
        child = started(publishing, tmp_path, ready)
        assert begun.recv() == "ready"
        time.sleep(0.03 + attempt * 0.045)
        child.kill()
        child.join()
        path = warehouse.current(tmp_path)
        assert path is not None
        assert set(warehouse.read(path, "t")["n"]) == {warehouse_number(path)}
    warehouse.write(tmp_path, "v-last", {"t": frame(9)}, {})
    assert not list(tmp_path.glob("*.draft*"))
