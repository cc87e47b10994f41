"""What the ledger notes beside records in a flush: raw, cursor, coverage, quarantine, run counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import polars as pl
from pydantic import BaseModel

from toolkit.store.columns import times_of
from toolkit.store.connect import quoted
from toolkit.store.problems import Problem

__all__ = [
    "Counts",
    "Load",
    "Seen",
    "add_to_run",
    "free_from_quarantine",
    "raw_number",
    "write_coverage",
    "write_cursor",
    "write_quarantine",
    "write_raw",
    "write_refused",
    "write_seen",
    "write_settled",
]


@dataclass(frozen=True)
class Counts:
    """What became of the rows read. `superseded`: versions that arrived late and are kept behind the current one."""

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in asdict(self)})


@dataclass(frozen=True)
class Seen:
    """A stretch of a stream (a record's table) that was seen completely; or, a gap, one of which that can no longer be said."""

    stream: str
    start: datetime
    end: datetime
    gap: bool = False


@dataclass(frozen=True)
class Load:
    """One load as the books know it. `stamp`: when it first began, which is the version of rows that carry none; a resumed
    load keeps it. `before`: what its flushes before this one counted. `seen`: what is declared of coverage, written when all is in.
    """

    run: int
    record: str
    source: str
    path: str | None
    sha256: str
    stream: str
    stamp: datetime
    mapping: str
    revised: datetime | None = None
    # Digest of the mapping and `revised`: a load goes on only with the same.
    how: str = ""
    seen: tuple[Seen, ...] = ()
    items: bytes | None = None
    # The kind of source whose raw `items` are: what can read them again.
    kind: str = ""
    # Keep `items` even where no row changed: a later item may be understood only together with them.
    log: bool = False
    # Where a source goes on, for those that are no files.
    cursor: dict[str, Any] | None = None
    # Ids of the quarantined rows that this load reads again.
    again: tuple[str, ...] | None = None
    before: Counts = field(default_factory=Counts)


def raw_number(con: duckdb.DuckDBPyConnection, load: Load) -> tuple[int, bool]:
    """The number under which the raw of this flush is kept, and whether it is there: pages bring several kinds out of one raw."""
    if load.items is not None:
        there = con.execute("SELECT id FROM ledger.raw WHERE run = ? AND sha256 = ?", [load.run, load.sha256]).fetchall()
        if there:
            return int(there[0][0]), True
    return int(con.execute("SELECT coalesce(max(id), 0) + 1 FROM ledger.raw").fetchall()[0][0]), False


def write_raw(con: duckdb.DuckDBPyConnection, load: Load, number: int, first: int, last: int) -> None:
    """Where the rows of this flush came from: the file and its hash, or the pages themselves."""
    con.execute(
        "INSERT INTO ledger.raw VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [number, load.run, load.source, load.kind or load.record, load.stamp, load.path, load.sha256, first + 1, last + 1, load.items],
    )


def write_quarantine(con: duckdb.DuckDBPyConnection, load: Load) -> int:
    """All rows of the load that are no records. The same row of the same record is kept once, however often it is loaded.

    Rows of the same file that have become records since (by a better mapping, or a time that has come) leave. Returns how many
    are refused.
    """
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE refused AS
        SELECT sha256(concat_ws(chr(31), $record, source, row_number() OVER (PARTITION BY source, raw ORDER BY rowid), raw)) AS id, *
        FROM problems
        """,
        {"record": load.record},
    )
    known = "record = $record AND path = $path AND version = $version" if load.again is None else "id IN (SELECT unnest($again::VARCHAR[]))"
    values = {"record": load.record, "path": load.path, "version": load.sha256} if load.again is None else {"again": list(load.again)}
    con.execute(f"DELETE FROM ledger.quarantine WHERE {known} AND id NOT IN (SELECT id FROM refused)", values)
    con.execute(
        """
        UPDATE ledger.quarantine AS q SET error = r.error, field = r.field, rule = r.rule, mapping = $mapping
        FROM refused AS r WHERE q.id = r.id
        """,
        {"mapping": load.mapping},
    )
    con.execute(
        """
        INSERT INTO ledger.quarantine BY NAME
        SELECT id, $record AS record, source, $path AS path, place, field, rule, error, raw, $version AS version, $run AS run,
            $stamp AS seen_at, key, $mapping AS mapping, $revised::TIMESTAMPTZ AS revised
        FROM refused WHERE id NOT IN (SELECT id FROM ledger.quarantine)
        """,
        {
            "record": load.record,
            "path": load.path,
            "version": load.sha256,
            "run": load.run,
            "stamp": load.stamp,
            "mapping": load.mapping,
            "revised": load.revised,
        },
    )
    return int(con.execute("SELECT count(*) FROM refused").fetchall()[0][0])


def write_settled(con: duckdb.DuckDBPyConnection, load: Load, keys: Sequence[str]) -> None:
    """Rows of these keys leave."""
    con.execute(
        "DELETE FROM quarantine WHERE record = $record AND source = $source AND key IN (SELECT unnest($keys::VARCHAR[]))",
        {"record": load.record, "source": load.source, "keys": list(keys)},
    )


def write_refused(con: duckdb.DuckDBPyConnection, load: Load, refused: Sequence[tuple[str, Problem]]) -> None:
    """Pieces of files that make no record, each with its path, in place of what was refused under the same key before."""
    write_settled(con, load, [problem.key for _, problem in refused if problem.key is not None])
    names = ("place", "field", "rule", "error", "raw", "key")
    frame = pl.DataFrame(
        {"path": [path for path, _ in refused], **{name: [getattr(problem, name) for _, problem in refused] for name in names}},
        schema=dict.fromkeys(("path", *names), pl.String),
    )
    con.register("pieces", frame)
    con.execute(
        """
        INSERT INTO quarantine BY NAME
        WITH numbered AS (SELECT *, row_number() OVER (PARTITION BY raw) AS n FROM pieces)
        SELECT sha256(concat_ws(chr(31), $record, $source, n, raw)) AS id, $record AS record, $source AS source, path, place, field, rule,
            error, raw, $version AS version, $run AS run, $stamp AS seen_at, key, $mapping AS mapping
        FROM numbered WHERE id NOT IN (SELECT id FROM quarantine)
        """,
        {
            "record": load.record,
            "source": load.source,
            "version": load.sha256,
            "run": load.run,
            "stamp": load.stamp,
            "mapping": load.mapping,
        },
    )
    con.unregister("pieces")


def free_from_quarantine(con: duckdb.DuckDBPyConnection, record: type[BaseModel], load: Load) -> None:
    """Rows whose id has come in as a record leave: somebody has put them right at the source. Rows of this very load stay."""
    if "source_id" not in record.model_fields:
        return
    con.execute(
        """
        DELETE FROM ledger.quarantine AS q
        WHERE record = $record AND key IS NOT NULL AND id NOT IN (SELECT id FROM refused)
            AND EXISTS (SELECT 1 FROM staged AS s WHERE s.fine AND s.source = q.source AND s.source_id = q.key)
        """,
        {"record": load.record},
    )


def write_coverage(con: duckdb.DuckDBPyConnection, record: type[BaseModel], load: Load, first: int, last: int, *, final: bool) -> None:
    """The interval seen: as the mapping declares it once all is in; else grown from the first to the last event so far."""
    stream = record.table  # type: ignore[attr-defined]
    if final:
        write_seen(con, load.source, load.seen, load.stamp)
    if any(seen.stream == stream and not seen.gap for seen in load.seen):
        return
    times = [quoted(name) for name in times_of(record)]
    if not times:
        return
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE seen AS
        SELECT source, min(least({", ".join(times)})) AS "start", max(greatest({", ".join(times)})) AS "end"
        FROM staged WHERE fine AND rowid BETWEEN $first AND $last GROUP BY source HAVING "start" IS NOT NULL
        """,
        {"first": first, "last": last},
    )
    con.execute(
        """
        INSERT INTO seen SELECT source, "start", "end" FROM ledger.coverage
        WHERE stream = $stream AND assumed AND source IN (SELECT source FROM seen)
        """,
        {"stream": stream},
    )
    con.execute(
        "DELETE FROM ledger.coverage WHERE stream = $stream AND assumed AND source IN (SELECT source FROM seen)", {"stream": stream}
    )
    con.execute(
        'INSERT INTO ledger.coverage SELECT $stream, source, min("start"), max("end"), true, false, $stamp FROM seen GROUP BY source',
        {"stream": stream, "stamp": load.stamp},
    )


def write_seen(con: duckdb.DuckDBPyConnection, source: str, seen: Iterable[Seen], stamp: datetime) -> None:
    """Coverage that was declared, and gaps; each is noted once. The ledger is attached as `ledger`."""
    for one in seen:
        con.execute(
            """
            INSERT INTO ledger.coverage SELECT $stream, $source, $first, $last, false, $gap, $stamp WHERE NOT EXISTS (
                SELECT 1 FROM ledger.coverage
                WHERE stream = $stream AND source = $source AND "start" = $first AND "end" = $last AND gap = $gap AND NOT assumed
            )
            """,
            {"stream": one.stream, "source": source, "first": one.start, "last": one.end, "gap": one.gap, "stamp": stamp},
        )


def write_cursor(con: duckdb.DuckDBPyConnection, load: Load, total: Counts, *, done: int, complete: bool) -> None:
    """How far the load is: a load of the same file and mapping goes on from here."""
    value: dict[str, Any] = {"sha256": load.sha256, "how": load.how, "stamp": load.stamp.isoformat(), "done": done, "complete": complete}
    value = {**value, "counts": asdict(total)} if load.cursor is None else load.cursor
    con.execute("DELETE FROM ledger.cursors WHERE source = ? AND stream = ?", [load.source, load.stream])
    con.execute(
        "INSERT INTO ledger.cursors VALUES (?, ?, ?, ?)",
        [load.source, load.stream, json.dumps(value), load.stamp],
    )


def add_to_run(con: duckdb.DuckDBPyConnection, run: int, total: Counts) -> None:
    """The run's counts so far."""
    names = asdict(total)
    con.execute(f"UPDATE ledger.runs SET {', '.join(f'{quoted(name)} = ?' for name in names)} WHERE id = ?", [*names.values(), run])
