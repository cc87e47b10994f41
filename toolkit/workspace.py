"""A workspace: the folder with knowngood.toml, its settings, and what lies in .knowngood beside it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
from polars.io.plugins import register_io_source
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from toolkit.errors import DataError, UsageError
from toolkit.store import warehouse
from toolkit.store.journal import Journal
from toolkit.store.ledger import Ledger
from toolkit.store.people import PUBLISHED_KEY, key_at
from toolkit.store.telemetry import Telemetry

if TYPE_CHECKING:
    from toolkit.criteria.policy import Policy
    from toolkit.playbooks import Playbook

__all__ = ["Facts", "Privacy", "Settings", "Workspace"]

FILE = "knowngood.toml"
STATE = ".knowngood"

_EXAMPLE = """\
# Settings of this workspace. Everything here is optional; what is commented out shows the default.

# Environments that count as production: names or patterns.
# production = ["production", "production-*", "prod", "prod-*", "live"]

# Severities that count as incidents; empty counts all. "maintenance" never counts.
# severities = []

# The zone in which days and weeks begin.
# time_zone = "UTC"

# Measure as of this moment instead of the last event seen.
# horizon = 2026-03-01T00:00:00Z

# Services that were renamed: what was said under the old name counts under the new one.
# [renamed]
# "payments-api" = "payments"

[privacy]
# people = "hash"    # names of people become pseudonyms; "keep" writes them down as they are

# A source each: a file or a pattern, what it holds, and a mapping where its columns have other names (docs/mapping.md).
# [sources.deploys]
# path = "exports/deploys-*.csv"
# record = "deployment"
# map = "maps/deploys.toml"

# Files of CDEvents (docs/cdevents.md), and retrospectives in Markdown (docs/reviews.md).
# [sources.cdevents]
# path = "events/*.jsonl"
# [sources.reviews]
# path = "reviews"

# A clone of the repository that says what runs where: each merge that changes a version is a deployment (docs/git.md).
# [sources.ops]
# kind = "gitops"
# path = "../ops"
# files = "apps/{environment}/{service}/values.yaml"
"""
# The journal is not here: it is the only copy of people's work.
_IGNORED = """\
ledger.*
staging.*
warehouse-*
CURRENT*
people.key*
before-restore-*
*.lock
*.log
*.door
"""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone: write it like Europe/London or UTC") from error
    return name


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone: write {value.isoformat()}Z")
    return value


def _no_circle(names: dict[str, str]) -> dict[str, str]:
    for old in names:
        passed, name = {old}, names[old]
        while name in names and name not in passed:
            passed.add(name)
            name = names[name]
        if name in passed:
            raise ValueError(f"{old!r} is renamed in a circle: its newest name must stand on no left side")
    return names


class Privacy(BaseModel):
    """How names of people are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    people: Literal["hash", "keep"] = "hash"


class Settings(BaseModel):
    """knowngood.toml, with defaults where it is silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    production: list[str] = ["production", "production-*", "prod", "prod-*", "live"]
    severities: list[str] = []
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    horizon: Annotated[datetime, AfterValidator(_aware)] | None = None
    renamed: Annotated[dict[str, str], AfterValidator(_no_circle)] = Field(default_factory=dict)
    privacy: Privacy = Privacy()
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Workspace:
    """The workspace at `root`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self.state = self.root / STATE

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    @classmethod
    def find(cls, path: Path | str | None = None) -> Self:
        """The workspace at `path` (default: here) or above it. Raises UsageError where there is none."""
        start = Path(path or ".").resolve()
        for folder in (start, *start.parents):
            if (folder / FILE).is_file():
                return cls(folder)
        raise UsageError(f"No {FILE} in {start} or above it. Run `knowngood init` in the folder that is to hold the workspace.")

    @classmethod
    def init(cls, root: Path | str, *, published_key: bool = False) -> Self:
        """Make a workspace at `root`; what is there already stays. `published_key`: pseudonyms that are equal everywhere, for samples."""
        workspace = cls(root)
        workspace.state.mkdir(parents=True, exist_ok=True)
        file = workspace.root / FILE
        if not file.exists():
            file.write_text(_EXAMPLE, encoding="utf-8")
        ignored = workspace.state / ".gitignore"
        if not ignored.exists():
            ignored.write_text(_IGNORED, encoding="utf-8")
        key_at(workspace.state / "people.key", PUBLISHED_KEY if published_key else None)
        return workspace

    @cached_property
    def settings(self) -> Settings:
        """What knowngood.toml says. Raises UsageError naming the key that is wrong."""
        file = self.root / FILE
        try:
            return Settings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(f"There is no {file}. Run `knowngood init` there.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not TOML: {error}") from error
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise UsageError(f"{file}: {said}") from error

    @property
    def policy(self) -> Policy | None:
        """The criteria that were agreed, from policy/criteria.toml as it is now; None where there are none. Raises DataError naming line
        and fix."""
        # A third of what a command that needs no criteria would spend on starting.
        from toolkit.criteria.policy import Policy

        return Policy.read(self.root)

    @property
    def playbooks(self) -> tuple[Playbook, ...]:
        """What is to be done in trouble, from policy/playbooks/*.toml as it is now; where there is none, as it comes with the product.
        Raises DataError naming file, line and fix."""
        from toolkit.playbooks import playbooks_of

        return playbooks_of(self.root)

    @cached_property
    def ledger(self) -> Ledger:
        """What sources said."""
        return Ledger(self.state / "ledger.duckdb", people=self.settings.privacy.people)

    @cached_property
    def journal(self) -> Journal:
        """What people decided."""
        return Journal(self.state / "journal.sqlite")

    @property
    def published(self) -> bool:
        """Whether anything has been published yet."""
        return warehouse.current(self.state) is not None

    @property
    def telemetry(self) -> Telemetry:
        """The ledger's samples, by the names that services have now."""
        return Telemetry(self.ledger, self.settings.renamed)

    @property
    def warehouse(self) -> Path:
        """The current warehouse. Raises DataError before the first publish."""
        path = warehouse.current(self.state)
        if path is None:
            raise DataError(f"Nothing has been published in {self.root}. Run `knowngood publish`.")
        return path

    @property
    def facts(self) -> Facts:
        """The facts that were published last."""
        return Facts(self.warehouse)

    @property
    def meta(self) -> dict[str, Any]:
        """What publish said about the facts: version, horizon, counts, coverage."""
        return warehouse.meta(self.warehouse)


class Facts:
    """The tables of one warehouse as lazy frames: facts.deployments, facts.rollbacks, …

    Only the columns that a query asks for are read, each once: most questions need a tenth of a table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: dict[str, pl.LazyFrame] = {}

    def __getattr__(self, table: str) -> pl.LazyFrame:
        if table.startswith("_"):
            raise AttributeError(table)
        if table not in self._tables:
            try:
                self._tables[table] = _lazily(self._path, table)
            except KeyError as error:
                raise AttributeError(str(error.args[0])) from None
        return self._tables[table]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *warehouse.tables(self._path)]


def _lazily(path: Path, table: str) -> pl.LazyFrame:
    """A table of the warehouse; columns are read when first asked for, and kept."""
    schema = warehouse.schema(path, table)
    held: dict[str, pl.Series] = {}

    def scan(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        names = list(schema) if with_columns is None else with_columns
        # A query that only counts rows asks for no column at all; one is enough to count.
        missing = [name for name in names or list(schema)[:1] if name not in held]
        if missing:
            held.update({series.name: series for series in warehouse.read(path, table, missing).get_columns()})
        frame = pl.DataFrame([held[name] for name in names or list(schema)[:1]])
        if predicate is not None:
            holds = frame.select(predicate.alias("holds"))["holds"].fill_null(value=False)
            # Most questions are about all rows of a kind: then none is moved.
            frame = frame if holds.all() else frame.filter(holds)
        yield (frame if n_rows is None else frame.head(n_rows)).select(names or list(schema)[:1])

    return register_io_source(scan, schema=schema)
