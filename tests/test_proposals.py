"""A limit moves when one person proposes it and another approves; the policy file says who, why and until when."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from toolkit.criteria import Criterion
from toolkit.criteria.policy import Policy
from toolkit.errors import UsageError
from toolkit.proposals import approve, proposals, propose, reject, unwritten
from toolkit.workspace import Workspace

POLICY = """\
# What we stop for.
[[criterion]]
name = "errors"       # the old one
kind = "threshold"
series = "errors"
limit = 0.05
since = 2026-01-01
"""
DAY = date(2026, 6, 1)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    workspace = Workspace.init(tmp_path / "here")
    Policy(POLICY).save(workspace.root)
    return workspace


def reread(place: Workspace) -> Policy:
    policy = Workspace(place.root).policy
    assert policy is not None
    return policy


def tighter(place: Workspace, limit: float = 0.03) -> Criterion:
    return reread(place).named("errors").at(limit=limit)


def test_an_approved_proposal_is_in_the_policy_with_comments_kept(place: Workspace) -> None:
    asked = propose(place, tighter(place), author="ada", why="Two bad releases slipped through.", evidence={"caught": 7})
    assert asked.state == "open"
    assert reread(place).named("errors", DAY).setting() == 0.05, "nothing changes by asking"
    done = approve(place, asked.entry.id, author="grace", digest=asked.digest, since=DAY)
    assert (done.state, done.decided_by) == ("approved", "grace")
    policy = reread(place)
    new = policy.named("errors", DAY)
    assert (new.setting(), new.adopted_by, new.since, new.expires) == (0.03, "grace", DAY, date(2026, 8, 30))
    assert new.why == "Two bad releases slipped through."
    assert policy.named("errors", date(2026, 5, 31)).setting() == 0.05, "until then the old one was in force"
    assert policy.text.startswith("# What we stop for.\n")
    assert "# the old one" in policy.text
    assert unwritten(place) == []


def test_nobody_approves_what_they_proposed(place: Workspace) -> None:
    asked = propose(place, tighter(place), author="ada", why="x")
    for name in ("ada", " Ada "):
        with pytest.raises(UsageError, match="somebody else"):
            approve(place, asked.entry.id, author=name)
    assert proposals(place)[0].state == "open"


def test_a_proposal_is_decided_once(place: Workspace) -> None:
    asked = propose(place, tighter(place), author="ada", why="x")
    reject(place, asked.entry.id, author="grace", why="too tight")
    with pytest.raises(UsageError, match="grace has rejected"):
        approve(place, asked.entry.id, author="edsger")
    assert reread(place).named("errors").setting() == 0.05


def test_what_was_shown_is_what_is_approved(place: Workspace) -> None:
    asked = propose(place, tighter(place), author="ada", why="x")
    with pytest.raises(UsageError, match="look at it again"):
        approve(place, asked.entry.id, author="grace", digest="0" * 64)


def test_what_is_in_force_already_and_what_gives_no_reason_is_no_proposal(place: Workspace) -> None:
    with pytest.raises(UsageError, match="already"):
        propose(place, tighter(place, 0.05), author="ada", why="x")
    with pytest.raises(UsageError, match="why"):
        propose(place, tighter(place), author="ada", why=" ")


def test_an_approval_that_did_not_reach_the_file_is_found(place: Workspace) -> None:
    asked = propose(place, tighter(place), author="ada", why="x")
    approve(place, asked.entry.id, author="grace", since=DAY)
    Policy(POLICY).save(place.root)
    assert [one.entry.id for one in unwritten(Workspace(place.root))] == [asked.entry.id]
