"""What all formats share: queries, certificates, and YAML that comes from others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import yaml

from toolkit.criteria import Criterion
from toolkit.criteria.criterion import Variant
from toolkit.criteria.spans import span, written
from toolkit.errors import DataError, UsageError
from toolkit.untrusted import visible

__all__ = [
    "Certificate",
    "Export",
    "Imported",
    "Queries",
    "cannot",
    "dumped",
    "loaded",
    "number",
    "prose",
    "slug",
    "spanned",
]

LARGEST = 2_000_000
HEAD = "knowngood certificate"


@dataclass(frozen=True)
class Certificate:
    """What stands behind a limit, as a comment in the file: a promise that nobody can look up is none."""

    criterion: str
    limit: float
    alpha: float | None = None
    delta: float | None = None
    good: int | None = None
    bad: int | None = None
    services: tuple[str, ...] = ()
    data: str | None = None
    adopted_by: str | None = None
    expires: date | None = None

    def comment(self) -> str:
        """Lines of a YAML comment."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) not in (None, ())}
        lines = [f"# {name}: {json.dumps(value, default=str)}" for name, value in told.items()]
        return "\n".join([f"# {HEAD}", *lines]) + "\n"

    @classmethod
    def of(cls, text: str) -> list[Certificate]:
        """The certificates in a file. Raises DataError for one that cannot be read."""
        found: list[dict[str, Any]] = []
        inside = False
        for place, line in enumerate(text.splitlines(), 1):
            if line.strip() == f"# {HEAD}":
                found.append({})
                inside = True
            elif inside and (said := re.fullmatch(r"# (\w+): (.*)", line.strip())):
                try:
                    found[-1][said[1]] = json.loads(said[2])
                except ValueError:
                    raise DataError(f"line {place}: the certificate cannot be read: export the criterion again.") from None
            else:
                inside = False
        return [cls._made(one) for one in found]

    @classmethod
    def _made(cls, told: dict[str, Any]) -> Certificate:
        known = {one.name for one in fields(cls)}
        if set(told) - known or not {"criterion", "limit"} <= set(told):
            raise DataError("A certificate in this file is not complete: export the criterion again.")
        expires = date.fromisoformat(told["expires"]) if told.get("expires") else None
        return cls(**told | {"expires": expires, "services": tuple(told.get("services", ()))})


@dataclass(frozen=True)
class Queries:
    """PromQL for what a criterion reads. of: by `series` or `series/variant`, a share or a value; events: how many events it rests on.

    Where nothing is said: counters <series>_bad and <series>_total, labelled with service and variant."""

    service: str | None = None
    of: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)

    def signal(self, series: str, variant: Variant, window: str) -> str:
        """The share of bad events within a window, or the query given."""
        given = self._given(self.of, series, variant)
        return given or f"{self._sum(series, 'bad', variant, window)} / {self._sum(series, 'total', variant, window)}"

    def count(self, series: str, variant: Variant, window: str) -> str | None:
        """The events within a window; None where the query that was given says nothing of them."""
        given = self._given(self.events, series, variant)
        return given or (None if self._given(self.of, series, variant) else self._sum(series, "total", variant, window))

    def bad(self, series: str, variant: Variant, window: str) -> str:
        """The bad events within a window."""
        return self._sum(series, "bad", variant, window)

    @staticmethod
    def _given(given: Mapping[str, str], series: str, variant: Variant) -> str | None:
        return given.get(f"{series}/{variant}") or given.get(series)

    def _sum(self, series: str, what: str, variant: Variant, window: str) -> str:
        labels = {"service": self.service, "variant": None if variant == "all" else variant}
        told = [f"{name}={_quoted(value)}" for name, value in labels.items() if value]
        name = f"{series}_{what}"
        plain = re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name)
        selector = f"{name}{{{','.join(told)}}}" if plain else f"{{{','.join([f'__name__={_quoted(name)}', *told])}}}"
        return f"sum(increase({selector}[{window}]))"


@dataclass(frozen=True)
class Export:
    """text: the file. differences: in what the tool would decide otherwise than the criterion, each in words; empty: in nothing."""

    text: str
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """criterion: with the exact semantics of the tool it came from. differences: what could not be taken over, in words."""

    criterion: Criterion
    differences: tuple[str, ...] = ()


def cannot(criterion: Criterion, what: str, why: str) -> UsageError:
    """The error for a criterion that a format cannot carry."""
    return UsageError(f"{criterion.name} is {criterion.kind}: {what} cannot say that. {why}")


def slug(name: str) -> str:
    """A name that Kubernetes takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "criterion"


def prose(text: str) -> str:
    """One line, nothing in it that steers."""
    return visible(" ".join(text.split()))


def number(value: float) -> str:
    """A number as both sides read it, nothing lost."""
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def spanned(seconds: float) -> str:
    """Seconds as rules write them."""
    return written(span(f"{round(seconds * 1000)}ms"))


def dumped(*documents: Any) -> str:
    """YAML, quoted by a library: no name can become structure."""
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=1000, explicit_start=len(documents) > 1)


def loaded(text: str, what: str) -> Iterator[dict[str, Any]]:
    """The mappings of a YAML stream. Raises DataError with the line; aliases, which can make a small file a huge one, are refused."""
    if len(text) > LARGEST:
        raise DataError(f"This file has {len(text):,} characters; rules have fewer than {LARGEST:,}.")
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise DataError(f"line {token.start_mark.line + 1}: an alias (*{token.value}): write out what it stands for.")
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise DataError(f"{where}this is not YAML: {getattr(error, 'problem', None) or error}. Put it right there.") from error
    except RecursionError:
        raise DataError("This file is nested more deeply than any rule.") from None
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise DataError(f"This is no {what}: a mapping is wanted, not {type(document).__name__}.")
        yield document


def _quoted(value: str) -> str:
    """A string of PromQL."""
    return json.dumps(value, ensure_ascii=False)
