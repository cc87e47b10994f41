"""Reviews as Markdown with a front matter: what is counted of them, and that a bad one names its lines and stops no other."""

from __future__ import annotations

import gzip
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.engine import load_source, sync
from ingest.frontmatter import Flaw, front_matter
from ingest.sources.reviews import to_records
from toolkit.cli.entry import run
from toolkit.workspace import Workspace

UTC_ZONE = ZoneInfo("UTC")
WHOLE = """\
---
incident: INC-7
state: published
held_at: 2026-05-20T14:00+02:00
published_at: 2026-05-22
root_causes: [connection-pool, missing-alert]
action_items:
  - title: Alert on a full pool
    kind: monitoring
    owner: ann
    created: 2026-05-20
    due: 2026-05-31
    closed: 2026-05-31
  - title: Roll back without a person
    url: https://tickets.example.org/9
---

# What happened
"""


@pytest.fixture
def site(tmp_path: Path) -> Workspace:
    Workspace.init(tmp_path, published_key=True)
    (tmp_path / "knowngood.toml").write_text("[sources.reviews]\n")
    (tmp_path / "reviews").mkdir()
    return Workspace(tmp_path)


def written(site: Workspace, **files: str) -> None:
    for name, text in files.items():
        (site.root / "reviews" / f"{name}.md").write_text(text)


def complaints(text: str) -> list[str]:
    try:
        to_records(text, "r", "reviews/r.md", UTC_ZONE)
    except ExceptionGroup as group:
        return [f"{flaw.line}: {flaw.reason}" for flaw in group.exceptions if isinstance(flaw, Flaw)]
    except Flaw as flaw:
        return [f"{flaw.line}: {flaw.reason}"]
    return []


def test_a_review_and_its_action_items_are_records(site: Workspace) -> None:
    written(site, checkout=WHOLE)
    assert [(report.record, report.new) for report in sync(site)] == [("review", 1), ("action_item", 2)]
    (review,) = site.ledger.read("reviews").rows(named=True)
    assert (review["source_id"], review["incident"], review["state"], review["url"]) == (
        "checkout",
        "INC-7",
        "published",
        "reviews/checkout.md",
    )
    assert review["held_at"] == datetime(2026, 5, 20, 12, tzinfo=UTC)
    assert review["root_causes"] == ["connection-pool", "missing-alert"]
    alert, rollback = site.ledger.read("action_items").sort("title").rows(named=True)
    assert (alert["source_id"], alert["review"], alert["incident"]) == ("checkout/Alert on a full pool", "checkout", "INC-7")
    assert rollback["evidence"] == ["https://tickets.example.org/9"]
    assert rollback["created_at"] is None


def test_what_is_done_on_its_last_day_is_done_in_time() -> None:
    _, (item, _) = to_records(WHOLE, "r", "r.md", ZoneInfo("Europe/Berlin"))
    assert item["closed"] == datetime(2026, 5, 30, 22, tzinfo=UTC)
    assert item["due"] == datetime(2026, 5, 31, 21, 59, 59, tzinfo=UTC)


def test_files_that_are_known_are_left_alone_and_edited_ones_read_again(site: Workspace) -> None:
    written(site, checkout=WHOLE, payments=WHOLE.replace("INC-7", "INC-8"))
    sync(site)
    assert [report.skipped for report in sync(site)] == [True]
    written(site, checkout=WHOLE.replace("published\n", "held\n"))
    assert [(report.record, report.read, report.changed, report.unchanged) for report in sync(site)] == [
        ("review", 1, 1, 0),
        ("action_item", 2, 0, 2),
    ]
    assert sorted(site.ledger.read("reviews").select("source_id", "state").rows()) == [("checkout", "held"), ("payments", "published")]


def test_every_line_that_does_not_fit_is_named_with_what_to_write() -> None:
    text = (
        "---\nincident:\nstate: done\nheld: 2026-05-01\naction_items:\n  - title: Alert\n    due: 31.5.\n  - kind: wish\n    title: Alert\n"
        "  - owner: ann\n  - x\n---\n"
    )
    said = complaints(text)
    for line, part in (
        (3, "state: 'done' is none of 'planned', 'draft', 'held' or 'published'"),
        (4, "held: no such name; there are: id, incident, state, held_at"),
        (7, "due: '31.5.' is no day: write 2026-05-31"),
        (8, "kind: 'wish' is none of"),
        (8, "title: 'Alert' stands here twice"),
        (10, "title: every action item needs one"),
        (11, "action_items: write `- title: …`"),
    ):
        assert any(one.startswith(f"{line}: {part}") for one in said), (line, part, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# A heading", "1: there is no front matter"),
        ("", "1: there is no front matter"),
        ("---\nincident: I\n", "1: the front matter does not end"),
        ("---\nincident: I\n  state: held\n---\n", "3: this is not YAML"),
        ("---\n- a\n---\n", "2: write `name: value` lines"),
        ("---\nincident: I\nincident: J\n---\n", "3: incident stands here twice"),
        ("---\nstate: held\n---\n", "1: incident: every review looks back on one"),
        ("---\nincident: I\nheld_at: 1970-01-01\n---\n", "3: held_at: 1970-01-01 is not between"),
        ("---\nincident: [a, b]\n---\n", "2: incident: write one value"),
    ],
)
def test_a_file_that_is_no_review_says_why(text: str, said: str) -> None:
    assert complaints(text)[0].startswith(said)


def test_a_bad_file_waits_in_quarantine_until_it_is_mended_and_stops_no_other(site: Workspace) -> None:
    bad = WHOLE.replace("state: published", "state: done").replace("due: 2026-05-31", "due: soon").replace("    closed: 2026-05-31\n", "")
    written(site, good=WHOLE, bad=bad)
    (site.root / "reviews" / "broken.md").write_bytes(b"---\nincident: I\nstate: \xff\n---\n")
    assert {report.record: (report.new, report.quarantined) for report in sync(site)} == {"review": (1, 3), "action_item": (2, 0)}
    rows = site.ledger.quarantine().sort("error").select("record", "path", "place").rows()
    assert rows == [
        ("review", "reviews/bad.md", "line 12"),
        ("review", "reviews/bad.md", "line 3"),
        ("review", "reviews/broken.md", "line 3"),
    ]
    assert (
        "reviews/bad.md:12: due: 'soon' is no day: write 2026-05-31, or a time 2026-05-31T14:00Z"
        in site.ledger.quarantine()["error"].to_list()
    )
    written(site, bad=bad.replace("state: done", "state: held"))
    sync(site)
    assert site.ledger.quarantine().sort("error")["place"].to_list() == ["line 12", "line 3"]
    written(site, bad=WHOLE, broken=WHOLE)
    sync(site)
    assert site.ledger.quarantine().is_empty()


def test_people_are_pseudonyms_in_record_raw_and_quarantine(site: Workspace) -> None:
    written(site, good=WHOLE, bad=WHOLE.replace("owner: ann", "owner: [ann]"))
    sync(site)
    assert site.ledger.read("action_items").drop_nulls("owner")["owner"].str.starts_with("person-").all()
    kept = [gzip.decompress(items).decode() for _, _, items in site.ledger.raw("reviews")]
    assert len(site.ledger.quarantine()) == 1
    assert not any(re.search(r"\bann\b", text) for text in (*kept, *site.ledger.quarantine()["raw"], *site.ledger.quarantine()["error"]))


# What a stranger may write

BOMB = "---\na: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
) + "---\n"  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "anchors (&) and aliases (*) are not read"),
        ("---\nincident: &i I\nstate: *i\n---\n", "anchors (&) and aliases (*) are not read"),
        ('---\nincident: !!python/object/apply:os.system ["touch hacked"]\n---\n', "tags (!) are not read"),
        ("---\nincident: !<tag:yaml.org,2002:python/name:os.system> x\n---\n", "tags (!) are not read"),
        ("---\nincident: " + "[" * 50_000 + "\n---\n", "this nests too deep"),
        ("---\nincident: " + "x" * 70_000 + "\n---\n", "the front matter is larger than 64 KiB"),
        ("---\nincident: I\x00\n---\n", "this is not YAML"),
        ("---\n<<: {incident: I}\n---\n", "<<: no such name"),
    ],
)
def test_a_hostile_front_matter_is_refused_at_once(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    assert any(said in one for one in complaints(text))
    assert time.process_time() - began < 2
    assert not list(tmp_path.iterdir())


@settings(max_examples=150)
@given(
    st.text(max_size=60).map("---\n{}\n---\n".format)
    | st.text(st.sampled_from("a:-[]{}&*!|>'\"#?,% \n"), max_size=60).map("---\n{}\n---".format)
)
def test_whatever_stands_there_is_read_or_refused(text: str) -> None:
    try:
        found = front_matter(text)
    except Flaw as flaw:
        found, line = {}, flaw.line
    else:
        line = max((said.line for said in found.values()), default=1)
    assert all(isinstance(name, str) for name in found)
    assert 1 <= line <= len(text.splitlines()) + 1


def test_scalars_stay_what_was_written() -> None:
    said = front_matter("---\na: no\nb: 2026-05-31\nc: 0o17\nd: 'null'\ne: ~\n---\n")
    assert {name: one.value for name, one in said.items()} == {"a": "no", "b": "2026-05-31", "c": "0o17", "d": "null", "e": None}


def test_a_large_file_or_one_beyond_the_folder_is_not_read(site: Workspace, tmp_path: Path) -> None:
    written(site, large=WHOLE + "x" * (1 << 20))
    outside = tmp_path / "secret.md"
    outside.write_text("---\nincident: secret\n---\n")
    (site.root / "reviews" / "link.md").symlink_to(outside)
    (site.root / "reviews" / "README.md").write_text("How we do it")
    sync(site)
    assert site.ledger.read("reviews").is_empty()
    assert site.ledger.quarantine()["error"].to_list() == [
        "reviews/large.md:1: the file is larger than 1 MiB: put pictures and logs beside it"
    ]


# The form


@pytest.mark.parametrize("incident", ["INC-7", '=x: "y" # & *\n---', "null"])
def test_the_form_is_a_review_of_that_incident(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reviews", "template", incident]) == 0
    form = capsys.readouterr().out
    if incident == "null":
        assert "incident: 'null' names nothing" in complaints(form)[0]
        return
    review, items = to_records(form, "r", "reviews/r.md", UTC_ZONE)
    assert (review["incident"], review["state"], items) == (incident, "planned", [])
    filled = re.sub(r"^#(?=  )", "", form.replace("action_items: []", "action_items:"), flags=re.MULTILINE).replace(" []", "")
    _, (item,) = to_records(filled, "r", "reviews/r.md", UTC_ZONE)
    assert item["title"] == "Alert on a full connection pool"


def test_a_folder_can_be_loaded_by_hand(site: Workspace) -> None:
    written(site, checkout=WHOLE)
    assert [report.new for report in load_source(site, site.root / "reviews", "reviews")] == [1, 2]
    assert run(["load", str(site.root / "reviews"), "--as", "reviews", "--workspace", str(site.root), "--no-publish"]) == 0
    assert run(["load", str(site.root / "nowhere"), "--as", "reviews", "--workspace", str(site.root), "--no-publish"]) == 3
    assert run(["load", str(site.root / "reviews"), "--as", "reviews", "--map", "m.toml", "--workspace", str(site.root)]) == 2
