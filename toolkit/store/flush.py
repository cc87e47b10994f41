"""One flush: a slice of staged rows into the open ledger, as SQL over both, inside one transaction."""

from __future__ import annotations

from datetime import datetime

import duckdb
from pydantic import BaseModel

from toolkit.store.books import Counts
from toolkit.store.columns import stored
from toolkit.store.connect import quoted, select_list
from toolkit.store.digest import note_change
from toolkit.store.staging import person_of, same_key

__all__ = ["write_losers", "write_rows", "wrote"]


def write_rows(con: duckdb.DuckDBPyConnection, record: type[BaseModel], first: int, last: int, stamp: datetime, raw: int) -> Counts:
    """Rows `first` to `last` (rowids of `staged`, losers left out) into `ledger`. `stamp` is the version of rows that carry none."""
    table, versions = f"ledger.{record.table}", f"ledger.{record.table}_versions"  # type: ignore[attr-defined]
    columns = [name for name in stored(record) if name not in ("revised_at", "seen_at", "content_hash", "raw_ref")]
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE incoming AS
        WITH candidates AS (
            SELECT rowid AS row, * EXCLUDE (revised_at), coalesce(revised_at, $stamp) AS revised_at, revised_at IS NOT NULL AS given
            FROM staged WHERE fine AND rowid BETWEEN $first AND $last AND rowid NOT IN (SELECT row FROM losers)
        ),
        -- The few current rows concerned first: the join then carries keys and hashes, not every column of the ledger.
        compared AS (
            SELECT c.row, c.given, c.content_hash = k.content_hash AS same,
                {person_of(record, "c")} = {person_of(record, "k")} AS same_person,
                k.rowid AS old, c.revised_at AS revised, k.revised_at AS known,
                (c.revised_at, c.content_hash, {person_of(record, "c")}) > (k.revised_at, k.content_hash, {person_of(record, "k")}) AS later
            FROM candidates AS c LEFT JOIN {table} AS k ON {same_key(record, "c", "k")}
        )
        SELECT row, old, CASE
            WHEN old IS NULL THEN 'new'
            WHEN same AND same_person AND (NOT given OR revised = known) THEN 'unchanged'
            WHEN later AND same THEN 'touched'
            WHEN later THEN 'changed'
            ELSE 'superseded' END AS fate
        FROM compared
        """,
        {"stamp": stamp, "first": first, "last": last},
    )
    fates: dict[str, int] = dict(con.execute("SELECT fate, count(*) FROM incoming GROUP BY fate").fetchall())
    replaced = fates.get("changed", 0) + fates.get("touched", 0)
    row = f"{select_list(columns, 's')}, coalesce(s.revised_at, $stamp), $stamp, s.content_hash, $raw"
    names = select_list([*columns, "revised_at", "seen_at", "content_hash", "raw_ref"])
    if replaced:
        old = "rowid IN (SELECT old FROM incoming WHERE fate IN ('changed', 'touched'))"
        con.execute(f"""
            INSERT INTO {versions} BY NAME
            SELECT * FROM {table} WHERE {old}
        """)
        note_change(con, record, f"{table} WHERE {old}", gone=True)
        con.execute(f"DELETE FROM {table} WHERE {old}")
    if replaced or fates.get("new"):
        written = "staged AS s JOIN incoming AS i ON s.rowid = i.row AND i.fate IN ('new', 'changed', 'touched')"
        con.execute(
            f"""INSERT INTO {table} ({names})
            SELECT {row} FROM {written}""",
            {"stamp": stamp, "raw": raw},
        )
        note_change(con, record, written)
    late = 0
    if fates.get("superseded"):
        late = _write_late(con, record, "SELECT row FROM incoming WHERE fate = 'superseded'", stamp, raw)
    return Counts(
        new=fates.get("new", 0),
        changed=fates.get("changed", 0),
        unchanged=fates.get("unchanged", 0) + fates.get("touched", 0) + fates.get("superseded", 0) - late,
        superseded=late,
    )


def wrote(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether write_rows wrote any row: then something refers to its raw."""
    return bool(con.execute("SELECT 1 FROM incoming WHERE fate <> 'unchanged' LIMIT 1").fetchall())


def write_losers(con: duckdb.DuckDBPyConnection, record: type[BaseModel], stamp: datetime, raw: int) -> Counts:
    """Rows that another row of the same file beats, as versions behind it. They go last: no version is ever kept without a current row."""
    count = con.execute("SELECT count(*) FROM losers").fetchall()[0][0]
    if not count:
        return Counts()
    late = _write_late(con, record, "SELECT row FROM losers", stamp, raw)
    return Counts(unchanged=count - late, superseded=late)


def _write_late(con: duckdb.DuckDBPyConnection, record: type[BaseModel], rows: str, stamp: datetime, raw: int) -> int:
    """Keep versions that are not current, once each. Returns how many were not known yet."""
    table = record.table  # type: ignore[attr-defined]
    names = [name for name in stored(record) if name not in ("revised_at", "seen_at", "content_hash", "raw_ref")]
    listed = select_list([*names, "revised_at", "seen_at", "content_hash", "raw_ref"])
    known = " AND ".join(
        f"""NOT EXISTS (
            SELECT 1 FROM ledger.{quoted(old)} AS k WHERE {same_key(record, "s", "k")} AND k.content_hash = s.content_hash
            -- A row without a version of its own says nothing new when its content is known already.
            AND (s.revised_at IS NULL OR k.revised_at = s.revised_at)
        )"""
        for old in (table, f"{table}_versions")
    )
    return int(
        con.execute(
            f"""
            INSERT INTO ledger.{quoted(table + "_versions")} ({listed})
            SELECT {select_list(names, "s")}, coalesce(s.revised_at, $stamp), $stamp, s.content_hash, $raw
            FROM staged AS s WHERE s.rowid IN ({rows}) AND {known}
            QUALIFY row_number() OVER (PARTITION BY s.content_hash, s.revised_at ORDER BY s.rowid) = 1
            """,
            {"stamp": stamp, "raw": raw},
        ).fetchall()[0][0]
    )
