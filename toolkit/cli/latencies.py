"""The command about decision latency: what criteria knew before people decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from toolkit.cli.options import End, Json, Service, Since, Where, Window, opened, say_if_stale
from toolkit.cli.output import print_json, print_table, records, talk
from toolkit.cli.wording import amount

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["latency"]

LISTED = 50


def latency(
    *,
    criterion: Annotated[str | None, Parameter(help="Name of one in force; else all of them.")] = None,
    service: Service = None,
    window: Window = None,
    since: Since = None,
    to: End = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Minutes between a criterion's holding and the decision: what acting on it at once would have saved, and stopped for nothing.

    JSON: rows (one an incident and criterion: incident, at, criterion, scope, deployment, met_at, decided_at, minutes, saved, says) and
    sums (one a criterion: incidents, people_first, early, undecided, saved with low and high, false_stops of good with stops_low and
    stops_high). Minutes are negative where people were first; null where nobody says when it was decided. A criterion that is null is
    the one that a source speaks of without naming it.
    """
    from toolkit.decision_latency import latency as measured

    place = opened(workspace)
    say_if_stale(place)
    found = measured(place, criterion, service=service, window=window, start=since, end=to)
    if as_json:
        print_json({"rows": records(found.rows), "sums": records(found.sums)})
        return 0
    columns = [
        "criterion",
        "for",
        "incidents",
        "people first",
        "early",
        "undecided",
        "would have saved",
        "95 %",
        "good ones stopped",
        "share, 95 %",
    ]
    print_table(columns, (_sum(row) for row in found.sums.iter_rows(named=True)), right=columns[2:])
    shown = ["at", "incident", "criterion", "met_at", "decided_at", "minutes", "saved", "says"]
    if len(found.rows):
        print_table(
            [*shown[:3], "held at", "decided at", *shown[5:]], found.rows.tail(LISTED).select(shown).rows(), right=("minutes", "saved")
        )
    else:
        talk("In no incident did a criterion in force hold on the deployment that caused it.")
    if len(found.rows) > LISTED:
        talk(f"The last {LISTED} of {len(found.rows):,}; all of them: --json")
    return 0


def _sum(row: dict[str, Any]) -> list[Any]:
    between = "" if row["low"] is None else f"{_span(row['low'])} to {_span(row['high'])}"
    stopped = "" if row["good"] is None else f"{row['false_stops']} of {row['good']}"
    share = "" if row["stops_low"] is None else f"{amount(row['stops_low'], 'share')} to {amount(row['stops_high'], 'share')}"
    name = row["criterion"] or "as sources say"
    return [
        name,
        row["scope"],
        row["incidents"],
        row["people_first"],
        row["early"],
        row["undecided"],
        _span(row["saved"]),
        between,
        stopped,
        share,
    ]


def _span(value: timedelta | None) -> str:
    from datetime import timedelta

    return amount(None if value is None else value / timedelta(minutes=1), "minutes")
