"""Commands around what people decided: journal list, verify, note, override, waive, withdraw; backup and restore."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from toolkit.cli.options import Json, Where, opened
from toolkit.cli.output import print_json, print_table, talk
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.store.journal import Entry
    from toolkit.workspace import Workspace

__all__ = ["backup", "journal", "restore"]

FINDINGS = 1
_SHOWN = 60
journal = App(name="journal", help="What people decided about the records: who, when and why.", help_format="plaintext")

Author = Annotated[
    str | None, Parameter(name="--author", env_var="KNOWNGOOD_AUTHOR", help="Who says so; default: the name you are logged in with.")
]
Why = Annotated[str, Parameter(name="--why", help="The reason.")]
About = Annotated[str | None, Parameter(name="--about", help="Only what is about this: incident:SOURCE/ID, deployment:SOURCE/ID, …")]
Source = Annotated[str | None, Parameter(name="--source", help="Whose record, where several sources have one of this id.")]


@journal.command(name="list")
def listing(
    *,
    kind: Annotated[str | None, Parameter(help="Only entries of this kind.")] = None,
    about: About = None,
    in_force: Annotated[
        bool, Parameter(name="--in-force", negative="", help="Only decisions that hold: not replaced, not withdrawn.")
    ] = False,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """The entries, oldest first."""
    from toolkit.store.entries import KINDS

    if kind is not None and kind not in KINDS:
        raise UsageError(f"No kind of entry named {kind!r}. There are: {', '.join(KINDS)}.")
    book = opened(workspace).journal
    chosen = book.facts() if in_force else book.entries()
    entries = [entry for entry in chosen if kind in (None, entry.kind) and about in (None, entry.about)]
    if as_json:
        print_json([asdict(entry) for entry in entries])
    elif entries:
        print_table(["no", "id", "when", "who", "kind", "about", "what", "why"], map(_row, entries), right=("no",))
    else:
        talk("No entries.")
    return 0


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _row(entry: Entry) -> list[Any]:
    who = entry.author if entry.verified else f"{entry.author} (unverified)"
    return [entry.seq, entry.id, entry.at, who, entry.kind, entry.about, _short(_what(entry)), _short(entry.why or "")]


def _what(entry: Entry) -> str:
    body = entry.body
    if entry.kind == "override":
        value = body["value"]
        return f"{body['field']} = {value['source'] + '/' + value['id'] if isinstance(value, dict) else value}"
    return ", ".join(f"{name} {value}" for name, value in body.items() if value not in (None, "", [], {}))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


@journal.command
def verify(
    *,
    containing: Annotated[
        str | None, Parameter(help="A hash that was noted elsewhere: whether the journal still holds that entry.")
    ] = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Whether any entry was edited, removed, put elsewhere or cut off. Exit code 1 if so."""
    book = opened(workspace).journal
    problems = book.verify(containing=containing)
    number, head = book.head()
    if as_json:
        print_json({"entries": number, "head": head, "problems": [asdict(problem) for problem in problems]})
    for problem in problems:
        talk(f"entry {problem.seq}: {problem.what}" if problem.seq is not None else problem.what)
    if not problems:
        talk(f"As it was written: {_entries(number)}. The last one's hash: {head}")
    return FINDINGS if problems else 0


@journal.command
def note(
    about: Annotated[str, Parameter(help="What it is about: incident:SOURCE/ID, deployment:SOURCE/ID, …")],
    text: Annotated[str, Parameter(help="Markdown.")],
    *,
    author: Author = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Add a note."""
    return _save(opened(workspace), "note", about, {"text": text}, author=author, why=None, as_json=as_json)


@journal.command
def override(
    record: Annotated[Literal["incident", "deployment"], Parameter(help="Which kind of record.")],
    id: Annotated[str, Parameter(help="Its id.")],
    field: Annotated[
        Literal["started_at", "detected_at", "decided_at", "mitigated_at", "recovered_at", "cause", "duplicate_of", "failed"],
        Parameter(help="Of an incident a time, cause or duplicate_of; of a deployment failed."),
    ],
    value: Annotated[
        str,
        Parameter(
            help="A time with its zone; a deployment's id or not_a_deployment; an incident's id or none; certain or none. "
            "Another source's record: SOURCE/ID."
        ),
    ],
    *,
    why: Why,
    source: Source = None,
    author: Author = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Decide what a record should have said. The record stays; the facts follow, and say that it was overridden."""
    place = opened(workspace)
    own, own_id = _key(place, record, id, source)
    meant: Any = value
    if field in ("cause", "duplicate_of") and value not in ("not_a_deployment", "none"):
        other, other_id = _key(place, "deployment" if field == "cause" else "incident", value, None, near=own)
        meant = {"source": other, "id": other_id}
    body = {"record": record, "source": own, "id": own_id, "field": field, "value": meant}
    return _save(place, "override", "", body, author=author, why=why, as_json=as_json)


@journal.command
def waive(
    incident: Annotated[str, Parameter(help="Its id; `knowngood facts incidents` lists them.")],
    step: Annotated[str, Parameter(help="A step of its playbook; `knowngood playbook` lists them.")],
    *,
    why: Why,
    until: Annotated[date | None, Parameter(help="The last day on which it holds, as the data go on; default: for good.")] = None,
    author: Author = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Take a step of its playbook out of one incident: it is neither followed nor skipped there, and the reason stands instead."""
    from toolkit.review import case_of
    from toolkit.review.saving import waiver

    place = opened(workspace)
    about, body = waiver(case_of(place.facts, place.meta, place.journal.entries(), incident), step, until)
    return _save(place, "waiver", about, body, author=author, why=why, as_json=as_json)


@journal.command
def withdraw(
    entry: Annotated[str, Parameter(help="Its id, as `knowngood journal list` shows it.")],
    *,
    why: Why,
    author: Author = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Take an override or a waiver away; what it had replaced holds again."""
    place = opened(workspace)
    return _save(place, "withdrawal", place.journal.entry(entry).about, {"entry": entry}, author=author, why=why, as_json=as_json)


def _save(place: Workspace, kind: str, about: str, body: dict[str, Any], *, author: str | None, why: str | None, as_json: bool) -> int:
    from toolkit.publishing import save

    saved = save(place, kind, about, body, author=author or _login(), why=why)
    if as_json:
        print_json(asdict(saved.entry))
    talk(f"{saved.word} Entry {saved.entry.seq}: {saved.entry.id}.")
    return 0


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise UsageError("Nobody is logged in by name: say who you are with --author.") from None


def _key(place: Workspace, record: str, id: str, source: str | None, near: str | None = None) -> tuple[str, str]:
    """Source and id of a record in the ledger, by its id, or as SOURCE/ID; of several, that of the source `near`."""
    import polars as pl

    from toolkit.records import RECORDS

    rows = place.ledger.read(RECORDS[record].table, ["source", "source_id"])
    whole = pl.format("{}/{}", "source", "source_id") == id
    found = rows.filter(((pl.col("source_id") == id) & (pl.col("source") == source if source else pl.lit(value=True))) | whole)
    keys = sorted(set(found.rows()))
    if near is not None and len(keys) > 1:
        keys = [key for key in keys if key[0] == near] or keys
    if not keys:
        raise UsageError(
            f"There is no {record} {id!r}{f' of {source}' if source else ''} in the ledger. `knowngood facts {record}s` lists them."
        )
    if len(keys) > 1:
        raise UsageError(f"{id!r} is a {record} of several sources: {', '.join(key[0] for key in keys)}. Write SOURCE/ID.")
    return keys[0]


def backup(
    file: Annotated[Path | None, Parameter(help="Where to; default: knowngood-backup-TIME.zip here.")] = None,
    *,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Copy what people wrote (journal, knowngood.toml, policy/) into one file. It may be done while others work."""
    from toolkit.backup import backup as write

    path = file or Path(f"knowngood-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip")
    entries = write(opened(workspace), path)
    if as_json:
        print_json({"file": path, "entries": entries})
    talk(f"{_entries(entries)}, settings and policy are in {path}.")
    return 0


def restore(
    file: Annotated[Path, Parameter(help="What `knowngood backup` wrote.")],
    *,
    force: Annotated[bool, Parameter(negative="", help="Also replace what is newer or differs; a copy of it is kept.")] = False,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Bring a backup back, here or in the workspace named. Exit code 1 where something of yours was left as it is."""
    from toolkit.backup import restore as bring_back
    from toolkit.workspace import Workspace

    try:
        root = Workspace.find(workspace).root
    except UsageError:
        # A fresh machine: the backup makes the workspace.
        root = (workspace or Path()).resolve()
    done = bring_back(root, file, force=force)
    if as_json:
        print_json(asdict(done))
    talk(f"The journal in {root} holds {_entries(done.entries)}. `knowngood publish` computes the facts with them.")
    if done.aside:
        talk(f"What was replaced lies in {done.aside}.")
    for name in done.kept:
        talk(f"{name} differs from the backup's and was left as it is; --force takes the backup's.")
    return FINDINGS if done.kept else 0
