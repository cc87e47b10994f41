"""Two people at one review: neither's entry is lost, nothing gets into what is signed off, and death leaves whole entries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest

from tests.builders import HORIZON, deployment, frames, history, incident
from toolkit.errors import UsageError
from toolkit.facts import facts_of
from toolkit.facts.practices import practice_facts
from toolkit.records import RECORDS
from toolkit.review import Case, case_of
from toolkit.review.saving import Reviewer, ask, correct, note, reopen, sign
from toolkit.store.journal import Entry, Journal
from toolkit.synthetic.frames import frame

ANN, BOB, CY, DEE = Reviewer("Ann"), Reviewer("Bob"), Reviewer("Cy"), Reviewer("Dee")
ROWS = (deployment("v1", "9:00"), deployment("v2", "9:50"), incident("10:10", "10:30"), deployment("v1", "10:20"))


class Published:
    """The facts of a small history, as a warehouse has them."""

    def __init__(self) -> None:
        records = frames(history(*ROWS))
        tables = facts_of(records, horizon=HORIZON)
        told = {RECORDS[name].table: frame(name, [], source="none") for name in ("review", "action_item")}
        told |= {RECORDS[name].table: records[name] for name in ("incident_event", "flag_change")}
        tables |= told | practice_facts(records, tables, horizon=HORIZON)
        for name, table in tables.items():
            setattr(self, name, table.lazy())


@pytest.fixture(scope="module")
def facts() -> Published:
    return Published()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def now(facts: Published, path: Path) -> Callable[[], Case]:
    """The review as whoever looks now sees it."""
    return lambda: case_of(facts, {"horizon": HORIZON.isoformat()}, Journal(path).entries(), "inc")


Now = Callable[[], Case]


def at_once(*acts: Callable[[], Entry]) -> list[Entry | str]:
    """All acts from one moment on, each in a thread; what each gave, or why it was refused."""
    begin, results = Barrier(len(acts)), dict[int, Entry | str]()

    def act(number: int) -> None:
        begin.wait()
        try:
            results[number] = acts[number]()
        except UsageError as error:
            results[number] = error.message

    threads = [Thread(target=act, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(acts))]


def kept(results: list[Entry | str]) -> list[Entry]:
    return [one for one in results if isinstance(one, Entry)]


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_who_sign_second_at_once_one_does_and_the_other_is_told(path: Path, now: Now, attempt: int) -> None:
    sign(Journal(path), now(), by=ANN)
    both = now()
    results = at_once(lambda: sign(Journal(path), both, by=BOB), lambda: sign(Journal(path), both, by=CY))
    assert len(kept(results)) == 1
    assert [one for one in results if isinstance(one, str)] == ["Somebody has added to this review meanwhile: look at it again, then sign."]
    assert now().state == "signed off"
    assert [entry.kind for entry in Journal(path).entries()] == ["sign_off", "sign_off"]


@pytest.mark.parametrize("attempt", range(3))
def test_a_note_a_correction_and_the_last_signature_at_once_leave_nothing_behind_a_signature(path: Path, now: Now, attempt: int) -> None:
    sign(Journal(path), now(), by=ANN)
    seen = now()
    results = at_once(
        lambda: sign(Journal(path), seen, by=BOB),
        lambda: note(Journal(path), seen, "one more thing", by=CY),
        lambda: correct(Journal(path), seen, "cause", None, by=DEE, why="it was the network"),
        lambda: ask(Journal(path), seen, "alert earlier", by=CY),
    )
    # Whatever came first: either the signature stands alone, or it was refused because of what came before it.
    if isinstance(results[0], Entry):
        assert kept(results) == [results[0]]
        assert now().said.closed
    else:
        assert len(kept(results)) == 3
        assert not now().said.closed
    # What somebody was told is saved is there, and nothing else.
    assert Journal(path).entries()[1:] == sorted(kept(results), key=lambda entry: entry.seq)
    assert Journal(path).verify() == []


def test_whoever_signs_while_another_looks_and_saves_is_not_written_over(path: Path, now: Now) -> None:
    """The moment that two threads rarely hit: Bob signs after Cy's review was read and before Cy's note is saved."""
    sign(Journal(path), now(), by=ANN)
    seen = now()

    class Slow(Journal):
        def append(self, kind: str, about: str, body: object, **given: object) -> Entry:  # type: ignore[override]
            sign(Journal(path), seen, by=BOB)
            return super().append(kind, about, body, **given)  # type: ignore[arg-type]

    for late in (
        lambda: note(Slow(path), seen, "late", by=CY),
        lambda: correct(Slow(path), seen, "cause", None, by=CY, why="late"),
        lambda: sign(Slow(path), seen, by=CY),
    ):
        with pytest.raises(UsageError, match=r"signed off: reopen it first|added to this review meanwhile"):
            late()
        assert [entry.kind for entry in Journal(path).entries()] == ["sign_off", "sign_off"]
        reopen(Journal(path), now(), by=ANN, why="for the next round")
        path.unlink()
        path.with_suffix(".head").unlink()
        sign(Journal(path), now(), by=ANN)


def test_a_label_on_the_deployment_is_part_of_the_review_and_stops_a_signature_too(path: Path, now: Now) -> None:
    seen = now()
    body = {"record": "deployment", "source": "made", "id": "v2 9:50", "field": "failed", "value": "none"}
    Journal(path).append("override", "", body, author="Dee", why="it was the network")
    with pytest.raises(UsageError, match="added to this review meanwhile"):
        sign(Journal(path), seen, by=ANN)
    assert [entry.kind for entry in Journal(path).entries()] == ["override"]


def test_two_people_who_write_at_once_for_a_while_both_find_all_they_wrote(path: Path, now: Now) -> None:
    seen = now()

    def write(who: Reviewer) -> Callable[[], Entry]:
        return lambda: [note(Journal(path), seen, f"{who.name} {number}", by=who) for number in range(15)][-1]

    assert len(kept(at_once(write(ANN), write(BOB), write(CY)))) == 3
    said = [entry.body["text"] for entry in now().said.notes]
    assert sorted(said) == sorted(f"{who.name} {number}" for who in (ANN, BOB, CY) for number in range(15))


SIGNER = """
import os, random, signal, sys, time
from toolkit.store.journal import Journal
chance = random.Random(5)
body = {"digest": "a" * 64, "content": {f"field {n}": "x" * 900 for n in range(80)}, "head": "b" * 64, "role": "checked"}
for round in range(12):
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.write(into, b"signing")
        Journal(sys.argv[1]).append("sign_off", "incident:made/inc", body, author="Ann")
        os._exit(0)
    os.read(out, 7)
    time.sleep(chance.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    entries = Journal(sys.argv[1]).entries()
    whole = all(entry.body["content"] == body["content"] and len(entry.hash) == 64 for entry in entries)
    print(int(killed), len(entries), int(whole), len(Journal(sys.argv[1]).verify()), flush=True)
"""


def test_kill_9_during_a_sign_off_leaves_the_whole_entry_or_none(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SIGNER, str(path)], stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    rounds = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(rounds) == 12
    assert any(killed for killed, *_ in rounds)
    before = 0
    for killed, there, whole, problems in rounds:
        assert there - before in ((0, 1) if killed else (1,))
        assert (whole, problems) == (1, 0)
        before = there
