"""What people decided: entries that are only ever added, each chained to the one before by its hash."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import Busy, DataError, KnowngoodError, UsageError
from toolkit.store.chain import FIRST, Entry, Problem, broken, digest_of, entry_of, hash_of
from toolkit.store.entries import KINDS, LONGEST, Body, canonical, checked, named
from toolkit.store.head import Head
from toolkit.store.lock import hold

__all__ = ["Entry", "Journal", "Problem", "digest_of"]

SCHEMA = 1
_COLUMNS = "seq, id, kind, about, author, verified, at, why, body, before, hash"
_MAKE = f"""
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, about TEXT NOT NULL, author TEXT NOT NULL,
        verified INTEGER NOT NULL, at TEXT NOT NULL, why TEXT, body TEXT NOT NULL, before TEXT NOT NULL, hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX entries_about ON entries (about);
    CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'the journal is only added to'); END;
    CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'the journal is only added to'); END;
    CREATE TRIGGER entries_follow BEFORE INSERT ON entries
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entries)
        BEGIN SELECT raise(ABORT, 'an entry follows the last one'); END;
    PRAGMA user_version = {SCHEMA};
"""
_GUARDS = {"entries_stay", "entries_remain", "entries_follow"}


class Journal:
    """The journal at `path`, opened for each read and each entry. `wait`: seconds for another writer to finish, then Busy.

    Beside it lies a head file with the number and hash of the last entry: from it alone a journal that was cut off at its end, or
    replaced by an older copy, can be told. Whoever can write both files can rewrite the whole chain and its head; against that help
    hashes kept elsewhere (in a sign-off that was mailed, a report, a backup): see `verify`.
    """

    def __init__(self, path: Path | str, *, wait: float = 10.0, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = Path(path)
        self.wait = wait
        self._clock = clock
        self._prepared = False

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    # Reading

    def entries(self, kind: str | None = None, about: str | None = None) -> list[Entry]:
        """Entries in the order in which they were made; of one kind, about one thing, where said."""
        return [entry_of(row) for row in self._rows("(?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR about = ?2)", kind, about)]

    def entry(self, id: str) -> Entry:
        """The entry of this id. Raises UsageError where there is none."""
        for row in self._rows("id = ?", id):
            return entry_of(row)
        raise UsageError(f"No entry {id!r} in the journal. `knowngood journal list` shows them.")

    def facts(self) -> list[Entry]:
        """The overrides and waivers in force, in order: of several for the same target the last one; withdrawn ones never."""
        kinds = [kind for kind, body in KINDS.items() if body.fact]
        held = [entry_of(row) for row in self._rows(f"kind IN ({', '.join('?' * len(kinds))})", *kinds)]
        gone = {entry.body["entry"] for entry in held if entry.kind == "withdrawal"}
        last: dict[tuple[str, ...], Entry] = {}
        for entry in held:
            if entry.kind != "withdrawal" and entry.id not in gone:
                target = (entry.kind, entry.about, *(entry.body[field] for field in KINDS[entry.kind].targets))
                last.pop(target, None)
                last[target] = entry
        return list(last.values())

    def digest(self) -> str:
        """One hash over what the fact entries in force say; not over who said it, when and why."""
        return digest_of(self.facts())

    def head(self) -> tuple[int, str]:
        """Number and hash of the last entry; (0, zeros) where there is none."""
        rows = self._rows("seq = (SELECT max(seq) FROM entries)")
        return (rows[0][0], rows[0][-1]) if rows else (0, FIRST)

    # Writing

    def append(
        self,
        kind: str,
        about: str,
        body: Mapping[str, Any] | Body,
        *,
        author: str,
        why: str | None = None,
        verified: bool = False,
        seen: int | None = None,
        allowed: Callable[[list[Entry]], None] | None = None,
    ) -> Entry:
        """Adds an entry, and returns once it is on disk: whatever happens then, it is there whole.

        author: who, as given; `verified` where a sign-in vouches for the name. why: needed where the entry is a fact. seen: the number
        of the last entry about the same thing that the author had before them; if there is a newer one, nothing is added. allowed:
        called with all entries once nobody else can add one; what it raises refuses this one.
        Raises UsageError for what cannot be kept, Busy when another writer does not finish.
        """
        about, said = checked(kind, about, body)
        author = _text(author, "author", 200) or ""
        if not author:
            raise UsageError("An entry needs an author: say who you are.")
        why = _text(why, "why", LONGEST)
        if said.fact and not why:
            raise UsageError(f"{named(kind).capitalize()} changes what is computed: say why.")
        with self._writing() as con:
            number, before = _last(con)
            _unseen(con, about, seen)
            if allowed is not None:
                allowed([entry_of(row) for row in con.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY seq")])
            _referring(con, kind, said)
            at = self._clock().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            text = canonical(said.model_dump(mode="json"))
            told = (number + 1, secrets.token_hex(8), kind, about, author, int(verified), at, why, text, before)
            row = (*told, hash_of(told))
            con.execute(f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
        entry = entry_of(row)
        self._move_head(entry)
        return entry

    # Backup

    def copy_to(self, path: Path) -> tuple[int, str]:
        """Copies the journal as of one moment to a new file, while others write. Returns number and hash of its last entry."""
        if not self._is_made():
            return 0, FIRST
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy = Journal(path)
        with self._opened() as con, copy._opened() as target:
            con.backup(target)
        return copy.head()

    def replace_by(self, path: Path, *, aside: Path, force: bool = False) -> None:
        """Takes the entries of the journal at `path` in place of its own, in one transaction; nobody adds any meanwhile.

        Its own are copied to `aside` first. Raises KnowngoodError, unless `force`, where some of them are not in the other.
        """
        other = Journal(path)
        theirs = other.entries()
        with hold(self._lock, wait=self.wait):
            own = self._readable()
            lost = _lost(own, theirs)
            if lost and not force:
                raise KnowngoodError(f"{lost} --force replaces it all the same, and keeps a copy.")
            if own is None:
                self._move_aside(aside)
            elif own and (lost or len(own) < len(theirs)):
                aside.parent.mkdir(parents=True, exist_ok=True)
                self.copy_to(aside)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with other._opened() as con, self._opened() as target:
                con.backup(target)
            if theirs:
                self._head.write(theirs[-1].seq, theirs[-1].hash)

    def _readable(self) -> list[Entry] | None:
        try:
            return self.entries()
        except (DataError, ValueError):
            return None

    def _move_aside(self, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            own = self.path.with_name(self.path.name + suffix)
            if own.exists():
                os.replace(own, to.with_name(to.name + suffix))

    # Checking

    def verify(self, *, containing: str | None = None) -> list[Problem]:
        """What shows that the journal is not as it was written: an entry edited, removed, put elsewhere or added behind its back; the
        end cut off (by the head file, or by a hash kept elsewhere: `containing`). None of this finds a chain that was rewritten from
        some entry on together with its head file, unless `containing` is a hash from behind that entry.
        """
        problems: list[Problem] = []
        hashes = {0: FIRST}
        if self._is_made():
            with self._opened() as con:
                problems += [Problem(None, f"SQLite: {said}") for (said,) in con.execute("PRAGMA quick_check") if said != "ok"]
                guards = {name for (name,) in con.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
                problems += [Problem(None, f"the guard {name} is gone: somebody could edit entries") for name in sorted(_GUARDS - guards)]
            problems += broken(self._rows(), hashes)
        problems += self._head.missed(hashes)
        if containing is not None and not any(value.startswith(containing) for value in hashes.values()):
            problems.append(Problem(None, f"no entry has the hash {containing}: the journal was cut off or rewritten before it"))
        return problems

    # Inside

    @property
    def _lock(self) -> Path:
        return self.path.with_suffix(".lock")

    @property
    def _head(self) -> Head:
        return Head(self.path.with_suffix(".head"))

    def _is_made(self) -> bool:
        if not self.path.exists():
            return False
        with self._opened() as con:
            return bool(con.execute("PRAGMA user_version").fetchone() != (0,))

    def _rows(self, where: str = "true", *values: str | int | None) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._opened() as con:
            made = con.execute("PRAGMA user_version").fetchone() != (0,)
            return con.execute(f"SELECT {_COLUMNS} FROM entries WHERE {where} ORDER BY seq", values).fetchall() if made else []

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that begins by shutting other writers out, so that no two entries follow the same one."""
        self._prepare()
        # Shared: writers wait for each other in SQLite; only a journal that is being replaced keeps them all out.
        with hold(self._lock, shared=True, wait=self.wait), self._opened() as con:
            con.execute("BEGIN IMMEDIATE")
            try:
                yield con
                con.execute("COMMIT")
            except BaseException:
                if con.in_transaction:
                    con.execute("ROLLBACK")
                raise

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=self.wait, isolation_level=None)) as con:
                con.execute("PRAGMA synchronous = FULL")
                number = con.execute("PRAGMA user_version").fetchone()[0]
                if number > SCHEMA:
                    raise DataError(f"This journal has schema {number}; this program knows {SCHEMA}. Upgrade knowngood to read it.")
                yield con
        except sqlite3.Error as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.Error) -> Exception:
        said = str(error)
        if "locked" in said:
            return Busy(f"busy: somebody has been writing to {self.path} for {self.wait:g} s. Run this again when that is done.")
        if "full" in said:
            return DataError(f"The disk that holds {self.path} is full: nothing was added. Make room, then save again.")
        if "readonly" in said or "unable to open" in said:
            return DataError(f"{self.path} cannot be written: nothing was added. Check who owns it and its folder.")
        return DataError(f"{self.path} cannot be used as a journal ({said}). `knowngood restore FILE` brings back a backup.")

    def _prepare(self) -> None:
        """Make the file, for its owner only, where there is none."""
        if self._prepared and self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with hold(self._lock, wait=self.wait):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with self._opened() as con:
                if con.execute("PRAGMA user_version").fetchone()[0] == 0:
                    # The head first: an entry without one would look as if somebody had taken it away.
                    self._head.write(0, FIRST)
                    con.execute("PRAGMA journal_mode = WAL")
                    con.executescript(f"BEGIN IMMEDIATE; {_MAKE} COMMIT;")
        self._prepared = True

    def _move_head(self, entry: Entry) -> None:
        """Only ever forward, since of two writers the later one may have written the earlier entry; and only along the chain: a head
        that knows an entry which is not there any more stays, to show it."""
        try:
            with hold(self._lock, wait=self.wait):
                number, last = self._head.read() or (0, FIRST)
                if number == 0 or (number < entry.seq and self._rows("seq = ? AND hash = ?", number, last)):
                    self._head.write(entry.seq, entry.hash)
        except (OSError, ValueError, Busy):
            # The entry is saved. A head that lags only finds less; to fail now would say that nothing was saved.
            return


def _last(con: sqlite3.Connection) -> tuple[int, str]:
    return con.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone() or (0, FIRST)


def _unseen(con: sqlite3.Connection, about: str, seen: int | None) -> None:
    if seen is None:
        return
    newer = con.execute("SELECT author, kind FROM entries WHERE about = ? AND seq > ? ORDER BY seq", (about, seen)).fetchone()
    if newer:
        raise UsageError(f"{newer[0]} has added {named(newer[1])} meanwhile: nothing was saved. Look at it, then save again.")


def _referring(con: sqlite3.Connection, kind: str, said: Body) -> None:
    for field, wanted in KINDS[kind].refers.items():
        other = getattr(said, field)
        found = con.execute("SELECT kind FROM entries WHERE id = ?", (other,)).fetchone() if other is not None else None
        if other is not None and (found is None or found[0] not in wanted):
            there = f"is {named(found[0])}" if found else "is not in the journal"
            raise UsageError(f"{field}: the entry {other!r} {there}; {named(kind)} names {' or '.join(map(named, wanted))}.")


def _lost(own: list[Entry] | None, theirs: list[Entry]) -> str | None:
    """What replacing the one by the other would lose, in words; None: nothing."""
    if own is None:
        return "This journal cannot be read, so nobody can tell what the backup lacks."
    there = {entry.seq: entry for entry in theirs}
    # By all they say: an entry that was edited under its old hash is another one.
    lacking = [entry for entry in own if there.get(entry.seq) != entry]
    if not lacking:
        return None
    first = lacking[0]
    return (
        f"This journal is ahead of the backup: of its {len(own)} entries {len(lacking)} are not in it, "
        f"the first by {first.author} at {first.at:%Y-%m-%d %H:%M} UTC."
    )


def _text(value: str | None, name: str, longest: int) -> str | None:
    if value is None:
        return None
    if len(value) > longest:
        raise UsageError(f"{name} has {len(value):,} characters; {longest:,} are kept. Shorten it, or put it in a file and name that.")
    canonical(value)
    return value.strip() or None
