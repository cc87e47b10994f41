"""Records made anew from their raw, laid over the current ones: what differs is replaced where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
from pydantic import BaseModel

from toolkit.store.columns import columns_of, stored
from toolkit.store.connect import quoted, select_list
from toolkit.store.digest import note_change
from toolkit.store.people import PEOPLE
from toolkit.store.staging import same_key

__all__ = ["Remade", "write_remade"]

# Kept from the row that is replaced: it is the same word of the same source, read better.
_KEPT = ("seen_at", "raw_ref")


@dataclass(frozen=True)
class Remade:
    """What became of a record's rows. `gone`: the source's words no longer make them. `refused`: they no longer make a valid one; the
    old row stays. `fields`: how many changed rows each field differs in.
    """

    unchanged: int
    changed: int
    new: int
    gone: int
    refused: int
    fields: dict[str, int]


def write_remade(con: duckdb.DuckDBPyConnection, record: type[BaseModel], kind: str, *, apply: bool) -> Remade:
    """Compare `staged` with the rows of `ledger` that came from raw of this kind, and where `apply` is set put it in their place.

    Rows that another kind of source had the last word on stay. Versions behind the current rows stay as they were read.
    """
    table = f"ledger.{quoted(record.table)}"  # type: ignore[attr-defined]
    con.execute("SET VARIABLE kind = ?", [kind])
    mine = "(SELECT id FROM ledger.raw WHERE items IS NOT NULL AND record = getvariable('kind'))"
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE compared AS
        SELECT s.rowid AS row, k.rowid AS old, CASE
            WHEN k.rowid IS NULL THEN 'new'
            WHEN k.content_hash = s.content_hash OR k.raw_ref NOT IN {mine} THEN 'unchanged'
            ELSE 'changed' END AS fate
        FROM staged AS s LEFT JOIN {table} AS k ON {same_key(record, "s", "k")}
        WHERE s.fine AND s.rowid NOT IN (SELECT row FROM losers)
    """)
    held = (
        "EXISTS (SELECT 1 FROM problems AS p WHERE p.source = k.source AND p.key = k.source_id)"
        if "source_id" in stored(record)
        else "false"
    )
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE gone AS
        SELECT k.rowid AS old FROM {table} AS k
        WHERE k.raw_ref IN {mine} AND NOT {held} AND NOT EXISTS (SELECT 1 FROM staged AS s WHERE s.fine AND {same_key(record, "s", "k")})
    """)
    fates: dict[str, int] = dict(con.execute("SELECT fate, count(*) FROM compared GROUP BY fate").fetchall())
    gone, refused = con.execute("SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM problems)").fetchall()[0]
    fields = _fields(con, record, table) if fates.get("changed") else {}
    if apply:
        _replace(con, record, table, mine)
    return Remade(fates.get("unchanged", 0), fates.get("changed", 0), fates.get("new", 0), gone, refused, fields)


def _fields(con: duckdb.DuckDBPyConnection, record: type[BaseModel], table: str) -> dict[str, int]:
    names = [column.name for column in columns_of(record) if column.name not in PEOPLE]
    counts = ", ".join(f"count(*) FILTER (WHERE s.{quoted(name)} IS DISTINCT FROM k.{quoted(name)})" for name in names)
    row = con.execute(f"""
        SELECT {counts} FROM compared AS c JOIN staged AS s ON s.rowid = c.row JOIN {table} AS k ON k.rowid = c.old WHERE fate = 'changed'
    """).fetchall()[0]
    return {name: count for name, count in zip(names, row, strict=True) if count}


def _replace(con: duckdb.DuckDBPyConnection, record: type[BaseModel], table: str, mine: str) -> None:
    names = [name for name in stored(record) if name not in _KEPT]
    # Some sources keep no people in their raw.
    read = ", ".join(
        f"{f'coalesce(s.{quoted(name)}, k.{quoted(name)})' if name in PEOPLE else f's.{quoted(name)}'} AS {quoted(name)}" for name in names
    )
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE better AS
        SELECT {read},
            coalesce(k.seen_at, (SELECT max(seen_at) FROM ledger.raw WHERE id IN {mine})) AS seen_at,
            coalesce(k.raw_ref, (SELECT max(id) FROM ledger.raw WHERE id IN {mine})) AS raw_ref
        FROM compared AS c JOIN staged AS s ON s.rowid = c.row LEFT JOIN {table} AS k ON k.rowid = c.old
        WHERE fate IN ('new', 'changed')
    """)
    versions = f"ledger.{quoted(record.table + '_versions')}"  # type: ignore[attr-defined]
    # No version is kept without a current row.
    con.execute(f"""
        DELETE FROM {versions} AS v WHERE EXISTS (
            SELECT 1 FROM gone JOIN {table} AS k ON k.rowid = gone.old WHERE {same_key(record, "v", "k")}
        )
    """)
    old = "rowid IN (SELECT old FROM gone UNION ALL SELECT old FROM compared WHERE fate = 'changed')"
    note_change(con, record, f"{table} WHERE {old}", gone=True)
    con.execute(f"DELETE FROM {table} WHERE {old}")
    listed = select_list([*names, *_KEPT])
    con.execute(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM better")
    note_change(con, record, "better")
