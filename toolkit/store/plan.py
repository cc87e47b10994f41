"""A mapping laid over a file's columns: for every field, the SQL that yields its text and its value."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from pydantic import BaseModel

from toolkit.errors import DataError, UsageError
from toolkit.store.columns import Column, columns_of, trimmed
from toolkit.store.connect import literal, quoted
from toolkit.store.mapping import Mapping
from toolkit.store.people import PEOPLE, People
from toolkit.store.readers import Cells

__all__ = ["Plan", "meant", "plan", "said"]


@dataclass(frozen=True)
class Plan:
    """`texts` and `values` are SQL by field that the file or the mapping says something of; `naive` those of times without a zone."""

    texts: dict[str, str]
    values: dict[str, str]
    naive: dict[str, str]
    # Columns of the file that hold people: their cells never reach the quarantine as they are.
    people: tuple[str, ...]


def said(field: str) -> str:
    """The SQL column that holds a field's text while a file is read; no column of a file is called like it."""
    return quoted(f"\x02said {field}")


def meant(field: str) -> str:
    """The SQL column that holds a field's value while a file is read."""
    return quoted(f"\x02meant {field}")


def plan(record: type[BaseModel], cells: Cells, mapping: Mapping, people: People, path: str) -> Plan:
    """How to read `record` out of `cells`. Raises DataError or UsageError, naming the columns that do not fit."""
    fields = columns_of(record)
    _check_names(fields, cells, mapping, path)
    chosen = {column.name: _columns_for(column, cells, mapping) for column in fields}
    chosen["source"] = ["source"] if "source" in cells.columns else None
    _check_unknown(fields, cells, mapping, chosen, path)
    # A file without a single readable object names no columns: there is nothing to miss in it.
    if cells.columns:
        _check_required(fields, chosen, mapping, path)
    texts: dict[str, str] = {"source": _text(["source"] if chosen["source"] else None, cells, mapping, "source")}
    values: dict[str, str] = {}
    naive: dict[str, str] = {}
    for column in fields:
        names = chosen[column.name]
        # Most files say a third of the fields. To plan a query over the others would take longer than to read a small file.
        if names is None and column.name not in mapping.constants and not column.required:
            continue
        typed = names is not None and len(names) == 1 and column.kind == "time" and names[0] in cells.times
        if typed and names is not None:
            texts[column.name], values[column.name] = _typed(names[0], column, cells, mapping)
            if cells.times[names[0]] == "naive" and mapping.time_form(column.name).zone is None:
                naive[column.name] = names[0]
            continue
        text = _text(names, cells, mapping, column.name, many=column.kind == "names")
        texts[column.name] = people.sql(text) if column.name in PEOPLE else text
        form = mapping.time_form(column.name)
        values[column.name] = column.value(said(column.name), zone=form.zone, form=form.format, separator=mapping.separator)
    personal = tuple(name for field in PEOPLE for name in chosen.get(field) or ())
    return Plan(texts, values, naive, personal)


def _columns_for(column: Column, cells: Cells, mapping: Mapping) -> list[str] | None:
    named = mapping.columns_for(column.name) if cells.columns else None
    if named is not None or column.name in mapping.constants:
        return named
    # A column that is given to a field has found its place; one that is only part of an id has not.
    taken = {name for named in mapping.columns.values() for name in ([named] if isinstance(named, str) else named)}
    candidates = [column.name, *([column.alias] if column.alias else []), *(["id"] if column.name == "source_id" else [])]
    return next(([name] for name in candidates if name in cells.columns and name not in taken), None)


def _text(names: list[str] | None, cells: Cells, mapping: Mapping, field: str, *, many: bool = False) -> str:
    """The text of a field: its columns, trimmed, empty as null, its values mapped; or its constant."""
    if names is None:
        constant = mapping.constants.get(field)
        if isinstance(constant, list):
            return f"to_json([{', '.join(map(literal, constant))}]::VARCHAR[])::VARCHAR"
        return "NULL::VARCHAR" if constant is None else literal(constant)
    nulls = ", ".join(map(literal, ["", *mapping.nulls]))
    parts = []
    for name in names:
        cell = f"({trimmed(f'(({cells.columns[name]})::VARCHAR)')})"
        parts.append(f"CASE WHEN {cell} NOT IN ({nulls}) THEN {cell} END" if mapping.nulls else f"nullif({cell}, '')")
    if len(parts) == 1:
        text = parts[0]
    elif many:
        text = f"to_json(nullif(list_filter([{', '.join(parts)}], lambda part: part IS NOT NULL), []))::VARCHAR"
    elif field == "source_id":
        # An id with a part missing is no id: || makes it null.
        text = " || '/' || ".join(f"({part})" for part in parts)
    else:
        text = f"coalesce({', '.join(parts)})"
    values = mapping.values.get(field)
    if not values:
        return text
    cases = " ".join(f"WHEN {literal(said)} THEN {literal(meant)}" for said, meant in values.items() if said != "*")
    rest = f"CASE WHEN {text} IS NOT NULL THEN {literal(values['*'])} END" if "*" in values else text
    return f"CASE {text} {cases} ELSE {rest} END" if cases else rest


def _typed(name: str, column: Column, cells: Cells, mapping: Mapping) -> tuple[str, str]:
    """A column that holds times already: no text is read. Returns what stands for its text, and its value."""
    cell = cells.columns[name]
    zone = mapping.time_form(column.name).zone or "UTC"
    time = cell if cells.times[name] == "aware" else f"timezone({literal(zone)}, {cell})"
    return time, said(column.name)


def _check_names(fields: tuple[Column, ...], cells: Cells, mapping: Mapping, path: str) -> None:
    known = {column.name for column in fields} | {column.alias for column in fields if column.alias}
    for part, names in (
        ("columns", mapping.columns),
        ("constants", mapping.constants),
        ("values", mapping.values),
        ("times", mapping.times),
    ):
        for field in names:
            if field not in known and not (part == "times" and field in ("format", "zone")) and field != "source":
                raise UsageError(f"mapping: [{part}] names a field {field!r} that this record does not have{_nearest(field, known)}.")
    for field in mapping.columns:
        if field in mapping.constants:
            raise UsageError(f"mapping: {field} has a column and a constant. Keep one.")
    for field in {*mapping.columns, "source_id", "revised_at"}:
        for name in mapping.columns_for(field) or ():
            if name not in cells.columns and cells.columns:
                there = f" The file has: {', '.join(cells.columns)}."
                raise DataError(f"{path} has no column {name!r} for {field}{_nearest(name, set(cells.columns))}.{there}")


def _check_unknown(fields: tuple[Column, ...], cells: Cells, mapping: Mapping, chosen: dict[str, list[str] | None], path: str) -> None:
    used = {name for names in chosen.values() for name in names or ()}
    unknown = [name for name in cells.columns if name not in used]
    if not unknown or mapping.unknown == "keep":
        return
    known = {column.alias or column.name for column in fields}
    named = "; ".join(f"{name!r}{_nearest(name, known)}" for name in unknown[:8]) + ("; …" if len(unknown) > 8 else "")
    raise DataError(
        f"{path}: no field takes the column{'s' * (len(unknown) > 1)} {named}. "
        'Name their fields under [columns] in a mapping (--map FILE), or say unknown = "keep" there to leave them out.'
    )


def _check_required(fields: tuple[Column, ...], chosen: dict[str, list[str] | None], mapping: Mapping, path: str) -> None:
    for column in fields:
        if column.required and chosen[column.name] is None and column.name not in mapping.constants:
            how = 'source_id = ["service", "version"]' if column.name == "source_id" else f'{column.name} = "its column" under [columns]'
            raise DataError(f"{path}: nothing says {column.name}, which every row needs. Write {how} in a mapping (--map FILE).")


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.5)
    return f" (nearest: {', '.join(close)})" if close else ""
