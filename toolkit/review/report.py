"""A retrospective as a document: the same content as an object, as Markdown for a page, a file and a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from toolkit.review.by_the_book import by_the_book
from toolkit.review.case import Case
from toolkit.review.what_if import WhatIf
from toolkit.review.wording import before_of, corrected, entry_in_words, said_value
from toolkit.untrusted import noted, plain, shortened

__all__ = ["as_markdown", "as_object"]

SAMPLE = ["sample"]


class Ours(str):
    """Markdown of our own making: everything else is escaped."""

    __slots__ = ()


def as_object(case: Case, meta: Mapping[str, Any], what_if: WhatIf) -> dict[str, Any]:
    """The retrospective as plain values: incident, phases, timeline, candidates, what_if, corrections, items, notes, signatures, …"""
    found, said = case.found, case.said
    return {
        "incident": dict(found.incident),
        "cause": _cause(found.incident),
        "state": case.state,
        "unknown": _unknown(found.incident),
        "phases": found.phases.to_dicts(),
        "timeline": [row | {"rests": ", ".join(filter(None, (row["provenance"], row["rule"])))} for row in found.timeline.to_dicts()],
        "candidates": found.candidates.to_dicts(),
        "what_if": {
            "state": what_if.state, "says": what_if.says, "held": what_if.held.to_dicts(), "others": what_if.others.to_dicts(),
            "approximate": dict(what_if.approximate),
        },
        "playbook": by_the_book(found.playbook),
        "corrections": [
            {
                "at": entry.at, "who": _who(entry), "what": corrected(entry),
                "value": said_value(entry.body["field"], entry.body["value"]), "why": entry.why,
                "before": before_of(found.before, entry),
            }
            for entry in said.corrections
        ],
        "items": [
            {name: getattr(item, name) for name in ("id", "title", "kind", "owner", "due", "state", "asked", "asked_by", "settled")}
            for item in said.items
        ],
        "asked": found.asked.to_dicts(),
        "reviews": found.reviews.to_dicts(),
        "notes": [{"at": entry.at, "who": _who(entry), "text": entry.body["text"]} for entry in said.notes],
        "signatures": [
            {"at": entry.at, "who": _who(entry), **{name: entry.body[name] for name in ("role", "digest", "statement")}}
            for entry in said.signatures
        ],
        "changed": [{"what": what, "then": then, "now": now} for what, then, now in case.changed],
        "history": [{"at": entry.at, "who": _who(entry), "says": entry_in_words(entry), "hash": entry.hash} for entry in said.entries],
        "synthetic": list(meta.get("sources") or []) == SAMPLE,
        "horizon": found.horizon,
        "version": found.version,
        "digest": case.digest,
    }  # fmt: skip


def as_markdown(told: Mapping[str, Any]) -> str:
    """The object of `as_object` as GitHub-flavoured Markdown; text of others neither links, styles, fetches nor runs in it."""
    return _environment().get_template("retrospective.md.j2").render(**told).strip() + "\n"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # The escaping is ours, since jinja2 knows that of HTML only: whatever is put in passes through `_escaped`.
    made = Environment(  # noqa: S701
        loader=PackageLoader("toolkit.review", "templates"),
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        brief=lambda text, most: shortened(_text(text), most),
        words=lambda text: text.replace("_", " "),
        ours=Ours,
        # Quoted, so that a note's headings and lines are not taken for the report's.
        note=lambda text: Ours("\n".join(f"> {line}".rstrip() for line in noted(text).split("\n"))),
        time=lambda at: Ours("–" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"),
        day=lambda on: Ours("–" if on is None else f"{on:%Y-%m-%d}"),
        on=lambda at: Ours("" if at is None else f", {at:%Y-%m-%d}"),
        span=lambda span: Ours("unknown" if span is None else _spoken(span / timedelta(minutes=1))),
        limit=lambda limit: Ours(f"{limit:.6g}"),
        minutes=lambda minutes: Ours(_spoken(minutes)),
        minutes_alone=lambda span: Ours("–" if span is None else f"{span / timedelta(minutes=1):,.0f}"),
    )
    return made


def _escaped(value: Any) -> str:
    return value if isinstance(value, Ours) else plain(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return "/".join(map(str, value.values()))
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value)) or "–"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _spoken(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    hours = round(minutes) // 60
    return f"{hours} h {round(minutes) % 60} min" if hours < 48 else f"{minutes / 1440:.1f} d"


def _who(entry: Any) -> str:
    return entry.author if entry.verified else f"{entry.author} (unverified)"


def _cause(incident: Mapping[str, Any]) -> str:
    if incident["not_a_deployment"]:
        return "not a deployment"
    if incident["cause_deployment"] is None:
        return "unknown"
    return f"{incident['cause_deployment']} ({incident['cause_evidence']})"


def _unknown(incident: Mapping[str, Any]) -> str:
    if incident["offender"]:
        return f"{incident['offender']} lies before the stamp of an earlier phase"
    missing = [name.removesuffix("_at") for name in ("started_at", "detected_at", "decided_at", "recovered_at") if incident[name] is None]
    return f"nobody says when it was {', '.join(missing)}" if missing else "its times do not follow one another"
