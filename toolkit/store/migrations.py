"""The ledger's schema: numbered steps from any older file to today's, then the columns that records.py has gained since."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from toolkit.errors import DataError
from toolkit.records import RECORDS
from toolkit.store.columns import stored
from toolkit.store.connect import quoted
from toolkit.store.digest import DIGESTS, note_change

__all__ = ["CURRENT", "MIGRATIONS", "is_current", "migrate"]

Migration = Callable[[duckdb.DuckDBPyConnection], None]
MIGRATIONS: dict[int, Migration] = {}


def migration(number: int) -> Callable[[Migration], Migration]:
    """Register a step. Steps are never edited once released: a file out there may stand between any two."""

    def register(step: Migration) -> Migration:
        if number != len(MIGRATIONS) + 1:
            raise ValueError(f"migration {number} is out of order")
        MIGRATIONS[number] = step
        return step

    return register


@migration(1)
def _books(con: duckdb.DuckDBPyConnection) -> None:
    """What the ledger keeps beside records: raw, cursors, coverage, quarantine, runs."""
    con.execute("""
        CREATE TABLE raw (
            id BIGINT, run BIGINT, source VARCHAR, record VARCHAR, seen_at TIMESTAMPTZ,
            path VARCHAR, sha256 VARCHAR, first_row BIGINT, last_row BIGINT, items BLOB
        );
        CREATE TABLE cursors (source VARCHAR, stream VARCHAR, value VARCHAR, seen_at TIMESTAMPTZ);
        CREATE TABLE coverage (
            stream VARCHAR, source VARCHAR, "start" TIMESTAMPTZ, "end" TIMESTAMPTZ, assumed BOOLEAN, gap BOOLEAN, seen_at TIMESTAMPTZ
        );
        CREATE TABLE quarantine (
            id VARCHAR, record VARCHAR, source VARCHAR, path VARCHAR, place VARCHAR, field VARCHAR, rule VARCHAR, error VARCHAR,
            raw VARCHAR, version VARCHAR, run BIGINT, seen_at TIMESTAMPTZ
        );
        CREATE TABLE runs (
            id BIGINT, source VARCHAR, record VARCHAR, path VARCHAR, started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, status VARCHAR,
            read BIGINT, "new" BIGINT, changed BIGINT, unchanged BIGINT, superseded BIGINT, quarantined BIGINT, error VARCHAR
        );
    """)


@migration(2)
def _retry(con: duckdb.DuckDBPyConnection) -> None:
    """A quarantined row keeps how it was read, so that it can be read again, and its id, so that a good row of that id frees it."""
    con.execute("ALTER TABLE quarantine ADD COLUMN key VARCHAR")
    con.execute("ALTER TABLE quarantine ADD COLUMN mapping VARCHAR")
    con.execute("ALTER TABLE quarantine ADD COLUMN revised TIMESTAMPTZ")


@migration(3)
def _digests(con: duckdb.DuckDBPyConnection) -> None:
    """The digest of the current records is kept by addition; what an older program wrote is counted once."""
    con.execute(DIGESTS)
    there = _tables(con)
    for record in (record for record in RECORDS.values() if record.table in there):
        note_change(con, record, quoted(record.table), into="digests")


CURRENT = len(MIGRATIONS)


def is_current(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the file needs nothing. Raises DataError when a newer program wrote it."""
    number = _number(con)
    if number > CURRENT:
        raise DataError(f"This ledger has schema {number}; this program knows {CURRENT}. Upgrade knowngood to read it.")
    return number == CURRENT and not _missing(con)


def migrate(con: duckdb.DuckDBPyConnection) -> None:
    """Bring the open file up to date, in one transaction."""
    if is_current(con):
        return
    con.execute("BEGIN")
    con.execute("CREATE TABLE IF NOT EXISTS schema_number (number INTEGER)")
    for number in range(_number(con) + 1, CURRENT + 1):
        MIGRATIONS[number](con)
    con.execute("DELETE FROM schema_number")
    con.execute("INSERT INTO schema_number VALUES (?)", [CURRENT])
    there = _tables(con)
    for table, columns in _missing(con).items():
        if table not in there:
            con.execute(f"CREATE TABLE {quoted(table)} ({', '.join(f'{quoted(name)} {kind}' for name, kind in columns.items())})")
            continue
        for name, kind in columns.items():
            con.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
    con.execute("COMMIT")


def _number(con: duckdb.DuckDBPyConnection) -> int:
    if "schema_number" not in _tables(con):
        return 0
    return int(con.execute("SELECT coalesce(max(number), 0) FROM schema_number").fetchall()[0][0])


def _tables(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()").fetchall()}


def _missing(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Columns that the records have and the file lacks, by table; a table that is missing lacks them all."""
    there: dict[str, set[str]] = {}
    here = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND database_name = current_database()"
    for table, column in con.execute(here).fetchall():
        there.setdefault(table, set()).add(column)
    missing: dict[str, dict[str, str]] = {}
    for record in RECORDS.values():
        for table in (record.table, f"{record.table}_versions"):
            lacking = {name: kind for name, kind in stored(record).items() if name not in there.get(table, set())}
            if lacking:
                missing[table] = lacking
    return missing
