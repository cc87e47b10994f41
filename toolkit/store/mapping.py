"""How a file's columns become a record's fields: the TOML mapping, checked before a row is read."""

from __future__ import annotations

import hashlib
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from toolkit.errors import UsageError

__all__ = ["Mapping", "TimeForm"]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone: write it like Europe/London or UTC") from error
    return name


def _form(form: str) -> str:
    if form not in ("epoch_s", "epoch_ms", "epoch_us") and "%" not in form:
        raise ValueError(f"{form!r} is no time format: use epoch_s, epoch_ms, epoch_us or one with % like %d/%m/%Y %H:%M")
    return form


def _text(value: Any) -> Any:
    """Constants and values may be written as numbers, booleans or times in TOML; a field reads text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, int | float) else value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone: write {value.isoformat()}Z")
    return value


Cell = Annotated[str, BeforeValidator(_text)]


class TimeForm(BaseModel):
    """How one time column is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[str, AfterValidator(_form)] | None = None
    zone: Annotated[str, AfterValidator(_zone)] | None = None


class Mapping(BaseModel):
    """What a mapping file may say. docs/mapping.md shows one with every key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: str | None = None
    source: str | None = None
    source_id: str | list[str] | None = None
    revised_at: str | None = None
    columns: dict[str, str | list[str]] = Field(default_factory=dict)
    constants: dict[str, Cell | list[str]] = Field(default_factory=dict)
    values: dict[str, dict[str, Cell]] = Field(default_factory=dict)
    times: dict[str, str | TimeForm] = Field(default_factory=dict)
    covers: tuple[Annotated[datetime, AfterValidator(_aware)], Annotated[datetime, AfterValidator(_aware)]] | None = None
    unknown: Literal["refuse", "keep"] = "refuse"
    nulls: list[str] = Field(default_factory=list)
    separator: Annotated[str, Field(min_length=1)] = ";"

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        # [times] holds format and zone for all beside a table for each field that differs.
        odd = [key for key, value in self.times.items() if isinstance(value, str) and key not in ("format", "zone")]
        if odd:
            raise ValueError(f"[times] takes format, zone and a table for each field; {odd[0]} is neither: write [times.{odd[0]}]")
        TimeForm.model_validate({key: value for key, value in self.times.items() if isinstance(value, str)})
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """The mapping in a TOML file. Raises UsageError naming the line or the key that is wrong."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(f"There is no mapping file {path}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not TOML: {error}") from error
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise UsageError(f"{path}: {said}") from error

    def columns_for(self, field: str) -> list[str] | None:
        """The columns named for a field; None where the mapping names none."""
        special = {"source_id": self.source_id, "revised_at": self.revised_at}
        named = self.columns.get(field, special.get(field))
        return [named] if isinstance(named, str) else named

    def time_form(self, field: str) -> TimeForm:
        """How the field's times are written: its own table, else the keys of [times]."""
        own = self.times.get(field)
        if isinstance(own, TimeForm):
            return own
        shared = {key: value for key, value in self.times.items() if key in ("format", "zone")}
        return TimeForm.model_validate(shared)

    @property
    def digest(self) -> str:
        """Changes when the mapping says something else, so that a file is read again with a new mapping."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
