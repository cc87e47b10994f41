"""The ledger: the same input gives the same tables, in any order and cut; old files open; readers and writers take turns."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import polars as pl
import pytest
from examples import examples
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ingest.engine import load
from toolkit.cli.entry import run
from toolkit.errors import Busy, DataError, UsageError
from toolkit.records import RECORDS, Deployment
from toolkit.store.columns import columns_of
from toolkit.store.connect import connect
from toolkit.store.ledger import Ledger
from toolkit.store.lock import hold
from toolkit.store.people import PUBLISHED_KEY
from toolkit.workspace import Workspace

# Each example is several real files and loads, and shrinking one would take minutes: few examples, of many rows.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
SLOW = settings(max_examples=examples(2), deadline=None, phases=QUICK, suppress_health_check=list(HealthCheck))


def site(folder: str | Path) -> Workspace:
    return Workspace.init(folder, published_key=True)


def test_what_is_read_lean_says_the_same(tmp_path: Path) -> None:
    """Of many rows, columns that say nothing stay away, and those that say the same are read once."""
    ledger = site(tmp_path).ledger
    columns = ["service", "environment", "version", "labels", "status", "finished_at", "branch", "kind"]
    for rows in (0, 3, 60_000):
        if rows:
            told = pl.DataFrame({"source_id": [f"d{row}" for row in range(rows)], "version": [f"v{row % 7}" for row in range(rows)]})
            told = told.with_columns(
                service=pl.lit("o'brien"), labels=pl.lit(["a", "b"], pl.List(pl.String)), branch=pl.lit(None, pl.String)
            )
            told = told.with_columns(kind=pl.when(pl.int_range(pl.len()) == rows - 1).then(pl.lit("hotfix")))
            told.write_parquet(tmp_path / "deployments.parquet")
            load(Workspace(tmp_path), tmp_path / "deployments.parquet", "deployment")
        lean, whole = ledger.lean("deployments", ["source", "source_id"], columns), ledger.read("deployments")
        assert len(lean) == rows
        assert lean.sort("source_id").equals(whole.sort("source_id").select(lean.columns))
        assert all(whole[name].null_count() == rows for name in columns if name not in lean.columns)
    assert lean.columns != ["source", "source_id", *columns]


# Order, cuts and repeats

versions = st.lists(
    st.fixed_dictionaries(
        {
            "source_id": st.sampled_from([f"d{number}" for number in range(9)]),
            "service": st.sampled_from(["shop", "cart"]),
            "version": st.sampled_from(["v1", "v2", None]),
            "actor": st.sampled_from(["ann", "bob", None]),
            "revised_at": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T01:00:00+01:00"]),
        }
    ),
    min_size=10,
    max_size=60,
)
BARE = {"source_id": "d1", "service": "shop", "actor": None, "revised_at": "2026-01-01T00:00:00Z"}
ONE_KEY = [BARE | {"version": version} for version in ("v1", "v2", "v1")]


def current(ledger: Ledger) -> list[tuple[Any, ...]]:
    return ledger.read("deployments").drop("seen_at", "raw_ref").sort("source_id").rows()


def known(ledger: Ledger) -> set[tuple[Any, ...]]:
    """Every version the ledger holds, current or not."""
    names = ["source_id", "revised_at", "content_hash"]
    return {*ledger.read("deployments", names).rows(), *ledger.versions("deployments", names).rows()}


@SLOW
@example(ONE_KEY, Random(1), 1, 2)
@given(versions, st.randoms(use_true_random=False), st.integers(5, 15), st.integers(1, 4))
def test_the_same_versions_in_any_order_and_cut_give_the_same_tables(
    rows: list[dict[str, Any]], chance: Any, flush: int, files: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, many = site(f"{folder}/one"), site(f"{folder}/many")
        whole = Path(folder, "whole.jsonl")
        whole.write_text("".join(json.dumps(row) + "\n" for row in rows))
        load(one, whole, "deployment")
        shuffled = [*rows, *chance.sample(rows, len(rows) // 2)]
        chance.shuffle(shuffled)
        for number in range(files):
            part = Path(folder, f"{number}.jsonl")
            part.write_text("".join(json.dumps(row) + "\n" for row in shuffled[number::files]))
            report = load(many, part, "deployment", flush_rows=flush)
            assert report.read == report.new + report.changed + report.unchanged + report.superseded + report.quarantined
        assert many.ledger.digest() == one.ledger.digest() == many.ledger.recount()
        assert current(many.ledger) == current(one.ledger)
        assert known(many.ledger) == known(one.ledger)
        # The rule itself, in plain Python: the greatest (revised_at, content_hash) of each id.
        best = {
            key: max(group)[1:] for key, group in itertools.groupby(sorted((k, r, h) for k, r, h in known(one.ledger)), lambda row: row[0])
        }
        assert {(k, *v) for k, v in best.items()} == set(one.ledger.read("deployments", ["source_id", "revised_at", "content_hash"]).rows())


@SLOW
@example(ONE_KEY, 1)
@given(versions, st.integers(5, 15))
def test_rows_without_a_version_give_the_same_tables_however_their_file_is_cut_and_ordered(rows: list[dict[str, Any]], flush: int) -> None:
    bare = [{name: value for name, value in row.items() if name != "revised_at"} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        digests = set()
        for number, order in enumerate((bare, bare[::-1])):
            here = site(f"{folder}/{number}")
            path = Path(folder, f"{number}.jsonl")
            path.write_text("".join(json.dumps(row) + "\n" for row in order))
            load(here, path, "deployment", flush_rows=flush)
            digests.add((here.ledger.digest(), tuple(row[-2] for row in current(here.ledger))))
            before = known(here.ledger)
            again = load(here, path, "deployment", flush_rows=flush)
            assert (again.new, again.changed, again.superseded) == (0, 0, 0)
            assert known(here.ledger) == before
        assert len(digests) == 1


# Both validators

odd_text = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "shop",
            " shop\xa0",
            "nan",
            "NULL",
            "x" * 500,
            "x" * 501,
            "é漢",
            "a\x00b",
            "1",
            "-1",
            "+7",
            "1.0",
            "1e3",
            "1_000",
            "9" * 19,
            "9" * 25,
            "true",
            "No",
            "2026-01-01T00:00:00Z",
            "2026-01-01 10:00:00 +0100",
            "2026-01-01T10:00 UTC",
            "2026-01-01 10:00:00.5 -03:30",
            "2026-01-01T10:00:00.1234567+05:30",
            "2026-01-01",
            "[]",
            ";",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:00:60Z",
            "2026-01-01T10:00:00",
            "1999-12-31T23:59:59Z",
            "2000-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "2026-01-01T10:00+01",
            "1767225600",
            '["a", "b"]',
            '["a", null]',
            "[1]",
            "[",
            "a; b;;",
            "succeeded",
            "Succeeded",
            "failed",
            "auto",
            "release",
            "irreversible",
            "0.5",
            "1.5",
            "inf",
            "-0",
            ".5",
            "1e400",
            "none; a",
        ]
    ),
    st.text(max_size=6),
    st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(lambda time: time.isoformat()),
)
OFFSET_SPELT_OTHERWISE = r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(?:UTC|([+-]\d\d):?(\d\d)?)"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@settings(max_examples=examples(5), deadline=None, phases=QUICK, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([name for name in RECORDS if name != "sample"]), st.data())
def test_the_vectorised_checks_and_the_models_agree(record: str, data: st.DataObject) -> None:
    """What the models accept is in the ledger, with the models' values; what they refuse is in quarantine. Nothing is in neither."""
    model = RECORDS[record]
    # An object key that is \\u0000 alone or a lone surrogate is no JSON for either.
    text = odd_text.filter(lambda value: "\x00" not in value and value.isprintable() | value.isspace())
    fields = [column.alias or column.name for column in columns_of(model)]
    required = {column.alias or column.name for column in columns_of(model) if column.required}
    good = {"service": "shop", "services": "shop", "incident": "i1", "type": "note", "flag": "f", "at": "2026-01-01T00:00:00Z"}
    good |= {"kind": "unit", "status": "passed", "decision": "proceed"}
    rows = []
    for number in range(data.draw(st.integers(10, 60))):
        row = {name: good[name] for name in required if name in good} | {"source_id": f"id {number}"}
        row |= data.draw(st.dictionaries(st.sampled_from(fields), text, max_size=4))
        rows.append(row)
    with tempfile.TemporaryDirectory() as folder:
        here = Ledger(Path(folder, "ledger.duckdb"), people="keep")
        path = Path(folder, "rows.jsonl")
        path.write_text("".join(json.dumps({**dict.fromkeys(required), **row}) + "\n" for row in rows))
        report = load(_Site(here), path, record)
        expected = [value for row in rows if (value := by_the_model(model, row)) is not None]
        assert report.quarantined == len(rows) - len(expected)
        stored = {row["source_id"]: row for row in here.read(model.table).iter_rows(named=True)}
        assert set(stored) == {value["source_id"] for value in expected}
        latest = {key: [value for value in expected if value["source_id"] == key] for key in stored}
        for key, row in stored.items():
            said = {name: row[name] for name in expected[0]}
            revised = [{**value, "revised_at": value["revised_at"] or row["revised_at"]} for value in latest[key]]
            assert said in revised


class _Site:
    """A ledger without a workspace around it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.root, self.settings = ledger, ledger.folder, None


def by_the_model(model: Any, row: dict[str, Any]) -> dict[str, Any] | None:
    """The row as the documentation says files are read, written out in plain Python: its values, or None where it is refused."""
    said: dict[str, Any] = {}
    for column in columns_of(model):
        text = (row.get(column.alias or column.name) or "").strip()
        if not text:
            continue
        if column.kind == "names":
            try:
                said[column.name] = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(";") if part.strip()]
            except ValueError:
                return None
            said[column.name] = [part if part is None or isinstance(part, str) else str(part) for part in said[column.name]]
        elif column.kind == "time" and text.replace(".", "").isdigit():
            return None
        elif column.kind == "time" and (spelt := re.fullmatch(OFFSET_SPELT_OTHERWISE, text)):
            # Spellings of an offset that files may use beside the model's own.
            said[column.name] = f"{spelt[1]}{spelt[2] or '+00'}:{spelt[3] or '00'}"
        else:
            said[column.name] = text
    try:
        accepted = model.model_validate(
            {column.alias or column.name: said[column.name] for column in columns_of(model) if column.name in said}
        )
    except (ValidationError, OverflowError):
        return None
    values = accepted.model_dump()
    return {
        name: None if value == [] and model.model_fields[name].default is None and not model.model_fields[name].is_required() else value
        for name, value in values.items()
    }


# Digest


def test_equal_rows_do_not_cancel_in_the_digest(tmp_path: Path) -> None:
    digests = []
    for rows in ([], ["d1"], ["d1", "d2"]):
        here = site(tmp_path / str(len(rows)))
        (tmp_path / "d.csv").write_text("id,service\n" + "".join(f"{row},shop\n" for row in rows))
        load(here, tmp_path / "d.csv", "deployment")
        digests.append(here.ledger.digest())
    assert len(set(digests)) == 3


def test_text_cannot_be_made_to_look_like_two_fields(tmp_path: Path) -> None:
    hashes = set()
    for number, (version, branch) in enumerate((("a", "b"), ("a\x1fbranch=1:b", None), ("a\x1fbranch=b", None))):
        here = site(tmp_path / str(number))
        (tmp_path / "d.jsonl").write_text(json.dumps({"id": "d1", "service": "shop", "version": version, "branch": branch}) + "\n")
        load(here, tmp_path / "d.jsonl", "deployment")
        hashes.add(here.ledger.read("deployments")["content_hash"][0])
    assert len(hashes) == 3


# Migrations


def old_ledger(path: Path) -> None:
    """The ledger of schema 1, as the program of its day wrote it: a column fewer, two tables fewer, a row in quarantine."""
    statements = (Path(__file__).parent / "ledger_schema_1.sql").read_text()
    with duckdb.connect(str(path)) as con:
        con.execute(statements)


def test_an_old_file_is_brought_up_to_date_with_all_it_holds(tmp_path: Path) -> None:
    here = site(tmp_path / "team")
    old_ledger(here.state / "ledger.duckdb")
    assert here.ledger.read("deployments")["source_id"].to_list() == ["d1"]
    assert here.ledger.read("deployments")["config_revision"].to_list() == [None]
    assert here.ledger.read("incidents").is_empty()
    assert here.ledger.quarantine().select("id", "key", "mapping").rows() == [("q1", None, None)]
    (tmp_path / "d.csv").write_text("id,service,version\nd1,shop,v1\nd2,shop,v1\n")
    report = load(here, tmp_path / "d.csv", "deployment")
    # The hash of a row from before a column existed is still its hash.
    assert (report.new, report.unchanged, report.changed) == (1, 1, 0)
    assert here.ledger.digest() == here.ledger.recount()


def test_what_another_program_does_to_the_rows_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = site(tmp_path / "team")
    (tmp_path / "d.csv").write_text("id,service,version\nd1,shop,v1\nd2,shop,v2\n")
    load(here, tmp_path / "d.csv", "deployment")
    before = here.ledger.digest()
    with connect(here.ledger.path) as con:
        con.execute("UPDATE deployments SET content_hash = md5('mine') || md5('mine') WHERE source_id = 'd2'")
    assert here.ledger.digest() == before != here.ledger.recount()
    run(["doctor", "--workspace", str(here.root)])
    assert "another program has changed its rows" in capsys.readouterr().out


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    here = site(tmp_path)
    assert here.ledger.read("deployments").is_empty()
    with connect(here.ledger.path) as con:
        con.execute("UPDATE schema_number SET number = 99")
    # As the next start of an older program finds it.
    with pytest.raises(DataError, match="schema 99.*Upgrade"):
        site(tmp_path).ledger.read("deployments")


# Turns


def test_a_second_sync_is_told_who_holds_the_first_and_since_when(tmp_path: Path) -> None:
    here = site(tmp_path / "team")
    (tmp_path / "d.csv").write_text("id,service\nd1,shop\n")
    with hold(here.state / "sync.lock", what="knowngood sync deploys"), pytest.raises(Busy) as busy:
        load(here, tmp_path / "d.csv", "deployment")
    assert busy.value.exit_code == 75
    assert busy.value.message.startswith("busy: held by knowngood sync deploys (pid ")
    assert datetime.now(UTC).strftime(" since %Y-%m-%d") in busy.value.message
    load(here, tmp_path / "d.csv", "deployment")


def test_a_reader_waits_for_a_flush_and_then_names_the_holder(tmp_path: Path) -> None:
    here = site(tmp_path)
    here.ledger.digest()
    impatient = Ledger(here.ledger.path, people="keep", wait=0.2)
    with here.ledger.opened(write=True), pytest.raises(Busy, match=r"busy: held by .* since 20"):
        impatient.read("deployments")
    with here.ledger.opened():
        assert impatient.read("deployments").is_empty()


def test_a_shell_that_has_the_file_open_is_named(tmp_path: Path) -> None:
    here = site(tmp_path)
    here.ledger.digest()
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    held = [sys.executable, "-c", code, str(here.ledger.path)]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "open\n"
        with pytest.raises(Busy, match=rf"held by .*{shell.pid}"):
            Ledger(here.ledger.path, people="keep", wait=0.2).read("deployments")


def test_reading_while_a_load_runs_sees_whole_flushes_only(tmp_path: Path) -> None:
    here = site(tmp_path / "team")
    here.ledger.digest()
    path = tmp_path / "d.csv"
    path.write_text("id,service\n" + "".join(f"d{row},shop\n" for row in range(1000)))
    code = """
import sys
from ingest.engine import load
from toolkit.workspace import Workspace
load(Workspace(sys.argv[1]), sys.argv[2], "deployment", flush_rows=100)
"""
    seen = set()
    with subprocess.Popen([sys.executable, "-c", code, str(here.root), str(path)]) as loader:
        while loader.poll() is None:
            began = time.monotonic()
            seen.add(here.ledger.read("deployments", ["source_id"]).height)
            # As long as that took, on a busy machine too, so that the loader has its turns.
            time.sleep(time.monotonic() - began)
    assert loader.returncode == 0
    assert {*seen, here.ledger.read("deployments", ["source_id"]).height} <= {*range(0, 1001, 100)}
    assert here.ledger.read("deployments", ["source_id"]).height == 1000


# Small things


def test_a_table_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No table named 'deploys'.*deployments"):
        site(tmp_path).ledger.read("deploys")


def test_declared_intervals_join_where_they_touch_and_gaps_stay(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.duckdb", key=PUBLISHED_KEY)
    day = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(10)]
    rows = [(0, 2, False, False), (2, 3, False, False), (5, 6, False, False), (3, 5, False, True), (1, 2, True, False), (6, 9, True, False)]
    with ledger.opened(write=True) as con:
        for first, last, assumed, gap in rows:
            con.execute("INSERT INTO coverage VALUES ('deployments', 's', ?, ?, ?, ?, now())", [day[first], day[last], assumed, gap])
    found = ledger.coverage().drop("stream", "source").sort("assumed", "gap", "start").rows()
    assert found == [
        (day[0], day[3], False, False),
        (day[5], day[6], False, False),
        (day[3], day[5], False, True),
        (day[1], day[9], True, False),
    ]


def test_runs_tell_what_happened_newest_first(tmp_path: Path) -> None:
    here = site(tmp_path / "team")
    (tmp_path / "good.csv").write_text("id,service\nd1,shop\n")
    (tmp_path / "bad.csv").write_text("id,servce\nd1,shop\n")
    load(here, tmp_path / "good.csv", "deployment")
    with pytest.raises(DataError):
        load(here, tmp_path / "bad.csv", "deployment")
    runs = here.ledger.runs()
    assert runs["status"].to_list() == ["failed", "ok"]
    assert runs.select("read", "new").rows()[1] == (1, 1)
    assert "servce" in runs["error"][0]


def test_every_field_of_every_record_has_a_column() -> None:
    for model in RECORDS.values():
        assert [column.name for column in columns_of(model)] == list(model.model_fields)
    assert {column.name: column.kind for column in columns_of(Deployment)}["finished_at"] == "time"


def test_frames_leave_in_utc(tmp_path: Path) -> None:
    here = site(tmp_path / "team")
    (tmp_path / "d.csv").write_text("id,service,finished_at\nd1,shop,2026-07-01T12:00:00+02:00\n")
    load(here, tmp_path / "d.csv", "deployment")
    assert here.ledger.read("deployments").schema["finished_at"] == pl.Datetime("us", "UTC")
