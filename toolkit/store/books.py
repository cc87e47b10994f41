"""What the ledger notes beside records in a flush: raw, cursor, coverage, quarantine, run counts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

import duckdb
from pydantic import BaseModel

from toolkit.store.columns import times_of
from toolkit.store.connect import quoted

__all__ = ["Counts", "Load", "add_to_run", "write_coverage", "write_cursor", "write_quarantine", "write_raw"]


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
class Load:
    """One load as the books know it. `stamp`: when it first began, which is the version of rows that carry none; a resumed
    load keeps it. `before`: what its flushes before this one counted.
    """

    run: int
    record: str
    source: str
    path: str
    sha256: str
    stream: str
    stamp: datetime
    mapping: str
    covers: tuple[datetime, datetime] | None = None
    items: bytes | None = None
    before: Counts = field(default_factory=Counts)


def write_raw(con: duckdb.DuckDBPyConnection, load: Load, number: int, first: int, last: int) -> None:
    """Where the rows of this flush came from: the file and its hash, or the pages themselves."""
    con.execute(
        "INSERT INTO ledger.raw VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [number, load.run, load.source, load.record, load.stamp, load.path, load.sha256, first + 1, last + 1, load.items],
    )


def write_quarantine(con: duckdb.DuckDBPyConnection, load: Load) -> int:
    """All rows of the load that are no records. The same row of the same load is kept once, however often it is loaded.

    Rows of the same file that have become records since (a better mapping, a time that is past by now) leave. Returns how many are refused.
    """
    values = {"record": load.record, "path": load.path, "version": load.sha256, "run": load.run, "stamp": load.stamp}
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE refused AS
        SELECT sha256(concat_ws(chr(31), $record, source, row_number() OVER (PARTITION BY source, raw ORDER BY rowid), raw)) AS id, * FROM problems
        """,
        {"record": load.record},
    )
    con.execute(
        "DELETE FROM ledger.quarantine WHERE record = $record AND path = $path AND version = $version AND id NOT IN (SELECT id FROM refused)",
        {name: values[name] for name in ("record", "path", "version")},
    )
    con.execute("""
        UPDATE ledger.quarantine AS q SET error = r.error, field = r.field, rule = r.rule FROM refused AS r WHERE q.id = r.id
    """)
    con.execute(
        """
        INSERT INTO ledger.quarantine (id, record, source, path, place, field, rule, error, raw, version, run, seen_at)
        SELECT id, $record, source, $path, place, field, rule, error, raw, $version, $run, $stamp
        FROM refused WHERE id NOT IN (SELECT id FROM ledger.quarantine)
        """,
        values,
    )
    return int(con.execute("SELECT count(*) FROM refused").fetchall()[0][0])


def write_coverage(con: duckdb.DuckDBPyConnection, record: type[BaseModel], load: Load, first: int, last: int, *, final: bool) -> None:
    """The interval seen: as the mapping declares it once all is in; else grown from the first to the last event so far."""
    stream = record.table  # type: ignore[attr-defined]
    if load.covers is not None:
        if final:
            con.execute(
                """
                INSERT INTO ledger.coverage SELECT $stream, $source, $first, $last, false, false, $stamp WHERE NOT EXISTS (
                    SELECT 1 FROM ledger.coverage WHERE stream = $stream AND source = $source AND "start" = $first AND "end" = $last AND NOT gap
                )
                """,
                {"stream": stream, "source": load.source, "first": load.covers[0], "last": load.covers[1], "stamp": load.stamp},
            )
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
        INSERT INTO seen SELECT source, "start", "end" FROM ledger.coverage WHERE stream = $stream AND assumed AND source IN (SELECT source FROM seen)
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


def write_cursor(con: duckdb.DuckDBPyConnection, load: Load, total: Counts, *, done: int, complete: bool) -> None:
    """How far the load is: a load of the same file and mapping goes on from here."""
    value = {"sha256": load.sha256, "mapping": load.mapping, "stamp": load.stamp.isoformat(), "done": done, "complete": complete}
    con.execute("DELETE FROM ledger.cursors WHERE source = ? AND stream = ?", [load.source, load.stream])
    con.execute(
        "INSERT INTO ledger.cursors VALUES (?, ?, ?, ?)",
        [load.source, load.stream, json.dumps({**value, "counts": asdict(total)}), load.stamp],
    )


def add_to_run(con: duckdb.DuckDBPyConnection, run: int, total: Counts) -> None:
    """The run's counts so far."""
    names = asdict(total)
    con.execute(f"UPDATE ledger.runs SET {', '.join(f'{quoted(name)} = ?' for name in names)} WHERE id = ?", [*names.values(), run])
