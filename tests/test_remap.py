"""Records made anew from what sources said: what a better reading changes, and all that it leaves alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingest import catalog, remap
from ingest.cdevents import envelope, reading
from ingest.engine import load, load_source
from ingest.pages import Page, sync_pages
from tests.test_cdevents import INCIDENT, NOON, TEN, event, lines
from toolkit.cli.entry import run
from toolkit.errors import UsageError
from toolkit.workspace import Workspace


@pytest.fixture
def site(tmp_path: Path) -> Workspace:
    """An incident in two files, a ticket and a service that was removed."""
    site = Workspace.init(tmp_path / "place", published_key=True)
    ticket = {"summary": "Do", "uri": "https://t/1", "creator": "ann", "assignees": ["bob"], "ticketType": "task"}
    detected = event("incident.detected", INCIDENT, subject="I-1")
    load_source(site, lines(tmp_path / "1.jsonl", detected, event("ticket.created", ticket, subject="T-1")), "cdevents")
    resolved = event("incident.resolved", INCIDENT, at=NOON, subject="I-1")
    load_source(site, lines(tmp_path / "2.jsonl", resolved, event("service.removed", {"environment": {"id": "p"}})), "cdevents")
    return site


def made_anew(site: Workspace, **options: Any) -> dict[str, tuple[int, int, int, int]]:
    return {record: (it.unchanged, it.changed, it.new, it.gone) for (_, record), it in remap.remap(site, **options).items()}


def test_read_by_the_same_program_nothing_changes(site: Workspace) -> None:
    before = site.ledger.read("incidents")
    assert made_anew(site) == {"incident": (1, 0, 0, 0), "action_item": (1, 0, 0, 0)}
    assert site.ledger.read("incidents").equals(before)
    assert site.ledger.read("action_items")["owner"].str.starts_with("person-").all()


def test_what_is_read_better_is_replaced_where_it_stands(site: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = site.ledger.read("incidents").rows(named=True)

    def louder(fields: dict[str, Any], one: Any) -> None:
        reading._detected(fields, one)
        fields["title"] = fields["title"].upper()

    monkeypatch.setitem(reading._APPLY, "incident.detected", louder)
    found = remap.remap(site, apply=False)["cdevents", "incident"]
    assert (found.changed, found.fields) == (1, {"title": 1})
    assert site.ledger.read("incidents").rows(named=True) == [before]
    remap.remap(site)
    (after,) = site.ledger.read("incidents").rows(named=True)
    assert after == {**before, "title": "SLOW", "content_hash": after["content_hash"]}
    assert after["content_hash"] != before["content_hash"]
    # The version that knew only half stays as it was read.
    assert site.ledger.versions("incidents")["title"].to_list() == ["Slow"]
    assert made_anew(site)["incident"] == (1, 0, 0, 0)
    assert site.ledger.digest() == site.ledger.recount()


def test_what_is_understood_only_now_is_new_and_what_is_no_longer_understood_is_gone(
    site: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.delitem(envelope.VERSIONS, "incident.detected")
        other.delitem(envelope.VERSIONS, "incident.resolved")
        assert made_anew(site) == {"incident": (0, 0, 0, 1), "action_item": (1, 0, 0, 0)}
    assert site.ledger.read("incidents").is_empty()
    assert site.ledger.versions("incidents").is_empty()
    assert made_anew(site) == {"incident": (0, 0, 1, 0), "action_item": (1, 0, 0, 0)}
    assert site.ledger.read("incidents").select("detected_at", "resolved_at").rows() == [(TEN, NOON)]


def test_a_person_whom_the_raw_leaves_out_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a row on which a file had the last word is the file's."""
    site = Workspace.init(tmp_path, published_key=True)
    items = [{"id": "d1", "at": TEN}, {"id": "d2", "at": TEN}]

    def deployment(item: dict[str, Any]) -> dict[str, Any]:
        return {"source_id": item["id"], "service": "shop", "finished_at": item["at"]}

    def read(since: dict[str, Any] | None) -> Any:
        yield Page({"deployment": [{**deployment(item), "actor": "ann"} for item in items]}, items, {})

    sync_pages(site.ledger, "cd", "cd", read, {})
    later = {
        "source": "cd",
        "source_id": "d2",
        "service": "cart",
        "finished_at": TEN.isoformat(),
        "revised_at": datetime.now(UTC).isoformat(),
    }
    load(site, lines(tmp_path / "d.jsonl", later), "deployment")
    said = site.ledger.read("deployments").filter(source_id="d1")["actor"].to_list()

    def remade(raw: Any, _people: Any) -> Any:
        for source, seen, item in raw():
            yield "deployment", {"source": source, "revised_at": seen, **deployment(item), "version": "v1"}

    monkeypatch.setattr(remap, "source_names", lambda: ["cd"])
    monkeypatch.setattr(remap, "source_named", lambda _: SimpleNamespace(remade=remade))
    assert made_anew(site) == {"deployment": (1, 1, 0, 0)}
    rows = site.ledger.read("deployments").sort("source_id").select("source_id", "service", "version", "actor").rows()
    assert rows == [("d1", "shop", "v1", said[0]), ("d2", "cart", None, None)]


def test_the_command_says_what_changed_and_publishes_it(
    site: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--workspace", str(site.root)]
    run(["publish", *where])
    version = site.meta["version"]
    assert run(["remap", "--check", *where]) == 0
    monkeypatch.setitem(reading._APPLY, "incident.detected", reading._resolved)
    capsys.readouterr()
    assert run(["remap", "--check", "--json", *where]) == 1
    (incident, _) = json.loads(capsys.readouterr().out)
    assert (incident["source"], incident["record"], incident["changed"]) == ("cdevents", "incident", 1)
    assert incident["fields"] == {"detected_at": 1}
    assert site.meta["version"] == version
    assert run(["remap", *where]) == 0
    assert "detected_at 1" in capsys.readouterr().out
    assert site.meta["version"] != version
    assert run(["remap", "files", *where]) == 2
    with pytest.raises(UsageError, match="cdevents"):
        remap.remap(site, ["nothing"])


def test_an_event_that_was_refused_is_read_again_by_a_program_that_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Workspace.init(tmp_path, published_key=True)
    events = [event(f"incident.{kind}", INCIDENT, at=at, subject="I-1") for kind, at in (("resolved", NOON), ("detected", TEN))]
    path = lines(tmp_path / "e.jsonl", events[0], "{", events[1])
    with monkeypatch.context() as earlier:
        earlier.delitem(envelope.VERSIONS, "incident.resolved")
        load_source(site, path, "cdevents")
    assert site.ledger.quarantine()["rule"].sort().to_list() == ["json", "type"]
    assert run(["quarantine", "--retry", "--workspace", str(site.root)]) == 1
    assert site.ledger.quarantine().select("rule", "path", "place").rows() == [("json", str(path), "line 2")]
    assert site.ledger.read("incidents").select("detected_at", "resolved_at").rows() == [(TEN, NOON)]
    assert run(["quarantine", "--retry", "--workspace", str(site.root)]) == 1
    assert len(site.ledger.quarantine()) == 1


def test_sources_whose_raw_says_enough_offer_to_read_it_again() -> None:
    able = [name for name in catalog.source_names() if hasattr(catalog.source_named(name), "remade")]
    assert {"cdevents", "gitops"} <= set(able)
