"""What people say about an incident, a tab each: its cause, what if, corrections, action items, notes, signatures, history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Literal, get_args

import polars as pl
import streamlit as st

from toolkit.errors import UsageError
from toolkit.records import ActionItem
from toolkit.review import Case, Item, saving
from toolkit.review.by_the_book import by_the_book
from toolkit.review.saving import Reviewer
from toolkit.review.wording import FIELDS, before_of, corrected, entry_in_words, said_value, waived
from toolkit.store.entries import TIMES
from toolkit.store.journal import Entry, Journal
from toolkit.ui import data, parts
from toolkit.ui.deciding import Decision, decided
from toolkit.ui.other_limits import what_if
from toolkit.ui.scope import Scope, View
from toolkit.untrusted import noted, plain, shortened, visible

__all__ = ["TABS", "Desk"]

NONE, NO_DEPLOYMENT = "none", "No deployment"
KINDS = [kind for part in get_args(ActionItem.model_fields["kind"].annotation) for kind in get_args(part)]

Settled = Literal["open", "done", "dropped"]
OPEN: dict[str, Settled] = {"Done": "done", "Dropped": "dropped"}
SETTLED: dict[str, Settled] = {"Reopen": "open"}


@dataclass(frozen=True)
class Desk:
    """What a tab works on: the incident, and the scope in which its numbers are shown."""

    whole: View
    scope: Scope
    case: Case

    def key(self, name: str) -> str:
        """A widget's key, of this incident: what is half written stays with it."""
        return f"{name}_{self.case.id}"

    def given(self, name: str) -> Any:
        """What stands in the widget at this moment."""
        return st.session_state.get(self.key(name))

    def saves(self, label: str, do: Decision, said: str, *, name: str, clear: tuple[str, ...] = ()) -> None:
        """A button that saves."""
        st.button(
            label,
            key=self.key(name),
            on_click=decided,
            args=(self.whole, self.scope, self.case, do, said, tuple(self.key(field) for field in clear)),
        )

    def why(self, name: str) -> None:
        st.text_input("Why", key=self.key(name), max_chars=2_000, placeholder="What shows it")


def cause(desk: Desk) -> None:
    found = desk.case.found.candidates
    st.markdown(f"**{plain(_cause(desk.case))}**")
    if len(found):
        candidates(found)
    else:
        st.caption("No deployment of these services had begun and was near enough.")
    if desk.case.said.closed:
        return
    ids = {row["id"]: (row["source"], row["source_id"]) for row in found.to_dicts()}
    st.selectbox("The cause was", [NO_DEPLOYMENT, *ids], key=desk.key("cause"), format_func=_short, index=None, placeholder="Correct it")
    desk.why("cause_why")

    def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
        chosen = desk.given("cause")
        value = None if chosen == NO_DEPLOYMENT else ids.get(chosen, (case.found.incident["source"], chosen))
        return saving.correct(journal, case, "cause", _needed(chosen, value), by=by, why=desk.given("cause_why") or "")

    desk.saves("Correct the cause", save, "The cause is corrected.", name="cause_save", clear=("cause_why",))


def candidates(found: pl.DataFrame) -> None:
    rows = found.select(
        pl.when("counted").then(pl.lit("■ counts")).otherwise(pl.lit("")).alias("counts"),
        "id", "version", "service", pl.col("distance").dt.total_seconds() / 60, pl.col("evidence").list.join("; "), "why",
    )  # fmt: skip
    st.dataframe(
        parts.legible(rows),
        hide_index=True,
        placeholder="–",
        alt="Candidate causes with their distance and evidence; the one that counts first",
        column_config={
            "counts": "",
            "id": "Deployment",
            "version": "Version",
            "service": "Service",
            "distance": st.column_config.NumberColumn("Before it, min", format="%.0f"),
            "evidence": st.column_config.TextColumn("Evidence", width="medium"),
            "why": st.column_config.TextColumn("Why", width="large"),
        },
    )


def playbook(desk: Desk) -> None:
    rows = by_the_book(desk.case.found.playbook)
    if not rows:
        st.caption("Nothing to lay against a playbook: this incident has no timeline, or its remedy no playbook.")
        return
    counts = Counter(row["verdict"] for row in rows)
    said = ", ".join(f"{verdict[2:]} {number}" for verdict, number in counts.most_common())
    st.markdown(f"**{plain(rows[0]['playbook'])}**: {plain(said)}")
    told = pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC")}, infer_schema_length=None).drop("playbook")
    st.dataframe(
        parts.legible(told.select("verdict", "step", "who", "expected", "actual", "at")),
        hide_index=True,
        placeholder="–",
        alt="Each step of the playbook: what was expected, what was seen, and the verdict",
        column_config={
            "verdict": "Verdict",
            "step": st.column_config.TextColumn("Step", width="medium"),
            "who": "Who",
            "expected": st.column_config.TextColumn("Expected", width="medium"),
            "actual": st.column_config.TextColumn("Actual", width="medium"),
            "at": st.column_config.DatetimeColumn("At, UTC", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
        },
    )
    st.caption("It is the playbook that is judged, not people: policy/playbooks says what is expected.")
    for entry in desk.case.said.waivers:
        with st.container(border=True):
            st.markdown(f"Waived: {plain(waived(entry))}")
            st.caption(f"{_signed(entry)}: {plain(shortened(entry.why or '', 500))}")
            if not desk.case.said.closed:
                take_back(desk, entry, "waiver")
    if not desk.case.said.closed:
        waive(desk)


def waive(desk: Desk) -> None:
    """Take a step out of this incident: it is neither followed nor skipped then."""
    asked = desk.case.found.playbook.drop_nulls("step").filter(pl.col("verdict") != "waived")
    titles = dict(asked.select("step", "title").iter_rows())
    with st.popover("Waive a step"):
        st.selectbox(
            "Step", list(titles), key=desk.key("waive"), format_func=lambda step: _short(titles[step]), index=None,
            placeholder="Which one did not apply here",
        )  # fmt: skip
        desk.why("waive_why")

        def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
            return saving.waive(journal, case, desk.given("waive") or "", by=by, why=desk.given("waive_why") or "")

        desk.saves("Take it out of this incident", save, "The step is waived.", name="waive_save", clear=("waive_why",))


def corrections(desk: Desk) -> None:
    in_force = desk.case.said.corrections
    for entry in in_force:
        with st.container(border=True):
            was = before_of(desk.case.found.before, entry)
            value = said_value(entry.body["field"], entry.body["value"])
            since = f" instead of {plain(was)}" if was else ""
            st.markdown(f"**{plain(corrected(entry))}**: {plain(value)}{since}")
            st.caption(f"{_signed(entry)}: {plain(shortened(entry.why or '', 500))}")
            if not desk.case.said.closed:
                take_back(desk, entry, "correction")
    if not in_force:
        st.caption("None: everything is as the sources and the rules have it.")
    if not desk.case.said.closed:
        correct(desk)


def take_back(desk: Desk, entry: Entry, what: Literal["correction", "waiver"]) -> None:
    with st.popover("Take it back"):
        desk.why(f"back_why_{entry.id}")

        def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
            return saving.withdraw(journal, case, entry, by=by, why=desk.given(f"back_why_{entry.id}") or "")

        desk.saves(f"Take the {what} back", save, f"The {what} is taken back.", name=f"back_{entry.id}")


def correct(desk: Desk) -> None:
    """Times, duplicates and labels of failure: first what, then how it was, then why."""
    row, shipped = desk.case.found.incident, desk.case.found.candidates.select("id", "source", "source_id").to_dicts()
    labels = {f"failed {one['id']}": one for one in shipped}
    # Of one that came back as a new incident the record's times are those of the first.
    times = () if "#" in desk.case.id and desk.case.id != row["source_id"] else TIMES
    options = [*times, "duplicate_of", *labels]
    words = {**FIELDS, **{name: f"whether {one['id']} failed" for name, one in labels.items()}}
    chosen = st.selectbox("Correct", options, key=desk.key("field"), format_func=lambda name: _short(words[name]), index=None)
    if chosen is None:
        return
    if chosen in TIMES:
        asked = row[chosen] or row["link_time"] or desk.whole.horizon
        st.datetime_input("It was, in UTC", asked.replace(tzinfo=None, microsecond=0), key=desk.key(chosen), step=timedelta(minutes=1))
    elif chosen == "duplicate_of":
        st.selectbox("It repeats", [NONE, *near(desk)], key=desk.key("duplicate_of"), format_func=_short)
    else:
        st.segmented_control("It", ["failed", "did not fail"], key=desk.key("failed"), required=True, default="failed")
    desk.why("why")

    def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
        why = desk.given("why") or ""
        if chosen in TIMES:
            return saving.correct(journal, case, chosen, desk.given(chosen).replace(tzinfo=UTC), by=by, why=why)
        if chosen == "duplicate_of":
            other = data.record_of(desk.whole, desk.given("duplicate_of"))
            return saving.correct(journal, case, "duplicate_of", other, by=by, why=why)
        one = labels[chosen]
        return saving.label(journal, case, (one["source"], one["source_id"]), failed=desk.given("failed") == "failed", by=by, why=why)

    desk.saves("Save the correction", save, "The correction is saved.", name="correct", clear=("why",))


def near(desk: Desk) -> list[str]:
    """Other incidents, the nearest in time first: one of these is meant when something was reported twice."""
    row = desk.case.found.incident
    others = desk.whole.facts.incidents.filter(pl.col("id") != row["id"]).select("id", "at", "source_id")
    whole = others.filter(pl.col("id").str.ends_with(pl.col("source_id"))).collect()
    here = pl.lit(row["at"], pl.Datetime("us", "UTC"))
    return whole.sort((pl.col("at") - here).abs(), "id", nulls_last=True).head(200)["id"].to_list()


def actions(desk: Desk) -> None:
    for item in desk.case.said.items:
        with st.container(border=True):
            mark = {"open": "○", "done": "●", "dropped": "×"}[item.state]
            st.markdown(f"{mark} {plain(shortened(item.title, 500))}")
            due = f"due {item.due:%-d %B %Y}" if item.due else "no date"
            st.caption(f"{plain(item.kind or 'no kind')} · {plain(shortened(item.owner or 'nobody', 100))} · {due} · {item.state}")
            settle(desk, item)
    asked = desk.case.found.asked
    if len(asked):
        st.caption("From your tools")
        state = pl.when(pl.col("closed").is_null()).then(pl.lit("open")).otherwise(pl.lit("done"))
        told = asked.select("title", "kind", "due", "closed", state.alias("state"), "source")
        st.dataframe(parts.legible(told), hide_index=True, placeholder="–", alt="Action items as other tools recorded them")
    if not desk.case.said.items and not len(asked):
        st.caption("None asked for yet.")
    if desk.case.said.closed:
        return
    st.text_input("What is to be done", key=desk.key("item"), max_chars=1_000)
    left, middle, right = st.columns(3)
    left.selectbox("Kind", KINDS, key=desk.key("item_kind"), index=None, placeholder="What it changes")
    middle.text_input("Owner", key=desk.key("item_owner"), max_chars=200)
    right.date_input("Due", None, key=desk.key("item_due"), format="YYYY-MM-DD")

    def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
        given = {name: desk.given(f"item_{name}") for name in ("kind", "owner", "due")}
        return saving.ask(journal, case, desk.given("item") or "", by=by, **given)

    desk.saves("Add the action item", save, "The action item is added.", name="item_save", clear=("item", "item_owner"))


def settle(desk: Desk, item: Item) -> None:
    with st.container(horizontal=True):
        for label, state in (OPEN if item.state == "open" else SETTLED).items():

            def save(journal: Journal, case: Case, by: Reviewer, state: Settled = state) -> Entry:
                return saving.settle(journal, case, item, state, by=by)

            desk.saves(label, save, f"The action item is {state}.", name=f"{state}_{item.id}")


def notes(desk: Desk) -> None:
    reviews = desk.case.found.reviews
    if len(reviews):
        st.caption("Reviews in your tools")
        told = reviews.select("source", "source_id", "state", "held_at", "published_at", pl.col("root_causes").list.join(", "), "url")
        st.dataframe(parts.legible(told), hide_index=True, placeholder="–", alt="Reviews of this incident as other tools recorded them")
    for entry in desk.case.said.notes:
        with st.container(border=True):
            st.caption(_signed(entry))
            st.markdown(noted(entry.body["text"]))
    if not desk.case.said.notes:
        st.caption("None.")
    if desk.case.said.closed:
        return
    st.text_area("Note", key=desk.key("note"), max_chars=10_000, placeholder="Markdown; a picture becomes a link, a tag stays text")

    def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
        return saving.note(journal, case, desk.given("note") or "", by=by)

    desk.saves("Save the note", save, "The note is saved.", name="note_save", clear=("note",))


def sign_off(desk: Desk) -> None:
    case = desk.case
    for entry in case.said.signatures:
        statement = f": {plain(shortened(entry.body['statement'], 500))}" if entry.body["statement"] else ""
        st.markdown(f"**{plain(entry.body['role'] or 'signed')}** by {_signed(entry)}{statement}")
    if case.said.signatures and case.changed:
        st.warning("What was signed is not what is here now.", title="Changed since")
        told = [(what, str(then), str(now)) for what, then, now in case.changed]
        frame = pl.DataFrame(told, schema=["What", "As signed", "Now"], orient="row")
        st.dataframe(parts.legible(frame), hide_index=True, alt="What changed since the signature")
    if case.said.closed:
        reopen(desk)
        return
    first = not case.said.signatures or bool(case.changed)
    st.markdown(
        "Two people sign: one who prepared this review, then one who checked it and corrected nothing in it. After that it is read-only."
    )
    if case.found.incident["open"]:
        st.info("This incident is not over: it can be signed when it is.")
        return
    if data.unpublished(desk.whole):
        st.info("A correction is being published: sign when its numbers are here.")
        return
    st.text_input("Statement", key=desk.key("statement"), max_chars=1_000, placeholder="Optional: what you stand by")
    st.caption(f"You sign for digest {case.digest[:16]}: everything here and in the download but *What if*, which other releases move.")

    def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
        return saving.sign(journal, case, by=by, statement=desk.given("statement"))

    label = "Sign as prepared" if first else "Sign as checked"
    desk.saves(label, save, "Your signature is kept.", name="sign", clear=("statement",))


def reopen(desk: Desk) -> None:
    st.markdown("Signed off: nothing here changes until somebody reopens it. Action items can still be settled.")
    desk.why("reopen_why")

    def save(journal: Journal, case: Case, by: Reviewer) -> Entry:
        return saving.reopen(journal, case, by=by, why=desk.given("reopen_why") or "")

    desk.saves("Reopen the review", save, "The review is open again.", name="reopen", clear=("reopen_why",))


def history(desk: Desk) -> None:
    entries = desk.case.said.entries
    if not entries:
        st.caption("No entry yet.")
        return
    told = [
        (entry.at, entry.author, "yes" if entry.verified else "unverified", entry_in_words(entry), entry.hash[:12])
        for entry in reversed(entries)
    ]
    kinds = {"at": pl.Datetime("us", "UTC"), **dict.fromkeys(("who", "name", "what", "hash"), pl.String())}
    rows = pl.DataFrame(told, schema=kinds, orient="row")
    st.dataframe(
        parts.legible(rows),
        hide_index=True,
        alt="Everything that was said about this incident, newest first",
        column_config={
            "at": st.column_config.DatetimeColumn("At, UTC", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
            "who": "Who",
            "name": "Verified",
            "what": st.column_config.TextColumn("What", width="large"),
            "hash": "Hash",
        },
    )


# Another tab is another line here.
TABS: dict[str, Callable[[Desk], None]] = {
    "Cause": cause,
    "What if": lambda desk: what_if(desk.whole, desk.case.id),
    "Playbook": playbook,
    "Corrections": corrections,
    "Actions": actions,
    "Notes": notes,
    "Sign-off": sign_off,
    "History": history,
}


def _cause(case: Case) -> str:
    row = case.found.incident
    if row["not_a_deployment"]:
        return "The cause is no deployment"
    return f"The cause is {row['cause_deployment']}, {row['cause_evidence']}" if row["cause_deployment"] else "The cause is unknown"


def _needed(chosen: str | None, value: Any) -> Any:
    if chosen is None:
        raise UsageError("Choose what the cause was.")
    return value


def _short(text: str) -> str:
    return shortened(visible(text), 120)


def _signed(entry: Entry) -> str:
    name = plain(shortened(entry.author, 100))
    return f"{name}{'' if entry.verified else ' (unverified)'}, {entry.at:%-d %B %Y %H:%M} UTC"
