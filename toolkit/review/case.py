"""One incident as it is reviewed: what the facts say, what follows from them, what people said, and what a signature stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import polars as pl

from toolkit.errors import UsageError
from toolkit.review.causes import candidates_of
from toolkit.review.said import Said, State, about, said_of
from toolkit.review.timeline import incident_named, phases_of, timeline_of
from toolkit.store.entries import canonical, subject
from toolkit.store.journal import Entry

__all__ = ["Case", "Findings", "case_of", "differences", "findings_of", "reviewed"]

TIMES = ("started_at", "detected_at", "acknowledged_at", "decided_at", "recovered_at", "resolved_at")
SPANS = ("detect", "decide", "act", "whole")


@dataclass(frozen=True)
class Findings:
    """What the published facts say about one incident. reviews, asked: reviews and action items as other tools recorded them; before:
    by subject and field, what a correction took the place of."""

    incident: Mapping[str, Any]
    phases: pl.DataFrame
    timeline: pl.DataFrame
    candidates: pl.DataFrame
    reviews: pl.DataFrame
    asked: pl.DataFrame
    playbook: pl.DataFrame
    before: Mapping[tuple[str, str], str | None]
    horizon: datetime
    version: str

    @property
    def subjects(self) -> tuple[str, ...]:
        """What entries about this incident are about: itself, its record, and the deployments in question."""
        row = self.incident
        shipped = [subject("deployment", *key) for key in self.candidates.select("source", "source_id").iter_rows()]
        return tuple(dict.fromkeys([about(row), subject("incident", row["source"], row["source_id"]), *shipped]))


@dataclass(frozen=True)
class Case:
    """Findings, and what people said."""

    found: Findings
    said: Said
    content: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", _content(self.found, self.said))

    @property
    def id(self) -> str:
        return str(self.found.incident["id"])

    @cached_property
    def digest(self) -> str:
        """Of everything that a signature stands for; settling an action item and signing change nothing in it."""
        return hashlib.sha256(canonical(self.content).encode()).hexdigest()

    @property
    def state(self) -> State:
        return self.said.state(self.digest)

    @property
    def changed(self) -> list[tuple[str, Any, Any]]:
        """What is not as it was signed: field, then, now. Empty where nobody signed or nothing changed."""
        return differences(self.said.signatures[0].body["content"], self.content) if self.said.signatures else []


def findings_of(facts: Any, meta: Mapping[str, Any], id: str) -> Findings:
    """Raises UsageError for an incident that is not among the facts, naming those that look like it."""
    row = incident_named(facts, id)
    if row is None:
        ids = facts.incidents.select("id").collect()["id"].to_list()
        like = get_close_matches(id, ids, 3, 0.5) or ids[-3:]
        raise UsageError(f"There is no incident {id[:100]!r}. There are, among others: {', '.join(like) or 'none at all'}.")
    horizon = datetime.fromisoformat(meta["horizon"]).astimezone(UTC)
    return Findings(
        incident=row,
        phases=phases_of(row),
        timeline=timeline_of(facts, row, horizon),
        candidates=candidates_of(facts, row),
        reviews=_named(facts.reviews, row).sort("published_at", "held_at", "source_id", nulls_last=True),
        asked=_named(facts.action_items, row).sort("created", "source_id", nulls_last=True),
        playbook=facts.conformance.filter(pl.col("incident") == row["id"]).sort("place", "shown_at", "id", nulls_last=True).collect(),
        before=_before(facts),
        horizon=horizon,
        version=str(meta.get("version", "")),
    )


def _named(records: pl.LazyFrame, row: Mapping[str, Any]) -> pl.DataFrame:
    """Records that name the incident, of its own source or of a tool beside it."""
    return records.filter(pl.col("incident").is_in([row["id"], row["source_id"]])).collect()


def _before(facts: Any) -> dict[tuple[str, str], str | None]:
    rows = facts.overrides.collect().iter_rows(named=True)
    return {(subject(row["record"], row["source"], row["source_id"]), row["field"]): row["before"] for row in rows}


def case_of(facts: Any, meta: Mapping[str, Any], entries: Iterable[Entry], id: str) -> Case:
    """The incident as it stands. entries: of the journal, in order."""
    found = findings_of(facts, meta, id)
    return Case(found, said_of(entries, found.subjects))


def reviewed(incidents: pl.DataFrame, entries: Iterable[Entry], find: Callable[[str], Findings]) -> dict[str, State]:
    """How far the review of each incident is: by id. Only for what somebody signed is it found out what it is now."""
    entries, by_subject = list(entries), dict[str, list[Entry]]()
    for entry in entries:
        by_subject.setdefault(entry.about, []).append(entry)
    states: dict[str, State] = {}
    for row in incidents.select("id", "source", "source_id").iter_rows(named=True):
        names = {about(row), subject("incident", row["source"], row["source_id"])}
        own = sorted((entry for name in names for entry in by_subject.get(name, ())), key=lambda entry: entry.seq)
        said = said_of(own, names)
        if said.signatures:
            found = find(row["id"])
            states[row["id"]] = Case(found, said_of(entries, found.subjects)).state
        else:
            states[row["id"]] = said.state(None)
    return states


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Field, then, now: of everything that is not the same."""
    return [(name, then.get(name), now.get(name)) for name in dict.fromkeys([*then, *now]) if then.get(name) != now.get(name)]


def _content(found: Findings, said: Said) -> dict[str, Any]:
    """What a signature stands for, field by field, in JSON's terms: short enough to be kept with each signature."""
    row = found.incident
    attempts = found.timeline.filter(pl.col("lane") == "attempts").select("id", "what").rows()
    return {
        "incident": row["id"],
        **{name: row[name] for name in ("title", "severity", "services", "environment", "remedy", "duplicates")},
        **{name: _stamp(row[name]) for name in TIMES},
        **{name: _minutes(row[name]) for name in SPANS},
        "cause": "not a deployment" if row["not_a_deployment"] else row["cause_deployment"],
        "cause rests on": row["cause_source"],
        # Facts only and none of our wording: a page that says the same in other words must not undo what people signed.
        "attempts": [f"{id}: {what.rpartition(', ')[2]}" for id, what in attempts],
        "timeline": _digest(found.timeline.select("lane", "at", "until", "id", "text").rows()),
        "candidates": [f"{id}{', counts' if counted else ''}" for id, counted in found.candidates.select("id", "counted").rows()],
        "corrections": [canonical([entry.about, entry.body["field"], entry.body["value"], entry.why]) for entry in said.corrections]
        + [canonical([entry.about, entry.body["rule"], entry.body["until"], entry.why]) for entry in said.waivers],
        "reviews in other tools": _digest(found.reviews.select("source", "source_id", "state", "root_causes").rows()),
        "notes": _digest([entry.body["text"] for entry in said.notes]),
        "action items": [canonical([item.title, item.kind, item.owner, str(item.due or "")]) for item in said.items],
    }


def _digest(rows: Sequence[Any]) -> str:
    """How many, and a digest of them: enough to see that something changed."""
    told = canonical(
        [[_stamp(cell) if isinstance(cell, datetime) else cell for cell in row] if isinstance(row, tuple) else row for row in rows]
    )
    return f"{len(rows)}, {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _minutes(span: timedelta | None) -> float | None:
    return None if span is None else round(span / timedelta(minutes=1), 3)
