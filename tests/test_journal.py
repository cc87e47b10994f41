"""The journal: entries are only added, two people lose nothing, and what was changed behind its back is found."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import Busy, DataError, UsageError
from toolkit.store.entries import subject
from toolkit.store.journal import Entry, Journal

ABOUT = subject("incident", "tickets", "INC-7")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def note(journal: Journal, text: str = "it was the cache", **given: Any) -> Entry:
    return journal.append("note", ABOUT, {"text": text}, **{"author": "Ann", **given})


def override(journal: Journal, field: str = "detected_at", value: Any = "2026-03-02T10:00:00Z", **given: Any) -> Entry:
    record = "deployment" if field == "failed" else "incident"
    body = {"record": record, "source": "tickets", "id": "INC-7", "field": field, "value": value}
    return journal.append("override", "", body, **{"author": "Ann", "why": "the pager log says so", **given})


# What an entry is


def test_an_entry_says_what_about_what_who_when_and_why(journal: Journal) -> None:
    before = datetime.now(UTC)
    entry = override(journal)
    assert (entry.seq, entry.kind, entry.about, entry.author, entry.why) == (1, "override", ABOUT, "Ann", "the pager log says so")
    assert before <= entry.at <= datetime.now(UTC)
    assert entry.body["value"] == "2026-03-02T10:00:00.000000Z"
    assert entry.verified is False
    assert journal.entries() == [entry]
    assert journal.entry(entry.id) == entry


def test_entries_are_found_by_kind_and_by_what_they_are_about(journal: Journal) -> None:
    first, second = note(journal), override(journal)
    third = journal.append("note", "deployment:ci/d1", {"text": "fine"}, author="Bob")
    assert journal.entries() == [first, second, third]
    assert journal.entries("note") == [first, third]
    assert journal.entries(about=ABOUT) == [first, second]
    assert journal.entries("note", ABOUT) == [first]


def test_before_the_first_entry_there_is_no_file_and_nothing_is_wrong(journal: Journal) -> None:
    assert journal.entries() == journal.facts() == journal.verify() == []
    assert journal.head() == (0, "0" * 64)
    assert not journal.path.exists()


def test_the_file_is_its_owners_alone(journal: Journal) -> None:
    note(journal)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (journal.path, journal.path.with_suffix(".head"))} == {0o600}


def test_readers_and_writers_do_not_wait_for_each_other_and_what_is_saved_is_on_disk(journal: Journal) -> None:
    note(journal)
    with journal._opened() as con:
        assert con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert con.execute("PRAGMA synchronous").fetchone() == (2,)


def test_text_of_any_kind_comes_back_as_it_was(journal: Journal) -> None:
    texts = ["=1+1", "<script>alert(1)</script>", "\u202eabc", "a\x00b", "'); DROP TABLE entries; --", "x" * 10_000, "日本語"]
    for text in texts:
        note(journal, text, author=text[:20])
    assert [entry.body["text"] for entry in Journal(journal.path).entries()] == texts
    assert journal.verify() == []


@pytest.mark.parametrize(
    ("kind", "body", "given", "says"),
    [
        ("nota", {"text": "x"}, {}, "No kind of entry named 'nota'. There are: override"),
        ("note", {"text": " "}, {}, "text: it is empty"),
        ("note", {"text": "x" * 10_001}, {}, "at most 10000 characters"),
        ("note", {"text": "x", "html": "y"}, {}, "html: Extra inputs"),
        ("note", {"text": "x"}, {"author": " "}, "needs an author"),
        ("note", {"text": "x"}, {"author": "x" * 201}, "author has 201 characters"),
        ("note", {"text": "\ud800"}, {}, "text"),
        ("note", {"text": "x"}, {"about": "INC-7"}, "write it like incident:tickets/INC-7"),
        ("waiver", {"rule": "four eyes"}, {}, "A waiver changes what is computed: say why"),
        ("waiver", {"rule": "four eyes"}, {"why": "x" * 10_001}, "why has 10,001 characters"),
        ("proposal", {"title": "t", "change": {"big": "x" * 100_001}}, {}, "larger than 100,000 bytes"),
        ("proposal", {"title": "t", "change": {"p": float("nan")}}, {}, "cannot be written down"),
        ("approval", {"proposal": "0123", "decision": "approved"}, {}, "'0123' is not in the journal"),
        ("sign_off", {"digest": "not one"}, {}, "digest: String should match"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_fix(journal: Journal, kind: str, body: dict, given: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        journal.append(kind, **{"about": ABOUT, "author": "Ann", **given}, body=body)
    assert journal.entries() == []


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("detected_at", datetime(2026, 3, 2, 10), "2026-03-02T10:00:00Z"),
        ("detected_at", "2026-03-02T10:00:00", "no time zone: write it as 2026-03-02T10:00:00Z"),
        ("detected_at", "2126-03-02T10:00:00Z", "not between 2000-01-01 and tomorrow"),
        ("detected_at", "soon", "valid datetime"),
        ("cause", "d1", "neither not_a_deployment nor a record"),
        ("cause", {"id": "d1"}, "source"),
        ("duplicate_of", {"source": "tickets", "id": "INC-7"}, "no duplicate of itself"),
        ("failed", "likely", "no label of a failure: certain or none"),
        ("title", "x", "field"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(journal: Journal, field: str, value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        override(journal, field, value)


def test_an_incident_has_no_failure_label_and_an_entry_is_about_what_its_body_says(journal: Journal) -> None:
    body = {"record": "incident", "source": "s", "id": "i", "field": "failed", "value": "none"}
    with pytest.raises(UsageError, match="an incident has no failed"):
        journal.append("override", "", body, author="Ann", why="w")
    with pytest.raises(UsageError, match="This override is of incident:s/i, not of incident:s/j"):
        journal.append("override", "incident:s/j", body | {"field": "cause", "value": "not_a_deployment"}, author="Ann", why="w")


# What holds


def test_the_later_entry_for_the_same_target_holds(journal: Journal) -> None:
    override(journal, value="2026-03-02T10:00:00Z")
    other = override(journal, "started_at")
    last = override(journal, value="2026-03-02T10:05:00Z")
    assert journal.facts() == [other, last]


def test_mitigated_and_recovered_are_one_target(journal: Journal) -> None:
    override(journal, "mitigated_at")
    last = override(journal, "recovered_at")
    assert journal.facts() == [last]


def test_a_withdrawal_makes_what_it_replaced_hold_again(journal: Journal) -> None:
    first = override(journal, value="2026-03-02T10:00:00Z")
    digest = journal.digest()
    second = override(journal, value="2026-03-02T10:05:00Z")
    assert journal.digest() != digest
    journal.append("withdrawal", ABOUT, {"entry": second.id}, author="Bob", why="misread the log")
    assert journal.facts() == [first]
    assert journal.digest() == digest
    with pytest.raises(UsageError, match="is a note; a withdrawal names an override or a waiver"):
        journal.append("withdrawal", ABOUT, {"entry": note(journal).id}, author="Bob", why="w")


@settings(max_examples=6)
@given(order=st.permutations(["started_at", "detected_at", "recovered_at"]), authors=st.lists(st.sampled_from(["Ann", "Bob"]), min_size=3))
def test_the_digest_is_of_what_is_said_not_of_who_said_it_when_or_why(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], authors: list[str]
) -> None:
    one, other = (Journal(tmp_path_factory.mktemp("j") / "journal.sqlite") for _ in range(2))
    for field in ("started_at", "detected_at", "recovered_at"):
        override(one, field)
    for field, author in zip(order, authors, strict=False):
        note(other, f"about {field}", author=author)
        override(other, field, author=author, why=f"{author} saw it")
    assert one.digest() == other.digest()
    override(other, "cause", "not_a_deployment")
    assert one.digest() != other.digest()


def test_whoever_has_not_seen_the_last_entry_is_told_and_nothing_is_saved(journal: Journal) -> None:
    seen = note(journal).seq
    override(journal, author="Bob")
    journal.append("note", "incident:tickets/OTHER", {"text": "elsewhere"}, author="Cid")
    with pytest.raises(UsageError, match="Bob has added an override meanwhile"):
        journal.append("sign_off", ABOUT, {"digest": "a" * 64}, author="Ann", seen=seen)
    assert journal.entries("sign_off") == []
    assert journal.append("sign_off", ABOUT, {"digest": "a" * 64}, author="Ann", seen=2).seq == 4


# What was changed behind its back


def edited(journal: Journal, *statements: str) -> list[str]:
    """What verify says after somebody took the guards off and ran SQL; the guards are put back."""
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as con:
        guards = con.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            con.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            con.execute(statement)
        for _, sql in guards:
            con.execute(sql)
    return [f"{problem.seq}: {problem.what}" for problem in journal.verify()]


@pytest.fixture
def six(journal: Journal) -> Journal:
    for number in range(1, 7):
        note(journal, f"note {number}")
    assert journal.verify() == []
    return journal


@pytest.mark.parametrize("column", ["id", "kind", "about", "author", "verified", "at", "why", "body"])
def test_an_edited_entry_is_found_whatever_was_edited(six: Journal, column: str) -> None:
    found = edited(six, f"UPDATE entries SET {column} = 1 WHERE seq = 3")
    assert found == ["3: was edited: what it says is not what its hash was made of"]


def test_an_edited_hash_is_found_at_the_entry_and_at_the_next(six: Journal) -> None:
    found = edited(six, f"UPDATE entries SET hash = '{'a' * 64}' WHERE seq = 3")
    assert [line.split(":")[0] for line in found] == ["3", "4"]


def test_a_removed_entry_is_found(six: Journal) -> None:
    assert edited(six, "DELETE FROM entries WHERE seq = 3") == ["4: entry 3 is missing before it"]


def test_a_removed_entry_is_found_when_the_rest_was_numbered_anew(six: Journal) -> None:
    found = edited(six, "DELETE FROM entries WHERE seq = 3", *(f"UPDATE entries SET seq = {n - 1} WHERE seq = {n}" for n in (4, 5, 6)))
    assert "3: does not follow the entry before it" in found
    assert [line for line in found if "was edited" in line]


def test_swapped_entries_are_found(six: Journal) -> None:
    swap = [
        "UPDATE entries SET seq = 99 WHERE seq = 3",
        "UPDATE entries SET seq = 3 WHERE seq = 4",
        "UPDATE entries SET seq = 4 WHERE seq = 99",
    ]
    found = edited(six, *swap)
    assert {"3: was edited: what it says is not what its hash was made of", "4: does not follow the entry before it"} <= set(found)


def test_an_end_that_was_cut_off_is_found_by_the_head_file(six: Journal) -> None:
    assert edited(six, "DELETE FROM entries WHERE seq > 4") == ["None: the end is cut off: the journal had 6 entries and has 4"]
    six.path.with_suffix(".head").unlink()
    assert [problem.what for problem in six.verify()] == ["the head file is gone: whether the end was cut off cannot be told"]


def test_a_cut_that_was_written_over_is_still_found(six: Journal) -> None:
    edited(six, "DELETE FROM entries WHERE seq > 4")
    for number in range(5):
        note(six, f"as if nothing had been {number}")
    assert [(problem.seq, problem.what.split(":")[0]) for problem in six.verify()] == [(6, "is not the entry that the head file knows")]


def test_an_entry_that_is_saved_is_saved_even_where_the_head_cannot_follow(six: Journal) -> None:
    head = six.path.with_suffix(".head")
    head.unlink()
    head.mkdir()
    assert note(six, "seventh").seq == 7
    assert len(six.entries()) == 7
    assert [problem.what for problem in six.verify()] == ["the head file cannot be read: whether the end was cut off cannot be told"]


def test_nobody_else_speaks_sql_to_it(root: Path) -> None:
    sources = [path for folder in ("toolkit", "ingest") for path in (root / folder).rglob("*.py")]
    assert [path.name for path in sources if "sqlite3" in path.read_text()] == ["journal.py"]


def test_a_chain_written_anew_together_with_its_head_is_found_only_by_a_hash_kept_elsewhere(six: Journal, tmp_path: Path) -> None:
    kept = six.head()[1]
    forged = Journal(tmp_path / "forged" / "journal.sqlite")
    for number in range(1, 7):
        note(forged, f"forged {number}")
    for suffix in (".sqlite", ".head"):
        os.replace(forged.path.with_suffix(suffix), six.path.with_suffix(suffix))
    assert six.verify() == []
    assert [problem.what for problem in six.verify(containing=kept)] == [
        f"no entry has the hash {kept}: the journal was cut off or rewritten before it"
    ]
    assert six.verify(containing=six.head()[1]) == []


def test_a_guard_that_is_gone_is_found_and_while_it_is_there_nobody_edits(six: Journal) -> None:
    with closing(sqlite3.connect(six.path, isolation_level=None)) as con:
        for statement in (
            "UPDATE entries SET author = 'Eve'",
            "DELETE FROM entries",
            "INSERT OR REPLACE INTO entries SELECT * FROM entries",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                con.execute(statement)
        assert six.verify() == []
        con.execute("DROP TRIGGER entries_stay")
    assert [problem.what for problem in six.verify()] == ["the guard entries_stay is gone: somebody could edit entries"]


# Two at once, and death


WRITER = """
import sys
from toolkit.store.journal import Journal
journal = Journal(sys.argv[1], wait=60.0)
for number in range(int(sys.argv[3])):
    entry = journal.append("note", "incident:tickets/INC-7", {"text": f"{sys.argv[2]} {number}"}, author=sys.argv[2])
    print(entry.seq, flush=True)
"""


def writer(journal: Journal, name: str, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(journal.path), name, str(number)], stdout=subprocess.PIPE, text=True)


def test_of_two_people_who_write_200_entries_each_at_once_none_is_lost(journal: Journal) -> None:
    with writer(journal, "Ann", 200) as ann, writer(journal, "Bob", 200) as bob:
        told = [{int(line) for line in one.stdout or ()} for one in (ann, bob)]
    assert (ann.returncode, bob.returncode) == (0, 0)
    entries = journal.entries()
    assert sorted(entry.body["text"] for entry in entries) == sorted(f"{who} {n}" for who in ("Ann", "Bob") for n in range(200))
    # Each was told the number under which the entry stands, and they did take turns.
    assert [{entry.seq for entry in entries if entry.author == who} for who in ("Ann", "Bob")] == told
    assert sum(one.author != other.author for one, other in pairwise(entries)) > 5
    assert journal.verify() == []
    assert json.loads(journal.path.with_suffix(".head").read_text()) == {"seq": 400, "hash": entries[-1].hash}


KILLER = """
import os, random, signal, sys, time
from toolkit.store.journal import Journal
chance = random.Random(3)
for round in range(15):
    before = Journal(sys.argv[1]).head()[0]
    out, into = os.pipe()
    child = os.fork()
    if not child:
        journal = Journal(sys.argv[1])
        while True:
            entry = journal.append("note", "incident:tickets/INC-7", {"text": f"{round} {time.monotonic_ns()}"}, author="Ann")
            os.write(into, b"%d\\n" % entry.seq)
    os.close(into)
    with open(out) as told:
        first = told.readline()
        time.sleep(chance.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        promised = max([before, *(int(line) for line in [first, *told])])
    journal = Journal(sys.argv[1])
    print(promised, journal.head()[0], *journal.verify(), flush=True)
"""


def test_kill_9_at_any_moment_leaves_whole_entries_and_never_takes_one_back(journal: Journal) -> None:
    done = subprocess.run([sys.executable, "-c", KILLER, str(journal.path)], stdout=subprocess.PIPE, text=True, check=True)
    rounds = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert len(rounds) == 15
    for promised, there, *problems in rounds:
        assert problems == []
        # What was promised is there; of the one that was being written, all or nothing.
        assert int(there) - int(promised) in (0, 1)
    texts = [entry.body["text"] for entry in journal.entries()]
    assert len(set(texts)) == len(texts) == int(rounds[-1][1]) >= 15


def test_whoever_waits_too_long_is_told_so(journal: Journal) -> None:
    note(journal)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as con:
        con.execute("BEGIN IMMEDIATE")
        impatient = Journal(journal.path, wait=0.1)
        with pytest.raises(Busy, match="busy: somebody has been writing"):
            note(impatient)
        # Nobody who reads waits.
        assert len(impatient.entries()) == 1


def test_a_full_disk_is_named_and_nothing_is_added(journal: Journal) -> None:
    note(journal)
    with closing(sqlite3.connect(journal.path)) as con:
        pages = con.execute("PRAGMA page_count").fetchone()[0]
    opened = Journal._opened

    class Full(Journal):
        from contextlib import contextmanager

        @contextmanager
        def _opened(self):  # type: ignore[no-untyped-def]
            with opened(self) as con:
                con.execute(f"PRAGMA max_page_count = {pages}")
                yield con

    with pytest.raises(DataError, match=r"disk that holds .* is full: nothing was added. Make room"):
        note(Full(journal.path), "x" * 10_000)
    assert len(journal.entries()) == 1
    assert journal.verify() == []


def test_a_journal_of_a_newer_program_is_refused_with_words(journal: Journal) -> None:
    note(journal)
    with closing(sqlite3.connect(journal.path)) as con:
        con.execute("PRAGMA user_version = 9")
    for use in (journal.entries, journal.verify, lambda: note(journal)):
        with pytest.raises(DataError, match="schema 9; this program knows 1. Upgrade knowngood"):
            use()


def test_what_is_no_journal_is_named(journal: Journal) -> None:
    journal.path.write_bytes(b"certainly no database, but long enough to look at " * 100)
    with pytest.raises(DataError, match=r"cannot be used as a journal \(file is not a database\)"):
        journal.entries()
