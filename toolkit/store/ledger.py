"""What sources said: current records and the versions behind them, raw, cursors, coverage, quarantine and runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import polars as pl

from toolkit.errors import Busy, UsageError
from toolkit.records import RECORDS
from toolkit.store.books import (
    Counts,
    Load,
    add_to_run,
    free_from_quarantine,
    raw_number,
    write_coverage,
    write_cursor,
    write_quarantine,
    write_raw,
    write_refused,
    write_seen,
    write_settled,
)
from toolkit.store.connect import LOG_ONLY, connect, literal, opened, quoted, select_list
from toolkit.store.digest import digest, recount
from toolkit.store.flush import write_losers, write_rows, wrote
from toolkit.store.folding import finish_folding, fold, is_half_folded
from toolkit.store.lock import hold
from toolkit.store.migrations import is_current, migrate
from toolkit.store.people import People, key_at
from toolkit.store.problems import Problem
from toolkit.store.remake import Remade, write_remade
from toolkit.store.staging import Staged

__all__ = ["Ledger"]

# Fewer rows are read as quickly as they are looked at.
_MANY = 50_000


class Ledger:
    """The ledger file at `path`. It is opened for each read and each flush, and never held in between.

    A read and a flush wait up to `wait` seconds for each other; then Busy names who is inside. `people` says how people are
    written down; its key lies beside the file unless one is given.
    """

    def __init__(self, path: Path | str, *, people: Literal["hash", "keep"] = "hash", key: bytes | None = None, wait: float = 10.0) -> None:
        self.path = Path(path)
        self.folder = self.path.parent
        self.wait = wait
        self._people, self._key = people, key
        self._prepared = False

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    @property
    def people(self) -> People:
        """How names of people are written down here."""
        if self._people == "keep":
            return People("keep")
        return People("hash", self._key or key_at(self.folder / "people.key"))

    # Reading

    def read(self, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """The current rows of a record's table ("deployments", …); all columns, or those named. No ledger yet: no rows."""
        known = {record.table for record in RECORDS.values()}
        if table.removesuffix("_versions") not in known:
            raise UsageError(f"No table named {table!r}. There are: {', '.join(sorted(known))}; each also with _versions.")
        listed = "*" if columns is None else select_list(columns)
        return self._frame(f"SELECT {listed} FROM {quoted(table)}")

    def sampled(self) -> list[str]:
        """Services that have samples."""
        with self.opened() as con:
            return [name for (name,) in con.execute("SELECT DISTINCT service FROM samples ORDER BY service").fetchall()]

    def samples(self, service: str, series: list[str] | None = None) -> pl.DataFrame:
        """One service's samples, with their source, by deployment, series, variant and time; all series, or those named."""
        columns = select_list(["source", "service", "series", "variant", "deployment", "at", "value", "bad", "total", "step"])
        order = select_list(["deployment", "series", "variant", "at", "source"])
        named = "" if series is None else "AND series IN (SELECT unnest($series::VARCHAR[]))"
        given = {"service": service} | ({} if series is None else {"series": series})
        with self.opened() as con:
            return con.sql(f"SELECT {columns} FROM samples WHERE service = $service {named} ORDER BY {order}", params=given).pl()

    def lean(self, table: str, key: list[str], columns: list[str]) -> pl.DataFrame:
        """The current rows with these columns; of many rows as small as they can be had: of `columns` those in which any row has a value,
        and what every row says the same is read once. `key` is always there; its last column is never looked at so."""
        with self.opened() as con:
            told = f"SELECT {{}} FROM {quoted(table)}"

            def of_any(names: list[str], condition: str) -> list[str]:
                """Those of the columns for which the condition holds in any row."""
                asked = ", ".join(f"EXISTS ({told.format(1)} WHERE {condition.format(quoted(name))})" for name in names)
                return [name for name, holds in zip(names, con.execute(f"SELECT {asked}").fetchall()[0], strict=True) if holds]

            if con.execute(told.format("count(*)")).fetchall()[0][0] < _MANY:
                return con.sql(told.format(select_list([*key, *columns]))).pl()
            filled = [*key[:-1], *of_any(columns, "{} IS NOT NULL")]
            varied = of_any(filled, f"{{0}} IS DISTINCT FROM ({told.format('{0}')} LIMIT 1)")
            # In one piece: gathering from several takes three times as long.
            frame = con.sql(told.format(select_list([key[-1], *varied]))).pl().rechunk()
            once = con.sql(told.format(select_list(filled)) + " LIMIT 1").pl()
        return frame.with_columns(pl.lit(once[name]).first().alias(name) for name in filled if name not in varied)

    def migrations(self) -> pl.DataFrame:
        """source, source_id, service, migration: the deployments whose migration cannot be taken back, and of each service and other
        word one that says it. A million deployments that say nothing, or "none", cost nothing."""
        told = "SELECT source, source_id, service, migration FROM deployments"
        one = "QUALIFY row_number() OVER (PARTITION BY service, migration ORDER BY source, source_id) = 1"
        return self._frame(f"{told} WHERE migration = 'irreversible' UNION ALL ({told} WHERE migration <> 'irreversible' {one})")

    def versions(self, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """The superseded rows of a record's table."""
        return self.read(f"{table}_versions", columns)

    def digest(self) -> str:
        """One hash over all current records; equal for equal content, whatever the order it was loaded in."""
        with self.opened() as con:
            return digest(con)

    def recount(self) -> str:
        """What `digest` must be, counted anew from every row."""
        with self.opened() as con:
            return recount(con)

    def coverage(self) -> pl.DataFrame:
        """Intervals that were really seen: stream (a record's table), source, start, end, assumed, gap.

        What is assumed (first to last event of a file) is one interval a source, however the files were cut; declared intervals
        and gaps are joined where they touch.
        """
        return self._frame("""
            WITH assumed AS (
                SELECT stream, source, min("start") AS "start", max("end") AS "end", true AS assumed, false AS gap
                FROM coverage WHERE assumed AND NOT gap GROUP BY stream, source
            ),
            ordered AS (
                SELECT *, max("end") OVER (stretch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                FROM coverage WHERE NOT assumed OR gap WINDOW stretch AS (PARTITION BY stream, source, gap ORDER BY "start", "end")
            ),
            islands AS (
                SELECT *, count(*) FILTER (WHERE before IS NULL OR before < "start") OVER stretch AS island
                FROM ordered WINDOW stretch AS (PARTITION BY stream, source, gap ORDER BY "start", "end")
            ),
            declared AS (
                SELECT stream, source, min("start") AS "start", max("end") AS "end", false AS assumed, gap
                FROM islands GROUP BY stream, source, gap, island
            )
            SELECT * FROM assumed UNION ALL SELECT * FROM declared ORDER BY stream, source, "start", gap, "end"
        """)

    def quarantine(self) -> pl.DataFrame:
        """Rows that are no records yet, with the reason: record, source, path, place, field, rule, error, raw, seen_at, id."""
        return self._frame("SELECT * FROM quarantine ORDER BY record, source, path, seen_at, place")

    def runs(self) -> pl.DataFrame:
        """Every load and sync, newest first, with its counts."""
        return self._frame("SELECT * FROM runs ORDER BY id DESC")

    def forget(self, ids: list[str]) -> int:
        """Drop quarantined rows that nobody will put right. Returns how many there were."""
        with self.opened(write=True) as con:
            return len(
                con.execute("DELETE FROM quarantine WHERE id IN (SELECT unnest($ids::VARCHAR[])) RETURNING id", {"ids": ids}).fetchall()
            )

    def cursor(self, source: str, stream: str) -> dict[str, Any] | None:
        """Where a source's stream was left off."""
        with self.opened() as con:
            found = con.execute("SELECT value FROM cursors WHERE source = ? AND stream = ?", [source, stream]).fetchall()
        return json.loads(found[0][0]) if found else None

    def raw(self, kind: str) -> Iterator[tuple[str, datetime, bytes]]:
        """What records were made from by sources of a kind that come in pages: source, when it was seen, compressed JSON lines; oldest
        first. The ledger stays open for reading as long as somebody iterates.
        """
        with self.opened() as con:
            numbers = con.execute("SELECT id FROM raw WHERE items IS NOT NULL AND record = ? ORDER BY id", [kind]).fetchall()
            for (number,) in numbers:
                yield con.execute("SELECT source, seen_at, items FROM raw WHERE id = ?", [number]).fetchall()[0]

    def kinds(self) -> list[str]:
        """The kinds of sources of which there is raw."""
        return self._frame("SELECT DISTINCT record FROM raw WHERE items IS NOT NULL ORDER BY record")["record"].to_list()

    def made_of(self, kind: str) -> list[str]:
        """The records of which there are current rows made of raw of this kind of source."""
        with self.opened() as con:
            some = "SELECT 1 FROM {} WHERE raw_ref IN (SELECT id FROM raw WHERE items IS NOT NULL AND record = ?) LIMIT 1"
            return [name for name, record in RECORDS.items() if con.execute(some.format(quoted(record.table)), [kind]).fetchall()]

    # Writing

    def refuse(self, load: Load, refused: Sequence[tuple[str, Problem]]) -> None:
        """Keep in quarantine what of a file (its path beside each) makes no record, in place of what was kept under its key."""
        with self.opened(write=True) as con:
            con.execute("BEGIN")
            write_refused(con, load, refused)
            con.execute("COMMIT")

    def settle(self, load: Load, keys: Sequence[str]) -> None:
        """Free what has come in since from quarantine, by key."""
        with self.opened(write=True) as con:
            write_settled(con, load, keys)

    def keep(self, load: Load) -> None:
        """Keep raw of which no record speaks."""
        with connect() as con, self.attached(con):
            number, kept = raw_number(con, load)
            if not kept:
                write_raw(con, load, number, 0, -1)

    def move_cursor(self, load: Load) -> None:
        """Note where a source's stream goes on and what was covered, where no record came with it."""
        with connect() as con, self.attached(con):
            write_seen(con, load.source, load.seen, load.stamp)
            write_cursor(con, load, load.before, done=0, complete=True)

    @contextmanager
    def opened(self, *, write: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, open for the block; made or brought up to date first where needed."""
        self._prepare()
        with self._locked(shared=not write):
            with self._connected(read_only=not write) as con:
                yield con
            if write:
                fold(self.path)

    @contextmanager
    def attached(self, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """The file as the schema `ledger` of another connection, in one transaction that ends with the block."""
        self._prepare()
        with self._locked(shared=False):
            con.execute(LOG_ONLY)
            self._patiently(lambda: con.execute(f"ATTACH {literal(self.path)} AS ledger"))
            try:
                con.execute("BEGIN")
                yield
                con.execute("COMMIT")
            except BaseException:
                con.execute("ROLLBACK")
                raise
            finally:
                con.execute("DETACH ledger")
            fold(self.path)

    def begin_run(self, *, source: str, record: str, path: str | None, now: datetime) -> int:
        """Note that a run began; runs that were killed are marked so. Returns its number. Hold the sync lock."""
        with self.opened(write=True) as con:
            con.execute("UPDATE runs SET status = 'interrupted' WHERE status = 'running'")
            run = con.execute("SELECT coalesce(max(id), 0) + 1 FROM runs").fetchall()[0][0]
            con.execute(
                "INSERT INTO runs (id, source, record, path, started_at, status, read, new, changed, unchanged, superseded, quarantined) "
                "VALUES (?, ?, ?, ?, ?, 'running', 0, 0, 0, 0, 0, 0)",
                [run, source, record, path, now],
            )
        return int(run)

    def flush(self, staged: Staged, first: int, last: int, *, load: Load, final: bool) -> Counts:
        """Rows `first` to `last` of what is staged, and all the books about them, in one transaction.

        `final`: the last flush of its load, which also writes what holds for the whole: beaten rows, declared coverage, completion.
        """
        con = staged.con
        with self.attached(con):
            raw, kept = raw_number(con, load)
            counts = write_rows(con, staged.record, first, last, load.stamp, raw)
            if final:
                counts += write_losers(con, staged.record, load.stamp, raw)
            quarantined = write_quarantine(con, load)
            if final:
                free_from_quarantine(con, staged.record, load)
            if first == 0:
                counts += Counts(read=staged.read, quarantined=quarantined)
            if not kept and (wrote(con) or counts.superseded or load.log):
                write_raw(con, load, raw, first, last)
            write_coverage(con, staged.record, load, first, last, final=final)
            total = load.before + counts
            if load.stream:
                write_cursor(con, load, total, done=last + 1, complete=final)
            add_to_run(con, load.run, total)
        return counts

    def remake(self, staged: Staged, kind: str, *, apply: bool) -> Remade:
        """Lay what is staged, made anew from all raw of a kind of source, over the current rows that came from that raw."""
        with self.attached(staged.con):
            return write_remade(staged.con, staged.record, kind, apply=apply)

    def end_run(self, run: int, *, status: str, error: str | None, now: datetime) -> None:
        """Note how a run ended."""
        with self.opened(write=True) as con:
            con.execute("UPDATE runs SET status = ?, error = ?, finished_at = ? WHERE id = ?", [status, error, now, run])

    # Inside

    def _prepare(self) -> None:
        if self._prepared and self.path.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            with self._locked(shared=True), self._connected(read_only=True) as con:
                self._prepared = is_current(con)
        if not self._prepared:
            with self._locked(shared=False), self._connected(read_only=False) as con:
                migrate(con)
            self._prepared = True

    @contextmanager
    def _locked(self, *, shared: bool) -> Iterator[None]:
        lock = self.path.with_suffix(".lock")
        while True:
            with hold(lock, shared=shared, wait=self.wait):
                if not shared:
                    finish_folding(self.path)
                if not is_half_folded(self.path):
                    yield
                    return
            with hold(lock, wait=self.wait):
                finish_folding(self.path)

    @contextmanager
    def _connected(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with ExitStack() as stack:
            yield self._patiently(lambda: stack.enter_context(opened(self.path, read_only=read_only)))

    def _patiently(self, opening: Any) -> Any:
        """Our lock keeps our own processes apart; a DuckDB shell that has the file open shows only here."""
        end = time.monotonic() + self.wait
        while True:
            try:
                return opening()
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    raise
                if time.monotonic() >= end:
                    said = str(error).split("Conflicting lock is held in", 1)[-1].split(". ")[0].strip()
                    raise Busy(f"busy: {self.path} is held by {said}. Close it there, then run this again.") from None
                time.sleep(0.05)

    def _frame(self, query: str) -> pl.DataFrame:
        with self.opened() as con:
            return con.sql(query).pl()
