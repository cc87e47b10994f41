"""What happens when somebody decides something on a page: one entry, at once; then a publish in the background, and what it moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import polars as pl
import streamlit as st

from toolkit.errors import KnowngoodError, UsageError
from toolkit.review import Case
from toolkit.review.saving import Reviewer
from toolkit.store.journal import Entry, Journal
from toolkit.ui import data, parts
from toolkit.ui.scope import Scope, View
from toolkit.ui.sentences import minutes, rows_behind
from toolkit.untrusted import plain

__all__ = ["decided", "outcome", "who"]

Decision = Callable[[Journal, Case, Reviewer], Entry]
# Seconds in which a publish that was asked for has begun.
PATIENCE = 5
RATE = "Change failure rate in this scope"


@dataclass(frozen=True)
class Before:
    """An incident's numbers as they stood when somebody changed something."""

    incident: str
    version: str
    numbers: dict[str, str]
    since: float


def who() -> None:
    """Ask for the name that stands with what is saved."""
    st.text_input(
        "Your name",
        key="reviewer",
        persist_state="session",
        max_chars=200,
        placeholder="stands with everything you save",
        help="Nobody checks it on this machine: what you save says “unverified”.",
    )


def decided(whole: View, scope: Scope, case: Case, do: Decision, said: str, clear: tuple[str, ...] = ()) -> None:
    """For `on_click`: saves what `do` decides under the name that was given, says so or why not, and lets the facts follow."""
    name = str(st.session_state.get("reviewer") or "").strip()
    try:
        if not name:
            raise UsageError("Say who you are first: your name stands with what you save.")
        before = numbers(whole, scope, case)
        entry = do(data.journal(), case, Reviewer(name))
    except KnowngoodError as error:
        st.session_state["refused"] = error.message
        return
    st.session_state["saved"] = said
    for key in clear:
        st.session_state[key] = ""
    if entry.fact:
        st.session_state["before"] = Before(case.id, whole.version, before, monotonic())
        data.publish_soon()


def outcome(whole: View, scope: Scope, case: Case) -> None:
    """What became of the last decision: saved or not, publishing, and what it moved."""
    if refused := st.session_state.pop("refused", None):
        st.error(plain(refused), title="Not saved")
    if saved := st.session_state.pop("saved", None):
        st.success(saved, title="Saved")
    before: Before | None = st.session_state.get("before")
    if data.unpublished(whole):
        publishing(whole.version, before.since if before else monotonic())
    elif before is not None and before.incident == case.id and before.version != whole.version:
        moved(before.numbers, numbers(whole, scope, case))


def numbers(whole: View, scope: Scope, case: Case) -> dict[str, str]:
    """What a correction may move, in words: of the incident, and of the scope."""
    row = case.found.incident
    spans = {"Detect": "detect", "Decide": "decide", "Act": "act", "From impact to recovery": "whole"}
    told = {name: minutes(None if row[column] is None else row[column] / timedelta(minutes=1)) for name, column in spans.items()}
    cause = "not a deployment" if row["not_a_deployment"] else row["cause_deployment"] or "unknown"
    told |= {"Cause": cause, "Cause is": row["cause_evidence"] or "–", "Remedy": (row["remedy"] or "–").replace("_", " ")}
    verdicts = case.found.playbook.drop_nulls("step")["verdict"]
    asked = verdicts.is_in(["done", "late", "out_of_order", "skipped"]).sum()
    if asked:
        told["Steps as agreed"] = f"{(verdicts == 'done').sum()} of {asked}"
    rate = data.measured(whole, scope, ("change_failure_rate",), scope.period(whole.horizon)).row(0, named=True)
    value = "–" if rate["value"] is None else f"{100 * rate['value']:.2f} %"
    return told | {RATE: f"{value} ({rows_behind(rate)})"}


def moved(before: dict[str, str], after: dict[str, str]) -> None:
    """The numbers before and after, those that changed and the rate whether it changed or not."""
    rows = [(name, was, after.get(name, "–")) for name, was in before.items() if was != after.get(name) or name == RATE]
    st.markdown("##### What your correction moved")
    frame = pl.DataFrame(rows, schema=["What", "Before", "After"], orient="row")
    st.dataframe(parts.legible(frame), hide_index=True, width="content", alt="Numbers before and after the correction")
    if before[RATE] == after[RATE]:
        st.caption("The change failure rate did not move: what counts as failed in this scope is the same.")


def publishing(version: str, since: float) -> None:
    """Say that the facts are being computed anew, and draw the page again when they are there."""

    @st.fragment(run_every=1.0)
    def watch() -> None:
        if data.published_version() != version:
            st.rerun()
        # A publish that has just been asked for has not begun yet.
        why = data.publishing_failed() if monotonic() - since > PATIENCE else None
        if why is None:
            st.info("The numbers on this page are still those from before your correction.", title="Publishing …")
        else:
            st.error(plain(why), title="Your correction is kept, but the facts do not follow it yet")
            st.button("Publish again", on_click=data.publish_soon)

    watch()
