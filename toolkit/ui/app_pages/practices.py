"""Practices: what recovery rests on, and how hotfixes fare, as a scorecard; and whether each service could be rolled back now."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import polars as pl
import streamlit as st

from toolkit.metrics.readiness import QUESTIONS, Answer, Ready
from toolkit.metrics.steps import NOT_A_CAUSE, in_short
from toolkit.ui import data, parts
from toolkit.ui.scope import Scope, View, rows_in
from toolkit.ui.sentences import interval, minutes, quantity, rows_behind, share
from toolkit.ui.state import scope_chosen
from toolkit.untrusted import plain

MARKS = {"yes": "● yes", "no": "○ no", "not known": "? not known"}
FEW = 5


def practices() -> None:
    whole = data.view()
    if whole is None:
        return
    st.title("Practices")
    parts.sample_notice(whole)
    scope = scope_chosen(whole)
    if not rows_in(whole, scope):
        parts.nothing_in(whole, scope)
        return
    st.markdown(
        "What recovery rests on, and fixes in haste. A line opens to its definition and rows. Worst: services with at least five rows."
    )
    for group, rows in groupby(data.scorecard(whole, scope), key=lambda row: row["group"]):
        card(whole, scope, group, list(rows))
    ready(data.readiness(whole, scope))
    parts.footer(whole, whole.facts.incidents.filter(pl.col("production")).collect())


def card(whole: View, scope: Scope, group: str, rows: list[dict[str, Any]]) -> None:
    """One practice: its numbers, and below them the one that was chosen, taken apart."""
    st.subheader(group.capitalize())
    # None of a kind in a week is a number; a share of none is not.
    told = [row for row in rows if row["n"] or (row["n"] == 0 and row["kind"] == "Count")]
    silent = [row for row in rows if row not in told]
    for note in dict.fromkeys(row["note"] for row in silent):
        names = ", ".join(row["title"] for row in silent if row["note"] == note)
        st.caption(plain(f"{names}: {note}."))
    for record, start, end in sorted({gap for row in rows for gap in row["gaps"]}):
        when = f"{start:%-d %B %Y %H:%M} to {end:%-d %B %Y %H:%M} UTC"
        st.caption(f"▨ Nobody watched {record.replace('_', ' ')} from {when}: what was then is not known here.")
    if told:
        event = st.dataframe(
            pl.DataFrame([line(row) for row in told]),
            hide_index=True,
            placeholder="–",
            key=f"card_{group}",
            on_select="rerun",
            selection_mode="single-row",
            alt=f"{group.capitalize()}: each number with interval, trend, where it is worst and what to do",
            column_config={
                "Number": st.column_config.TextColumn(width=245),
                "95 %": st.column_config.TextColumn(width="medium"),
                "Months": st.column_config.LineChartColumn("By month"),
                "Worst": st.column_config.TextColumn(width="medium"),
                "To do": st.column_config.TextColumn("What to do", width="large"),
                "Against": st.column_config.TextColumn("Against the window before", width="medium"),
            },
        )
        for place in event["selection"]["rows"]:
            with st.container(border=True):
                parts.explained(whole, scope, told[place]["metric"])
    if group == "playbook" and told:
        by_step(whole, scope)


def line(row: dict[str, Any]) -> dict[str, Any]:
    few = row["kind"] != "Count" and (row["n"] or 0) < FEW
    worst = ", ".join(f"{name} {quantity(value, row['unit'])}" for name, value in row["worst"])
    return {
        "Number": row["title"] + (", 90th percentile" if row["metric"] == "update_gap" else ""),
        "Now": rows_behind(row) if few else quantity(row["value"], row["unit"]),
        "95 %": "too few to sum up" if few else interval(row),
        "Months": row["course"] or None,
        "Worst": worst or None,
        "To do": row["to_do"],
        "Against": row["verdict"],
    }


def by_step(whole: View, scope: Scope) -> None:
    """Each step of the playbooks, with recovery with it and without."""
    rows = data.steps(whole, scope)
    books = rows["playbook"].n_unique()
    with st.expander(f"Step by step: {len(rows)} steps of {books} playbook{'' if books == 1 else 's'}"):
        st.caption(NOT_A_CAUSE + " Minutes from detection to recovery.")
        st.dataframe(
            pl.DataFrame([step(row) for row in rows.iter_rows(named=True)]),
            hide_index=True,
            placeholder="–",
            alt="Each step of the playbooks: how often it is done, and the recovery with it and without",
        )


def step(row: dict[str, Any]) -> dict[str, Any]:
    known = row["n"] >= FEW
    ends = (row["ratio_low"], row["ratio_high"])
    ratio = None if row["ratio"] is None else f"× {row['ratio']:.2f} ({' to '.join('?' if end is None else f'{end:.2f}' for end in ends)})"
    return {
        "Playbook": row["playbook"], "Step": row["title"], "Who": row["who"], "Expected": row["expected"],
        "As agreed": f"{share(row['adherence'])} of {row['n']}" if known else f"{row['done']} of {row['n']}" if row["n"] else None,
        "95 %": f"{share(row['low'])} to {share(row['high'])}" if known else None,
        "Late": row["late"], "Out of order": row["out_of_order"], "Skipped": row["skipped"], "Waived": row["waived"],
        "With it": None if row["with"] is None else f"{minutes(row['with'])} (n {row['with_n']})",
        "Without": None if row["without"] is None else f"{minutes(row['without'])} (n {row['without_n']})",
        "With ÷ without": ratio, "Note": in_short(row) or None,
    }  # fmt: skip


def ready(rows: list[Ready]) -> None:
    st.subheader("Could we roll this back now?")
    if not rows:
        st.caption("No service in production in this scope.")
        return
    several = len({row.environment for row in rows}) > 1
    st.caption(f"As of {rows[0].at:%-d %B %Y %H:%M} UTC, with what shows it in brackets.")
    table = [
        {"Service": row.service, **({"Environment": row.environment} if several else {}), "Back now?": MARKS[row.word],
         "Runs": row.running, "Back to": row.target, **{title: cell(row.answers[name]) for name, title in QUESTIONS.items()}}
        for row in rows
    ]  # fmt: skip
    st.dataframe(
        parts.legible(pl.DataFrame(table, infer_schema_length=None)),
        hide_index=True,
        placeholder="–",
        key="readiness",
        alt="Each service: whether it could be rolled back now, and the evidence for each answer",
    )


def cell(answer: Answer) -> str:
    shows = f" ({', '.join(answer.evidence)})" if answer.evidence else ""
    return f"{MARKS[answer.word]}: {answer.said}{shows}"


practices()
