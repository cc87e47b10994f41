"""Events into records: all that is known of one thing, in the order of its times, whatever order it came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from ingest.cdevents.envelope import Address, Event

__all__ = ["artifact_of", "records_of"]

Fields = dict[str, Any]
_INSTANT = timedelta(microseconds=1)
_KINDS = ("prevent", "detect", "mitigate", "process", "automation", "test", "runbook", "monitoring")


def records_of(address: Address, events: Iterable[Event]) -> list[Fields]:
    """The record that these events of one address make, as in records.py; none where they do not make one (yet).

    The same event twice counts once. A custom event of ours carries the whole record: what others say later revises it, what we
    wrote beside it says the same again.
    """
    once = sorted({event.text: event for event in events}.values(), key=lambda event: (event.at, event.type, event.text))
    if address.record == "sample":
        return [row for event in once for row in _samples(event.content)]
    apply = _APPLY | _OF_COMMITS if address.record == "merge" else _APPLY
    latest = next((event for event in reversed(once) if event.whole), None)
    fields: Fields = {}
    if latest is not None:
        fields = {**latest.content, "pending": False}
        once = [event for event in once if event.at > latest.at and not event.ours]
    for number, event in enumerate(once):
        apply.get(event.type, _nothing)(fields, event)
        # A microsecond for each: of two versions the one that knows more events must be the later one, though none is the latest.
        fields["revised_at"] = event.at + number * _INSTANT
    if not fields or fields.pop("pending", False) or not address.record:
        return []
    return [{**fields, "source": address.source, "source_id": address.source_id}]


def artifact_of(purl: str) -> Fields:
    """purl, digest and version of an artifact by its package URL; a plain name is a version."""
    match = re.fullmatch(r"(pkg:[^?#@]+)(?:@([^?#]*))?(?:\?([^#]*))?(?:#.*)?", purl)
    if match is None:
        return {"digest": purl} if _is_digest(purl) else {"version": purl}
    version = unquote(match[2] or "")
    more = parse_qs(match[3] or "")
    digest = more.get("checksum", [None])[0] or (version if _is_digest(version) else None)
    tag = more.get("tag", [None])[0] or (version if version and not _is_digest(version) else None)
    return {"purl": purl, "name": unquote(match[1].rsplit("/", 1)[-1]), "digest": digest, "version": tag}


def _is_digest(text: str) -> bool:
    return re.fullmatch(r"sha\d+:[0-9a-f]{32,}", text) is not None


def _nothing(_fields: Fields, _event: Event) -> None:
    """It is known, and no record holds it."""


def _deployed(fields: Fields, event: Event) -> None:
    artifact = artifact_of(event.content["artifactId"])
    fields |= {
        "service": event.subject,
        "environment": event.content["environment"]["id"],
        "status": "succeeded",
        "finished_at": event.at,
        "artifact_purl": artifact.get("purl"),
        "artifact_digest": artifact.get("digest"),
        "version": artifact.get("version"),
    }


def _rolledback(fields: Fields, event: Event) -> None:
    artifact = artifact_of(event.content["artifactId"])
    fields |= {
        "service": event.subject,
        "environment": event.content["environment"]["id"],
        "completed_at": event.at,
        "to_digest": artifact.get("digest"),
        "to_version": artifact.get("version"),
    }


def _incident(fields: Fields, event: Event) -> None:
    content = event.content
    fields["environment"] = content["environment"]["id"]
    named = [content["service"]["id"]] if "service" in content else []
    fields["services"] = list(dict.fromkeys([*fields.get("services", []), *named]))
    shown = [content[name] for name in ("ticketURI", "artifactId") if name in content]
    fields["evidence"] = list(dict.fromkeys([*(fields.get("evidence") or []), *shown]))


def _detected(fields: Fields, event: Event) -> None:
    _incident(fields, event)
    fields["detected_at"] = fields.get("detected_at") or event.at
    fields["title"] = event.content.get("description") or fields.get("title")
    # Detected after it was resolved: it goes on.
    fields["status"], fields["resolved_at"] = "open", None


def _resolved(fields: Fields, event: Event) -> None:
    _incident(fields, event)
    # Its description says how it ended, which is a title only for want of a better one.
    fields["title"] = fields.get("title") or event.content.get("description")
    fields["status"], fields["resolved_at"] = "resolved", event.at


def _artifact(fields: Fields, event: Event) -> None:
    artifact = artifact_of(event.subject)
    fields |= {"service": artifact.get("name"), "version": artifact.get("version"), "artifact_digest": artifact.get("digest")}


def _packaged(fields: Fields, event: Event) -> None:
    _artifact(fields, event)
    fields["built_at"] = fields.get("built_at") or event.at
    change = event.content["change"]["id"]
    # A change may be a pull request; only a commit says what it was built from.
    if re.fullmatch(r"[0-9a-f]{7,64}", change):
        fields["vcs_revision"] = change


def _signed(fields: Fields, event: Event) -> None:
    _artifact(fields, event)
    fields["signed_at"] = fields.get("signed_at") or event.at


def _ticket(fields: Fields, event: Event) -> None:
    content = event.content
    # An incident is read from incident.*, which says where it is; a ticket that never says what it is may be one.
    if content.get("ticketType", "incident") != "incident":
        fields["pending"] = False
    fields.setdefault("pending", True)
    labels = content.get("labels", [])
    kind = next((name for name in [content.get("ticketType"), *labels] if name in _KINDS), None)
    incident = next((label.removeprefix("incident:") for label in labels if label.startswith("incident:")), None)
    found = {
        "title": content.get("summary"),
        "owner": next(iter(content.get("assignees", [])), None),
        "kind": kind,
        "incident": incident,
        "evidence": [content["uri"]],
    }
    fields |= {name: value for name, value in found.items() if value is not None}


def _ticket_created(fields: Fields, event: Event) -> None:
    _ticket(fields, event)
    fields["created_at"] = fields.get("created_at") or event.at


def _ticket_closed(fields: Fields, event: Event) -> None:
    _ticket(fields, event)
    fields["closed_at"] = event.at


def _change(fields: Fields, event: Event) -> None:
    """A change that says it reverts is a rollback at code level; of others no record speaks."""
    said = event.content.get("description", "")
    # Reverting a revert brings back what was reverted.
    if said.startswith('Revert "') and not said.startswith('Revert "Revert "'):
        fields |= {"pending": False, "mechanism": "revert_commit", "reason": said[:10_000]}
    fields.setdefault("pending", True)
    if "repository" in event.content:
        fields["service"] = event.content["repository"]["id"]


def _change_created(fields: Fields, event: Event) -> None:
    _change(fields, event)
    fields["started_at"] = fields.get("started_at") or event.at


def _merged(fields: Fields, event: Event) -> None:
    _change(fields, event)
    fields["completed_at"] = event.at


def _abandoned(fields: Fields, event: Event) -> None:
    _change(fields, event)
    fields |= {"completed_at": event.at, "outcome": "cancelled"}


def _landed(fields: Fields, event: Event) -> None:
    """A commit that was merged, the first time that anybody says so. A repository is no service."""
    fields |= {"vcs_revision": event.subject, "merged_at": fields.get("merged_at") or event.at}


def _samples(content: Fields) -> list[Fields]:
    shared = {name: value for name, value in content.items() if name != "points"}
    return [{**shared, **point} for point in content["points"]]


_APPLY: dict[str, Callable[[Fields, Event], None]] = {
    "service.deployed": _deployed,
    "service.upgraded": _deployed,
    "service.rolledback": _rolledback,
    "incident.detected": _detected,
    "incident.reported": _detected,
    "incident.resolved": _resolved,
    "artifact.packaged": _packaged,
    "artifact.signed": _signed,
    "artifact.published": _artifact,
    "ticket.created": _ticket_created,
    "ticket.updated": _ticket,
    "ticket.closed": _ticket_closed,
    "change.created": _change_created,
    "change.updated": _change,
    "change.reviewed": _change,
    "change.merged": _merged,
    "change.abandoned": _abandoned,
}
# A change whose id is a commit.
_OF_COMMITS: dict[str, Callable[[Fields, Event], None]] = {"change.merged": _landed}
