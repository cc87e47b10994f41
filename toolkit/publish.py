"""Ledger → facts → a new warehouse, under a version that equal input gives again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

import polars as pl

from toolkit.criteria.policy import Policy
from toolkit.facts import OVERRIDES, UNREAD, stitched
from toolkit.facts.environments import environments_of
from toolkit.facts.practices import SAID_MORE_OF, practice_facts
from toolkit.facts.renamed import renamed
from toolkit.records import RECORDS
from toolkit.store import warehouse
from toolkit.store.entries import TIMES
from toolkit.store.journal import Entry, digest_of
from toolkit.store.ledger import Ledger
from toolkit.store.lock import hold
from toolkit.store.people import PEOPLE
from toolkit.watch import watched, with_criterion_met

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["STITCHING", "horizon_of", "is_current", "overrides_of", "publish", "settings_of", "version_of", "waivers_of"]

STITCHING = "stitching.lock"
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)
# The records that the passes read; the horizon is theirs.
STITCHED = ("deployment", "rollback", "incident", "incident_event", "flag_change")
# Few rows each, and of use as they are: they stand in the warehouse under their table's name.
KEPT = ("incident_event", "flag_change", "owner", "artifact", "gate", "merge", "verdict", "review", "action_item")
# Of a commit that was not merged when somebody looked, it is told when that was, and how it was found out.
SAID = {"merge": ("observed_at", "inferred_by")}


def publish(workspace: Workspace, *, force: bool = False, begun: Callable[[], None] | None = None) -> str:
    """Stitches what the ledger holds and publishes it. Returns the warehouse's version; a version that is current already is not
    written again.

    One publishes at a time, so that what was read later is never replaced by what was read earlier. `begun` is called when it is this
    one's turn, before anything is read.
    Raises Busy when somebody else holds the ledger for more than 10 s, or publishes for more than 10 min.
    """
    with hold(workspace.state / STITCHING, wait=600.0):
        if begun is not None:
            begun()
        return _published(workspace, force=force)


@dataclass(frozen=True)
class _Said:
    """All that a publish is made of, as it was at one moment; telemetry alone is read later, a service at a time."""

    version: str
    digest: str
    coverage: pl.DataFrame
    records: dict[str, pl.DataFrame]
    migrations: pl.DataFrame
    decided: list[Entry]
    policy: Policy | None
    settings: dict[str, Any]

    def overrides(self) -> pl.DataFrame:
        return overrides_of(self.decided)

    def watched_since(self) -> datetime | None:
        """Since when somebody is known to have told of incidents."""
        told = self.coverage.filter((pl.col("stream") == "incidents") & ~pl.col("assumed") & ~pl.col("gap"))
        start = told["start"].min()
        return start if isinstance(start, datetime) else None


def _published(workspace: Workspace, *, force: bool) -> str:
    said = _read_at_once(workspace, force=force)
    if isinstance(said, str):
        return said
    with warehouse.draft(workspace.state, said.version) as draft, ThreadPoolExecutor(1) as beside:
        _fill(draft, workspace, said, beside)
    return said.version if draft.finished else _published(workspace, force=force)


def _read_at_once(workspace: Workspace, *, force: bool) -> _Said | str:
    """What is to be published; only its version where that is published already, and need not be again."""
    decided, ledger, policy = workspace.journal.facts(), workspace.ledger, workspace.policy
    settings = settings_of(workspace, policy)
    # While the ledger is open here, no flush can come between the reads.
    with ledger.opened():
        digest, coverage = ledger.digest(), ledger.coverage()
        version = version_of(digest, settings, coverage, digest_of(decided))
        path = warehouse.current(workspace.state)
        if not force and path is not None and warehouse.is_readable(path) and warehouse.meta(path).get("version") == version:
            return version
        migrations = ledger.migrations()
        records = {name: _read(ledger, name) for name in dict.fromkeys((*STITCHED, *KEPT))}
    names = workspace.settings.renamed
    migrations = renamed({"migration": migrations}, names)["migration"]
    return _Said(version, digest, coverage, renamed(records, names), migrations, decided, policy, settings)


def _fill(draft: warehouse.Draft, workspace: Workspace, said: _Said, beside: ThreadPoolExecutor) -> None:
    """Find out what follows from what was said, and write it. Left unfinished where samples came in while they were read."""
    records, overrides = said.records, said.overrides()
    known_until, source = horizon_of(records | {"override": overrides}, said.coverage, workspace.settings.horizon)
    horizon = known_until or _NEVER
    production = workspace.settings.production
    laid: list[Future[None]] = []
    # Deployments are most of it, and what is said of all of them is known first: it is written while the rest is found out.
    deployments, tables = stitched(
        records | {"override": overrides},
        horizon=horizon,
        production=production,
        coverage_start=said.watched_since(),
        begun=lambda dense: laid.append(beside.submit(draft.begin, "deployments", dense)),
    )
    tables |= watched(workspace.telemetry, said.policy, deployments, records["owner"], horizon=horizon)
    tables["incidents"] = with_criterion_met(tables["incidents"], tables["criteria_met"])
    # Samples that came in meanwhile would be of another moment than the records.
    if len(tables["watched"]) and workspace.ledger.digest() != said.digest:
        return
    practices = beside.submit(
        practice_facts,
        records | {"migration": said.migrations},
        {**tables, "deployments": deployments},
        horizon=horizon,
        production=production,
        zone=workspace.settings.time_zone,
        playbooks=workspace.playbooks,
        waivers=waivers_of(said.decided, horizon),
    )
    about = {"horizon": known_until.isoformat() if known_until else None, "horizon_source": source}
    about |= _meta(said, {**tables, "deployments": deployments.dense})
    for one in laid:
        one.result()
    draft.end("deployments", deployments)
    for name in (name for name in tables if name not in SAID_MORE_OF):
        draft.add(name, tables[name])
    draft.settle()
    kept = {RECORDS[name].table: _as_told(name, records[name]) for name in KEPT}
    # Where a fact says more than the record of the same name, it stands in its place.
    for name, table in {**kept, **practices.result()}.items():
        draft.add(name, table)
    draft.finish(about)


def _meta(said: _Said, tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """What the warehouse says of itself: what it was made of, and by which code."""
    return {
        "records": {name: len(frame) for name, frame in said.records.items()},
        "sources": sorted({source for frame in said.records.values() for source in frame["source"].unique().to_list()}),
        "coverage": json.loads(said.coverage.write_json()) if len(said.coverage) else [],
        "begins": _beginnings(tables),
        "environments": environments_of(said.records, tables),
        "settings": said.settings,
        "ledger_digest": said.digest,
        "journal_digest": digest_of(said.decided),
        "code_version": code_version(),
    }


def settings_of(workspace: Workspace, policy: Policy | None) -> dict[str, Any]:
    """What was set and agreed, as far as facts depend on it: part of the version."""
    return {
        **workspace.settings.model_dump(mode="json", include={"production", "horizon", "renamed", "time_zone"}),
        "criteria": policy.content() if policy is not None else None,
        "playbooks": [one.model_dump(mode="json") for one in workspace.playbooks],
    }


def _read(ledger: Ledger, record: str) -> pl.DataFrame:
    """What the record's current rows say. Those that are only stitched are read without columns that say nothing, but for the key."""
    table, columns = RECORDS[record].table, _columns(record)
    return ledger.read(table, columns) if record in KEPT else ledger.lean(table, columns[:2], columns[2:])


def _beginnings(tables: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """By table, when its first event was; a table without events, or of things that have no moment, is not there."""
    firsts = {name: frame["at"].min() for name, frame in tables.items() if "at" in frame.columns}
    return {name: first.isoformat() for name, first in firsts.items() if isinstance(first, datetime)}


def _as_told(record: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The record's rows by the names that loaders know, in an order of their own; of people only whether somebody is named."""
    if record == "verdict":
        frame = frame.with_columns(overridden=pl.col("overridden_by").is_not_null())
    frame = frame.drop(PEOPLE, strict=False)
    aliases = {name: field.alias for name, field in RECORDS[record].model_fields.items() if field.alias and name in frame.columns}
    return frame.rename(aliases).sort("source", "source_id")


def _columns(record: str) -> list[str]:
    return ["source", *(name for name in RECORDS[record].model_fields if name not in UNREAD or name in SAID.get(record, ()))]


def horizon_of(records: dict[str, pl.DataFrame], coverage: pl.DataFrame, setting: datetime | None) -> tuple[datetime | None, str]:
    """The moment up to which things are known, and where that comes from: the setting, the earliest declared end of coverage, the
    latest event."""
    if setting is not None:
        return setting, "setting"
    streams = [RECORDS[name].table for name in STITCHED]
    declared = coverage.filter(pl.col("stream").is_in(streams), ~pl.col("assumed"), ~pl.col("gap"))
    first_end = declared.group_by("stream").agg(pl.col("end").max())["end"].min()
    if isinstance(first_end, datetime):
        return first_end, "coverage"
    last = max(_moments(records), default=None)
    return last, "latest event"


def overrides_of(entries: Iterable[Entry]) -> pl.DataFrame:
    """The overrides among the journal's facts, as the passes read them."""
    rows = []
    for body in (entry.body for entry in entries if entry.kind == "override"):
        value, row = body["value"], {"record": body["record"], "source": body["source"], "source_id": body["id"], "field": body["field"]}
        if isinstance(value, dict):
            row |= {"to_source": value["source"], "to_id": value["id"]}
        elif body["field"] in TIMES:
            row |= {"at": datetime.fromisoformat(value)}
        else:
            row |= {"word": value}
        rows.append(row)
    return pl.DataFrame(rows, schema=OVERRIDES)


def waivers_of(entries: Iterable[Entry], horizon: datetime) -> dict[str, dict[str, str]]:
    """The steps of playbooks that were taken out, by incident, with the reason: waivers of the rule `playbook:STEP` that still hold."""
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.kind != "waiver" or not entry.body["rule"].startswith("playbook:"):
            continue
        if entry.body["until"] is None or date.fromisoformat(entry.body["until"]) >= horizon.date():
            found.setdefault(entry.about, {})[entry.body["rule"].removeprefix("playbook:")] = entry.why or ""
    return found


def _moments(records: dict[str, pl.DataFrame]) -> Iterable[datetime]:
    said = records["override"]["at"].max() if "override" in records else None
    if isinstance(said, datetime):
        yield said
    for name in STITCHED:
        frame = records[name]
        stamps = [stamp for stamp in RECORDS[name].times if stamp in frame.columns]
        for value in frame.select(pl.col(stamps).max()).row(0) if stamps and len(frame) else ():
            if value is not None:
                yield value


def version_of(digest: str, settings: dict[str, Any], coverage: pl.DataFrame, decided: str) -> str:
    """Equal records, declared coverage, settings, decisions (`decided`: their digest) and code give an equal version. No clock and no
    path of ours is in it."""
    # What is assumed of coverage follows from the records; what is declared says more than they do, and sets the horizon.
    declared = coverage.filter(~pl.col("assumed") | pl.col("gap")).sort("stream", "source", "start", "end").write_json()
    about = {"ledger": digest, "journal": decided, "coverage": declared, "settings": settings, "code": code_version()}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def is_current(workspace: Workspace) -> bool:
    """Whether publishing now would give the version that is published. Raises DataError before the first publish."""
    ledger = workspace.ledger
    version = version_of(ledger.digest(), settings_of(workspace, workspace.policy), ledger.coverage(), workspace.journal.digest())
    return bool(version == workspace.meta["version"])


@lru_cache(maxsize=1)
def code_version() -> str:
    """The distribution's version and a digest of the code that stitches and judges: a changed rule is a changed version."""
    try:
        release = distribution_version("knowngood")
    except PackageNotFoundError:
        release = "source"
    digest = hashlib.sha256()
    judging = [files("toolkit") / name for name in ("passage.py", "watch.py")]
    for item in (*_modules("toolkit.facts"), *_modules("toolkit.criteria"), *_modules("toolkit.playbooks"), *judging):
        digest.update(item.read_bytes())
    return f"{release}+{digest.hexdigest()[:12]}"


def _modules(package: str) -> list[Traversable]:
    return sorted((item for item in files(package).iterdir() if item.name.endswith(".py")), key=lambda item: item.name)
