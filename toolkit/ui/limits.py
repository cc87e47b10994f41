"""What the Thresholds page looks at: the criteria in force, what they have seen, and settings held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import streamlit as st

from toolkit.criteria import Criterion
from toolkit.criteria.policy import Policy
from toolkit.errors import KnowngoodError
from toolkit.hindsight import Replay, in_words, judged
from toolkit.labels import labels_of
from toolkit.passage import Passages
from toolkit.proposals import Proposal, approve, proposals, propose, reject
from toolkit.recalibration.units import Unit, recalibrate
from toolkit.thresholds import curve, limits_around, scoped
from toolkit.ui import data
from toolkit.ui.scope import View

__all__ = ["Seen", "asked", "curves", "decide", "in_force", "known_units", "policy", "propose_this", "replayed", "seen", "units"]


@dataclass(frozen=True)
class Seen:
    """A criterion in force, the labels of the deployments it concerns, and its profiles. numbers: those that were replayed."""

    criterion: Criterion
    labels: pl.DataFrame
    passages: Passages
    numbers: tuple[int, ...]
    step: float

    @property
    def own(self) -> int:
        """The number in force."""
        return self.criterion.n(self.step)


def policy() -> Policy | None:
    """The policy as it is written now."""
    return Policy.read(data.workspace().root)


def in_force(whole: View, current: Policy) -> list[Criterion]:
    """Criteria in force where the data end."""
    return list(current.in_force(whole.horizon.date()))


@st.cache_resource(max_entries=8, show_spinner="Reading profiles")
def seen(version: str, name: str, policy_text: str, scope: tuple[str | None, str | None]) -> Seen:  # noqa: ARG001  # what the cache is keyed by
    """A criterion's profiles and labels; keyed by the warehouse, the policy and whom it is for."""
    place = data.workspace()
    current = Policy(policy_text)
    service, service_class = scope
    criterion = next(
        one
        for one in current.criteria
        if one.name == name and one.until is None and (one.service, one.service_class) == (service, service_class)
    )
    concerned = scoped(place.facts, labels_of(place, watch=current.terms.horizon), criterion)
    passages = concerned.passages
    steps = passages.watched["step"].drop_nulls()
    step = steps.mode().sort()[0].total_seconds() if len(steps) else 60.0
    numbers = tuple(sorted(passages.profiles["n"].unique().to_list())) or (criterion.n(step),)
    return Seen(criterion, concerned.labels, passages, numbers, step)


def replayed(found: Seen, current: Policy, limit: float, n: int) -> Replay:
    """What a setting would have done."""
    setting = found.criterion.at(limit=limit, n=n, step=found.step)
    return Replay(setting, judged(found.labels, found.passages, setting, n=n), found.passages.problems, current.terms, n)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs={Seen: lambda one: (id(one.passages.profiles), one.criterion.name)})
def curves(found: Seen, n: int) -> tuple[pl.DataFrame, Sequence[float]]:
    """Per limit what is caught and what is stopped, and the limits."""
    limits = limits_around(found.passages, found.criterion, n)
    return curve(found.labels, found.passages, found.criterion, n, limits), limits


@st.cache_resource(max_entries=8, show_spinner="Asking the past")
def units(version: str, name: str, policy_text: str) -> list[Unit]:  # noqa: ARG001  # what the cache is keyed by
    """The recalibration of a criterion; a look at the test, which the journal notes."""
    return recalibrate(data.workspace(), name, author=str(st.session_state.get("reviewer") or "the app"))


def known_units(key: tuple[str, str, str]) -> list[Unit] | None:
    """The recalibration, once somebody has asked for it in this session."""
    return units(*key) if st.session_state.get("asked") == key else None


def asked(key: tuple[str, str, str]) -> None:
    """For `on_click`: ask the past."""
    st.session_state["asked"] = key


def propose_this(found: Seen, limit: float, n: int, evidence: dict[str, object]) -> None:
    """For `on_click`: propose a setting, under the name and with the reason that were given."""
    name, why = (str(st.session_state.get(key) or "").strip() for key in ("reviewer", "proposal_why"))
    try:
        made = propose(
            data.workspace(), found.criterion.at(limit=limit, n=n, step=found.step), author=name, why=why, evidence=dict(evidence)
        )
    except KnowngoodError as error:
        st.session_state["refused"] = error.message
        return
    st.session_state["saved"] = f"Proposed: {in_words(made.criterion)}. Somebody else decides."
    st.session_state["proposal_why"] = ""


def decide(proposal: Proposal, verdict: str) -> None:
    """For `on_click`: approve or reject, under the name that was given."""
    name = str(st.session_state.get("reviewer") or "").strip()
    try:
        if verdict == "approved":
            approve(data.workspace(), proposal.entry.id, author=name, digest=proposal.digest)
        else:
            reject(data.workspace(), proposal.entry.id, author=name)
    except KnowngoodError as error:
        st.session_state["refused"] = error.message
        return
    st.session_state["saved"] = f"{verdict.capitalize()}: {proposal.rule}."


def open_proposals(name: str) -> list[Proposal]:
    """Proposals for a criterion, the newest first."""
    return [one for one in proposals(data.workspace()) if one.criterion.name == name]
