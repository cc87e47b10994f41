"""A change of a criterion: proposed with its evidence, decided by somebody else, written into the policy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.policy import FILE, Policy
from toolkit.errors import UsageError
from toolkit.hindsight import in_words

if TYPE_CHECKING:
    from toolkit.store.journal import Entry
    from toolkit.workspace import Workspace

__all__ = ["Proposal", "approve", "proposals", "propose", "reject", "unwritten"]


@dataclass(frozen=True)
class Proposal:
    """entry: as it stands in the journal. criterion: as it would be in force. state: open, approved or rejected; by, at, why: of that
    decision. digest: of the change, which the one who decides has seen."""

    entry: Entry
    criterion: Criterion
    rule: str
    state: Literal["open", "approved", "rejected"]
    digest: str
    evidence: dict[str, Any]
    decided_by: str | None = None
    decided_at: datetime | None = None


def propose(workspace: Workspace, criterion: Criterion, *, author: str, why: str, evidence: dict[str, Any] | None = None) -> Proposal:
    """Asks for a criterion to replace the one of its name. Raises UsageError where nothing would change, or the policy has no such name."""
    policy = Policy.read(workspace.root)
    if policy is None:
        raise UsageError(f"There is no {FILE}: `knowngood init --policy` begins it with an example.")
    if not why.strip():
        raise UsageError("A proposal needs a reason: say why.")
    change = _said(criterion)
    if any(_said(one) == change for one in policy.criteria if one.name == policy.named(criterion.name).name and one.until is None):
        raise UsageError(f"{criterion.name} is in force like this already: there is nothing to propose.")
    title = f"{criterion.name}: {in_words(criterion)}"[:500]
    entry = workspace.journal.append(
        "proposal", _about(criterion), {"title": title, "change": change, "evidence": evidence or {}}, author=author, why=why
    )
    return _proposal(entry, None)


def proposals(workspace: Workspace) -> list[Proposal]:
    """All of them, the newest first."""
    decided = {entry.body["proposal"]: entry for entry in workspace.journal.entries("approval")}
    return [_proposal(entry, decided.get(entry.id)) for entry in reversed(workspace.journal.entries("proposal"))]


def approve(
    workspace: Workspace, id: str, *, author: str, why: str | None = None, digest: str | None = None, since: date | None = None
) -> Proposal:
    """Decides for a proposal and writes it into the policy. digest: of the change that was seen; if it is another one, nothing happens.

    Raises UsageError where it was decided before, or by the one who proposed it: four eyes.
    """
    found = _open(workspace, id, author, digest)
    policy = Policy.read(workspace.root)
    if policy is None:
        raise UsageError(f"There is no {FILE} any more: nothing was approved.")
    day = since or datetime.now(UTC).date()
    expires = day + timedelta(days=policy.terms.expires_after.days)
    new = policy.adopted(found.criterion, since=day, by=author, why=found.entry.why or found.rule, expires=expires)
    _decide(workspace, found, "approved", author, why)
    # The decision stands first: `unwritten` finds what did not reach the file.
    new.save(workspace.root)
    return next(one for one in proposals(workspace) if one.entry.id == id)


def reject(workspace: Workspace, id: str, *, author: str, why: str | None = None) -> Proposal:
    """Decides against a proposal; its own author may take it back."""
    found = _open(workspace, id, None, None)
    _decide(workspace, found, "rejected", author, why)
    return next(one for one in proposals(workspace) if one.entry.id == id)


def unwritten(workspace: Workspace) -> list[Proposal]:
    """Approved ones of which the policy says nothing: the file was put back, or the moment between decision and file was cut short."""
    policy = Policy.read(workspace.root)
    written = [(one.name, _said(one)) for one in policy.criteria] if policy is not None else []
    return [one for one in proposals(workspace) if one.state == "approved" and (one.criterion.name, _said(one.criterion)) not in written]


def _open(workspace: Workspace, id: str, author: str | None, digest: str | None) -> Proposal:
    found = next((one for one in proposals(workspace) if one.entry.id == id), None)
    if found is None:
        there = ", ".join(one.entry.id for one in proposals(workspace) if one.state == "open") or "none"
        raise UsageError(f"No proposal {id!r}. Open ones: {there}.")
    if found.state != "open":
        raise UsageError(f"{found.decided_by} has {found.state} this proposal already.")
    if author is not None and author.strip().casefold() == found.entry.author.strip().casefold():
        raise UsageError(f"{author} proposed this: somebody else has to approve it.")
    if digest is not None and digest != found.digest:
        raise UsageError("The proposal is not the one that was shown: look at it again.")
    return found


def _decide(workspace: Workspace, found: Proposal, decision: str, author: str, why: str | None) -> None:
    # `seen`: of two who decide at once, one finds that the other has.
    last = max(entry.seq for entry in workspace.journal.entries(about=found.entry.about))
    body = {"proposal": found.entry.id, "decision": decision, "digest": found.digest}
    workspace.journal.append("approval", found.entry.about, body, author=author, why=why, seen=last)


def _proposal(entry: Entry, decision: Entry | None) -> Proposal:
    change = entry.body["change"]
    digest = hashlib.sha256(json.dumps(change, sort_keys=True).encode()).hexdigest()
    criterion = criterion_of(change)
    if decision is None:
        return Proposal(entry, criterion, in_words(criterion), "open", digest, entry.body["evidence"])
    state: Literal["approved", "rejected"] = decision.body["decision"]
    return Proposal(entry, criterion, in_words(criterion), state, digest, entry.body["evidence"], decision.author, decision.at)


def _about(criterion: Criterion) -> str:
    return f"criterion:{criterion.name}"


def _said(criterion: Criterion) -> dict[str, Any]:
    """What it says, without its papers."""
    papers = {"adopted_by", "why", "since", "until", "expires"}
    return {name: value for name, value in criterion.model_dump(mode="json", by_alias=True).items() if name not in papers}
