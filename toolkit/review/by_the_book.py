"""One incident against its playbook: step by step what was expected, what was seen, and the verdict, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

__all__ = ["IN_WORDS", "by_the_book"]

IN_WORDS = {
    "done": "● done",
    "late": "◐ late",
    "out_of_order": "⇅ out of order",
    "skipped": "○ skipped",
    "waived": "– waived",
    "pending": "… not due yet",
    "not_taken": "– not needed",
    "not_asked": "– not asked for in this severity",
    "unknown": "? not known: nobody records it",
    "unwritten": "+ not in the playbook",
}


def by_the_book(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """playbook, step, who, expected, actual, at, verdict: a row a step in the order of the playbook, then what it does not ask for.

    rows: the incident's of the fact `conformance`; empty where it has no timeline, or its remedy no playbook."""
    return [
        {
            "playbook": row["playbook"],
            "step": row["title"] or (row["what"] or "").replace("_", " "),
            "who": row["who"],
            "expected": row["expected"],
            "actual": _actual(row),
            "at": row["shown_at"],
            "verdict": IN_WORDS[row["verdict"]],
        }
        for row in rows.iter_rows(named=True)
    ]


def _actual(row: Mapping[str, Any]) -> str | None:
    if row["waived"] is not None and row["verdict"] == "waived":
        return str(row["waived"])
    if row["what"] is None:
        return None
    return f"{row['what'].replace('_', ' ')}, {row['shown_by']}" if row["shown_by"] else str(row["what"]).replace("_", " ")
