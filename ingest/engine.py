"""Load files and sync sources: flush by flush, each whole or not at all."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from pydantic import BaseModel

from ingest.catalog import source_named, source_names
from ingest.pages import sync_pages
from ingest.report import RunReport
from toolkit.errors import DataError, KnowngoodError, UsageError
from toolkit.records import RECORDS
from toolkit.store.books import Counts, Load, Seen
from toolkit.store.ledger import Ledger
from toolkit.store.lock import hold
from toolkit.store.mapping import Mapping
from toolkit.store.staging import stage

__all__ = ["RunReport", "load", "load_source", "retry", "sync"]

# Rows a flush: each compares with the whole ledger once, so a flush wants to be large; a killed load repeats at most one.
FLUSH_ROWS = 250_000


class Settings(Protocol):
    """What is needed of the settings: [sources.NAME] tables by name."""

    @property
    def sources(self) -> dict[str, dict[str, Any]]: ...


class Site(Protocol):
    """What is needed of a workspace; toolkit.workspace.Workspace has it."""

    @property
    def root(self) -> Path: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def settings(self) -> Settings: ...


def load(
    site: Site,
    path: Path | str,
    record: str,
    mapping: Path | None = None,
    revised: datetime | None = None,
    *,
    source: str | None = None,
    flush_rows: int = FLUSH_ROWS,
    skip_known: bool = False,
) -> RunReport:
    """Load one file as records of one kind. Raises KnowngoodError where the file as a whole cannot be read.

    `revised` is the version of rows that carry none; without it the time of loading is. So among rows that carry no version the load
    that began last wins, and within one file the row with the greatest content hash. `skip_known`: a file that is in already, byte for
    byte and with this mapping, is left alone.
    """
    how = Mapping.read(mapping) if mapping is not None else Mapping()
    if revised is not None and revised.tzinfo is None:
        raise UsageError(f"{revised.isoformat()} has no time zone: write {revised.isoformat()}Z.")
    with hold(site.ledger.folder / "sync.lock"):
        return _load(site.ledger, Path(path), record, how, source or how.source or "files", revised, flush_rows, skip_known=skip_known)


def retry(site: Site, mapping: Path | None = None) -> list[RunReport]:
    """Read quarantined rows again: as they were read before, or by `mapping`. What is a record now leaves the quarantine.

    Rows keep the version of the load that brought them. Lines that could not be split into cells stay: load their file again once it
    is put right.
    """
    how = Mapping.read(mapping) if mapping is not None else None
    ledger = site.ledger
    reports: list[RunReport] = []
    with hold(ledger.folder / "sync.lock"):
        refused = ledger.quarantine().filter(pl.col("raw").str.starts_with("{"), pl.col("record").is_in(list(RECORDS)))
        for source, held in _refused_events(ledger).items():
            reports += sync_pages(ledger, source, "cdevents", source_named("cdevents").again, {"ledger": ledger, "rows": held})
        batch = ["record", "source", "path", "version", "seen_at", "mapping", "revised"]
        for _, rows in refused.group_by(batch, maintain_order=True):
            reports.append(_retry(ledger, rows, how))
    return reports


def _refused_events(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Quarantined events, by source: a later version of this program may know more of them."""
    held = ledger.quarantine().filter(pl.col("record") == "event")
    return {str(source): rows.to_dicts() for (source,), rows in held.group_by("source", maintain_order=True)}


def _retry(ledger: Ledger, rows: pl.DataFrame, mapping: Mapping | None) -> RunReport:
    """Rows of one load, once more."""
    first = rows.row(0, named=True)
    began = time.monotonic()
    how = mapping or Mapping.model_validate_json(first["mapping"] or "{}")
    draft = ledger.folder / "staging.jsonl"
    draft.write_text("".join(" ".join(raw.splitlines()) + "\n" for raw in rows["raw"]), encoding="utf-8")
    report = RunReport(first["source"], first["record"], first["path"])
    now = datetime.now(UTC)
    run = ledger.begin_run(source=first["source"], record=first["record"], path=first["path"], now=now)
    try:
        with stage(
            draft,
            _model(first["record"], how),
            mapping=how,
            source=first["source"],
            now=now,
            stamp=first["seen_at"],
            revised=first["revised"],
            people=ledger.people,
            scratch=ledger.folder / "staging.duckdb",
        ) as staged:
            entry = Load(
                run,
                first["record"],
                first["source"],
                first["path"],
                first["version"],
                "",
                first["seen_at"],
                how.model_dump_json(),
                first["revised"],
                seen=_seen(first["record"], how),
                again=tuple(rows["id"]),
            )
            total = ledger.flush(staged, 0, staged.rows - 1, load=entry, final=True)
    except KnowngoodError as error:
        ledger.end_run(run, status="failed", error=error.message, now=datetime.now(UTC))
        return replace(report, read=rows.height, quarantined=rows.height, error=error.message, exit_code=error.exit_code)
    finally:
        draft.unlink()
    ledger.end_run(run, status="ok", error=None, now=datetime.now(UTC))
    return replace(report, **asdict(total), seconds=time.monotonic() - began)


def sync(site: Site, names: Sequence[str] = ()) -> list[RunReport]:
    """Bring in what is new from the sources in knowngood.toml: those named, or all. One source's error does not stop the others."""
    unknown = [name for name in names if name not in site.settings.sources]
    if unknown:
        there = ", ".join(site.settings.sources) or "none; add one under [sources.NAME] in knowngood.toml"
        raise UsageError(f"No source named {', '.join(unknown)}. There are: {there}.")
    reports: list[RunReport] = []
    with hold(site.ledger.folder / "sync.lock"):
        for name in names or site.settings.sources:
            reports += _sync(site, name)
    return reports


def _sync(site: Site, name: str) -> list[RunReport]:
    """One source of the settings, by the module that its kind names."""
    options = dict(site.settings.sources[name])
    kind = str(options.pop("kind", _kind(name, options)))
    try:
        module = source_named(kind)
        # What the engine lends is no option: naming it twice is refused by name.
        offered = _offered(site, module.read) if kind != "files" else {"root": site.root}
        inspect.signature(partial(module.read, **offered)).bind_partial(**options)
        given = [option for option in options if option in offered]
        if given:
            raise UsageError(f"[sources.{name}] {given[0]} is no option of {kind}.")
        if kind != "files":
            return sync_pages(site.ledger, name, kind, module.read, {**options, **offered})
        files = list(module.read(root=site.root, **options))
    except KnowngoodError as error:
        return [RunReport(name, str(options.get("record", "")), None, error=error.message, exit_code=error.exit_code)]
    except TypeError as error:
        return [RunReport(name, "", None, error=f"[sources.{name}] {error}", exit_code=UsageError.exit_code)]
    reports = []
    for file in files:
        # A file that cannot be read does not stop the next.
        try:
            reports.append(_load(site.ledger, file.path, file.record, file.mapping, name, None, FLUSH_ROWS, skip_known=True))
        except KnowngoodError as error:
            reports.append(RunReport(name, file.record, str(file.path), error=error.message, exit_code=error.exit_code))
    return reports


def _kind(name: str, options: dict[str, Any]) -> str:
    """What a source is that does not say so: files where it says what they hold, else what its name says."""
    if "record" in options or "map" in options or ("path" in options and name not in source_names()):
        return "files"
    return name


def _offered(site: Site, read: Any) -> dict[str, Any]:
    """Of what the engine has, that which a source asks for by name: the folder that paths are relative to, and the ledger."""
    offers = {"root": site.root, "ledger": site.ledger}
    return {name: value for name, value in offers.items() if name in inspect.signature(read).parameters}


def load_source(
    site: Site, path: Path | str, kind: str, *, source: str | None = None, options: dict[str, Any] | None = None
) -> list[RunReport]:
    """Read by a source that has a path of its own kind: files ("cdevents", …), whether they are known or not; of a clone ("git", …) what
    is new. Raises UsageError where an option is none of the source's.
    """
    module = source_named(kind)
    if "path" not in inspect.signature(module.read).parameters or kind == "files":
        there = [name for name in source_names() if "path" in inspect.signature(source_named(name).read).parameters and name != "files"]
        raise UsageError(f"{kind} is read by `knowngood sync`, not from a file. From files are read: {', '.join(there)}.")
    takes = inspect.signature(module.read).parameters
    given = {**_offered(site, module.read), "root": Path.cwd(), "path": str(path)} | ({"again": True} if "again" in takes else {})
    own = [name for name in takes if name not in ("since", *given)]
    for name in options or {}:
        if name not in own:
            raise UsageError(f"{kind} has no option {name!r}. There are: {', '.join(own) or 'none'}.")
    lacking = [name for name in own if takes[name].default is inspect.Parameter.empty and name not in (options or {})]
    if lacking:
        raise UsageError(f"{kind} needs to know {', '.join(lacking)}: add --set {lacking[0]}=….")
    with hold(site.ledger.folder / "sync.lock"):
        return sync_pages(site.ledger, source or kind, kind, module.read, {**given, **(options or {})})


def _load(
    ledger: Ledger,
    path: Path,
    record: str,
    mapping: Mapping,
    source: str,
    revised: datetime | None,
    flush_rows: int,
    *,
    skip_known: bool,
) -> RunReport:
    """One file, under the sync lock. `skip_known`: a file that is in already, byte for byte and with this mapping, is left alone."""
    began = time.monotonic()
    model = _model(record, mapping)
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    report = RunReport(source, record, str(path))
    sha256 = _sha256(path)
    stream = f"{record} {path.resolve()}"
    how = hashlib.sha256(f"{mapping.digest} {revised}".encode()).hexdigest()
    known = ledger.cursor(source, stream)
    same = known is not None and known["sha256"] == sha256 and known["how"] == how
    if same and known is not None and known["complete"] and skip_known:
        return replace(report, skipped=True, seconds=time.monotonic() - began)
    resumed = same and known is not None and not known["complete"]
    now = datetime.now(UTC)
    stamp = datetime.fromisoformat(known["stamp"]) if resumed and known is not None else now
    run = ledger.begin_run(source=source, record=record, path=str(path), now=now)
    try:
        with stage(
            path,
            model,
            mapping=mapping,
            source=source,
            now=stamp,
            stamp=stamp,
            revised=revised,
            people=ledger.people,
            scratch=ledger.folder / "staging.duckdb",
        ) as staged:
            entry = Load(
                run,
                record,
                source,
                str(path),
                sha256,
                stream,
                stamp,
                mapping.model_dump_json(),
                revised,
                how=how,
                seen=_seen(record, mapping),
            )
            total = Counts(**known["counts"]) if resumed and known is not None else Counts()
            done = int(known["done"]) if resumed and known is not None else 0
            while True:
                last = min(done + flush_rows, staged.rows) - 1
                total += ledger.flush(staged, done, last, load=replace(entry, before=total), final=last + 1 >= staged.rows)
                done = last + 1
                if done >= staged.rows:
                    break
    except BaseException as error:
        said = error.message if isinstance(error, KnowngoodError) else f"{type(error).__name__}: {error}"
        ledger.end_run(run, status="failed", error=said, now=datetime.now(UTC))
        raise
    ledger.end_run(run, status="ok", error=None, now=datetime.now(UTC))
    return replace(report, **asdict(total), resumed=resumed, seconds=time.monotonic() - began)


def _model(record: str, mapping: Mapping) -> type[BaseModel]:
    if record not in RECORDS:
        raise UsageError(f"No record named {record!r}. There are: {', '.join(RECORDS)}.")
    if mapping.record is not None and mapping.record != record:
        raise UsageError(f"The mapping is for {mapping.record}, the file is loaded as {record}. Use one of the two for both.")
    return RECORDS[record]


def _seen(record: str, mapping: Mapping) -> tuple[Seen, ...]:
    return (Seen(RECORDS[record].table, *mapping.covers),) if mapping.covers else ()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
