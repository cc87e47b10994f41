"""Add to what people said about an incident: each of these is one entry of the journal, refused where the review is closed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from toolkit.errors import UsageError
from toolkit.review.case import Case
from toolkit.review.said import Item, about, person, said_of
from toolkit.store.entries import subject
from toolkit.store.journal import Entry, Journal

__all__ = ["Reviewer", "ask", "correct", "label", "note", "reopen", "settle", "sign", "waive", "waiver", "withdraw"]

Field = Literal["started_at", "detected_at", "decided_at", "recovered_at", "cause", "duplicate_of"]


@dataclass(frozen=True)
class Reviewer:
    """Who says something; verified: whether a sign-in vouches for the name."""

    name: str
    verified: bool = False


def correct(journal: Journal, case: Case, field: Field, value: Any, *, by: Reviewer, why: str) -> Entry:
    """Override a time (a datetime), the cause or the duplicate (source and id of the record, or None: no deployment, no duplicate)."""
    row = case.found.incident
    if isinstance(value, datetime):
        said: Any = value.isoformat()
    elif value is None:
        said = "not_a_deployment" if field == "cause" else "none"
    else:
        said = {"source": value[0], "id": value[1]}
    body = {"record": "incident", "source": row["source"], "id": row["source_id"], "field": field, "value": said}
    return _add(journal, case, "override", subject("incident", row["source"], row["source_id"]), body, by, why)


def label(journal: Journal, case: Case, deployment: tuple[str, str], *, failed: bool, by: Reviewer, why: str) -> Entry:
    """Override whether a deployment (source and id) failed."""
    source, id = deployment
    body = {"record": "deployment", "source": source, "id": id, "field": "failed", "value": "certain" if failed else "none"}
    return _add(journal, case, "override", subject("deployment", source, id), body, by, why)


def waiver(case: Case, step: str, until: date | None = None) -> tuple[str, dict[str, Any]]:
    """What a waiver of a step is about, and what it says. until: the last day on which it holds, compared with the end of the data.

    Raises UsageError for an incident that is laid against no playbook, for a step that its playbook has not, naming those it has, and
    for a day that is over already."""
    asked = case.found.playbook.drop_nulls("step")
    if asked.is_empty():
        raise UsageError(f"{case.id[:100]} is laid against no playbook: it has no timeline, or there is none for its remedy.")
    if step not in asked["step"]:
        raise UsageError(f"The playbook {asked['playbook'][0]} has no step {step[:100]!r}. There are: {', '.join(asked['step'])}.")
    reached = case.found.horizon.date()
    if until is not None and until < reached:
        raise UsageError(f"The data reach to {reached}: a waiver until {until} takes nothing out. Name a later day, or none.")
    return about(case.found.incident), {"rule": f"playbook:{step}", "until": until}


def waive(journal: Journal, case: Case, step: str, *, by: Reviewer, why: str, until: date | None = None) -> Entry:
    """Take a step of its playbook out of this incident."""
    return _add(journal, case, "waiver", *waiver(case, step, until), by, why)


def withdraw(journal: Journal, case: Case, entry: Entry, *, by: Reviewer, why: str) -> Entry:
    """Take an override or a waiver away, as if it had not been said."""
    return _add(journal, case, "withdrawal", entry.about, {"entry": entry.id}, by, why)


def note(journal: Journal, case: Case, text: str, *, by: Reviewer) -> Entry:
    """Something to remember, in Markdown."""
    return _add(journal, case, "note", about(case.found.incident), {"text": text}, by, None)


def ask(
    journal: Journal,
    case: Case,
    title: str,
    *,
    by: Reviewer,
    kind: str | None = None,
    owner: str | None = None,
    due: date | None = None,
) -> Entry:
    """A new action item."""
    body = {"title": title, "kind": kind, "owner": owner or None, "due": due}
    return _add(journal, case, "action_item", about(case.found.incident), body, by, None)


def settle(journal: Journal, case: Case, item: Item, state: Literal["open", "done", "dropped"], *, by: Reviewer) -> Entry:
    """Say that an action item is done, dropped or open again. It may be after the sign-off: that is when most are done."""
    body = {"title": item.title, "item": item.id, "kind": item.kind, "owner": item.owner, "due": item.due, "state": state}
    return journal.append("action_item", about(case.found.incident), body, author=by.name, verified=by.verified)


def sign(journal: Journal, case: Case, *, by: Reviewer, statement: str | None = None) -> Entry:
    """Stand by what the case shows. Two people must: the first prepared it, the second checked it and corrected nothing in it.

    Raises UsageError where the incident is not over, for a second signature by the same person or by one who corrected something, and
    where somebody added to the review meanwhile."""
    said = case.said
    if said.closed and not case.changed:
        raise UsageError("This review is signed off already.")
    if said.closed:
        raise UsageError("This review was signed off, and changed since: reopen it first, with the reason.")
    if case.found.incident["open"]:
        raise UsageError("This incident is not over: what is signed now would be something else tomorrow.")
    second = len(said.signatures) == 1 and said.signatures[0].body["digest"] == case.digest
    if second and person(by.name) == person(said.signatures[0].author):
        raise UsageError("You signed this already: the second signature is somebody else's.")
    if second and person(by.name) in said.correctors:
        raise UsageError("You corrected something here: the second signature is for somebody who did not.")
    body = {
        "digest": case.digest,
        "content": case.content,
        "head": journal.head()[1],
        "role": "checked" if second else "prepared",
        "statement": statement or None,
    }

    def unchanged(entries: list[Entry]) -> None:
        if said_of(entries, case.found.subjects).last != said.last:
            raise UsageError("Somebody has added to this review meanwhile: look at it again, then sign.")

    return journal.append("sign_off", about(case.found.incident), body, author=by.name, verified=by.verified, allowed=unchanged)


def reopen(journal: Journal, case: Case, *, by: Reviewer, why: str) -> Entry:
    """Let a review that was signed off be changed again."""
    said = said_of(journal.entries(), case.found.subjects)
    if not said.closed:
        raise UsageError("This review is not signed off: there is nothing to reopen.")
    if not why.strip():
        raise UsageError("Say why it is reopened.")
    body = {"sign_off": said.signatures[-1].id}
    return journal.append("reopening", about(case.found.incident), body, author=by.name, why=why, verified=by.verified)


def _add(journal: Journal, case: Case, kind: str, of: str, body: dict[str, Any], by: Reviewer, why: str | None) -> Entry:
    def still_open(entries: list[Entry]) -> None:
        if said_of(entries, case.found.subjects).closed:
            raise UsageError("This review is signed off: reopen it first, with the reason.")

    # Asked when nobody else can add an entry any more: between a look and a save, somebody may sign.
    return journal.append(kind, of, body, author=by.name, why=why, verified=by.verified, allowed=still_open)
