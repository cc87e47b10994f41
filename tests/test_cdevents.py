"""CDEvents v0.5.1: what each event says of which record, and that the way out and back loses nothing it can carry."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.cdevents.envelope import VERSIONS, Address, Refusal, event_of
from ingest.cdevents.reading import records_of
from ingest.cdevents.writing import events_of, to_cdevents
from ingest.engine import load_source, sync
from toolkit.cli.entry import run
from toolkit.publish import publish
from toolkit.records import RECORDS
from toolkit.store.people import PUBLISHED_KEY, People
from toolkit.workspace import Workspace

PEOPLE = People("hash", PUBLISHED_KEY)
DIGEST = "sha256:" + "ab" * 32
OCI = "pkg:oci/shop@sha256%3A" + "ab" * 32 + "?tag=v2"
TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
ELEVEN, NOON = TEN + timedelta(hours=1), TEN + timedelta(hours=2)


def event(kind: str, content: dict[str, Any], *, at: datetime = TEN, id: str = "", subject: str = "shop", **more: Any) -> dict[str, Any]:
    return {
        "context": {
            "specversion": "0.5.1",
            "id": id or f"{kind} {at:%H:%M}",
            "source": "/ci",
            "type": f"dev.cdevents.{kind}.{VERSIONS[kind][0]}" if kind in VERSIONS else kind,
            "timestamp": at.isoformat(),
        },
        "subject": {"id": subject, "content": content},
        **more,
    }


def read(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """What these events make, without empty fields."""
    parsed = [event_of(one, PEOPLE) for one in events]
    by_address: dict[Address, list[Any]] = {}
    for one in parsed:
        by_address.setdefault(one.address, []).append(one)
    found = [row for address, group in by_address.items() for row in records_of(address, group)]
    return [{name: value for name, value in row.items() if value not in (None, [])} for row in found]


DEPLOYED = {
    "source": "cd", "source_id": "d1", "service": "shop", "environment": "production", "version": "v2", "status": "succeeded",
    "finished_at": TEN, "revised_at": NOON,
}  # fmt: skip
PLACE = {"environment": {"id": "production"}}
SHIPPED, TICKET = {**PLACE, "artifactId": OCI}, {"summary": "Do", "uri": "https://t/1", "creator": "ann", "resolution": "completed"}
# The least that each type must say by the standard.
SMALLEST: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("service.deployed", "service.upgraded", "service.rolledback"), SHIPPED),
    **dict.fromkeys(("service.removed", "service.published", "incident.detected", "incident.resolved"), PLACE),
    "incident.reported": {**PLACE, "ticketURI": "https://t/1"},
    "artifact.packaged": {"change": {"id": "7"}},
    "artifact.signed": {"signature": "abc"},
    "artifact.published": {},
    **dict.fromkeys(("ticket.created", "ticket.updated", "ticket.closed"), TICKET),
    **{f"change.{what}": {} for what in ("created", "updated", "reviewed", "merged", "abandoned")},
}
INCIDENT = {**PLACE, "service": {"id": "shop"}, "description": "Slow"}


# One event each


@pytest.mark.parametrize("kind", ["service.deployed", "service.upgraded"])
def test_a_deployment_is_known_by_its_event_since_the_subject_is_the_service(kind: str) -> None:
    (deployment,) = read(event(kind, {**PLACE, "artifactId": OCI}, id="e1"))
    assert deployment == {
        "source": "/ci", "source_id": "e1", "revised_at": TEN, "service": "shop", "environment": "production", "status": "succeeded",
        "finished_at": TEN, "artifact_purl": OCI, "artifact_digest": DIGEST, "version": "v2",
    }  # fmt: skip


def test_a_service_rolled_back_says_what_it_went_back_to() -> None:
    (rollback,) = read(event("service.rolledback", {**PLACE, "artifactId": OCI}, id="e2"))
    assert rollback == {
        "source": "/ci", "source_id": "e2", "revised_at": TEN, "service": "shop", "environment": "production", "completed_at": TEN,
        "to_digest": DIGEST, "to_version": "v2",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["service.removed", "service.published"])
def test_no_record_says_that_a_service_was_removed_or_published(kind: str) -> None:
    assert read(event(kind, PLACE)) == []


@pytest.mark.parametrize(
    ("purl", "version", "digest"),
    [
        ("pkg:golang/git.example/shop@v1.2", "v1.2", None),
        ("pkg:generic/shop@v1%2B7?checksum=" + DIGEST, "v1+7", DIGEST),
        (DIGEST, None, DIGEST),
        ("shop-1.2.whl", "shop-1.2.whl", None),
        ("pkg:oci/shop", None, None),
    ],
)
def test_an_artifact_is_taken_apart(purl: str, version: str | None, digest: str | None) -> None:
    (deployment,) = read(event("service.deployed", {**PLACE, "artifactId": purl}))
    assert (deployment.get("version"), deployment.get("artifact_digest")) == (version, digest)


def test_a_ticket_is_an_action_item_once_it_says_that_it_is_no_incident() -> None:
    closed = event("ticket.closed", {"uri": "https://t/1", "resolution": "completed"}, at=NOON, subject="T-1")
    said = {"summary": "Alert on it", "uri": "https://t/1", "creator": "ann", "ticketType": "task", "labels": ["detect", "incident:I-1"]}
    created = event("ticket.created", {**said, "assignees": ["bob"]}, subject="T-1")
    assert read(closed) == []
    (item,) = read(closed, created)
    assert item == {
        "source": "/ci", "source_id": "T-1", "revised_at": NOON + INSTANT, "title": "Alert on it", "kind": "detect", "incident": "I-1",
        "owner": PEOPLE.pseudonym("bob"), "evidence": ["https://t/1"], "created_at": TEN, "closed_at": NOON,
    }  # fmt: skip
    assert read(event("ticket.created", {**said, "ticketType": "incident"}, subject="T-2")) == []


def test_a_change_that_reverts_is_a_rollback_at_code_level_and_no_other_change_is_anything() -> None:
    merged = event("change.merged", {"repository": {"id": "shop"}}, at=NOON, subject="PR-7")
    assert read(merged) == []
    reverting = event("change.created", {"description": 'Revert "Faster cart"', "repository": {"id": "shop"}}, subject="PR-7")
    (rollback,) = read(merged, reverting)
    assert (rollback["mechanism"], rollback["started_at"], rollback["completed_at"]) == ("revert_commit", TEN, NOON)
    again = event("change.created", {"description": 'Revert "Revert "Faster cart""', "repository": {"id": "shop"}}, subject="PR-8")
    assert read(again) == []


def test_an_artifact_is_built_when_packaged_and_signed_when_signed() -> None:
    purl = "pkg:golang/git.example/shop@v2"
    signed = event("artifact.signed", {"signature": "abc"}, at=ELEVEN, subject=purl)
    packaged = event("artifact.packaged", {"change": {"id": "234fd47e07d1"}}, subject=purl)
    published = event("artifact.published", {"user": "bot"}, at=NOON, subject=purl)
    (artifact,) = read(published, signed, packaged)
    assert artifact == {
        "source": "/ci",
        "source_id": purl, "revised_at": NOON + 2 * INSTANT, "service": "shop", "version": "v2", "vcs_revision": "234fd47e07d1",
        "built_at": TEN, "signed_at": ELEVEN,
    }  # fmt: skip


# Several events of one thing


def test_detected_and_resolved_make_one_incident_in_whatever_order_and_however_often() -> None:
    events = [
        event("incident.detected", INCIDENT, subject="I-1"),
        event("incident.reported", {**INCIDENT, "service": {"id": "cart"}, "ticketURI": "https://t/1"}, at=ELEVEN, subject="I-1"),
        event("incident.resolved", {**INCIDENT, "description": "Fast again"}, at=NOON, subject="I-1"),
    ]
    wanted = {
        "source": "/ci",
        "source_id": "I-1", "revised_at": NOON + 2 * INSTANT, "title": "Slow", "status": "resolved", "services": ["shop", "cart"],
        "environment": "production", "evidence": ["https://t/1"], "detected_at": TEN, "resolved_at": NOON,
    }  # fmt: skip
    for order in itertools.permutations(events):
        assert read(*order, order[0]) == [wanted]


def test_a_merged_change_that_is_a_commit_is_one_that_reached_the_main_branch() -> None:
    sha = "ab" * 20
    merged = event("change.merged", {"repository": {"id": "an-org/shop"}}, subject=sha)
    later = event("change.merged", {}, at=NOON, subject=sha)
    assert read(later, merged) == [{"source": "/ci", "source_id": sha, "revised_at": NOON + INSTANT, "vcs_revision": sha, "merged_at": TEN}]
    assert read(event("change.merged", {}, subject=sha[:12]), event("change.created", {}, subject=sha)) == []
    (revert,) = read(event("change.merged", {"description": 'Revert "Faster cart"'}, subject=sha))
    assert revert["mechanism"] == "revert_commit"


def test_an_incident_detected_again_goes_on() -> None:
    events = [event(f"incident.{kind}", INCIDENT, at=at, subject="I-1") for kind, at in (("detected", TEN), ("resolved", ELEVEN))]
    (incident,) = read(*events, event("incident.detected", INCIDENT, at=NOON, subject="I-1"))
    assert (incident["status"], incident.get("resolved_at"), incident["detected_at"]) == ("open", None, TEN)


# What is refused


def refusal(said: Any) -> str:
    with pytest.raises(Refusal) as raised:
        event_of(said, PEOPLE)
    return raised.value.reason


def test_an_event_that_is_not_read_says_why() -> None:
    good = event("service.deployed", {**PLACE, "artifactId": OCI})

    def but(part: str, **changed: Any) -> str:
        return refusal({**good, part: {**good[part], **changed}})

    assert "no record holds what 'dev.cdevents.build.started.0.3.0' says" in but("context", type="dev.cdevents.build.started.0.3.0")
    assert "'0.2.0' of service.deployed is not read; 0.3.0 is" in but("context", type="dev.cdevents.service.deployed.0.2.0")
    assert "'0.4.1' is not read; 0.5.1 is" in but("context", specversion="0.4.1")
    assert "write 2026-03-01T10:00:00Z" in but("context", timestamp="1772359200")
    assert "timezone" in but("context", timestamp="2026-03-01T10:00:00")
    assert "subject.content.artifactId: every service.deployed needs it" in but("subject", content=PLACE)
    assert "subject.content.environment.id: every event needs it" in but("subject", content={"environment": {}, "artifactId": OCI})
    assert "no record holds" in but("context", type="dev.cdeventsx.other-thing.done.0.1.0")
    assert "context: every event needs it" in refusal({"hello": 1})
    assert refusal([1])


OTHERS = {
    "artifact": "deleted downloaded", "branch": "created deleted", "build": "finished queued started",
    "environment": "created deleted modified", "pipelinerun": "finished queued started", "repository": "created deleted modified",
    "taskrun": "finished started", "testcaserun": "finished queued skipped started", "testoutput": "published",
    "testsuiterun": "finished queued started",
}  # fmt: skip


def test_every_type_of_the_standard_is_read_or_refused_by_name() -> None:
    read_here = {kind: content for kind, content in SMALLEST.items() if event_of(event(kind, content), PEOPLE).type == kind}
    assert set(read_here) == set(VERSIONS)
    assert len(VERSIONS) + sum(len(predicates.split()) for predicates in OTHERS.values()) == 45
    for subject, predicates in OTHERS.items():
        for predicate in predicates.split():
            kind = f"dev.cdevents.{subject}.{predicate}.0.3.0"
            assert refusal(event(kind, {})) == f"context.type: no record holds what {kind!r} says."


def test_a_custom_event_of_a_later_version_waits_whole_until_it_is_understood() -> None:
    whole = {"source": "cd", "source_id": "d1", "service": "shop", "finished_at": TEN.isoformat()}
    kind = "dev.cdeventsx.knowngood-deployment.recorded.0.1.0"
    assert read(event(kind, whole))[0]["service"] == "shop"
    assert "mood: no field of deployment is called so" in refusal(event(kind, {**whole, "mood": "good"}))
    assert "service: a value or a list of values is needed" in refusal(event(kind, {**whole, "service": {"id": "shop"}}))
    assert "'0.2.0' of deployment is not read" in refusal(event(kind.replace("0.1.0", "0.2.0"), whole))
    assert "a list of points is needed" in refusal(event(kind.replace("deployment", "sample"), {"source": "cd", "points": [1]}))


def test_an_event_inside_a_cloudevent_is_read() -> None:
    inner = event("service.deployed", {**PLACE, "artifactId": OCI}, id="e1")
    assert read({"specversion": "1.0", "type": inner["context"]["type"], "data": inner}) == read(inner)


# Through the ledger


@pytest.fixture
def site(tmp_path: Path) -> Workspace:
    return fresh(tmp_path / "place")


def fresh(root: Path) -> Workspace:
    return Workspace.init(root, published_key=True)


def lines(path: Path, *events: Any) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in events))
    return path


def test_events_of_one_thing_may_come_in_files_of_any_order_and_twice(tmp_path: Path) -> None:
    files = [
        lines(tmp_path / "1.jsonl", event("incident.detected", INCIDENT, subject="I-1"), event("service.removed", PLACE)),
        lines(tmp_path / "2.jsonl", event("incident.resolved", INCIDENT, at=NOON, subject="I-1")),
        lines(tmp_path / "3.jsonl", event("incident.reported", {**INCIDENT, "ticketURI": "https://t/1"}, at=ELEVEN, subject="I-1")),
    ]
    digests = set()
    for number, order in enumerate((files, files[::-1], [files[1], files[0], files[2]])):
        place = fresh(tmp_path / f"p{number}")
        for file in (*order, order[0]):
            load_source(place, file, "cdevents")
        (row,) = place.ledger.read("incidents").select("source_id", "detected_at", "resolved_at", "evidence").rows()
        assert row == ("I-1", TEN, NOON, ["https://t/1"])
        digests.add(place.ledger.digest())
        assert sum(len(gzip.decompress(items).splitlines()) for _, _, items in place.ledger.raw("cdevents")) == 4, "each event is kept once"
    assert len(digests) == 1


def test_a_log_is_read_in_portions_and_nothing_falls_between_them(site: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sources.cdevents._PORTION", 2)
    events = [event("incident.resolved", INCIDENT, at=NOON, subject="I-1"), "{", event("incident.detected", INCIDENT, subject="I-2")]
    events += [event("incident.detected", INCIDENT, subject="I-1"), event("incident.resolved", INCIDENT, at=NOON, subject="I-2")]
    load_source(site, lines(tmp_path / "e.jsonl", *events), "cdevents")
    rows = site.ledger.read("incidents").sort("source_id").select("source_id", "detected_at", "resolved_at").rows()
    assert rows == [("I-1", TEN, NOON), ("I-2", TEN, NOON)]
    assert len(site.ledger.quarantine()) == 1


def test_what_is_no_event_goes_to_quarantine_with_file_line_and_reason_and_stops_nobody(site: Workspace, tmp_path: Path) -> None:
    good = event("service.deployed", {**PLACE, "artifactId": OCI}, id="good")
    odd = event("incident.resolved", {}, id="odd", subject="I-1", customData={"reportedBy": "ann"})
    path = lines(tmp_path / "e.jsonl", good, "{not json", "", odd, "x" * (1 << 20) + "y", json.dumps(good).replace("good", "late"))
    reports = {report.record: (report.new, report.quarantined) for report in load_source(site, path, "cdevents")}
    assert reports == {"deployment": (2, 0), "event": (0, 3)}
    rows = site.ledger.quarantine().sort("place").select("record", "path", "place", "rule").rows()
    assert rows == [
        ("event", str(path), "line 2", "json"),
        ("event", str(path), "line 4", "missing"),
        ("event", str(path), "line 5", "too_long"),
    ]
    assert not site.ledger.quarantine()["raw"].str.contains("ann").any()
    load_source(site, path, "cdevents")
    assert len(site.ledger.quarantine()) == 3
    load_source(site, lines(path, event("incident.resolved", INCIDENT, id="odd", subject="I-1")), "cdevents")
    assert site.ledger.quarantine()["rule"].to_list() == ["json", "too_long"], "the event of that id has come in"


def test_whatever_a_line_holds_the_good_ones_come_in(site: Workspace, tmp_path: Path) -> None:
    """Good events with parts of them replaced by any JSON at all; seeded, so that it fails for everybody or nobody."""
    chance = Random(7)
    good = [event("service.deployed", {**PLACE, "artifactId": OCI}, id=f"good {number}", customData={"a": 1}) for number in range(20)]
    whole = {**dict.fromkeys(RECORDS["deployment"].model_fields), **DEPLOYED}
    good += to_cdevents("deployment", whole)
    odd: list[Any] = [None, True, -1, 2.5e300, "", "x", "\ud800", "\u0000", "\u202e=1", [], [[]], {}, {"id": {}}, "nan", 10**30]

    def spoilt(value: Any, deep: int = 0) -> Any:
        if chance.random() < 0.12:
            return chance.choice(odd)
        if isinstance(value, dict):
            more = {chance.choice(["record", "source", "knowngood", "x"]): chance.choice(odd)} if chance.random() < 0.1 else {}
            return {name: spoilt(item, deep + 1) for name, item in value.items()} | more
        return value

    bad = [json.dumps(spoilt(chance.choice(good))).replace('"good ', '"odd ') for _ in range(400)]
    bad += ['{"context": ' + "[" * 3_000 + "]" * 3_000 + "}", '{"a":' * 900 + "1" + "}" * 900, "9" * 5_000, '{"context": NaN}']
    events = [*good[:20], *to_cdevents("deployment", {**whole, "source_id": "d2"})]
    reports = load_source(site, lines(tmp_path / "e.jsonl", *bad, *events), "cdevents")
    assert [report.error for report in reports if report.error] == []
    ids = set(site.ledger.read("deployments")["source_id"])
    assert {one["context"]["id"] for one in good[:20]} | {"d2"} <= ids
    assert len(site.ledger.quarantine()) > 100


def test_people_are_pseudonyms_in_record_raw_and_quarantine(site: Workspace, tmp_path: Path) -> None:
    ticket = {"summary": "Do", "uri": "https://t/1", "creator": "ann", "assignees": ["bob"], "ticketType": "task"}
    named = event("ticket.created", ticket, subject="T-1", customData={"by": "ann"})
    broken = event("ticket.closed", {"uri": "https://t/1", "updatedBy": "ann"}, subject="T-1")
    load_source(site, lines(tmp_path / "e.jsonl", named, broken), "cdevents")
    assert site.ledger.read("action_items")["owner"].to_list() == [PEOPLE.pseudonym("bob")]
    (kept,) = (gzip.decompress(items).decode() for _, _, items in site.ledger.raw("cdevents"))
    for text in (kept, *site.ledger.quarantine()["raw"]):
        assert not re.search("ann|bob", text)


def test_a_source_of_the_settings_reads_what_is_new(site: Workspace, tmp_path: Path) -> None:
    (site.root / "knowngood.toml").write_text('[sources.ci]\nkind = "cdevents"\npath = "events/*.jsonl"\n')
    (site.root / "events").mkdir()
    site = Workspace(site.root)
    lines(site.root / "events/1.jsonl", event("service.deployed", {**PLACE, "artifactId": OCI}, id="e1"))
    assert [(report.record, report.new) for report in sync(site)] == [("deployment", 1)]
    assert [report.skipped for report in sync(site)] == [True]
    lines(site.root / "events/2.jsonl", event("service.upgraded", {**PLACE, "artifactId": OCI}, id="e2", at=NOON))
    assert [(report.record, report.read, report.new) for report in sync(site)] == [("deployment", 1, 1)]
    (site.root / "knowngood.toml").write_text('[sources.ci]\nkind = "cdevents"\npath = "nothing/*"\nledger = "x"\n')
    (report,) = sync(Workspace(site.root))
    assert report.exit_code == 2


# Out and back


def fields(record: str) -> st.SearchStrategy[dict[str, Any]]:
    """Rows of a record as the ledger holds them: any field may be missing that may be."""
    texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
    names = texts.map(str.strip).filter(lambda name: name and name.lower() not in ("nan", "null", "none"))
    times = st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))
    kinds: dict[str, Any] = {
        "name": names, "text": names, "time": times, "flag": st.booleans(), "integer": st.integers(0, 2**62),
        "number": st.floats(0, 1, allow_subnormal=False), "names": st.lists(names, min_size=1, max_size=3),
    }  # fmt: skip
    from toolkit.store.columns import columns_of

    rows: dict[str, Any] = {"source": st.sampled_from(["ci", "PagerDuty EU", "/a b?"]), "source_id": st.sampled_from(["1", "a/b", "ü"])}
    for column in columns_of(RECORDS[record]):
        if column.name in ("source_id", "revised_at"):
            continue
        value = st.sampled_from(column.choices) if column.choices else kinds[column.kind]
        rows[column.name] = value if column.required or column.default is not None else st.none() | value
    return st.fixed_dictionaries({**rows, "revised_at": times})


@pytest.mark.parametrize("record", [name for name in RECORDS if name != "sample"])
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_record_comes_back_as_it_was_whatever_version_of_it_came_first(record: str, data: st.DataObject) -> None:
    older, newer = sorted(data.draw(st.tuples(fields(record), fields(record))), key=lambda row: row["revised_at"])
    newer = {**newer, "source": older["source"], "source_id": older["source_id"], "revised_at": newer["revised_at"] + timedelta(seconds=1)}
    sent = [json.loads(json.dumps(one)) for row in (older, newer) for one in to_cdevents(record, row)]
    for events in (sent, sent[::-1], [*sent, *sent]):
        parsed = [event_of(one, People("keep")) for one in events]
        assert {one.address for one in parsed} == {Address(record, newer["source"], newer["source_id"])}
        (back,) = records_of(parsed[0].address, parsed)
        named = {field.alias or name: back.get(name) for name, field in RECORDS[record].model_fields.items() if name in back}
        model = RECORDS[record].model_validate(named)
        assert {"source": back["source"], **model.model_dump()} == newer


def test_a_later_word_of_somebody_else_revises_what_we_wrote(site: Workspace, tmp_path: Path) -> None:
    detected = event("incident.detected", INCIDENT, subject="I-1")
    load_source(site, lines(tmp_path / "1.jsonl", detected), "cdevents")
    ours = list(events_of(site.ledger.read))
    resolved = event("incident.resolved", INCIDENT, at=NOON, subject="I-1")
    other = fresh(tmp_path / "other")
    load_source(other, lines(tmp_path / "2.jsonl", *ours, resolved), "cdevents")
    load_source(other, lines(tmp_path / "3.jsonl", detected), "cdevents")
    assert other.ledger.read("incidents").select("detected_at", "resolved_at").rows() == [(TEN, NOON)]


@pytest.fixture(scope="module")
def told(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed sample as events: every kind of record but the telemetry."""
    file = tmp_path_factory.mktemp("told") / "events.jsonl"
    assert run(["events", "--to", str(file), "--workspace", str(demo)]) == 0
    return file


def test_the_sample_comes_back_to_equal_facts(demo: Path, told: Path, tmp_path: Path) -> None:
    origin, other = Workspace(demo), fresh(tmp_path / "other")
    assert run(["load", str(told), "--as", "cdevents", "--no-publish", "--workspace", str(other.root)]) == 0
    assert all(len(other.ledger.read(model.table, ["source"])) for record, model in RECORDS.items() if record != "sample")
    assert other.ledger.digest() == origin.ledger.digest()
    assert publish(other) == origin.meta["version"]
    for table in ("deployments", "rollbacks", "incidents", "hotfixes", "evidence", "health"):
        assert getattr(other.facts, table).collect().equals(getattr(origin.facts, table).collect()), table


def test_samples_come_back(site: Workspace, tmp_path: Path) -> None:
    from ingest.engine import load

    points = [
        {"service": "shop", "series": "errors", "at": TEN.isoformat(), "bad": 1.5, "total": 3.0},
        {"service": "shop", "series": "errors", "at": NOON.isoformat(), "bad": 0, "total": 7},
        {"service": "shop", "series": "latency", "variant": "canary", "deployment": "d1", "at": NOON.isoformat(), "value": 0.1, "step": 60},
    ]
    load(site, lines(tmp_path / "samples.jsonl", *points), "sample")
    other = fresh(tmp_path / "other")
    load_source(other, lines(tmp_path / "events.jsonl", *events_of(site.ledger.read)), "cdevents")
    columns = [*RECORDS["sample"].model_fields, "source"]
    assert other.ledger.read("samples", columns).sort("series", "at").equals(site.ledger.read("samples", columns).sort("series", "at"))
    assert len(other.ledger.read("samples")) == 3


def test_what_events_cannot_carry(site: Workspace, tmp_path: Path) -> None:
    """Versions behind the current row, when we first saw a row, declared coverage, quarantine, and when a sample was revised."""
    from ingest.engine import load

    mapping = tmp_path / "map.toml"
    mapping.write_text("covers = [2026-01-01T00:00:00Z, 2026-04-01T00:00:00Z]\n")
    for status, at in (("failed", TEN), ("succeeded", NOON)):
        row = {"source_id": "d1", "service": "shop", "status": status, "finished_at": at.isoformat(), "revised_at": at.isoformat()}
        load(site, lines(tmp_path / "d.jsonl", row, {"source_id": "bad"}), "deployment", mapping)
    sample = {"service": "shop", "series": "errors", "at": TEN.isoformat(), "value": 1}
    load(site, lines(tmp_path / "s.jsonl", sample), "sample", revised=TEN)
    other = fresh(tmp_path / "other")
    load_source(other, lines(tmp_path / "events.jsonl", *events_of(site.ledger.read)), "cdevents")
    assert (len(site.ledger.versions("deployments")), len(other.ledger.versions("deployments"))) == (1, 0)
    assert other.ledger.read("deployments")["seen_at"][0] > site.ledger.read("deployments")["seen_at"][0]
    assert (site.ledger.coverage()["assumed"].any(), other.ledger.coverage()["assumed"].all()) == (True, True)
    assert not site.ledger.coverage().filter(pl.col("stream") == "deployments")["assumed"].any()
    assert (len(site.ledger.quarantine()), len(other.ledger.quarantine())) == (1, 0)
    assert site.ledger.read("samples")["revised_at"].to_list() == [TEN]
    assert other.ledger.read("samples")["revised_at"].to_list() != [TEN]


# What others get


def test_what_we_write_keeps_the_rules_of_the_standard(told: Path) -> None:
    custom = re.compile(r"dev\.cdeventsx\.[a-zA-Z0-9]+-[a-zA-Z]+\.[a-zA-Z]+\.[0-9]\.[0-9]\.[0-9]")
    ids = set()
    events = [json.loads(line) for line in told.read_text().splitlines()]
    for one in events:
        context, subject = one["context"], one["subject"]
        assert set(one) <= {"context", "subject", "customData"}
        assert set(context) == {"specversion", "id", "source", "type", "timestamp"}
        assert set(subject) == {"id", "content"}
        assert subject["id"]
        assert re.fullmatch(r"[\w/:?#@!$&'*+,;=.~%-]+", context["source"])
        kind = context["type"].removeprefix("dev.cdevents.").rsplit(".", 3)[0]
        if kind in VERSIONS:
            assert set(VERSIONS[kind][1]) <= set(subject["content"]) <= {"environment", "artifactId", "service", "description", "change"}
        else:
            assert custom.fullmatch(context["type"])
        ids.add((context["source"], context["id"]))
    assert len(ids) == len(events)


def test_what_the_standard_has_no_word_for_is_told_in_none_of_its_words() -> None:
    base = dict.fromkeys(RECORDS["deployment"].model_fields) | {
        "source": "cd", "source_id": "d1", "service": "shop", "environment": "production", "version": "v2", "revised_at": NOON,
        "finished_at": TEN,
    }  # fmt: skip

    def words(record: str, **changed: Any) -> list[str]:
        rows = dict.fromkeys(RECORDS[record].model_fields) | base | changed
        return [one["context"]["type"].removeprefix("dev.cdevents.").rsplit(".", 3)[0] for one in to_cdevents(record, rows, known=False)][
            :-1
        ]

    assert words("deployment", status="succeeded") == ["service.deployed"]
    assert words("deployment", status="superseded", kind="rollback") == ["service.rolledback"]
    assert words("deployment", status="failed") == []
    assert words("deployment", status="succeeded", version=None) == []
    assert words("rollback", to_version="v1", completed_at=TEN, mechanism="gitops") == ["service.rolledback"]
    assert words("rollback", to_version="v1", completed_at=TEN, mechanism="revert_commit") == []
    assert words("rollback", to_version="v1", completed_at=TEN, mechanism="gitops", drill=True) == []
    assert words("incident", services=["shop", "cart"], detected_at=TEN) == ["incident.detected", "incident.detected"]
    assert words("incident", services=["shop"], detected_at=TEN, severity="maintenance") == []
