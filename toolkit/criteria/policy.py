"""policy/criteria.toml: what was agreed, by whom, why, since when and until when; read, checked, and written back as it was laid out."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from toolkit.criteria.criterion import Criterion
from toolkit.criteria.kinds import criterion_of
from toolkit.criteria.terms import Terms
from toolkit.errors import DataError, UsageError

__all__ = ["EXAMPLE", "FILE", "Policy", "narrows"]

FILE = "policy/criteria.toml"
VERSION = 1

EXAMPLE = """\
# When a deployment is to be stopped. Each change is a new [[criterion]] of the same name with its own `since`; the old one gets `until`.
version = 1

[[criterion]]
name = "canary errors"
kind = "canary"                # threshold, failed_checks, consecutive, burn_rate, canary, anomaly, no_data, any_of, all_of
series = "errors"
mode = "difference"
limit = 0.05                   # canary more than 5 points above the baseline, strictly …
for = "2m"                     # … for two minutes: three evaluations in a row at one a minute
min_events = 1                 # a sample with fewer events is neither passed nor failed
adopted_by = "the team"
why = "What the pipeline has used from the start."
since = 2025-01-01

# How a recalibration decides; what is commented out shows the default.
[recalibration]
# horizon = "2h"               # how long a deployment is watched
# alpha = 0.05                 # false stops of good deployments that are tolerated
# failed_requests_per_engineer_minute = 100   # the one exchange rate between users' harm and engineers' time
"""


@dataclass(frozen=True)
class Policy:
    """The criteria of a file, all of them, also those no longer in force; and the terms of recalibration.

    Raises DataError, naming line and fix, for what cannot be read. Frozen: `adopted` gives another policy, `save` writes it.
    """

    text: str = ""
    source: str = FILE
    criteria: tuple[Criterion, ...] = field(init=False)
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        document = self._document
        unknown = set(document) - {"version", "criterion", "recalibration"}
        if unknown:
            name = min(unknown)
            raise self._error((name,), f"{name!r} is nothing of this file: write [[criterion]], [recalibration] or version")
        if document.get("version", VERSION) != VERSION:
            raise self._error(("version",), f"version {document['version']} is not known here: this program reads version {VERSION}")
        tables = document.get("criterion", [])
        if not isinstance(tables, list):
            raise self._error(("criterion",), "a criterion is one of several: write [[criterion]], in double brackets")
        object.__setattr__(self, "criteria", tuple(self._criterion(place, table) for place, table in enumerate(tables)))
        object.__setattr__(self, "terms", self._terms(document.get("recalibration", {})))
        self._distinct()

    @classmethod
    def read(cls, root: Path) -> Policy | None:
        """The policy of a workspace; None where it has none."""
        path = root / FILE
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error

    @classmethod
    def published(cls, meta: Mapping[str, Any]) -> Policy | None:
        """The policy that facts were published with, as their meta has it; None where there was none."""
        said = (meta.get("settings") or {}).get("criteria")
        if said is None:
            return None
        *tables, terms = said
        return cls(tomlkit.dumps(_said({"criterion": tables, "recalibration": terms})), "the policy as it was published")

    def in_force(self, day: date, *, service: str | None = None, service_class: str | None = None) -> tuple[Criterion, ...]:
        """The criteria in force on a day, for a service of a class; without a service, for any. Of one name, the narrowest scope holds."""
        current = [one for one in self.criteria if one.is_in_force(day)]
        if service is None:
            return tuple(current)
        ours = [one for one in current if one.concerns(service=service, service_class=service_class)]
        return tuple(one for one in ours if not any(narrows(other, one) for other in ours))

    def named(self, name: str, day: date | None = None) -> Criterion:
        """The criterion of a name: the one in force on the day, else the newest. Raises UsageError that lists what there is."""
        found = [one for one in self.criteria if one.name == name]
        if not found:
            there = ", ".join(dict.fromkeys(one.name for one in self.criteria)) or "none"
            raise UsageError(f"No criterion named {name!r} in {self.source}. There are: {there}.")
        current = [one for one in found if day is not None and one.is_in_force(day)]
        return max(current or found, key=lambda one: one.since or date.min)

    def adopted(self, criterion: Criterion, *, since: date, by: str, why: str, expires: date | None = None) -> Policy:
        """The policy in which a criterion replaces the one of its name, scope and place from a day on. Everything else stays as it is
        written: comments, order, spacing."""
        new = criterion.model_copy(update={"since": since, "until": None, "adopted_by": by, "why": why, "expires": expires})
        document = tomlkit.parse(self.text) if self.text.strip() else tomlkit.document()
        document.setdefault("version", VERSION)
        tables = document.setdefault("criterion", tomlkit.aot())
        scope = (new.name, new.service_class, new.service)
        for table, old in zip(tables, self.criteria, strict=True):
            if (old.name, old.service_class, old.service) == scope and old.is_in_force(since):
                table["until"] = since
        tables.append(_table(new))
        return Policy(tomlkit.dumps(document), self.source)

    def save(self, root: Path) -> Path:
        """Writes the file, whole or not at all."""
        path = root / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".criteria-", suffix=".toml")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(self.text)
            out.flush()
            os.fsync(out.fileno())
        Path(draft).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(draft, path)
        return path

    def content(self) -> list[dict[str, Any]]:
        """What the policy says, without its layout: what enters a version. Comments change nothing."""
        return [one.model_dump(mode="json", by_alias=True) for one in self.criteria] + [self.terms.model_dump(mode="json")]

    @cached_property
    def _document(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise DataError(f"{self.source}: {error}. Put the TOML right there.") from error

    def _criterion(self, place: int, table: Any) -> Criterion:
        try:
            return criterion_of(table)
        except ValidationError as error:
            raise self._told(("criterion", place), error) from error
        except (ValueError, AttributeError) as error:
            raise self._error(("criterion", place, "kind"), str(error)) from error

    def _terms(self, table: Any) -> Terms:
        try:
            return Terms.model_validate(table)
        except ValidationError as error:
            raise self._told(("recalibration",), error) from error

    def _distinct(self) -> None:
        """One name, scope and day is one criterion."""
        for place, one in enumerate(self.criteria):
            for other in self.criteria[:place]:
                same = (one.name, one.service_class, one.service) == (other.name, other.service_class, other.service)
                if same and _overlap(one, other):
                    until = one.since or other.since or "a day"
                    raise self._error(
                        ("criterion", place, "name"), f"{one.name!r} is in force twice at once: give the earlier one until = {until}"
                    )

    def _told(self, within: tuple[str | int, ...], error: ValidationError) -> DataError:
        first = error.errors()[0]
        kinds = {"extra_forbidden": "nothing of that name belongs here: remove it, or correct its spelling", "missing": "missing: add it"}
        said = kinds.get(first["type"], first["msg"].removeprefix("Value error, "))
        where = tuple(part for part in first["loc"] if isinstance(part, (str, int)))
        named = ".".join(str(part) for part in where)
        return self._error((*within, *where), f"{named}: {said}" if named else said)

    def _error(self, where: tuple[str | int, ...], said: str) -> DataError:
        return DataError(f"{self.source}, line {_line(self.text, where)}: {said}.")


def narrows(one: Criterion, other: Criterion) -> bool:
    """Whether a criterion stands in for another of its name, for a narrower scope."""
    scope = [(each.service is not None, each.service_class is not None) for each in (one, other)]
    return one.name == other.name and scope[0] > scope[1]


def _overlap(one: Criterion, other: Criterion) -> bool:
    begin = max(one.since or date.min, other.since or date.min)
    return begin < min(one.until or date.max, other.until or date.max)


def _table(criterion: Criterion) -> Any:
    """The criterion as a table of the file: what differs from its kind's defaults, the days unquoted."""
    said = criterion.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    table = tomlkit.table()
    for name in sorted(said, key=lambda name: ("name", "kind").index(name) if name in ("name", "kind") else 2):
        table[name] = getattr(criterion, name) if name in ("since", "until", "expires") else said[name]
    table.setdefault("kind", criterion.kind)
    return table


def _said(value: Any) -> Any:
    """Without what is not said: TOML knows no null."""
    if isinstance(value, dict):
        return {name: _said(one) for name, one in value.items() if one is not None}
    return [_said(one) for one in value] if isinstance(value, list) else value


def _line(text: str, where: tuple[str | int, ...]) -> int:
    """The line of a key, as far as it can be told: of its table's header where the key itself is not there."""
    lines = text.splitlines()
    start, end = 0, len(lines)
    named, rest = "", list(where)
    # From table to table of tables: criterion 2, its members 1.
    while rest and isinstance(rest[0], str):
        place = rest[1] if len(rest) > 1 and isinstance(rest[1], int) else 0
        inner = f"{named}.{rest[0]}" if named else rest[0]
        headers = [number for number in _headers(lines, inner) if start <= number < end]
        if place >= len(headers):
            break
        start = headers[place]
        end = next((number for number in range(start + 1, end) if _leaves(lines[number], inner)), end)
        named, rest = inner, rest[1:] if len(rest) < 2 or isinstance(rest[1], str) else rest[2:]
    for name in reversed([part for part in rest if isinstance(part, str)]):
        for number in range(start, end):
            if re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", lines[number]):
                return number + 1
    return start + 1


def _leaves(line: str, table: str) -> bool:
    """Whether a line begins a table that is no part of this one."""
    return re.match(r"\s*\[", line) is not None and re.match(rf"\s*\[+\s*{re.escape(table)}\s*\.", line) is None


def _headers(lines: list[str], name: str) -> Iterator[int]:
    return (number for number, line in enumerate(lines) if re.match(rf"\s*\[+\s*{re.escape(name)}\s*\]", line))
