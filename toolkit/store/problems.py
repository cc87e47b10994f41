"""Why a row is no record: the model's judgement in words, with the field, the rule and what to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from toolkit.store.columns import columns_of
from toolkit.store.people import PEOPLE, People

__all__ = ["Problem", "judge", "line_problem", "without_people"]

# Enough to find and mend the row; its file and place are kept beside it.
_KEPT_TEXT = 20_000
_REASONS = {
    "INVALID ENCODING": "The line is not UTF-8. Save the file as UTF-8 and load it again.",
    "LINE SIZE OVER MAXIMUM": "The line is longer than 1 MiB. Look for a quote that is never closed, or leave the long column out.",
    "MISSING COLUMNS": "The line has fewer cells than the first line has columns.",
    "TOO MANY COLUMNS": "The line has more cells than the first line has columns. Quote cells that hold the separator.",
    "UNQUOTED VALUE": "A quote is opened and not closed properly. Double the quotes inside a quoted cell.",
}


@dataclass(frozen=True)
class Problem:
    """Why a row is not a record: `place` in its file, the field and rule, and what to do, in words."""

    place: str
    field: str | None
    rule: str
    error: str
    raw: str
    source: str
    key: str | None = None


def judge(
    record: type[BaseModel], said: dict[str, Any] | None, raw: str, *, place: str, source: str, now: datetime
) -> dict[str, Any] | Problem:
    """One row through the model: its values by column, or why not."""
    if said is None:
        return Problem(
            place, None, "json", 'This line is not a JSON object. Write one object a line: {"field": …}.', raw[:_KEPT_TEXT], source
        )
    named = said.pop("source", None) or source
    key = said.get("source_id")
    for column in columns_of(record):
        text = said.get(column.name)
        if text is None:
            said.pop(column.name, None)
        elif column.kind == "time" and re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
            # pydantic would guess seconds or milliseconds by size; a guess is no fact.
            error = f'{column.name}: {text} is a bare number. Say what it counts: format = "epoch_s" (or epoch_ms) under [times].'
            return Problem(place, column.name, "bare_number", error, raw[:_KEPT_TEXT], named, key)
        elif column.kind == "names" and isinstance(text, str):
            error = f"{column.name}: {text[:80]!r} is no list. Write a JSON list of strings, or separate the names with ;"
            return Problem(place, column.name, "list", error, raw[:_KEPT_TEXT], named, key)
        elif column.alias:
            said[column.alias] = said.pop(column.name)
    if not 1 <= len(named) <= 500 or named.lower() in ("nan", "null", "none"):
        return Problem(place, "source", "source", f"source: {named[:80]!r} names nothing.", raw[:_KEPT_TEXT], source)
    try:
        accepted = record.model_validate(said, context={"now": now})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else None
        return Problem(place, field, first["type"], _reason(field, first), raw[:_KEPT_TEXT], named, key)
    except OverflowError:
        # Python's own times end with the year 9999, and an offset can push one over.
        far = "A time lies outside the years that can be: check the unit and the time format."
        return Problem(place, None, "time_range", far, raw[:_KEPT_TEXT], named, key)
    return {"source": named, **accepted.model_dump()}


def _reason(field: str | None, error: Any) -> str:
    value = error.get("input")
    if error["type"] == "missing":
        return f"{field}: every row needs it, and this one has none."
    if error["type"].startswith("datetime"):
        return f"{field}: {str(value)[:80]!r} is not a time. Write 2026-03-01T10:00:00Z, or name its format under [times] in a mapping."
    if error["type"] == "literal_error":
        return f"{field}: {str(value)[:80]!r} is none of {error['ctx']['expected']}. Map it under [values.{field}] in a mapping."
    return f"{field}: {error['msg'].removeprefix('Value error, ')}" + (
        "" if str(value)[:40] in error["msg"] else f" (got {str(value)[:80]!r})"
    )


def without_people(problem: Problem, columns: tuple[str, ...], people: People) -> Problem:
    """The problem with pseudonyms where its row names people."""
    if people.how == "keep":
        return problem
    names = "|".join(re.escape(name) for name in {*columns, *PEOPLE})
    hidden = re.sub(
        rf'("(?:{names})"\s*:\s*)("(?:[^"\\]|\\.)*")',
        lambda match: match[1] + json.dumps(people.pseudonym(_unquoted(match[2]))),
        problem.raw,
    )
    return replace(problem, raw=hidden)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text)).strip()
    except ValueError:
        return text.strip('"')


def line_problem(number: int, kind: str, text: str, source: str) -> Problem:
    return Problem(f"line {number}", None, kind.lower().replace(" ", "_"), _REASONS.get(kind, kind), text[:_KEPT_TEXT], source)
