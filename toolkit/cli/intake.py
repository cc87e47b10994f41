"""Commands that bring data in and keep it in order: init, sync, load, publish, quarantine, coverage, doctor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from toolkit.cli.agreed import agreed_findings, agreed_hints
from toolkit.cli.options import Json, Publish, Where, opened
from toolkit.cli.output import print_json, print_table, records, talk
from toolkit.cli.wording import amount
from toolkit.errors import DataError, KnowngoodError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from ingest.engine import RunReport
    from toolkit.workspace import Workspace

__all__ = ["coverage", "doctor", "init", "load", "publish", "quarantine", "sync"]

FINDINGS = 1
# What a source understands by itself, whole files of several records.
FROM_FILES = ("cdevents", "reviews")
# Folders with a history, of which a later load brings what is new.
FROM_CLONES = ("git", "gitops")
_MEND = {
    "override_of_nothing": "knowngood journal list; withdraw it, or load what it is about",
    "override_without_effect": "knowngood journal list; withdraw it, or decide otherwise",
}
LISTED = 50


def init(
    folder: Annotated[Path, Parameter(help="Where; default: here.")] = Path(),
    *,
    policy: Annotated[bool, Parameter(negative="", help="Begin policy/criteria.toml with an example.")] = False,
) -> int:
    """Start a workspace: a knowngood.toml to keep in git, and .knowngood beside it. What is there already stays."""
    from toolkit.criteria.policy import EXAMPLE, Policy
    from toolkit.workspace import Workspace

    made = Workspace.init(folder)
    if policy and made.policy is None:
        talk(f"An example of a criterion in {Policy(EXAMPLE).save(made.root)}: make it yours.")
    talk(f"A workspace in {made.root}. Next: `knowngood load FILE --as deployment`, or name sources in {made.root / 'knowngood.toml'}.")
    return 0


def sync(
    *sources: Annotated[str, Parameter(help="Sources as named in knowngood.toml; none: all.")],
    publish: Publish = True,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Bring in what is new from the sources that knowngood.toml names."""
    from ingest import engine

    place = opened(workspace)
    reports = engine.sync(place, list(sources))
    return _told(place, reports, publish=publish, as_json=as_json)


def load(
    path: Annotated[Path, Parameter(help="CSV, Parquet or JSONL; a folder of reviews; a clone.")],
    *,
    record: Annotated[
        str,
        Parameter(
            name="--as",
            help="What its rows are: deployment, rollback, incident, …; data/README.md lists them. Or cdevents, reviews; git, gitops.",
        ),
    ],
    mapping: Annotated[Path | None, Parameter(name="--map", help="TOML: which column is which field.")] = None,
    revised: Annotated[str | None, Parameter(help="When the source last changed these rows, where they do not say.")] = None,
    source: Annotated[str | None, Parameter(help="Name of the source.")] = None,
    options: Annotated[list[str] | None, Parameter(name="--set", negative="", help="NAME=VALUE, an option of git or gitops.")] = None,
    publish: Publish = True,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Load a file. Loading it twice changes nothing; rows that are no records go to quarantine and stop nobody."""
    from datetime import UTC

    from ingest import engine
    from toolkit.metrics.scope import moment

    place = opened(workspace)
    given = _options(options or [])
    if record in (*FROM_FILES, *FROM_CLONES):
        if mapping is not None or revised is not None:
            raise UsageError(f"{record} say themselves what is what and when: leave --map and --revised out.")
        if record in FROM_FILES and not path.exists():
            raise DataError(f"There is no {path}.")
        # Each clone is a source of its own: two of them may have the same tags.
        name = source or (f"{record}-{path.resolve().name.removesuffix('.git')}" if record in FROM_CLONES else record)
        code = _told(place, engine.load_source(place, path, record, source=name, options=given), publish=publish, as_json=as_json)
        if record in FROM_CLONES and name not in place.settings.sources:
            talk(_as_settings(name, record, path, given))
        return code
    if given:
        raise UsageError(f"--set is for {' and '.join(FROM_CLONES)}; what a file's columns are is said by --map.")
    when = moment(revised, UTC) if revised is not None else None
    report = engine.load(place, path, record, mapping, when, source=source)
    return _told(place, [report], publish=publish, as_json=as_json)


def _told(place: Workspace, reports: list[RunReport], *, publish: bool, as_json: bool) -> int:
    """Publishes, says what came in, and gives the exit code."""
    version = _published(place) if publish and any(report.error is None for report in reports) else None
    if as_json:
        print_json({"runs": [asdict(report) for report in reports], "version": version})
    for report in reports:
        talk(_sentence(report))
    if version:
        talk(f"Published {version}.")
    return _exit_code(reports)


def _options(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE as options; a name that comes again gathers a list."""
    options: dict[str, Any] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign:
            raise UsageError(f"--set {one}: write NAME=VALUE.")
        before = options.get(name)
        options[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return options


def _as_settings(name: str, kind: str, path: Path, options: dict[str, Any]) -> str:
    import tomlkit

    table = tomlkit.dumps({"sources": {name: {"kind": kind, "path": str(path.resolve()), **options}}}).strip()
    return f"For `knowngood sync` to go on with it, add to knowngood.toml:\n\n{table}\n"


def _sentence(report: RunReport) -> str:
    what = ": ".join(part for part in (report.source, report.path or report.record) if part)
    if report.error is not None:
        return f"{what}: {report.error}"
    if report.skipped:
        return f"{what}: known already, nothing to do"
    parts = [f"{getattr(report, name):,} {name}" for name in ("new", "changed", "unchanged", "superseded") if getattr(report, name)]
    held = f"; {report.quarantined:,} in quarantine (`knowngood quarantine` says why)" if report.quarantined else ""
    return f"{what}: {report.read:,} read, {', '.join(parts) or 'none kept'}{held}"


def _exit_code(reports: list[RunReport]) -> int:
    failed = max((report.exit_code for report in reports if report.error is not None), default=0)
    if failed:
        return failed
    held, read = sum(report.quarantined for report in reports), sum(report.read for report in reports)
    # A file of which no row is a record was most likely not what it was said to be.
    return DataError.exit_code if held and held == read else FINDINGS if held else 0


def _published(place: Workspace) -> str:
    from toolkit.publish import publish as publish_facts

    return publish_facts(place)


def publish(
    *,
    force: Annotated[bool, Parameter(negative="", help="Compute even if nothing has changed.")] = False,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Stitch what the ledger holds into facts, and publish them. Equal records give an equal version."""
    from toolkit.publish import publish as publish_facts

    place = opened(workspace)
    version = publish_facts(place, force=force)
    if as_json:
        print_json({"version": version, "horizon": place.meta.get("horizon"), "records": place.meta.get("records")})
    talk(f"Published {version}: data up to {place.meta.get('horizon') or 'nowhere, there are none'}.")
    return 0


def quarantine(
    *,
    retry: Annotated[bool, Parameter(negative="", help="Read the rows again, as before or by --map.")] = False,
    mapping: Annotated[Path | None, Parameter(name="--map", help="TOML: which column is which field.")] = None,
    forget: Annotated[list[str] | None, Parameter(negative="", help="Drop the row of this id; may be repeated.")] = None,
    publish: Publish = True,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Rows that are no records, and why. Exit code 1 while there are any."""
    from ingest import engine

    place = opened(workspace)
    if mapping is not None and not retry:
        raise UsageError("--map says how to read the rows again: add --retry.")
    if forget:
        talk(f"{place.ledger.forget(forget):,} dropped.")
    if retry:
        reports = engine.retry(place, mapping)
        for report in reports:
            talk(_sentence(report))
        if publish and any(report.new or report.changed for report in reports):
            talk(f"Published {_published(place)}.")
    rows = place.ledger.quarantine()
    if as_json:
        print_json(records(rows))
    elif len(rows):
        shown = ["id", "record", "source", "path", "place", "field", "rule", "error"]
        print_table(shown, rows.head(LISTED).select(shown).rows())
        if len(rows) > LISTED:
            talk(f"The first {LISTED} of {len(rows):,}; all of them, with what they said: --json")
    else:
        talk("Nothing is in quarantine.")
    return FINDINGS if len(rows) else 0


def coverage(*, as_json: Json = False, workspace: Where = None) -> int:
    """What was really seen: a stretch of time for each source and kind of record, and the gaps."""
    rows = opened(workspace).ledger.coverage()
    if as_json:
        print_json(records(rows))
        return 0
    told = rows.select("stream", "source", "start", "end", "assumed", "gap").iter_rows()
    print_table(
        ["records", "source", "from", "to", "how"], ([*row[:4], "gap" if row[5] else "assumed" if row[4] else "declared"] for row in told)
    )
    return 0


def doctor(
    *files: Annotated[Path, Parameter(help="Exported criteria, as they are deployed, to be held against the policy.")],
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Whether the numbers can be trusted: what contradicts itself, is missing, stale or in quarantine. Exit code 1 on findings.

    Also criteria that no longer stand (expired, over their cap, deployed otherwise than agreed, learnt from deployments that were
    different), what is wrong with the telemetry, and how far the headline numbers of the last 26 weeks swing when the window is a day
    longer, shorter or earlier; one that leaves its own interval is a finding. Hints are no findings: what a criterion says without
    meaning to, what is done in trouble and stands in no playbook of yours.
    """
    place = opened(workspace)
    swung = _swings(place)
    findings = [*_altered(place), *_findings(place), *agreed_findings(place, files), *_hanging(swung)]
    hints = list(agreed_hints(place))
    if as_json:
        edges = records(swung) if swung is not None else []
        print_json({"workspace": place.root, "findings": findings, "hints": hints, "edges": edges})
        return FINDINGS if findings else 0
    if swung is not None and len(swung):
        moving = swung.filter(swung["swing"] > 0)
        lines = [
            [row["metric"], *(amount(row[name], row["unit"]) for name in ("value", "least", "most"))]
            for row in moving.iter_rows(named=True)
        ]
        print_table(["window ± 1 day", "now", "least", "most"], lines, right=("now", "least", "most"))
    for head, items in (("what", findings), ("hint", hints)):
        if items:
            print_table(
                [head, "rows", "why", "next"], ([*map(item.get, ("what", "rows", "why", "next"))] for item in items), right=("rows",)
            )
    if not findings:
        talk("Nothing to complain about.")
    return FINDINGS if findings else 0


def _swings(place: Workspace) -> pl.DataFrame | None:
    """None before the first publish."""
    from toolkit.metrics.edges import swings

    try:
        return swings(place)
    except KnowngoodError:
        return None


def _hanging(swung: pl.DataFrame | None) -> Iterable[dict[str, Any]]:
    for row in swung.filter("hangs").iter_rows(named=True) if swung is not None else ():
        now, least, most = (amount(row[name], row["unit"]) for name in ("value", "least", "most"))
        why = f"{now} now, {least} to {most} with the window a day longer, shorter or earlier: more than its interval allows for"
        yield {"what": f"window: {row['metric']}", "rows": 1, "why": why, "next": "say the window with the number, or take a longer one"}


def _altered(place: Workspace) -> Iterable[dict[str, Any]]:
    for problem in place.journal.verify():
        where = "" if problem.seq is None else f"entry {problem.seq} "
        yield {"what": "journal", "rows": 1, "why": where + problem.what, "next": "knowngood restore FILE brings a backup back"}
    if place.ledger.digest() != place.ledger.recount():
        then = "load the sources again into a new workspace"
        yield {"what": "ledger", "rows": 1, "why": "another program has changed its rows", "next": then}


def _findings(place: Workspace) -> Iterable[dict[str, Any]]:
    import polars as pl

    from toolkit.publish import is_current

    def finding(what: str, rows: int, why: str, then: str) -> dict[str, Any]:
        return {"what": what, "rows": rows, "why": why, "next": then}

    held = place.ledger.quarantine()
    for row in held.group_by("record", "rule").agg(n=pl.len(), error=pl.col("error").first()).sort("record", "rule").iter_rows(named=True):
        yield finding(f"quarantine: {row['record']}", row["n"], row["error"], "knowngood quarantine")
    # The newest run of each source and file: an error that a later run has mended is none.
    latest = place.ledger.runs().unique(["source", "record", "path"], keep="first", maintain_order=True)
    for row in latest.filter(pl.col("status") != "ok").iter_rows(named=True):
        yield finding(f"run: {row['source']}", 1, f"{row['path'] or row['record']}: {row['error'] or row['status']}", "knowngood sync")
    gaps = place.ledger.coverage().filter("gap")
    for row in gaps.iter_rows(named=True):
        yield finding(
            f"gap: {row['stream']}",
            1,
            f"{row['source']}: {row['start']:%Y-%m-%d %H:%M} to {row['end']:%Y-%m-%d %H:%M}",
            "knowngood coverage",
        )
    try:
        facts, meta = place.facts, place.meta
    except KnowngoodError as error:
        yield finding("facts", 0, error.message, "knowngood publish")
        return
    try:
        if not is_current(place):
            yield finding("facts", 0, "records, decisions, settings or rules have changed since they were published", "knowngood publish")
    except DataError as error:
        yield finding("policy", 1, error.message, "put that line right")
    health = facts.health.collect()
    for row in health.group_by("record", "rule").agg(n=pl.len(), text=pl.col("text").first()).sort("record", "rule").iter_rows(named=True):
        yield finding(
            f"{row['record']}: {row['rule']}", row["n"], row["text"], _MEND.get(row["rule"], "correct it at the source and load again")
        )
    deployments = facts.deployments.select(pl.len(), pl.col("production").sum().alias("production")).collect().row(0, named=True)
    if deployments["len"] and not deployments["production"]:
        named = ", ".join(facts.deployments.select(pl.col("environment").unique()).collect()["environment"].to_list()[:10])
        yield finding(
            "production",
            deployments["len"],
            f"no environment counts as production; there are: {named}",
            "production = […] in knowngood.toml",
        )
    for record in ("deployment", "incident"):
        if not (meta.get("records") or {}).get(record):
            yield finding(f"records: {record}", 0, "none: half of the metrics are not measured", f"knowngood load FILE --as {record}")
