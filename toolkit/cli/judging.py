"""The command that judges the past by a criterion: replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from toolkit.cli.options import Json, Service, Where, opened, say_if_stale
from toolkit.cli.output import print_json, print_table, records, talk

if TYPE_CHECKING:
    from toolkit.hindsight import Replay

__all__ = ["replay"]

LISTED = 50


def replay(
    *,
    criterion: Annotated[str | None, Parameter(help="Name of one in policy/criteria.toml; else the first in force.")] = None,
    limit: Annotated[float | None, Parameter(help="This limit instead of its own.")] = None,
    held: Annotated[str | None, Parameter(name="--for", help="How long it must hold: 2m, or a number of evaluations or checks.")] = None,
    samples: Annotated[Path | None, Parameter(help="Telemetry of this .parquet, .csv or .jsonl instead of the ledger's.")] = None,
    service: Service = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """What a criterion would have done to every deployment of the past: caught, missed, false stop, quiet, or not to be told.

    JSON: criterion, rule, sentence, summary, approximate (why the answer is not exact, or null), rows, problems (what was wrong with the
    telemetry). A row's t, start and after_start are minutes: from the deployment to firing, to the incident's start, and between them.
    """
    from toolkit.hindsight import replay as replayed
    from toolkit.store.sample_files import samples_from

    place = opened(workspace)
    say_if_stale(place)
    number = int(held) if held is not None and held.isdecimal() else None
    found = replayed(
        place,
        criterion,
        limit=limit,
        duration=held if number is None else None,
        n=number,
        samples=samples_from(samples) if samples is not None else None,
        service=service,
    )
    if as_json:
        print_json(_as_object(found))
        return 0
    _tell(found)
    return 0


def _as_object(found: Replay) -> dict[str, Any]:
    return {
        "criterion": found.criterion.model_dump(mode="json", by_alias=True, exclude_none=True),
        "rule": found.rule,
        "sentence": found.sentence,
        "summary": found.summary,
        "approximate": found.criterion.approximate,
        "rows": records(found.rows),
        "problems": records(found.problems),
    }


def _tell(found: Replay) -> None:
    import polars as pl

    print_table([found.criterion.name], [[found.sentence]])
    counts = found.rows.group_by("label", "verdict").agg(n=pl.len()).sort("label", "n", descending=[False, True])
    told = ([label, verdict.replace("_", " "), n] for label, verdict, n in counts.rows())
    print_table(["deployments that were", "would have been", "n"], told, right=("n",))
    stopped = found.rows.filter(pl.col("verdict").is_in(["caught", "early", "false_stop", "unknown_fired"]))
    shown = ["deployed_at", "deployment", "service", "label", "verdict", "t", "after_start"]
    if len(stopped):
        print_table([*shown[:5], "fired after", "after the start"], stopped.tail(LISTED).select(shown).rows())
    if len(stopped) > LISTED:
        talk(f"The last {LISTED} of {len(stopped):,} that would have been stopped; all deployments: --json")
    broken = found.problems.group_by("rule").agg(pl.col("n").sum(), pl.len(), pl.col("text").first()).sort("rule")
    for rule, n, series, text in broken.rows():
        talk(f"{rule}: {n:,} in {series:,} series: {text}")
    if found.criterion.approximate:
        talk(f"Approximate: {found.criterion.approximate}.")
