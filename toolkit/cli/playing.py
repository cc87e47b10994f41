"""The command that lays playbooks against what was done."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from toolkit.cli.options import End, Json, Service, Since, Where, Window, opened, say_if_stale
from toolkit.cli.output import print_json, print_table, records, talk
from toolkit.cli.wording import amount

__all__ = ["playbook"]


def playbook(
    name: Annotated[str | None, Parameter(help="One playbook; none: all.")] = None,
    /,
    *,
    window: Window = None,
    since: Since = None,
    to: End = None,
    service: Service = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """A playbook's steps: how often each is done, and how long recovery took with it and without.

    Playbooks are files in policy/playbooks; without any, those that come with the product hold. JSON: playbook, place, step, title, who,
    expected, n, done, late, out_of_order, skipped, waived, unknown, waived_why (incident: reason), adherence (low, high,
    adherence_method, adherence_note), with and without (median minutes from detection to recovery, low, high, n), ratio (with ÷ without,
    low, high, p, real, method), note. It is no proof of a cause.
    """
    from toolkit.metrics.steps import NOT_A_CAUSE, steps

    place = opened(workspace)
    say_if_stale(place)
    rows = steps(place, name, window=window, start=since, end=to, service=service)
    if as_json:
        print_json(records(rows))
        return 0
    columns = ["playbook", "step", "expected", "done", "95 %", "n", "late", "order", "skipped", "with", "without", "ratio", "note"]
    print_table(columns, (_line(row) for row in rows.iter_rows(named=True)), right=columns[3:12])
    waived = rows.explode("waived_why").drop_nulls("waived_why")
    if len(waived):
        print_table(["waived", "step", "in, because"], waived.select("playbook", "step", "waived_why").rows())
    talk(NOT_A_CAUSE if len(rows) else "No incident with a timeline fell under a playbook: load incident_event records.")
    return 0


def _line(row: dict[str, Any]) -> list[Any]:
    from toolkit.metrics.steps import in_short

    ends = "" if row["low"] is None else f"{amount(row['low'], 'share')} to {amount(row['high'], 'share')}"
    spans = [f"{amount(row[side], 'minutes')} ({row[f'{side}_n']})" if row[side] is not None else "" for side in ("with", "without")]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f} ({_end(row['ratio_low'])} to {_end(row['ratio_high'])})"
    counts = [row["n"], row["late"], row["out_of_order"], row["skipped"]]
    return [row["playbook"], row["step"], row["expected"], amount(row["adherence"], "share"), ends, *counts, *spans, ratio, in_short(row)]


def _end(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"
