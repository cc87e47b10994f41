"""The command that a pipeline asks: gate."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.options import Json, Where, opened
from toolkit.cli.output import print_json, talk
from toolkit.errors import Busy

if TYPE_CHECKING:
    from toolkit.gate import Ruling
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
    from datetime import UTC

    from toolkit.gate import EXIT, rule, subject_of
    from toolkit.metrics.scope import moment
    from toolkit.store.sample_files import samples_from

    place = opened(workspace)
    began = moment(since, UTC) if since is not None else None
    subject = subject_of(place, service, deployment, since=began, environment=environment)
    ruling = rule(
        place,
        subject,
        samples=samples_from(samples) if samples is not None else None,
        at=moment(at, UTC) if at is not None else None,
    )
    recorded = record and ruling.at is not None and _recorded(place, ruling)
    if as_json:
        print_json(asdict(ruling) | {"recorded": recorded})
    else:
        print(f"{ruling.decision} {ruling.id}")
        for reason in ruling.reasons:
            talk(f"  {reason}")
    return EXIT[ruling.decision]


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
