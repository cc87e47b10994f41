"""The journal from the command line, and backups of what people wrote: taken while they write, brought back without losing anything."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import zipfile
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.test_decisions import filled, settled
from toolkit import publishing
from toolkit.backup import backup, restore
from toolkit.cli.entry import run
from toolkit.errors import DataError, KnowngoodError, UsageError
from toolkit.store.journal import Journal
from toolkit.workspace import Workspace

ABOUT = "incident:tickets/INC-7"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with three notes, settings and a policy."""
    place = Workspace.init(tmp_path / "team", published_key=True)
    (place.root / "knowngood.toml").write_text('time_zone = "Europe/London"\n')
    (place.root / "policy" / "playbooks").mkdir(parents=True)
    (place.root / "policy" / "playbooks" / "checkout.toml").write_text("steps = []\n")
    for number in range(3):
        say(place, f"note {number}")
    return place


def say(place: Workspace, text: str, author: str = "Ann") -> None:
    place.journal.append("note", ABOUT, {"text": text}, author=author)


def texts(place: Workspace) -> list[str]:
    return [entry.body["text"] for entry in place.journal.entries()]


# Taking one


def test_a_backup_brings_back_everything_on_a_machine_that_has_nothing(place: Workspace, tmp_path: Path) -> None:
    assert backup(place, tmp_path / "b.zip") == 3
    assert stat.S_IMODE((tmp_path / "b.zip").stat().st_mode) == 0o600
    done = restore(tmp_path / "new", tmp_path / "b.zip")
    new = Workspace(tmp_path / "new")
    assert (done.entries, done.kept, done.aside) == (3, [], None)
    assert new.journal.entries() == place.journal.entries()
    assert new.journal.verify() == []
    assert new.settings.time_zone == "Europe/London"
    assert (new.root / "policy/playbooks/checkout.toml").read_text() == "steps = []\n"
    say(new, "life goes on")
    assert new.journal.verify() == []


def test_what_can_be_loaded_again_and_the_key_of_pseudonyms_stay_behind(place: Workspace, tmp_path: Path) -> None:
    place.ledger.digest()
    (place.root / "policy" / "out").symlink_to("/etc")
    (place.root / "policy" / "passwd.toml").symlink_to("/etc/passwd")
    backup(place, tmp_path / "b.zip")
    names = set(zipfile.ZipFile(tmp_path / "b.zip").namelist())
    assert names == {"manifest.json", "journal.sqlite", "knowngood.toml", "policy/playbooks/checkout.toml"}


def test_a_backup_taken_while_people_write_is_of_one_moment(place: Workspace, tmp_path: Path) -> None:
    other = Journal(place.journal.path)
    writing = Thread(target=lambda: [other.append("note", ABOUT, {"text": f"more {n}"}, author="Bob") for n in range(60)])
    writing.start()
    taken = []
    while writing.is_alive() or not taken:
        path = tmp_path / f"b{len(taken)}.zip"
        taken.append((path, backup(place, path)))
    writing.join()
    whole = place.journal.entries()
    assert len(whole) == 63
    for number, (path, entries) in enumerate(taken[:: max(1, len(taken) // 4)]):
        restore(tmp_path / f"r{number}", path)
        assert Workspace(tmp_path / f"r{number}").journal.entries() == whole[:entries]


def test_a_backup_replaces_no_file(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("precious")
    with pytest.raises(UsageError, match="a backup replaces none: name another file"):
        backup(place, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "team"]


# Bringing one back


def test_a_backup_of_today_over_the_journal_of_yesterday_adds_what_is_missing(place: Workspace, tmp_path: Path) -> None:
    shutil.copytree(place.root, tmp_path / "yesterday")
    say(place, "today")
    backup(place, tmp_path / "b.zip")
    done = restore(tmp_path / "yesterday", tmp_path / "b.zip")
    assert texts(Workspace(tmp_path / "yesterday")) == ["note 0", "note 1", "note 2", "today"]
    assert done.aside is not None
    assert len(Journal(done.aside / "journal.sqlite").entries()) == 3


def test_a_journal_that_is_ahead_is_not_replaced_unless_forced_and_then_it_is_kept(place: Workspace, tmp_path: Path) -> None:
    backup(place, tmp_path / "b.zip")
    say(place, "since then", author="Bob")
    with pytest.raises(KnowngoodError, match=r"ahead of the backup: of its 4 entries 1 are not in it, the first by Bob .* keeps a copy"):
        restore(place.root, tmp_path / "b.zip")
    assert texts(place)[-1] == "since then"
    done = restore(place.root, tmp_path / "b.zip", force=True)
    assert texts(place) == ["note 0", "note 1", "note 2"]
    assert place.journal.verify() == []
    assert done.aside is not None
    assert [entry.author for entry in Journal(done.aside / "journal.sqlite").entries()][-1] == "Bob"


def test_an_entry_that_was_edited_under_its_old_hash_is_kept_aside_as_well(place: Workspace, tmp_path: Path) -> None:
    backup(place, tmp_path / "b.zip")
    with closing(sqlite3.connect(place.journal.path, isolation_level=None)) as con:
        con.execute("DROP TRIGGER entries_stay")
        con.execute("UPDATE entries SET author = 'Eve' WHERE seq = 2")
    with pytest.raises(KnowngoodError, match=r"of its 3 entries 1 are not in it, the first by Eve"):
        restore(place.root, tmp_path / "b.zip")
    done = restore(place.root, tmp_path / "b.zip", force=True)
    assert place.journal.verify() == []
    assert done.aside is not None
    assert [problem.seq for problem in Journal(done.aside / "journal.sqlite").verify() if problem.seq] == [2]


def test_nobody_loses_an_entry_while_a_backup_is_brought_back(place: Workspace, tmp_path: Path) -> None:
    backup(place, tmp_path / "b.zip")
    for number in range(3):
        writing = Thread(target=say, args=(Workspace(place.root), f"meanwhile {number}"))
        writing.start()
        with suppress(KnowngoodError):
            restore(place.root, tmp_path / "b.zip")
        writing.join()
    assert texts(place)[3:] == [f"meanwhile {number}" for number in range(3)]
    assert place.journal.verify() == []


def test_a_journal_that_cannot_be_read_is_kept_aside(place: Workspace, tmp_path: Path) -> None:
    backup(place, tmp_path / "b.zip")
    place.journal.path.write_bytes(b"a disk that lost its mind " * 1_000)
    with pytest.raises(KnowngoodError, match="cannot be read, so nobody can tell what the backup lacks"):
        restore(place.root, tmp_path / "b.zip")
    done = restore(place.root, tmp_path / "b.zip", force=True)
    assert texts(place) == ["note 0", "note 1", "note 2"]
    assert done.aside is not None
    assert (done.aside / "journal.sqlite").read_bytes().startswith(b"a disk")


def test_settings_and_policy_that_differ_are_left_unless_forced(place: Workspace, tmp_path: Path) -> None:
    backup(place, tmp_path / "b.zip")
    (place.root / "knowngood.toml").write_text('time_zone = "UTC"\n')
    (place.root / "policy/playbooks/checkout.toml").unlink()
    done = restore(place.root, tmp_path / "b.zip")
    assert (done.written, done.kept) == (["policy/playbooks/checkout.toml"], ["knowngood.toml"])
    done = restore(place.root, tmp_path / "b.zip", force=True)
    assert done.written == ["knowngood.toml"]
    assert done.aside is not None
    assert (done.aside / "knowngood.toml").read_text() == 'time_zone = "UTC"\n'


# What is no backup


def archive(path: Path, **names: bytes | str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("manifest.json", json.dumps({"format": "knowngood backup 1", "entries": 0, "head": "0" * 64}))
        for name, content in names.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "policy/../../evil",
        "/etc/evil",
        "policy\\..\\evil",
        "policy//evil",
        "policy/./evil",
        "evil",
        ".knowngood/people.key",
        "C:evil",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not belong in one"):
        restore(tmp_path / "deep" / "team", archive(tmp_path / "b.zip", **{name: "x"}))
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


def test_a_link_in_an_archive_and_one_on_the_way_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("policy/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = archive(tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as made:
        made.writestr(link, "/etc")
    with pytest.raises(DataError, match="does not belong in one"):
        restore(tmp_path / "team", path)
    (tmp_path / "elsewhere").mkdir()
    Workspace.init(tmp_path / "team")
    (tmp_path / "team" / "policy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KnowngoodError, match="is a link that leads out of the workspace"):
        restore(tmp_path / "team", archive(tmp_path / "c.zip", **{"policy/a.toml": "x"}))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_damaged_or_of_a_newer_program_is_named(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match="is no backup"):
        restore(tmp_path / "team", tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as made:
        made.writestr("manifest.json", '{"format": "knowngood backup 2"}')
    with pytest.raises(DataError, match="Upgrade knowngood to read it"):
        restore(tmp_path / "new", tmp_path / "new.zip")
    backup(place, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as whole, zipfile.ZipFile(tmp_path / "cut.zip", "w") as cut:
        cut.writestr("manifest.json", whole.read("manifest.json").replace(b'"entries": 3', b'"entries": 4'))
        cut.writestr("journal.sqlite", whole.read("journal.sqlite"))
    with pytest.raises(DataError, match="is damaged .it does not end where its manifest says"):
        restore(tmp_path / "other", tmp_path / "cut.zip")
    assert restore(tmp_path / "other", tmp_path / "cut.zip", force=True).entries == 3


# From the command


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return filled(tmp_path_factory.mktemp("shop"))


def told(capsys: pytest.CaptureFixture[str], *words: str, place: Workspace) -> tuple[int, Any, str]:
    code = run([*words, "--json", "--workspace", str(place.root)])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def test_from_the_command_a_cause_is_overridden_listed_verified_and_withdrawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shop: Workspace
) -> None:
    decide = ("journal", "override", "incident", "inc", "cause", "v1 9:00", "--why", "found by bisecting", "--author", "Ann")
    code, entry, said = told(capsys, *decide, place=shop)
    assert code == 0
    assert entry["body"]["value"] == {"source": "made", "id": "v1 9:00"}
    assert "The facts are being computed anew" in said
    assert settled(shop) == "current"
    assert shop.facts.incidents.collect()["cause_deployment"].to_list() == ["v1 9:00"]
    # One real publish is enough.
    monkeypatch.setattr(publishing, "publish_soon", lambda workspace: 1)
    code, listed, _ = told(capsys, "journal", "list", "--in-force", place=shop)
    assert [one["why"] for one in listed] == ["found by bisecting"]
    assert told(capsys, "journal", "withdraw", entry["id"], "--why", "it was v2", place=shop)[0] == 0
    assert told(capsys, "journal", "list", "--in-force", place=shop)[1] == []
    code, found, _ = told(capsys, "journal", "verify", "--containing", entry["hash"], place=shop)
    assert (code, found["entries"], found["problems"]) == (0, 2, [])
    assert told(capsys, "journal", "verify", "--containing", "f" * 64, place=shop)[0] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("incident", "nobody", "cause", "not_a_deployment"), "There is no incident 'nobody' in the ledger"),
        (("incident", "inc", "cause", "nobody"), "There is no deployment 'nobody' in the ledger"),
        (("incident", "inc", "detected_at", "2026-03-02T10:00:00"), "write it as 2026-03-02T10:00:00Z"),
        (("deployment", "v2 9:50", "failed", "likely"), "certain or none"),
        (("deployment", "v2 9:50", "cause", "v2 9:50"), "a deployment has no cause to override"),
    ],
)
def test_from_the_command_what_cannot_be_meant_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], shop: Workspace, words: tuple[str, ...], says: str
) -> None:
    before = shop.journal.head()
    code, out, said = told(capsys, "journal", "override", *words, "--why", "w", place=shop)
    assert (code, out) == (2, None)
    assert says in said
    assert shop.journal.head() == before


def test_a_list_shows_hostile_text_as_text(capsys: pytest.CaptureFixture[str], place: Workspace) -> None:
    say(place, "\x1b[2J\u202egone", author="Eve\x1b]0;root\x07")
    assert run(["journal", "list", "--workspace", str(place.root)]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b" in shown
    assert not {"\x1b", "\u202e", "\x07"} & set(shown)


def test_from_the_command_a_backup_is_taken_and_brought_back(capsys: pytest.CaptureFixture[str], place: Workspace, tmp_path: Path) -> None:
    file = str(tmp_path / "b.zip")
    assert told(capsys, "backup", file, place=place)[1] == {"file": file, "entries": 3}
    say(place, "since then")
    code, _, said = told(capsys, "restore", file, place=place)
    assert code == 1
    assert "ahead of the backup" in said
    code, done, _ = told(capsys, "restore", file, "--force", place=place)
    assert (code, done["entries"]) == (0, 3)


def test_doctor_names_a_decision_about_what_is_not_there_and_a_journal_that_was_altered(
    capsys: pytest.CaptureFixture[str], shop: Workspace
) -> None:
    body = {"record": "incident", "source": "made", "id": "gone", "field": "cause", "value": "not_a_deployment"}
    shop.journal.append("override", "", body, author="Ann", why="w")
    assert run(["publish", "--workspace", str(shop.root)]) == 0
    capsys.readouterr()
    with closing(sqlite3.connect(shop.journal.path, isolation_level=None)) as con:
        con.execute("DROP TRIGGER entries_remain")
    code, found, _ = told(capsys, "doctor", place=shop)
    assert code == 1
    (finding,) = [one for one in found["findings"] if one["what"] == "incident: override_of_nothing"]
    assert "there is no such incident" in finding["why"]
    assert "knowngood journal" in finding["next"]
    altered = [one for one in found["findings"] if one["what"] == "journal"]
    assert [one["why"] for one in altered] == ["the guard entries_remain is gone: somebody could edit entries"]
