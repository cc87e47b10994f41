"""The command that a pipeline asks: gate."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.options import Json, Where, opened
from toolkit.cli.output import print_json, talk
from toolkit.errors import Busy

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from toolkit.gate import Ruling, Subject
    from toolkit.workspace import Workspace

__all__ = ["gate"]

SOURCE = "gate"


def gate(
    *,
    service: Annotated[str, Parameter(help="The service.")],
    deployment: Annotated[str, Parameter(help="The deployment, by its own id.")],
    since: Annotated[str | None, Parameter(help="When it began, where nothing has been loaded of it yet.")] = None,
    at: Annotated[str | None, Parameter(help="As of when; else as of the newest sample.")] = None,
    samples: Annotated[Path | None, Parameter(help="Telemetry of this .parquet, .csv or .jsonl instead of the ledger's.")] = None,
    live: Annotated[str | None, Parameter(help="Ask this Prometheus of [sources.NAME] for the telemetry up to now.")] = None,
    environment: Annotated[str, Parameter(help="Where, if nothing has been loaded of it yet.")] = "production",
    record: Annotated[bool, Parameter(help="Keep the verdict, so that it counts among those of canaries.")] = True,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Whether a deployment may go on, by the criteria in force: proceed (exit code 0), pause (10) or revert (20).

    It decides; the pipeline acts. Missing or broken data never proceed. The same deployment, criteria and data give the same verdict id.
    JSON: id, decision, service, deployment, environment, at, reasons, findings (a criterion each: state, t in minutes, limit, peak), data,
    recorded.
    """
    from datetime import UTC, datetime

    from toolkit.gate import EXIT, rule, subject_of
    from toolkit.metrics.scope import moment
    from toolkit.store.sample_files import samples_from

    place = opened(workspace)
    began = moment(since, UTC) if since is not None else None
    subject = subject_of(place, service, deployment, since=began, environment=environment)
    now = moment(at, UTC) if at is not None else None
    rows, failed = (samples_from(samples) if samples is not None else None), None
    if live is not None:
        now = now or datetime.now(UTC)
        rows, failed = _asked(place, live, subject, now)
    ruling = rule(place, subject, samples=rows, at=now, failed=failed)
    recorded = record and ruling.at is not None and _recorded(place, ruling)
    if as_json:
        print_json(asdict(ruling) | {"recorded": recorded})
    else:
        print(f"{ruling.decision} {ruling.id}")
        for reason in ruling.reasons:
            talk(f"  {reason}")
    return EXIT[ruling.decision]


def _asked(place: Workspace, name: str, subject: Subject, now: datetime) -> tuple[pl.DataFrame | None, str | None]:
    """The samples that a Prometheus has of a deployment, or why there are none: whatever goes wrong there, the answer is a pause."""
    import polars as pl

    from ingest.sources import prometheus
    from toolkit.errors import KnowngoodError, UsageError

    options = dict(place.settings.sources.get(name) or {})
    if options.pop("kind", None) != "prometheus":
        there = ", ".join(key for key, one in place.settings.sources.items() if one.get("kind") == "prometheus") or "none"
        raise UsageError(f"No Prometheus is called {name!r} in knowngood.toml. There are: {there}.")
    if subject.deployed_at is None:
        return None, None
    policy = place.policy
    day = subject.deployed_at.date()
    lookbacks = [one.lookback() for one in policy.in_force(day, service=subject.service)] if policy is not None else []
    start = subject.deployed_at - max(lookbacks, default=timedelta(0))
    try:
        found = prometheus.samples(subject.service, start, now, **options)
    except KnowngoodError as error:
        return None, error.message
    kinds = dict.fromkeys(("value", "bad", "total", "step"), pl.Float64) | {"at": pl.Datetime("us", "UTC")}
    schema = {"service": pl.String, "series": pl.String, "variant": pl.String, **kinds}
    rows = pl.DataFrame([{key: row.get(key) for key in schema} for row in found], schema=schema)
    return rows.with_columns(deployment=pl.lit(None, pl.String)), None


def _recorded(place: Workspace, ruling: Ruling) -> bool:
    """Keeps the verdict as a record; the answer does not wait for whoever holds the ledger."""
    from ingest import engine

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "verdict.jsonl")
        path.write_text(json.dumps(ruling.as_verdict()) + "\n", encoding="utf-8")
        try:
            report = engine.load(place, path, "verdict", source=SOURCE)
        except Busy as error:
            talk(f"The verdict was not kept: {error.message}")
            return False
    return not report.quarantined
