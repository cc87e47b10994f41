"""What may stand in the journal: the kinds of entry, each with the fields that it must have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from toolkit.errors import UsageError
from toolkit.records import Time

__all__ = [
    "KINDS",
    "LONGEST",
    "TIMES",
    "ActionItem",
    "Approval",
    "Body",
    "Note",
    "Override",
    "Proposal",
    "Reopening",
    "SignOff",
    "TestUsed",
    "Waiver",
    "Withdrawal",
    "canonical",
    "checked",
    "named",
    "subject",
]

# Characters of one text, bytes of one body.
LONGEST, LARGEST = 10_000, 100_000
# What a reviewer may say of an incident's times; mitigated_at is another word for recovered_at.
TIMES = ("started_at", "detected_at", "decided_at", "recovered_at")


def _blank(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty: write what is meant")
    return value


Text = Annotated[str, Field(max_length=LONGEST), AfterValidator(_blank)]
Name = Annotated[str, Field(max_length=500), AfterValidator(_blank)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]
_TIME = TypeAdapter(Time)


class Body(BaseModel):
    """What an entry says. `fact`: it changes what is computed; `targets`: the fields that a later one must share to replace it.
    `refers`: fields that name another entry, and of which kind that must be."""

    # NaN stays NaN, so that it is refused: as null it would say "not known".
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, ser_json_inf_nan="constants")
    fact: ClassVar[bool] = False
    targets: ClassVar[tuple[str, ...]] = ()
    refers: ClassVar[Mapping[str, tuple[str, ...]]] = {}


class Ref(BaseModel):
    """Another record, by the key it has in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Name
    id: Name


_REF = TypeAdapter(Ref)


class Override(Body):
    """A field of a record as a reviewer has it; laid over what the source said, which stays.

    Of an incident: a time, `cause` ({source, id} of a deployment, or "not_a_deployment"), `duplicate_of` ({source, id}, or "none").
    Of a deployment: `failed` ("certain" or "none").
    """

    fact = True
    targets = ("field",)
    record: Literal["incident", "deployment"]
    source: Name
    id: Name
    field: Literal["started_at", "detected_at", "decided_at", "recovered_at", "cause", "duplicate_of", "failed"]
    value: Any

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, given: Any) -> Any:
        return {**given, "field": "recovered_at"} if isinstance(given, dict) and given.get("field") == "mitigated_at" else given

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.field == "failed") != (self.record == "deployment"):
            raise ValueError(f"{named(self.record)} has no {self.field} to override")
        object.__setattr__(self, "value", self._meant())
        return self

    def _meant(self) -> Any:
        if self.field in TIMES:
            return _stamp(_TIME.validate_python(self.value))
        if self.field == "failed":
            if self.value not in ("certain", "none"):
                raise ValueError(f"{self.value!r} is no label of a failure: certain or none")
            return self.value
        word = "not_a_deployment" if self.field == "cause" else "none"
        if isinstance(self.value, str):
            if self.value != word:
                raise ValueError(f"{self.value!r} is neither {word} nor a record: write it as source and id")
            return word
        other = _REF.validate_python(self.value)
        if self.field == "duplicate_of" and (other.source, other.id) == (self.source, self.id):
            raise ValueError("an incident is no duplicate of itself")
        return other.model_dump()


class Waiver(Body):
    """A rule that does not hold for what the entry is about, until a day: that is compared with the horizon, not with a clock."""

    fact = True
    targets = ("rule",)
    rule: Name
    until: date | None = None


class Withdrawal(Body):
    """Takes a fact entry away, as if it had not been said; what it had replaced holds again."""

    fact = True
    entry: Name
    refers = {"entry": ("override", "waiver")}


class Note(Body):
    """Something to remember. Markdown, untrusted."""

    text: Text


class ActionItem(Body):
    """What is to be done. `item`: the id of the entry that first asked for it, where this one says it anew; the latest holds."""

    title: Text
    item: Name | None = None
    kind: Literal["prevent", "detect", "mitigate", "process", "automation", "test", "runbook", "monitoring"] | None = None
    owner: Name | None = None
    due: date | None = None
    state: Literal["open", "done", "dropped"] = "open"
    refers = {"item": ("action_item",)}


class SignOff(Body):
    """Somebody stands by what was shown to them. `digest`: of that; `content`: what it was, field by field, so that a later change can
    be named; `head`: the journal's last hash when it was shown."""

    digest: Digest
    content: dict[str, Any] = {}
    head: Digest | None = None
    role: Name | None = None
    statement: Text | None = None


class Reopening(Body):
    """What was signed off may be changed again. `sign_off`: the entry that closed it."""

    sign_off: Name
    refers = {"sign_off": ("sign_off",)}


class Proposal(Body):
    """A change of policy that is asked for: what, and on which evidence."""

    title: Text
    change: dict[str, Any]
    evidence: dict[str, Any] = {}


class Approval(Body):
    """What somebody decided about a proposal. `digest`: of the change they saw."""

    proposal: Name
    decision: Literal["approved", "rejected"]
    digest: Digest | None = None
    refers = {"proposal": ("proposal",)}


class TestUsed(Body):
    """A held-out test that has been looked at: it proves nothing a second time."""

    # Not a test, whatever pytest thinks of its name.
    __test__: ClassVar[bool] = False
    digest: Digest
    purpose: Text


KINDS: dict[str, type[Body]] = {
    "override": Override,
    "waiver": Waiver,
    "withdrawal": Withdrawal,
    "note": Note,
    "action_item": ActionItem,
    "sign_off": SignOff,
    "reopening": Reopening,
    "proposal": Proposal,
    "approval": Approval,
    "test_used": TestUsed,
}


def subject(record: str, source: str, id: str) -> str:
    """What an entry about a record is about: incident:tickets/INC-7."""
    return f"{record}:{source}/{id}"


def named(kind: str) -> str:
    """The kind as people say it: an override, a sign off."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind.replace('_', ' ')}"


def checked(kind: str, about: str, body: Mapping[str, Any] | Body) -> tuple[str, Body]:
    """What the entry is about, and its body, valid. Raises UsageError that names the field and what to write instead."""
    if kind not in KINDS:
        raise UsageError(f"No kind of entry named {kind!r}. There are: {', '.join(KINDS)}.")
    given = body.model_dump() if isinstance(body, Body) else dict(body)
    try:
        read = KINDS[kind].model_validate(given)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc'])) or kind}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors())
        raise UsageError(f"This {kind.replace('_', ' ')} cannot be kept. {said}.") from error
    if isinstance(read, Override):
        own = subject(read.record, read.source, read.id)
        if about and about != own:
            raise UsageError(f"This override is of {own}, not of {about}.")
        about = own
    what, colon, which = about.partition(":")
    if not (what and colon and which.strip()) or len(about) > 1_100:
        raise UsageError(f"{about[:60]!r} does not say what the entry is about: write it like incident:tickets/INC-7.")
    if len(canonical(read.model_dump(mode="json")).encode()) > LARGEST:
        raise UsageError(f"This {kind} is larger than {LARGEST:,} bytes: keep the long part in a file, and its digest here.")
    return about, read


def canonical(value: Any) -> str:
    """JSON that is equal for equal values. Raises UsageError for what JSON or UTF-8 cannot carry."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError) as error:
        raise UsageError(f"That cannot be written down: {error}") from error
    return text


def _stamp(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
