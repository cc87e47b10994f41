"""One CDEvent: what it must say, what of it is kept, and which record it speaks of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from toolkit.records import RECORDS
from toolkit.store.people import PEOPLE, People

__all__ = ["OURS", "SPECVERSION", "VERSIONS", "Address", "Event", "Refusal", "event_of", "without_people"]

SPECVERSION = "0.5.1"
# What v0.5.1 calls each type, and what of its content must be there for us.
VERSIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "service.deployed": ("0.3.0", ("environment", "artifactId")),
    "service.upgraded": ("0.3.0", ("environment", "artifactId")),
    "service.rolledback": ("0.3.0", ("environment", "artifactId")),
    "service.removed": ("0.3.0", ()),
    "service.published": ("0.3.0", ()),
    "incident.detected": ("0.3.0", ("environment",)),
    "incident.reported": ("0.3.0", ("environment", "ticketURI")),
    "incident.resolved": ("0.3.0", ("environment",)),
    "artifact.packaged": ("0.3.0", ("change",)),
    "artifact.signed": ("0.3.0", ()),
    "artifact.published": ("0.3.0", ()),
    "ticket.created": ("0.2.0", ("summary", "uri")),
    "ticket.updated": ("0.2.0", ("uri",)),
    "ticket.closed": ("0.2.0", ("uri", "resolution")),
    "change.created": ("0.4.0", ()),
    "change.updated": ("0.3.0", ()),
    "change.reviewed": ("0.3.0", ()),
    "change.merged": ("0.3.0", ()),
    "change.abandoned": ("0.3.0", ()),
}
# A custom subject is letters only: knowngood-incidentevent.
OURS = {record.replace("_", ""): record for record in RECORDS}
OUR_VERSION = "0.1.0"
# Where the standard names people.
_PERSONS = {"creator", "assignees", "updatedBy", "user", *PEOPLE}
_RECORD_OF = {"incident": "incident", "artifact": "artifact", "ticket": "action_item", "change": "rollback"}


class Refusal(Exception):
    """Why a line is no event that is read here: the field, the rule, and what to do."""

    def __init__(self, field: str | None, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.rule, self.reason = field, rule, reason


class Address(NamedTuple):
    """The record that an event speaks of. record "": no record of ours holds it."""

    record: str
    source: str
    source_id: str


def _written_out(value: Any) -> Any:
    # pydantic would take a bare number for seconds or milliseconds, by its size.
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", value):
        raise ValueError(f"{str(value)[:80]!r} is not a time: write 2026-03-01T10:00:00Z")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(lambda value: value.astimezone(UTC))]
# How long a name may be is the record's to say: percent signs make a source of 500 letters longer here.
Id = Annotated[str, Field(min_length=1)]


class _Context(BaseModel):
    specversion: str
    id: Id
    source: Id
    type: Id
    timestamp: Time


class _Reference(BaseModel):
    id: Id


class _Content(BaseModel):
    """The parts of any subject's content that a record can hold."""

    model_config = ConfigDict(extra="ignore")

    environment: _Reference | None = None
    service: _Reference | None = None
    artifactId: Id | None = None  # noqa: N815  # the standard's spelling
    description: str | None = None
    ticketURI: Id | None = None  # noqa: N815
    change: _Reference | None = None
    repository: _Reference | None = None
    summary: str | None = None
    ticketType: str | None = None  # noqa: N815
    assignees: list[str] | None = None
    labels: list[str] | None = None
    uri: Id | None = None
    resolution: str | None = None


class _Subject(BaseModel):
    id: Id
    source: Id | None = None
    content: dict[str, Any]


class _Envelope(BaseModel):
    context: _Context
    subject: _Subject
    customData: Any = None  # noqa: N815


@dataclass(frozen=True)
class Event:
    """An event as it is kept: `type` without prefix and version, `content` reduced to what records hold, people as pseudonyms.

    `whole`: it is a custom event of ours, whose content is the whole record. `ours`: we wrote it.
    """

    address: Address
    type: str
    at: datetime
    subject: str
    content: dict[str, Any]
    whole: bool
    ours: bool
    # The event again, as JSON with its keys in order: what is stored, and what tells two events apart.
    text: str
    key: str


def event_of(said: Any, people: People) -> Event:
    """The event in a parsed JSON value. Raises Refusal."""
    if isinstance(said, dict) and "context" not in said and isinstance(said.get("data"), dict):
        # A CloudEvent around it.
        said = said["data"]
    try:
        envelope = _Envelope.model_validate(said)
    except ValidationError as error:
        raise _refusal(error) from None
    context = envelope.context
    if not context.specversion.startswith("0.5."):
        what = f"context.specversion: {context.specversion[:40]!r} is not read; {SPECVERSION} is."
        raise Refusal("context.specversion", "specversion", what)
    kind = _kind_of(context.type)
    whole = kind in RECORDS
    content = _whole(kind, envelope.subject.content) if whole else _known(kind, envelope.subject.content)
    content = without_people(content, people)
    mark = _mark_of(envelope.customData)
    address = _address(kind, envelope, content, mark)
    kept: dict[str, Any] = {
        "context": {
            "specversion": context.specversion,
            "id": context.id,
            "source": context.source,
            "type": context.type,
            "timestamp": context.timestamp.isoformat(),
        },
        "subject": {"id": envelope.subject.id, "content": content},
    }
    if envelope.subject.source is not None:
        kept["subject"]["source"] = envelope.subject.source
    if mark is not None and not whole:
        kept["customData"] = {"knowngood": mark}
    text = json.dumps(kept, sort_keys=True)
    key = f"{context.source} {context.id}"
    return Event(address, kind, context.timestamp, envelope.subject.id, content, whole, whole or mark is not None, text, key)


def _kind_of(name: str) -> str:
    """The type without prefix and version, or the record that a custom event of ours carries."""
    match name.split("."):
        case ["dev", "cdevents", subject, predicate, *version] if f"{subject}.{predicate}" in VERSIONS:
            kind, known = f"{subject}.{predicate}", VERSIONS[f"{subject}.{predicate}"][0]
        case ["dev", "cdeventsx", subject, "recorded", *version] if subject.removeprefix("knowngood-") in OURS:
            kind, known = OURS[subject.removeprefix("knowngood-")], OUR_VERSION
        case _:
            raise Refusal("context.type", "type", f"context.type: no record holds what {name[:80]!r} says.")
    # Below 1.0 the second number breaks.
    if version[:2] != known.split(".")[:2]:
        said = ".".join(version)[:20]
        raise Refusal("context.type", "version", f"context.type: version {said!r} of {kind} is not read; {known} is, as in v{SPECVERSION}.")
    return kind


def _known(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    try:
        known = _Content.model_validate(content).model_dump(exclude_none=True)
    except ValidationError as error:
        raise _refusal(error, "subject.content.") from None
    for name in VERSIONS[kind][1]:
        if name not in known:
            raise Refusal(f"subject.content.{name}", "missing", f"subject.content.{name}: every {kind} needs it, and this one has none.")
    return known


def _whole(record: str, content: dict[str, Any]) -> dict[str, Any]:
    if record == "sample":
        points = content.get("points")
        if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
            raise Refusal("subject.content.points", "missing", "subject.content.points: a list of points is needed, an object each.")
        shared = {name: value for name, value in content.items() if name != "points"}
        return {**_fields(record, shared, ("source",)), "points": [_fields(record, point, ()) for point in points]}
    return _fields(record, content, ("source", "source_id"))


def _fields(record: str, content: dict[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
    """What stands there by the record's own names. Whether it fits is for the record to say, as with every other source."""
    fields = RECORDS[record].model_fields
    names = {"source": "source", **{name: name for name in fields}, **{field.alias: name for name, field in fields.items() if field.alias}}
    for name, value in content.items():
        where = f"subject.content.{name[:80]}"
        if name not in names:
            raise Refusal(where, "unknown", f"{where}: no field of {record} is called so. A later version of Knowngood may know it.")
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, list | dict) for part in parts):
            raise Refusal(where, "nested", f"{where}: a value or a list of values is needed.")
    for name in needed:
        if not content.get(name):
            raise Refusal(f"subject.content.{name}", "missing", f"subject.content.{name}: every recorded {record} needs it.")
    return {names[name]: value for name, value in content.items()}


def _address(kind: str, envelope: _Envelope, content: dict[str, Any], mark: dict[str, str] | None) -> Address:
    context, subject = envelope.context, envelope.subject
    if kind == "sample":
        return Address(kind, context.source, context.id)
    if kind in RECORDS:
        return Address(kind, str(content["source"]), str(content["source_id"]))
    if mark is not None:
        return Address(mark["record"], mark["source"], mark["source_id"])
    if kind in ("service.deployed", "service.upgraded"):
        # The subject is the service, which is deployed many times: only the event tells one deployment from another.
        return Address("deployment", context.source, context.id)
    if kind == "service.rolledback":
        return Address("rollback", context.source, context.id)
    if kind.startswith("service."):
        return Address("", context.source, context.id)
    if kind == "change.merged" and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", subject.id) and not content.get("description"):
        # A change that is a commit has come to the main branch; any other id tells of no commit that could have been deployed.
        return Address("merge", subject.source or context.source, subject.id)
    return Address(_RECORD_OF[kind.split(".")[0]], subject.source or context.source, subject.id)


def _mark_of(custom: Any) -> dict[str, str] | None:
    """The record that a standard event of ours was written for."""
    mark = custom.get("knowngood") if isinstance(custom, dict) else None
    if not isinstance(mark, dict):
        return None
    named = {name: mark[name] for name in ("record", "source", "source_id") if isinstance(mark.get(name), str)}
    return named if len(named) == 3 and named["record"] in RECORDS else None


def without_people(value: Any, people: People) -> Any:
    """A JSON value with pseudonyms wherever the standard, or a record, names people."""
    if isinstance(value, dict):
        return {name: _hidden(item, people) if name in _PERSONS else without_people(item, people) for name, item in value.items()}
    if isinstance(value, list):
        return [without_people(item, people) for item in value]
    return value


def _hidden(value: Any, people: People) -> Any:
    if isinstance(value, list):
        return [_hidden(item, people) for item in value]
    return people.pseudonym(value.strip()) if isinstance(value, str) else without_people(value, people)


def _refusal(error: ValidationError, within: str = "") -> Refusal:
    first = error.errors()[0]
    field = within + ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return Refusal(field, "missing", f"{field}: every event needs it, and this one has none.")
    return Refusal(field or None, first["type"], f"{field or 'event'}: {first['msg'].removeprefix('Value error, ')}.")
