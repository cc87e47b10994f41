"""A file on its way into the ledger: read, typed and judged in a table of its own, outside the ledger's transactions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from pydantic import BaseModel

from toolkit.errors import DataError
from toolkit.store.columns import Column, columns_of, content_hash, key_of, stored
from toolkit.store.connect import connect, literal, quoted, select_list
from toolkit.store.mapping import Mapping
from toolkit.store.people import PEOPLE, People
from toolkit.store.plan import Plan, meant, plan, said
from toolkit.store.problems import Problem, judge, line_problem, without_people
from toolkit.store.readers import Cells, format_of, read_cells, with_plain_line_ends, without_open_quotes

__all__ = ["Staged", "person_of", "same_key", "stage"]

# Rows per round trip to Python: a file in which every row is wrong must not be in memory at once.
_BATCH = 5_000


@dataclass(frozen=True)
class Staged:
    """Tables in `con`: `staged` (the record's columns, content_hash, fine) and `problems`. `losers`: rowids that another row beats."""

    con: duckdb.DuckDBPyConnection
    record: type[BaseModel]
    rows: int
    read: int


@contextmanager
def stage(
    path: Path,
    record: type[BaseModel],
    *,
    mapping: Mapping,
    source: str,
    now: datetime,
    stamp: datetime,
    revised: datetime | None,
    people: People,
    scratch: Path,
) -> Iterator[Staged]:
    """Read and judge a file. `now` bounds valid times; `revised` stands in where a row has no revised_at, `stamp` where that is None.

    `scratch` is a database file that is removed afterwards; one left by a killed run is overwritten.
    """
    _remove(scratch)
    try:
        with connect(scratch) as con:
            con.execute("SET VARIABLE now = ?", [now])
            con.execute("SET VARIABLE stamp = ?", [stamp])
            for name, value in people.variables() if people.how == "hash" else ():
                con.execute(f"SET VARIABLE {name} = ?", [value])
            try:
                staged = _staged(_Reading(con, path, record, mapping, source, now, revised, people), scratch)
            except (duckdb.Error, OSError, EOFError, zlib.error) as error:
                said = (str(error).splitlines() or [type(error).__name__])[0]
                raise DataError(f"{path} cannot be read to its end: {said}") from error
            yield staged
    finally:
        _remove(scratch)


@dataclass(frozen=True)
class _Reading:
    """One file, and all that says how to read it."""

    con: duckdb.DuckDBPyConnection
    path: Path
    record: type[BaseModel]
    mapping: Mapping
    source: str
    now: datetime
    revised: datetime | None
    people: People


def _staged(this: _Reading, scratch: Path) -> Staged:
    con, record = this.con, this.record
    con.execute(
        "CREATE TABLE problems (place VARCHAR, field VARCHAR, rule VARCHAR, error VARCHAR, raw VARCHAR, source VARCHAR, key VARCHAR)"
    )
    plain = with_plain_line_ends(this.path, _beside(scratch, "plain", this.path))
    how = _read(this, plain)
    lost = 0
    if format_of(plain) == "csv" and _has_open_quotes(con):
        whole = _beside(scratch, "whole", this.path)
        lines = without_open_quotes(plain, whole)
        con.execute("DROP TABLE staged; DROP TABLE reject_errors; DROP TABLE reject_scans")
        how = _read(this, whole)
        _insert_problems(con, [line_problem(number, "UNQUOTED VALUE", text, this.source) for number, text in lines])
        lost = len(lines)
    read = con.execute("SELECT count(*) FROM staged").fetchall()[0][0]
    _judge_again(this, how)
    rejects = _keep_rejects(con, this.source)
    _find_losers(con, record)
    rows = con.execute("SELECT coalesce(max(rowid) + 1, 0) FROM staged").fetchall()[0][0]
    return Staged(con, record, rows, read + rejects + lost)


def _beside(scratch: Path, what: str, path: Path) -> Path:
    """A place for a rewritten copy of `path`, named so that its format can still be told."""
    suffix = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() != ".gz"), "")
    return scratch.with_name(f"{scratch.name}.{what}{suffix}")


def _remove(scratch: Path) -> None:
    """The scratch file and all copies beside it; those of a killed run too."""
    for left in scratch.parent.glob(f"{scratch.name}*"):
        left.unlink(missing_ok=True)


def _read(this: _Reading, path: Path) -> Plan:
    cells = read_cells(this.con, path)
    how = plan(this.record, cells, this.mapping, this.people, this.path.name)
    _refuse_naive_columns(this.con, cells, how, this.path)
    this.con.execute(_judged(this.record, cells, how, this.source, this.revised))
    return how


def _has_open_quotes(con: duckdb.DuckDBPyConnection) -> bool:
    found = "SELECT 1 FROM reject_errors WHERE error_type IN ('UNQUOTED VALUE', 'LINE SIZE OVER MAXIMUM') LIMIT 1"
    return bool(con.execute(found).fetchall())


def _refuse_naive_columns(con: duckdb.DuckDBPyConnection, cells: Cells, how: Plan, path: Path) -> None:
    for field, column in how.naive.items():
        if con.execute(f"SELECT 1 FROM {cells.table} WHERE {cells.columns[column]} IS NOT NULL LIMIT 1").fetchall():
            raise DataError(
                f"{path.name}: the times in column {column!r} ({field}) have no zone. "
                'Say which zone they are in: zone = "UTC" (or "Europe/London", …) under [times] in a mapping (--map FILE).'
            )


def _judged(record: type[BaseModel], cells: Cells, how: Plan, source: str, revised: datetime | None) -> str:
    """The table `staged`: every row typed; those that fail a check keep what they said.

    The file's own columns are carried along by reference, so that only refused rows are written out as raw.
    """
    fields = columns_of(record)
    told = [column for column in fields if column.name in how.values]
    null = {column.name for column in fields if column not in told and column.default is None}
    texts = ", ".join(f"{text} AS {said(name)}" for name, text in how.texts.items())
    values = ", ".join(f"{how.values[column.name]} AS {meant(column.name)}" for column in told)
    checks = " AND ".join(_check(column) for column in told)
    named = f"length({meant('source')}) BETWEEN 1 AND 500 AND lower({meant('source')}) NOT IN ('nan', 'null', 'none')"
    kept = ", ".join(
        f"{_kept(column, meant(column.name) if column in told else f'NULL::{column.type}', revised)} AS {quoted(column.name)}"
        for column in fields
    )
    words = ", ".join(f"{literal(column.name)}, {_words(column)}" for column in told)
    extra = "" if "revised_at" in {column.name for column in fields} else f", {_instant(revised)} AS revised_at"
    return f"""
        CREATE TABLE staged AS
        WITH texts AS (SELECT *, {texts} FROM {cells.table}),
        typed AS (SELECT *, coalesce({said("source")}, {literal(source)}) AS {meant("source")}, {values} FROM texts),
        judged AS (SELECT *, ({cells.readable}) AND {named} AND {checks} AS {meant("fine")} FROM typed),
        kept AS (
            SELECT {meant("source")} AS source, {kept}{extra}, {meant("fine")} AS fine,
                CASE WHEN NOT {meant("fine")} THEN {cells.raw} END AS raw,
                CASE WHEN NOT {meant("fine")} AND ({cells.readable}) THEN json_object('source', {said("source")}, {words}) END AS said
            FROM judged
        )
        SELECT *, CASE WHEN fine THEN {content_hash(record, null)} END AS content_hash FROM kept
    """


def _check(column: Column) -> str:
    holds = f"coalesce({column.holds(meant(column.name))}, false)"
    return holds if column.required else f"({said(column.name)} IS NULL OR {holds})"


def _kept(column: Column, value: str, revised: datetime | None) -> str:
    if column.name == "revised_at":
        return f"coalesce({value}, {_instant(revised)})"
    if column.kind == "names" and not column.required:
        return f"nullif({value}, [])"
    if column.default is not None:
        default = literal(column.default) if isinstance(column.default, str) else str(column.default)
        return f"coalesce({value}, {default})"
    return value


def _words(column: Column) -> str:
    """What a refused row said, for the model to judge: parsed where it could be, its own words where not."""
    text, value = said(column.name), meant(column.name)
    if column.kind == "time":
        return f"CASE WHEN {value} IS NOT NULL THEN strftime({value}, '%Y-%m-%dT%H:%M:%S.%fZ') ELSE {text}::VARCHAR END"
    if column.kind == "names":
        return f"CASE WHEN {value} IS NOT NULL THEN to_json({value}) WHEN {text} IS NOT NULL THEN to_json({text}) END"
    return text


def _instant(time: datetime | None) -> str:
    return "NULL::TIMESTAMPTZ" if time is None else f"TIMESTAMPTZ {literal(time.astimezone(UTC).isoformat())}"


def _judge_again(this: _Reading, how: Plan) -> None:
    """Let the model judge what the checks refused: what it accepts joins `staged`, the rest becomes problems with a reason."""
    con, record, source, now = this.con, this.record, this.source, this.now
    last = -1
    fetch = "SELECT rowid, raw, said FROM staged WHERE NOT fine AND rowid > ? AND rowid < ? ORDER BY rowid LIMIT ?"
    end = con.execute("SELECT count(*) FROM staged").fetchall()[0][0]
    while batch := con.execute(fetch, [last, end, _BATCH]).fetchall():
        last = batch[-1][0]
        accepted: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for row, raw, words in batch:
            found = judge(record, json.loads(words) if words else None, raw or "", place=f"row {row + 1}", source=source, now=now)
            if isinstance(found, Problem):
                problems.append(without_people(found, how.people, this.people))
            else:
                accepted.append(found)
        _insert_accepted(con, record, accepted, this.revised)
        _insert_problems(con, problems)


def _insert_accepted(con: duckdb.DuckDBPyConnection, record: type[BaseModel], rows: list[dict[str, Any]], revised: datetime | None) -> None:
    if not rows:
        return
    names = [name for name in stored(record) if name not in ("seen_at", "content_hash", "raw_ref")]
    kinds: dict[str, Any] = {"VARCHAR": pl.String, "VARCHAR[]": pl.List(pl.String), "TIMESTAMPTZ": pl.Datetime("us", "UTC")}
    kinds |= {"BOOLEAN": pl.Boolean, "BIGINT": pl.Int64, "DOUBLE": pl.Float64}
    types = stored(record)
    for row in rows:
        row["revised_at"] = row.get("revised_at") or revised
        for column in columns_of(record):
            if column.optional and row[column.name] == []:
                row[column.name] = None
    frame = pl.DataFrame([[row[name] for row in rows] for name in names], schema={name: kinds[types[name]] for name in names}, orient="col")
    con.register("accepted", frame)
    listed = select_list(names)
    con.execute(f"INSERT INTO staged BY NAME SELECT {listed}, true AS fine, {content_hash(record)} AS content_hash FROM accepted")
    con.unregister("accepted")


def _insert_problems(con: duckdb.DuckDBPyConnection, problems: list[Problem]) -> None:
    if not problems:
        return
    names = ("place", "field", "rule", "error", "raw", "source", "key")
    frame = pl.DataFrame({name: [getattr(problem, name) for problem in problems] for name in names}, schema=dict.fromkeys(names, pl.String))
    con.register("refused", frame)
    con.execute("INSERT INTO problems SELECT * FROM refused")
    con.unregister("refused")


def _keep_rejects(con: duckdb.DuckDBPyConnection, source: str) -> int:
    """Lines that are no rows: broken text, too long, the wrong number of cells. Returns how many."""
    try:
        con.execute("SELECT 1 FROM reject_errors LIMIT 0")
    except duckdb.CatalogException:
        return 0
    # A line may be wrong in several ways; the first one found says enough.
    found = con.execute("""
        SELECT "line", arg_min(error_type::VARCHAR, rowid), arg_min(csv_line, rowid)
        FROM reject_errors GROUP BY "line", line_byte_position ORDER BY "line", line_byte_position
    """).fetchall()
    _insert_problems(con, [line_problem(line, kind, str(text), source) for line, kind, text in found])
    return len(found)


def _find_losers(con: duckdb.DuckDBPyConnection, record: type[BaseModel]) -> None:
    """Rows beaten by another row of the same file: the greatest (revised_at, content_hash, person) stays, equal ones count once.

    Decided over the whole file, so how it is cut into flushes changes nothing.
    """
    con.execute(f"""
        CREATE TABLE losers AS
        WITH twice AS (SELECT {select_list(key_of(record))} FROM staged WHERE fine GROUP BY ALL HAVING count(*) > 1),
        ranked AS (
            SELECT s.rowid AS row, row_number() OVER (
                PARTITION BY {select_list(key_of(record), "s")}
                ORDER BY coalesce(revised_at, getvariable('stamp')) DESC, content_hash DESC, {person_of(record, "s")} DESC, s.rowid
            ) AS place
            FROM staged AS s SEMI JOIN twice ON {same_key(record, "s", "twice")} WHERE fine
        )
        SELECT row FROM ranked WHERE place > 1
    """)


def person_of(record: type[BaseModel], table: str) -> str:
    """SQL for the people a row names: the last resort between versions that say the same at the same time."""
    named = [f"coalesce({table}.{quoted(name)}, '')" for name in PEOPLE if name in stored(record)]
    return " || chr(31) || ".join(named) or "''"


def same_key(record: type[BaseModel], left: str, right: str) -> str:
    """SQL that is true where two rows are versions of one thing."""
    return " AND ".join(
        # An id is never null, and a plain = joins faster; a sample may watch no deployment.
        f"{left}.{quoted(name)} {'IS NOT DISTINCT FROM' if name == 'deployment' else '='} {right}.{quoted(name)}"
        for name in key_of(record)
    )
