"""Files into the ledger: what loads, what is refused by name, what waits in quarantine with a reason."""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from examples import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest.engine import RunReport, load, retry, sync
from toolkit.errors import DataError, UsageError
from toolkit.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path / "team")


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("KNOWNGOOD_REAL_DATA")
    if not folder:
        pytest.skip("no real data: set KNOWNGOOD_REAL_DATA to its folder")
    return Path(folder)


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def counts(report: RunReport) -> tuple[int, int, int, int]:
    """new, changed, unchanged, quarantined"""
    return report.new, report.changed, report.unchanged, report.quarantined


DEPLOYMENTS = """\
source_id,service,version,finished_at,labels,changes_files
d1,shop,v1,2026-01-02T10:00:00Z,urgent; hotfix,3
d2,shop,v2,2026-01-02T12:00:00+02:00,"[""a;b""]",
"""


def test_a_csv_file_with_our_column_names_loads_without_a_mapping(workspace: Workspace, tmp_path: Path) -> None:
    report = load(workspace, write(tmp_path / "d.csv", DEPLOYMENTS), "deployment")
    assert counts(report) == (2, 0, 0, 0)
    rows = workspace.ledger.read("deployments").sort("source_id")
    assert rows["source"].to_list() == ["files", "files"]
    assert rows["finished_at"].to_list() == [datetime(2026, 1, 2, 10, tzinfo=UTC), datetime(2026, 1, 2, 10, tzinfo=UTC)]
    assert rows["labels"].to_list() == [["urgent", "hotfix"], ["a;b"]]
    assert rows["changes_files"].to_list() == [3, None]
    assert rows["environment"].to_list() == ["production", "production"]


def test_csv_json_lines_and_parquet_of_one_table_give_one_digest(tmp_path: Path) -> None:
    csv = write(tmp_path / "d.csv", DEPLOYMENTS)
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE d AS SELECT * FROM read_csv('{csv}', types = {{'finished_at': 'TIMESTAMPTZ'}})")
        con.execute(f"COPY d TO '{tmp_path / 'd.parquet'}'")
        con.execute(f"COPY d TO '{tmp_path / 'd.jsonl'}' (FORMAT json)")
    digests = set()
    for suffix in ("csv", "parquet", "jsonl"):
        site = Workspace.init(tmp_path / suffix)
        assert load(site, tmp_path / f"d.{suffix}", "deployment").new == 2
        digests.add(site.ledger.digest())
    assert len(digests) == 1


def test_nested_objects_and_lists_of_json_lines_become_columns(workspace: Workspace, tmp_path: Path) -> None:
    line = {"id": 7, "services": ["shop", "cart"], "impact": {"users": 12, "requests": 900}, "started_at": "2026-01-01T00:00:00Z"}
    load(workspace, write(tmp_path / "i.jsonl", json.dumps(line) + "\n"), "incident")
    row = workspace.ledger.read("incidents").row(0, named=True)
    assert (row["source_id"], row["services"], row["impact_users"], row["impact_requests"]) == ("7", ["shop", "cart"], 12, 900)


def test_any_key_of_json_is_a_column_and_null_objects_are_none(workspace: Workspace, tmp_path: Path) -> None:
    mapping = write(tmp_path / "m.toml", 'unknown = "keep"\n[columns]\nversion = "a.b/c~\\"d"\n')
    lines = [
        {"id": 1, "service": "shop", 'a.b/c~"d': "v1", "": 1, "$": 2, "changes": None},
        {"id": 2, "service": "shop", "changes": {"files": 3, "deep": {"er": 1}}},
        {"id": 3, "service": "shop", "changes": {}},
    ]
    load(workspace, write(tmp_path / "d.jsonl", "".join(json.dumps(line) + "\n" for line in lines)), "deployment", mapping)
    rows = workspace.ledger.read("deployments", ["source_id", "version", "changes_files"]).sort("source_id").rows()
    assert rows == [("1", "v1", None), ("2", None, 3), ("3", None, None)]


def test_parquet_structs_and_lists_become_columns(workspace: Workspace, tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "id": [1],
            "service": ["shop"],
            "labels": [["a", "b"]],
            "changes": [{"files": 3, "lines": 40}],
            "finished_at": [datetime(2026, 1, 1, tzinfo=UTC)],
        }
    ).write_parquet(tmp_path / "d.parquet")
    load(workspace, tmp_path / "d.parquet", "deployment")
    row = workspace.ledger.read("deployments").row(0, named=True)
    assert (row["labels"], row["changes_files"], row["changes_lines"]) == (["a", "b"], 3, 40)


def test_owners_and_samples_load_by_their_own_names(workspace: Workspace, tmp_path: Path) -> None:
    assert load(workspace, write(tmp_path / "o.csv", "id,service,team,class\n1,shop,web,gold\n"), "owner").new == 1
    assert workspace.ledger.read("owners")["service_class"].to_list() == ["gold"]
    samples = "service,series,at,bad,total\nshop,errors,2026-01-01T00:00:00Z,1,100\nshop,errors,2026-01-01T00:01:00Z,0,90\n"
    assert load(workspace, write(tmp_path / "s.csv", samples), "sample").new == 2
    assert counts(load(workspace, tmp_path / "s.csv", "sample")) == (0, 0, 2, 0)


def test_what_is_due_may_lie_ahead_but_not_beyond_the_century(workspace: Workspace, tmp_path: Path) -> None:
    due = "id,title,due\n1,Alert,2031-03-01T00:00:00Z\n2,Test,2131-03-01T00:00:00Z\n"
    report = load(workspace, write(tmp_path / "items.csv", due), "action_item")
    assert (report.new, report.quarantined) == (1, 1)


def test_loading_a_file_twice_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", DEPLOYMENTS)
    load(workspace, path, "deployment")
    before = workspace.ledger.read("deployments"), workspace.ledger.digest()
    assert counts(load(workspace, path, "deployment")) == (0, 0, 2, 0)
    assert workspace.ledger.read("deployments").equals(before[0])
    assert workspace.ledger.digest() == before[1]
    assert workspace.ledger.versions("deployments").is_empty()


def test_a_corrected_row_replaces_the_old_one_which_is_kept_as_a_version(workspace: Workspace, tmp_path: Path) -> None:
    load(workspace, write(tmp_path / "d.csv", DEPLOYMENTS), "deployment")
    report = load(workspace, write(tmp_path / "d.csv", DEPLOYMENTS.replace("shop,v2", "shop,v3")), "deployment")
    assert counts(report) == (0, 1, 1, 0)
    assert sorted(workspace.ledger.read("deployments")["version"]) == ["v1", "v3"]
    assert workspace.ledger.versions("deployments")["version"].to_list() == ["v2"]


def test_going_back_to_the_first_wording_is_a_version_too(workspace: Workspace, tmp_path: Path) -> None:
    first = DEPLOYMENTS
    for text in (first, first.replace("shop,v2", "shop,v3"), first):
        load(workspace, write(tmp_path / "d.csv", text), "deployment")
    assert sorted(workspace.ledger.read("deployments")["version"]) == ["v1", "v2"]
    assert workspace.ledger.versions("deployments")["version"].to_list() == ["v2", "v3"]


def test_an_older_version_that_arrives_late_stays_behind(workspace: Workspace, tmp_path: Path) -> None:
    head = "id,service,version,revised_at\n"
    load(workspace, write(tmp_path / "a.csv", head + "d1,shop,new,2026-01-02T00:00:00Z\n"), "deployment")
    report = load(workspace, write(tmp_path / "b.csv", head + "d1,shop,old,2026-01-01T00:00:00Z\n"), "deployment")
    assert (report.changed, report.superseded) == (0, 1)
    assert workspace.ledger.read("deployments")["version"].to_list() == ["new"]
    assert workspace.ledger.versions("deployments")["version"].to_list() == ["old"]


def test_revised_stands_in_where_a_file_names_no_version(workspace: Workspace, tmp_path: Path) -> None:
    later, earlier = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    load(workspace, write(tmp_path / "a.csv", "id,service,version\nd1,shop,new\n"), "deployment", revised=later)
    load(workspace, write(tmp_path / "b.csv", "id,service,version\nd1,shop,old\n"), "deployment", revised=earlier)
    assert workspace.ledger.read("deployments")["version"].to_list() == ["new"]


def test_people_are_pseudonyms_and_in_no_digest(tmp_path: Path) -> None:
    digests = set()
    for person in ("Zebedee Quux", "Ermintrude Fnord"):
        site = Workspace.init(tmp_path / person[:3])
        load(site, write(tmp_path / f"{person[:3]}.csv", f"id,service,actor\nd1,shop,{person}\n"), "deployment")
        (name,) = site.ledger.read("deployments")["actor"]
        assert name.startswith("person-")
        digests.add(site.ledger.digest())
        assert person.encode() not in (site.state / "ledger.duckdb").read_bytes()
        assert (site.state / "people.key").stat().st_mode & 0o777 == 0o600
    assert len(digests) == 1


def test_people_stay_readable_where_the_team_says_keep(tmp_path: Path) -> None:
    site = Workspace.init(tmp_path / "team")
    write(site.root / "knowngood.toml", '[privacy]\npeople = "keep"\n')
    load(Workspace(site.root), write(tmp_path / "d.csv", "id,service,actor\nd1,shop,ann\n"), "deployment")
    assert site.ledger.read("deployments")["actor"].to_list() == ["ann"]


# What is refused as a whole, by name


@pytest.mark.parametrize(
    ("text", "record", "says"),
    [
        ("id,service,finshed_at\n1,shop,\n", "deployment", r"finshed_at.*nearest: finished_at.*--map"),
        ("service\nshop\n", "deployment", r"nothing says source_id.*source_id = \["),
        ("id,service,service\n1,a,b\n", "deployment", "service occur twice"),
        ("", "deployment", "first line is empty"),
        (b"\xff\xfei\x00d\x00\n\x00", "deployment", "not UTF-8"),
    ],
)
def test_a_file_with_the_wrong_columns_is_refused_with_what_to_do(
    workspace: Workspace, tmp_path: Path, text: str | bytes, record: str, says: str
) -> None:
    with pytest.raises(DataError, match=says) as error:
        load(workspace, write(tmp_path / "f.csv", text), record)
    assert error.value.exit_code == 3
    assert workspace.ledger.runs()["status"].to_list() in (["failed"], [])


def test_times_without_a_zone_in_parquet_are_refused_until_a_mapping_names_the_zone(workspace: Workspace, tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["d1"], "service": ["shop"], "finished_at": [datetime(2026, 7, 1, 12)]})
    frame.write_parquet(tmp_path / "d.parquet")
    with pytest.raises(DataError, match="finished_at.*have no zone.*zone ="):
        load(workspace, tmp_path / "d.parquet", "deployment")
    load(workspace, tmp_path / "d.parquet", "deployment", write(tmp_path / "m.toml", '[times]\nzone = "Europe/London"\n'))
    assert workspace.ledger.read("deployments")["finished_at"].to_list() == [datetime(2026, 7, 1, 11, tzinfo=UTC)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_any_unit_and_zone_in_parquet_are_the_same_moment(workspace: Workspace, tmp_path: Path, unit: Any) -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    aware = pl.Series([at]).dt.convert_time_zone("Europe/Paris").dt.cast_time_unit(unit)
    naive = pl.Series([at]).dt.replace_time_zone(None).dt.cast_time_unit(unit)
    frame = pl.DataFrame({"id": ["d1"], "service": ["shop"], "finished_at": aware, "started_at": naive})
    frame.write_parquet(tmp_path / "d.parquet")
    mapping = write(tmp_path / "m.toml", '[times.started_at]\nzone = "UTC"\n')
    assert load(workspace, tmp_path / "d.parquet", "deployment", mapping).new == 1
    assert workspace.ledger.read("deployments", ["finished_at", "started_at"]).rows() == [(at, at)]


def test_revised_needs_a_zone(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        load(workspace, write(tmp_path / "d.csv", DEPLOYMENTS), "deployment", revised=datetime(2026, 1, 1))


def test_a_record_or_file_that_does_not_exist_is_named(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No record named 'deploy'.*deployment, rollback"):
        load(workspace, write(tmp_path / "f.csv", "id\n"), "deploy")
    with pytest.raises(DataError, match="There is no file"):
        load(workspace, tmp_path / "none.csv", "deployment")
    with pytest.raises(UsageError, match="cannot tell the format"):
        load(workspace, write(tmp_path / "f.xlsx", ""), "deployment")


# What waits in quarantine, while the rest loads


NO_RECORDS: list[tuple[str, str | None, str]] = [
    ("d9,shop,2026-01-01T00:00:00,,", "finished_at", "no time zone"),
    ("d9,shop,1970-01-01T00:00:00Z,,", "finished_at", "not between 2000-01-01 and tomorrow"),
    ("d9,shop,2999-01-01T00:00:00Z,,", "finished_at", "not between 2000-01-01 and tomorrow"),
    ("d9,shop,9999-12-31T23:59:59-01:00,,", None, "outside the years|not between|is not a time"),
    ("d9,shop,1767225600,,", "finished_at", "bare number.*epoch_s"),
    ("d9,shop,yesterday,,", "finished_at", "is not a time"),
    ("nan,shop,,,", "source_id", "names nothing"),
    (",shop,,,", "source_id", "every row needs it"),
    ("d9,,,,", "service", "every row needs it"),
    ("d9,shop,,done,", "status", "none of.*values.status"),
    ("d9,shop,,,-1", "changes_files", "greater than or equal to 0"),
    ("d9,shop,,,NaN", "changes_files", "valid integer"),
]


def test_a_row_that_is_no_record_waits_with_its_reason_and_stops_no_other(workspace: Workspace, tmp_path: Path) -> None:
    between = "".join(f"{row}\ngood{number},shop,,,\n" for number, (row, _, _) in enumerate(NO_RECORDS))
    text = f"id,service,finished_at,status,changes_files\ngood,shop,,,\n{between}"
    assert counts(load(workspace, write(tmp_path / "d.csv", text), "deployment")) == (len(NO_RECORDS) + 1, 0, 0, len(NO_RECORDS))
    waiting = {row["place"]: row for row in workspace.ledger.quarantine().iter_rows(named=True)}
    assert len(waiting) == len(NO_RECORDS)
    for number, (row, field, says) in enumerate(NO_RECORDS):
        found = waiting[f"row {2 * number + 2}"]
        assert field in (None, found["field"]), row
        assert re.search(says, found["error"]), row
        assert json.loads(found["raw"])["service"] in ("shop", None)


def test_a_flag_that_says_neither_yes_nor_no_is_not_taken_for_no(workspace: Workspace, tmp_path: Path) -> None:
    text = "id,service,drill\nr1,shop,yes\nr2,shop,perhaps\nr3,shop,\n"
    assert counts(load(workspace, write(tmp_path / "r.csv", text), "rollback")) == (2, 0, 0, 1)
    assert workspace.ledger.read("rollbacks", ["source_id", "drill"]).sort("source_id").rows() == [("r1", True), ("r3", False)]


def test_lines_that_are_no_rows_take_no_other_line_with_them(workspace: Workspace, tmp_path: Path) -> None:
    lines = [
        b"id,service,version",
        b"d1,shop,v1",
        b"d2,sh\xffop,v1",
        b"d3,shop",
        b"d4,shop,v1,more",
        b"d5,shop," + b"x" * 1_100_000,
        b"d6,shop,v1",
    ]
    report = load(workspace, write(tmp_path / "d.csv", b"\n".join(lines) + b"\n"), "deployment")
    assert sorted(workspace.ledger.read("deployments")["source_id"]) == ["d1", "d6"]
    assert report.read == 6
    assert sorted(workspace.ledger.quarantine()["rule"]) == [
        "invalid_encoding",
        "line_size_over_maximum",
        "missing_columns",
        "too_many_columns",
    ]


def test_broken_json_lines_take_no_other_line_with_them(workspace: Workspace, tmp_path: Path) -> None:
    good = b'{"id": "d1", "service": "shop"}'
    lines = [
        good,
        b'{"id": "d2", "serv',
        b'{"id": "d3", "service": "\xff"}',
        b"[1, 2]",
        b'{"id": "d4", "service": "' + b"x" * 1_100_000 + b'"}',
    ]
    report = load(workspace, write(tmp_path / "d.jsonl", b"\n".join([*lines, b'{"id": "d5", "service": "shop"}'])), "deployment")
    assert sorted(workspace.ledger.read("deployments")["source_id"]) == ["d1", "d5"]
    assert counts(report) == (2, 0, 0, 4)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"mixed"])
def test_line_ends_of_any_kind_are_line_ends(workspace: Workspace, tmp_path: Path, newline: bytes) -> None:
    lines = [b"id,service", b"d1,shop", b"d2,shop", b"d3,shop"]
    text = b"id,service\r\nd1,shop\nd2,shop\r\nd3,shop\n" if newline == b"mixed" else newline.join(lines)
    assert counts(load(workspace, write(tmp_path / "d.csv", text), "deployment")) == (3, 0, 0, 0)
    objects = [b'{"id": "e1", "service": "a"}', b'{"id": "e2", "service": "a"}', b'{"id": "e3", "service": "a"}']
    text = b"\r\n".join(objects[:2]) + b"\n\n" + objects[2] if newline == b"mixed" else newline.join(objects)
    assert counts(load(workspace, write(tmp_path / "e.jsonl", text), "deployment")) == (3, 0, 0, 0)


def test_a_quote_that_is_never_closed_costs_its_own_line_only(workspace: Workspace, tmp_path: Path) -> None:
    text = 'id,service\nd1,shop\nd2,"sho\nd3,shop\nd4,"big shop"\n'
    load(workspace, write(tmp_path / "d.csv", text), "deployment")
    assert sorted(workspace.ledger.read("deployments")["source_id"]) == ["d1", "d3", "d4"]
    assert workspace.ledger.quarantine()["raw"].to_list() == ['d2,"sho']


def test_ended_before_it_began_is_kept_for_the_facts_to_judge(workspace: Workspace, tmp_path: Path) -> None:
    text = "id,service,started_at,finished_at\nd1,shop,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z\n"
    assert counts(load(workspace, write(tmp_path / "d.csv", text), "deployment")) == (1, 0, 0, 0)


def test_quarantine_holds_a_row_once_and_no_names(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "id,service,who\nd1,,ann\n")
    mapping = write(tmp_path / "m.toml", '[columns]\nactor = "who"\n')
    for _ in range(2):
        load(workspace, path, "deployment", mapping)
    (raw,) = workspace.ledger.quarantine()["raw"]
    assert json.loads(raw)["who"].startswith("person-")


def test_a_quarantined_row_is_read_again_by_a_better_mapping(workspace: Workspace, tmp_path: Path) -> None:
    load(workspace, write(tmp_path / "d.csv", "id,service,status,actor\nd1,shop,ok,ann\nd2,shop,odd,bob\n"), "deployment")
    assert workspace.ledger.quarantine().height == 2
    (report,) = retry(workspace, write(tmp_path / "m.toml", '[values.status]\nok = "succeeded"\n'))
    assert counts(report) == (1, 0, 0, 1)
    assert workspace.ledger.quarantine()["key"].to_list() == ["d2"]
    (again,) = retry(workspace)
    assert counts(again) == (0, 0, 0, 1)


def test_a_row_that_comes_in_right_frees_the_wrong_one(workspace: Workspace, tmp_path: Path) -> None:
    load(workspace, write(tmp_path / "d.csv", "id,service,status\nd1,shop,ok\n"), "deployment")
    load(workspace, write(tmp_path / "d.csv", "id,service,status\nd1,shop,succeeded\n"), "deployment")
    assert workspace.ledger.quarantine().is_empty()


# Mappings


def test_a_mapping_renames_joins_fixes_translates_and_reads_times(workspace: Workspace, tmp_path: Path) -> None:
    mapping = """
        record = "deployment"
        source = "cd"
        source_id = ["app", "build"]
        revised_at = "updated"
        covers = [2026-01-01T00:00:00Z, 2026-02-01T00:00:00Z]
        unknown = "keep"
        nulls = ["-"]
        [columns]
        service = "app"
        finished_at = "when"
        started_at = "began"
        evidence = ["url", "sha"]
        [constants]
        trigger = "auto"
        [values.status]
        OK = "succeeded"
        "*" = "failed"
        [times]
        format = "epoch_ms"
        [times.started_at]
        format = "%d/%m/%Y %H:%M"
        zone = "Europe/London"
    """
    text = "app,build,when,began,status,url,sha,updated,version,extra\nshop,7,1767348000000,02/07/2025 10:30,OK,http://ci/7,abc,1767348000001,-,x\n"
    load(workspace, write(tmp_path / "d.csv", text), "deployment", write(tmp_path / "m.toml", mapping))
    row = workspace.ledger.read("deployments").row(0, named=True)
    assert (row["source"], row["source_id"], row["status"], row["trigger"], row["version"]) == ("cd", "shop/7", "succeeded", "auto", None)
    assert row["finished_at"] == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert row["started_at"] == datetime(2025, 7, 2, 9, 30, tzinfo=UTC)
    assert row["revised_at"] == datetime(2026, 1, 2, 10, 0, 0, 1000, tzinfo=UTC)
    assert row["evidence"] == ["http://ci/7", "abc"]
    assert workspace.ledger.coverage().rows() == [
        ("deployments", "cd", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), False, False)
    ]


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("columns = 3", "columns"),
        ("[columns]\nservce = 'app'", "servce.*nearest: service"),
        ("[columns]\nservice = 'ap'", "no column 'ap'.*nearest: app"),
        ("[columns]\nservice = 'app'\n[constants]\nservice = 'x'", "a column and a constant"),
        ("[times]\nzone = 'London'", "no time zone"),
        ("[times]\nformat = 'epoch'", "no time format"),
        ("record = 'incident'", "mapping is for incident"),
        ("colums = 1", "colums"),
        ("not toml", "is not TOML"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(workspace: Workspace, tmp_path: Path, mapping: str, says: str) -> None:
    with pytest.raises((UsageError, DataError), match=says):
        load(workspace, write(tmp_path / "d.csv", "id,app\n1,shop\n"), "deployment", write(tmp_path / "m.toml", mapping))


def test_coverage_is_first_to_last_event_where_nobody_says_and_does_not_depend_on_the_cut(workspace: Workspace, tmp_path: Path) -> None:
    for name, day in (("a", 1), ("b", 20)):
        load(workspace, write(tmp_path / f"{name}.csv", f"id,service,finished_at\n{name},shop,2026-01-{day:02}T00:00:00Z\n"), "deployment")
    assert workspace.ledger.coverage().rows() == [
        ("deployments", "files", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 20, tzinfo=UTC), True, False)
    ]


# Sync


def test_sync_reads_the_sources_of_the_workspace_and_skips_what_it_has(tmp_path: Path) -> None:
    site = Workspace.init(tmp_path / "team")
    settings = """
        [sources.deploys]
        path = "exports/d*.csv"
        record = "deployment"
        [sources.broken]
        path = "exports/none.csv"
        record = "incident"
        [sources.strange]
        kind = "nowhere"
    """
    write(site.root / "knowngood.toml", settings)
    write(site.root / "exports/d1.csv", DEPLOYMENTS)
    site = Workspace(site.root)
    first = {report.source: report for report in sync(site)}
    assert counts(first["deploys"]) == (2, 0, 0, 0)
    assert "no file matches" in (first["broken"].error or "")
    assert "No source is called 'nowhere'" in (first["strange"].error or "")
    (second,) = sync(site, ["deploys"])
    assert second.skipped
    with pytest.raises(UsageError, match="No source named deplois. There are: deploys"):
        sync(site, ["deplois"])


def test_real_production_changes_load_by_a_mapping(workspace: Workspace, tmp_path: Path, real_data: Path) -> None:
    mapping = """
        record = "deployment"
        source_id = ["service", "environment", "commit"]
        [columns]
        finished_at = "committed_at"
        evidence = "commit"
        [constants]
        status = "succeeded"
        trigger = "auto"
    """
    report = load(workspace, real_data / "govuk_production_changes.parquet", "deployment", write(tmp_path / "m.toml", mapping))
    assert counts(report) == (31_861, 0, 0, 0)
    rows = workspace.ledger.read("deployments", ["service", "committed_at", "finished_at", "vcs_revision"])
    assert rows["service"].n_unique() == 71
    assert rows["committed_at"].null_count() == rows["vcs_revision"].null_count() == 31_861
    assert rows["finished_at"].null_count() == 0


def test_the_mapping_in_the_documentation_does_what_its_comments_say(workspace: Workspace, tmp_path: Path, root: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (root / "docs" / "mapping.md").read_text(), re.DOTALL)
    head = "service,environment,commit,updated,merged,tag,url,status,started_at,ticket"
    rows = [
        "shop,production,abc,1767348000001,1767348000000,v1,http://ci/7,ok,02/07/2025 10:30,T1",
        "shop,production,def,1767348000002,1767348000000,-,,rolled-back,,T2",
        "shop,production,,1767348000002,1767348000000,v3,,anything,,T3",
    ]
    report = load(workspace, write(tmp_path / "d.csv", "\n".join([head, *rows]) + "\n"), "deployment", write(tmp_path / "m.toml", text))
    assert counts(report) == (2, 0, 0, 1)
    rows = (
        workspace.ledger.read("deployments", ["source", "source_id", "status", "version", "evidence", "started_at"])
        .sort("source_id")
        .rows()
    )
    assert rows == [
        ("platform-cd", "shop/production/abc", "succeeded", "v1", ["abc", "http://ci/7"], datetime(2025, 7, 2, 9, 30, tzinfo=UTC)),
        ("platform-cd", "shop/production/def", "superseded", None, ["def"], None),
    ]
    assert workspace.ledger.coverage()["assumed"].to_list() == [False]


@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl.gz"])
def test_compressed_files_load_as_they_are(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    text = DEPLOYMENTS if suffix.startswith("csv") else '{"id": "d1", "service": "shop"}\r\n{"id": "d2", "service": "shop"}\n'
    path = tmp_path / f"d.{suffix}"
    path.write_bytes(gzip.compress(text.encode()))
    assert load(workspace, path, "deployment").new == 2


@pytest.mark.parametrize("suffix", ["parquet", "csv.gz"])
def test_a_file_that_ends_too_early_is_refused_by_name(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    lines = "\n".join(f"d{number},shop,{number * 7919 % 10007}" for number in range(5000))
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "parquet":
        pl.read_csv(f"id,service,version\n{lines}".encode(), schema_overrides={"version": pl.String}).write_parquet(whole)
    else:
        whole.write_bytes(gzip.compress(f"id,service,version\n{lines}\n".encode()))
    half = write(tmp_path / f"half.{suffix}", whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError, match=r"half\."):
        load(workspace, half, "deployment")
    assert workspace.ledger.read("deployments").is_empty()


@pytest.mark.parametrize("opened", ['d0,"shop', 'd0,sh"op"x,"', '"d0,shop'])
def test_rows_far_behind_an_open_quote_are_rows(workspace: Workspace, tmp_path: Path, opened: str) -> None:
    """A CSV reader takes all that follows for one cell, a megabyte and more of it."""
    rows = "".join(f"d{number},shop {'x' * 50}\n" for number in range(1, 30_001))
    cell = 'last,"two\nlines"\n'
    report = load(workspace, write(tmp_path / "d.csv", f"id,service\n{opened}\n{rows}{cell}"), "deployment")
    assert counts(report) == (30_001, 0, 0, 1)
    assert workspace.ledger.quarantine()["place"].to_list() == ["line 2"]
    assert "two\nlines" in workspace.ledger.read("deployments")["service"].to_list()


GARBAGE = ['"', '""', ",", "\xff", "x", "\0", "\\", '"a"b', "{", "}", "[", ":", "\ufeff", "\u2028", "\x1a", "\r"]


@settings(
    max_examples=examples(5), deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate), suppress_health_check=list(HealthCheck)
)
@given(st.lists(st.none() | st.lists(st.sampled_from(GARBAGE), max_size=5), min_size=1, max_size=60), st.sampled_from(["csv", "jsonl"]))
def test_good_lines_come_through_whatever_stands_between_them(lines: list[list[str] | None], suffix: str) -> None:
    """None is a good line, with quotes and separators in its cells."""
    good = []
    text = b"id,service,version\n" if suffix == "csv" else b""
    for number, garbage in enumerate(lines):
        if garbage is None:
            good.append(f"good{number}")
            object_ = {"id": good[-1], "service": "shop", "version": f'v, "{number}"'}
            text += f'{good[-1]},shop,"v, ""{number}"""\n'.encode() if suffix == "csv" else json.dumps(object_).encode() + b"\n"
        else:
            text += "".join(garbage).encode("latin-1", "ignore") + b"\n"
    with tempfile.TemporaryDirectory() as folder:
        site = Workspace.init(folder)
        load(site, write(Path(folder, f"d.{suffix}"), text), "deployment")
        assert set(good) <= set(site.ledger.read("deployments")["source_id"])
