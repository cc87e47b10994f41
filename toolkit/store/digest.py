"""One hash over all current records, kept by addition: what a flush adds and takes away is noted, and nothing is read again."""

from __future__ import annotations

import hashlib
import json

import duckdb
from pydantic import BaseModel

from toolkit.records import RECORDS
from toolkit.store.connect import quoted

__all__ = ["DIGESTS", "digest", "note_change", "recount"]

DIGESTS = 'CREATE TABLE digests (name VARCHAR, "rows" BIGINT, high HUGEINT, low HUGEINT)'
# A sum over content hashes (which cover table, key and fields), not XOR: equal rows must not cancel.
_SUMS = """
    SELECT count(*) AS "rows", coalesce(sum(('0x' || content_hash[1:15])::BIGINT), 0) AS high,
        coalesce(sum(('0x' || content_hash[16:30])::BIGINT), 0) AS low
"""


def note_change(
    con: duckdb.DuckDBPyConnection, record: type[BaseModel], rows: str, *, gone: bool = False, into: str = "ledger.digests"
) -> None:
    """Note that the current rows of a record gain `rows` (what stands behind FROM, with a content_hash) or lose them; in the
    transaction that does it."""
    sign = -1 if gone else 1
    con.execute(
        f'INSERT INTO {into} SELECT $name, {sign} * "rows", {sign} * high, {sign} * low FROM ({_SUMS} FROM {rows}) WHERE "rows" > 0',
        {"name": record.table},  # type: ignore[attr-defined]
    )


def digest(con: duckdb.DuckDBPyConnection) -> str:
    """Equal for equal content, whatever the order it came in, from what was noted."""
    noted = 'SELECT name, sum("rows"), sum(high), sum(low) FROM digests GROUP BY name'
    return _of({name: sums for name, *sums in con.execute(noted).fetchall()})


def recount(con: duckdb.DuckDBPyConnection) -> str:
    """The same from the rows themselves: as slow as there are many, and the judge of what was noted."""
    return _of({table: con.execute(f"{_SUMS} FROM {quoted(table)}").fetchall()[0] for table in _tables()})


def _of(sums: dict[str, list[int] | tuple[int, ...]]) -> str:
    return hashlib.sha256(json.dumps([[table, *map(int, sums.get(table, (0, 0, 0)))] for table in _tables()]).encode()).hexdigest()


def _tables() -> list[str]:
    return sorted(record.table for record in RECORDS.values())
