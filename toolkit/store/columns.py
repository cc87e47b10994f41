"""Columns of a record's table, derived from its pydantic fields: type, how text becomes a value, and what a value must satisfy.

The SQL here is the fast path. It never accepts what the model refuses; what it refuses, the model judges row by row and explains.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from toolkit import records
from toolkit.store.connect import literal, quoted
from toolkit.store.people import PEOPLE, WHETHER

__all__ = ["Column", "columns_of", "content_hash", "key_of", "stored", "times_of", "trimmed"]

Kind = Literal["name", "names", "text", "enum", "time", "flag", "integer", "number"]
_TYPES = {
    "name": "VARCHAR",
    "names": "VARCHAR[]",
    "text": "VARCHAR",
    "enum": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "flag": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
}
# What Python's str.strip() takes away, so that both validators see the same text.
_SPACE = literal("".join(chr(code) for code in range(0x10000) if chr(code).isspace()))
_ISO = r"\d{4}-[01]\d-[0-3]\d[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
_ISO_WITH_OFFSET = _ISO + r"(Z|[+-][01]\d(:[0-5]\d)?)"
# What git, databases and loggers write, and the model does not read: 2024-03-01 10:00:00 +0100, …+01, …UTC. All of it is one moment.
_ISO_SPACED = _ISO + r" ?([+-][01]\d(:?[0-5]\d)?|UTC)"
_TRUE, _FALSE = "('true', 't', 'yes', 'y', 'on', '1')", "('false', 'f', 'no', 'n', 'off', '0')"


@dataclass(frozen=True)
class Column:
    """One field of a record as a column of its table."""

    name: str
    kind: Kind
    required: bool
    default: object
    choices: tuple[str, ...]
    low: float | None
    above: float | None
    high: float | None
    longest: int | None
    shortest: int
    alias: str | None
    # A time that may lie ahead.
    promised: bool = False

    @property
    def type(self) -> str:
        """Its DuckDB type."""
        return _TYPES[self.kind]

    @property
    def optional(self) -> bool:
        """Whether null is a value of it."""
        return not self.required and self.default is None

    def value(self, text: str, *, zone: str | None = None, form: str | None = None, separator: str = ";") -> str:
        """SQL that turns text into a value; null where it cannot."""
        match self.kind:
            case "time":
                return _time(text, zone, form)
            case "names":
                parts = f"string_split({text}, {literal(separator)})"
                split = f"list_filter(list_transform({parts}, lambda part: {trimmed('part')}), lambda part: part <> '')"
                read = f"list_transform(try(from_json({text}, '[\"VARCHAR\"]')), lambda part: {trimmed('part')})"
                return f"CASE WHEN {text} LIKE '[%' THEN {read} ELSE {split} END"
            case "flag":
                return f"CASE WHEN lower({text}) IN {_TRUE} THEN true WHEN lower({text}) IN {_FALSE} THEN false END"
            case "integer":
                return f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]{{1,19}}') THEN TRY_CAST({text} AS BIGINT) END"
            case "number":
                pattern = "[+-]?[0-9]{1,30}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,3})?"
                return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN TRY_CAST({text} AS DOUBLE) END"
            case _:
                return text

    def holds(self, value: str) -> str:
        """SQL that is true where a value that is not null satisfies the field. Needs the variable `now` for times."""
        match self.kind:
            case "time":
                if self.promised:
                    latest = f"TIMESTAMPTZ '{records.LATEST_PROMISE.isoformat()}'"
                else:
                    latest = f"getvariable('now')::TIMESTAMPTZ + INTERVAL '{int(records.AHEAD.total_seconds())} seconds'"
                return f"{value} BETWEEN TIMESTAMPTZ '{records.EARLIEST.isoformat()}' AND {latest}"
            case "enum":
                return f"{value} IN ({', '.join(map(literal, self.choices))})"
            case "name":
                return _is_name(value, self.shortest, self.longest)
            case "text":
                return f"length({value}) <= {self.longest}"
            case "names":
                each = _is_name("part", 1, 500)
                return f"len({value}) <= {self.longest} AND len(list_filter({value}, lambda part: coalesce({each}, false))) = len({value})"
            case "integer" | "number":
                bounds = [f"{value} >= {self.low}"] * (self.low is not None) + [f"{value} > {self.above}"] * (self.above is not None)
                bounds += [f"{value} <= {self.high}"] * (self.high is not None)
                return " AND ".join([*bounds, f"isfinite({value}::DOUBLE)"])
            case "flag":
                return f"{value} IS NOT NULL"


def columns_of(record: type[BaseModel]) -> tuple[Column, ...]:
    """The columns of a record, in the order of its fields."""
    return _columns(record)


def key_of(record: type[BaseModel]) -> tuple[str, ...]:
    """What makes a row the same row: a source and its id, or all that places a sample."""
    if issubclass(record, records.Sample):
        return ("source", "service", "series", "variant", "deployment", "at")
    return ("source", "source_id")


def times_of(record: type[Any]) -> tuple[str, ...]:
    """The fields that say when it happened."""
    return tuple(record.times)


def stored(record: type[BaseModel]) -> dict[str, str]:
    """Every column of the record's table in the ledger, and its type.

    Samples have no `revised_at` of their own; the ledger keeps the time of loading there, as it does for everything else.
    """
    fields = {column.name: column.type for column in columns_of(record)}
    fields.setdefault("revised_at", "TIMESTAMPTZ")
    return {"source": "VARCHAR", **fields, "seen_at": "TIMESTAMPTZ", "content_hash": "VARCHAR", "raw_ref": "BIGINT"}


def content_hash(record: type[BaseModel], null: Collection[str] = ()) -> str:
    """SQL for the sha256 of what a row says: key and fields, without people and without any clock of ours. `null`: fields that say nothing.

    Only fields that say something take part, so a field added to records.py later changes no hash. Free text carries its length:
    no text can be made to look like two fields.
    """
    parts = [literal(f"{record.table} "), "length(source) || ':' || source"]  # type: ignore[attr-defined]
    for column in (column for column in columns_of(record) if column.name not in null):
        name = quoted(column.name)
        if column.name in WHETHER:
            parts.append(f"CASE WHEN {name} IS NOT NULL THEN {literal(column.name)} END")
            continue
        if column.name in (*PEOPLE, "revised_at"):
            continue
        match column.kind:
            case "time":
                said = f"epoch_us({name})"
            case "names":
                said = f"to_json({name})::VARCHAR"
            case "name" | "text":
                said = f"length({name}) || ':' || {name}"
            case _:
                said = f"{name}::VARCHAR"
        parts.append(f"{literal(column.name + '=')} || {said}")
    return f"sha256(concat_ws(chr(31), {', '.join(parts)}))"


def trimmed(text: str) -> str:
    """SQL for Python's strip()."""
    # trim() with a set of characters costs twenty times what this look at both ends does, and nearly all text is clean.
    clean = f"{text}[1] BETWEEN '!' AND '~' AND {text}[-1] BETWEEN '!' AND '~'"
    return f"CASE WHEN {clean} THEN {text} ELSE trim({text}, {_SPACE}) END"


@cache
def _columns(record: type[BaseModel]) -> tuple[Column, ...]:
    return tuple(_column(name, field) for name, field in record.model_fields.items())


def _column(name: str, field: FieldInfo) -> Column:
    kind, rules = _unwrapped(field.annotation, list(field.metadata))
    bounds: dict[str, Any] = {}
    named = promised = False
    for rule in rules:
        match rule:
            case annotated_types.MinLen():
                bounds["shortest"] = rule.min_length
            case annotated_types.MaxLen():
                bounds["longest"] = rule.max_length
            case annotated_types.Ge():
                bounds["low"] = rule.ge
            case annotated_types.Gt():
                bounds["above"] = rule.gt
            case annotated_types.Le():
                bounds["high"] = rule.le
            case AfterValidator(func=records._name):
                named = True
            case AfterValidator(func=records._promised_time):
                promised = True
            case AfterValidator(func=records._valid_time) | AfterValidator(func=records._finite):
                pass
            case _:
                # Better no start than a rule that only one of the two validators knows.
                raise TypeError(f"{name}: columns.py has no SQL for {rule!r}")
    default = None if field.default is PydanticUndefined else field.default
    return Column(
        name=name,
        kind=_kind(kind, named),
        required=field.is_required(),
        default=default,
        choices=tuple(get_args(kind)) if get_origin(kind) is Literal else (),
        low=bounds.get("low"),
        above=bounds.get("above"),
        high=bounds.get("high"),
        longest=bounds.get("longest"),
        shortest=bounds.get("shortest", 0),
        alias=field.alias,
        promised=promised,
    )


def _unwrapped(annotation: Any, rules: list[Any]) -> tuple[Any, list[Any]]:
    """The bare type under Optional and Annotated, and every rule met on the way."""
    while True:
        if get_origin(annotation) in (Union, UnionType):
            (annotation,) = [part for part in get_args(annotation) if part is not NoneType]
        elif get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for rule in more:
                rules += rule.metadata if isinstance(rule, FieldInfo) else [rule]
        else:
            return annotation, rules


def _kind(annotation: Any, named: bool) -> Kind:
    if get_origin(annotation) is Literal:
        return "enum"
    if get_origin(annotation) is list:
        return "names"
    if annotation is str:
        return "name" if named else "text"
    kinds: dict[Any, Kind] = {datetime: "time", bool: "flag", int: "integer", float: "number"}
    return kinds[annotation]


def _is_name(value: str, shortest: int, longest: int | None) -> str:
    return f"length({value}) BETWEEN {shortest} AND {longest} AND lower({value}) NOT IN ('nan', 'null', 'none')"


def _time(text: str, zone: str | None, form: str | None) -> str:
    if form in ("epoch_s", "epoch_ms", "epoch_us"):
        factor = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}[form]
        whole = f"CASE WHEN regexp_full_match({text}, '-?[0-9]{{1,17}}([.][0-9]{{1,9}})?') THEN {text} END"
        return f"make_timestamptz(TRY_CAST(round({whole}::DECIMAL(38, 9) * {factor}) AS BIGINT))"
    if form is not None:
        parsed = f"try_strptime({text}, {literal(form)})"
        return parsed if "%z" in form or "%Z" in form else f"timezone({literal(zone or 'UTC')}, {parsed})"
    joined = f"regexp_replace(replace({text}, 'UTC', '+00'), ' ([+-])', '\\1')"
    spaced = f"regexp_replace({joined}, '([+-][0-9]{{2}})([0-9]{{2}})$', '\\1:\\2')"
    cases = [
        f"WHEN regexp_full_match({text}, '{_ISO_WITH_OFFSET}') THEN TRY_CAST({text} AS TIMESTAMPTZ)",
        f"WHEN regexp_full_match({text}, '{_ISO_SPACED}') THEN TRY_CAST({spaced} AS TIMESTAMPTZ)",
    ]
    if zone is not None:
        cases.append(f"WHEN regexp_full_match({text}, '{_ISO}') THEN timezone({literal(zone)}, TRY_CAST({text} AS TIMESTAMP))")
    return f"CASE {' '.join(cases)} END"
