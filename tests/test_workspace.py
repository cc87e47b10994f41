"""The workspace: found from below, made without harm, settings that say what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from toolkit.errors import DataError, UsageError
from toolkit.store import warehouse
from toolkit.store.people import PUBLISHED_KEY, People, key_at
from toolkit.workspace import Settings, Workspace


def test_a_workspace_is_found_from_any_folder_below_it(tmp_path: Path) -> None:
    Workspace.init(tmp_path)
    below = tmp_path / "policy" / "playbooks"
    below.mkdir(parents=True)
    assert Workspace.find(below).root == tmp_path.resolve()


def test_where_there_is_none_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Run `knowngood init`"):
        Workspace.find(tmp_path)


def test_init_leaves_alone_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "knowngood.toml").write_text('time_zone = "Europe/London"\n')
    key = (Workspace.init(tmp_path).state / "people.key").read_bytes()
    assert Workspace.init(tmp_path, published_key=True).settings.time_zone == "Europe/London"
    assert (tmp_path / ".knowngood/people.key").read_bytes() == key


def test_the_file_that_init_writes_says_the_defaults(tmp_path: Path) -> None:
    """Its commented lines, read as settings, change nothing; its examples are valid."""
    text = (Workspace.init(tmp_path).root / "knowngood.toml").read_text()
    assert Workspace(tmp_path).settings == Settings()
    plain = "\n".join(line.removeprefix("# ") if "=" in line or line.startswith(("# [", "[")) else "" for line in text.splitlines())
    (tmp_path / "knowngood.toml").write_text(plain)
    read = Workspace(tmp_path).settings
    assert read.sources["deploys"]["record"] == "deployment"
    assert read.horizon == datetime(2026, 3, 1, tzinfo=UTC)
    assert read.model_copy(update={"sources": {}, "horizon": None, "renamed": {}}) == Settings()


def test_the_journal_is_not_ignored_and_the_key_is(tmp_path: Path) -> None:
    lines = (Workspace.init(tmp_path).state / ".gitignore").read_text().splitlines()
    assert "people.key*" in lines
    assert "*.lock" in lines
    assert not [line for line in lines if "journal" in line]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("productoin = []", "productoin"),
        ('time_zone = "London"', "no time zone"),
        ("horizon = 2026-01-01T00:00:00", "no time zone: write 2026-01-01T00:00:00Z"),
        ('[privacy]\npeople = "no"', "privacy.people"),
        ('[renamed]\na = "b"\nb = "a"', "renamed in a circle"),
        ("production", "is not TOML"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "knowngood.toml").write_text(text)
    with pytest.raises(UsageError, match=says):
        _ = Workspace(tmp_path).settings


def test_before_the_first_publish_the_facts_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Run `knowngood publish`"):
        _ = Workspace.init(tmp_path).facts


def test_facts_are_lazy_frames_by_name(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    warehouse.write(workspace.state, "v1", {"deployments": pl.DataFrame({"id": ["d1"]})}, {"horizon": "2026-01-01"})
    assert workspace.facts.deployments.collect()["id"].to_list() == ["d1"]
    assert workspace.meta == {"horizon": "2026-01-01", "version": "v1"}
    assert "deployments" in dir(workspace.facts)
    with pytest.raises(AttributeError, match="There are: deployments"):
        _ = workspace.facts.incidents


def test_a_pseudonym_is_the_same_in_python_and_sql_and_stays_itself(tmp_path: Path) -> None:
    from toolkit.store.connect import connect

    for key in (PUBLISHED_KEY, b"k" * 200):
        people = People("hash", key)
        with connect() as con:
            for name, value in people.variables():
                con.execute(f"SET VARIABLE {name} = ?", [value])
            for person in ("ann", "Zoë", "", people.pseudonym("ann")):
                assert con.execute(f"SELECT {people.sql('p')} FROM (SELECT ? AS p)", [person]).fetchall() == [(people.pseudonym(person),)]
    assert people.pseudonym(people.pseudonym("ann")) == people.pseudonym("ann")
    assert repr(people) == "People('hash')"


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    key = key_at(tmp_path / "people.key")
    assert len(key) == 32
    assert key_at(tmp_path / "people.key", b"another") == key
    assert [file.name for file in tmp_path.iterdir()] == ["people.key"]
    assert (tmp_path / "people.key").stat().st_mode & 0o777 == 0o600
