"""Entries of the journal in words: what was corrected, what was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.store.journal import Entry

__all__ = ["FIELDS", "before_of", "corrected", "entry_in_words", "said_value", "waived"]

FIELDS = {
    "started_at": "impact began",
    "detected_at": "noticed",
    "decided_at": "decided",
    "recovered_at": "recovered",
    "cause": "cause",
    "duplicate_of": "duplicate of",
    "failed": "failed",
}
LABELS = {"certain": "yes", "none": "no"}


def corrected(entry: Entry) -> str:
    """Which thing an override is about: `cause`; of a deployment with its name: `failed, shop-7`."""
    body = entry.body
    field = FIELDS.get(body["field"], body["field"])
    return field if body["record"] == "incident" else f"{field}, {body['id']}"


def waived(entry: Entry) -> str:
    """What a waiver takes out, and until when: `the step validation, until 2026-05-01`."""
    kind, colon, step = entry.body["rule"].partition(":")
    until = f", until {entry.body['until']}" if entry.body["until"] else ""
    return f"{f'the step {step}' if colon and kind == 'playbook' else entry.body['rule']}{until}"


def said_value(field: str, value: Any) -> str:
    """What an override says: a time without its microseconds, the id of a record, a word."""
    if isinstance(value, dict):
        return str(value["id"])
    if field == "failed":
        return LABELS.get(value, str(value))
    if field.endswith("_at"):
        return str(value).replace("T", " ").removesuffix("Z").removesuffix(".000000")
    return str(value).replace("_", " ")


def before_of(before: Mapping[tuple[str, str], str | None], entry: Entry) -> str | None:
    """What a correction took the place of, as people read it; None where nothing was there, or where it is not published yet."""
    was = before.get((entry.about, entry.body["field"]))
    return None if was is None else said_value(entry.body["field"], was)


def entry_in_words(entry: Entry) -> str:
    """One line of the history; of notes and reasons the words themselves."""
    body = entry.body
    because = f", because: {entry.why}" if entry.why else ""
    match entry.kind:
        case "override":
            return f"corrected {corrected(entry)} to {said_value(body['field'], body['value'])}{because}"
        case "withdrawal":
            return f"took back what was decided{because}"
        case "waiver":
            return f"waived {waived(entry)}{because}"
        case "note":
            return f"noted: {' '.join(body['text'].split())}"
        case "action_item" if body["item"] is None:
            return f"asked for: {body['title']}"
        case "action_item":
            return f"{'reopened' if body['state'] == 'open' else body['state']}: {body['title']}"
        case "sign_off":
            return f"signed as {body['role'] or 'reviewer'}"
        case "reopening":
            return f"reopened the review{because}"
        case _:
            return entry.kind.replace("_", " ")
