"""Commands that answer: metrics, facts, explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from toolkit.cli.options import End, Json, Service, Since, Where, Window, opened, say_if_stale
from toolkit.cli.output import print_json, print_table, records, talk, write_file
from toolkit.cli.wording import METRIC_COLUMNS, amount, metric_line
from toolkit.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from toolkit.workspace import Workspace

__all__ = ["explain", "facts", "metrics"]

Definition = Annotated[
    Literal[
        "knowngood",
        "devlake",
        "fourkeys",
        "gitlab",
        "middleware",
        "metrik",
        "datadog-rollback",
        "sleuth-rollback",
        "swarmia-rollback",
    ],
    Parameter(help="By whose definition; docs/definitions.md has them all."),
]

Group = Literal[
    "dora",
    "recovery",
    "rollback",
    "hotfix",
    "practices",
    "learning",
    "immutability",
    "gates",
    "flags",
    "canary",
    "playbook",
    "communication",
    "ownership",
]

Kind = Literal[
    "deployments",
    "rollbacks",
    "incidents",
    "hotfixes",
    "followups",
    "action_items",
    "versions",
    "provenance",
    "checks",
    "gates",
    "verdicts",
    "flag_changes",
    "services",
    "communications",
    "update_gaps",
    "conformance",
]

# More rows than a person reads in a terminal.
LISTED = 50


def metrics(
    *names: Annotated[str, Parameter(help="Metrics; none: all of them.")],
    group: Annotated[Group | None, Parameter(help="Only this group; practices: those from learning on.")] = None,
    by: Annotated[Literal["service", "team", "class"] | None, Parameter(help="A row each.")] = None,
    every: Annotated[Literal["1w", "1mo"] | None, Parameter(help="A row each week (from Monday) or month.")] = None,
    window: Window = None,
    since: Since = None,
    to: End = None,
    service: Service = None,
    environment: Annotated[str | None, Parameter(help="Instead of all production environments.")] = None,
    definition: Definition = "knowngood",
    compare: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            consume_multiple=True,
            help="previous: with the window before. A date: what came since with as long a time before. service A:B: B with A.",
        ),
    ] = None,
    reduction: Annotated[float, Parameter(help="With --compare: the change whose date is told, a share.")] = 0.3,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Measure: a number, its 95 % interval and what it is made of.

    JSON rows: metric, group, kind, by, period, value, low, high, n, k, censored, unit, method, definition, note. The median of a duration
    stands under the metric's name, its 90th percentile under NAME_p90. A value that is null is unknown; the note says why.

    With --compare: before, after, effect (rates: difference; else ratio) and its interval, what change could have been seen, and a verdict.
    """
    if compare is not None:
        if by or every or definition != "knowngood":
            raise UsageError("--compare takes no --by, --every or --definition: it compares each number once, by our definition.")
        scope = {"group": group, "window": window, "start": since, "end": to, "service": service, "environment": environment}
        return _compared(compare, names, workspace, as_json, reduction=reduction, **scope)
    from toolkit.definitions import measure

    place = opened(workspace)
    say_if_stale(place)
    rows = measure(
        place,
        *names,
        group=group,
        by=by,
        every=every,
        window=window,
        start=since,
        end=to,
        service=service,
        environment=environment,
        definition=definition,
    )
    if as_json:
        print_json(records(rows))
    else:
        shown = [name for name in METRIC_COLUMNS if (name != "by" or rows["by"].is_not_null().any()) and (name != "period" or every)]
        lines = [metric_line(row) for row in rows.iter_rows(named=True)]
        print_table(shown, ([line[name] for name in shown] for line in lines), right=("value", "95 %", "n"))
    return 0


def _compared(words: list[str], names: tuple[str, ...], workspace: Path | None, as_json: bool, **scope: Any) -> int:
    """Two windows, or two services, side by side."""
    from toolkit.metrics import compare

    against, *others = " ".join(words).split() or ["previous"]
    if against == "service" and others:
        against, *others = others
    elif against.startswith("service:"):
        against = against.removeprefix("service:")
    if not 0 < scope["reduction"] < 1:
        raise UsageError("--reduction is a share between 0 and 1: 0.3 is a fall by 30 %.")
    scope["window"] = scope["window"] or (None if scope["start"] else "26w")
    place = opened(workspace)
    say_if_stale(place)
    rows = compare(place, *names, *others, against=against, **scope)
    if as_json:
        print_json(records(rows))
        return 0
    shows = f"−{scope['reduction']:.0%} shows".replace("%", " %")
    lines = [
        [row["metric"], *(amount(row[side], row["unit"]) for side in ("before", "after")), row["verdict"], row["visible_on"]]
        for row in rows.iter_rows(named=True)
    ]
    print_table(["metric", "before", "after", "verdict", shows], lines, right=("before", "after"))
    return 0


def facts(
    kind: Annotated[Kind, Parameter(help="Which facts.")],
    *,
    service: Service = None,
    definition: Definition = "knowngood",
    as_json: Json = False,
    to: Annotated[Path | None, Parameter(name="--to", help="Write a .parquet or .csv file instead.")] = None,
    workspace: Where = None,
) -> int:
    """The facts behind the numbers, a row each. Durations are minutes in JSON and CSV; cells of a CSV are never formulas.

    With --definition, incidents carry the deployment that this tool would hold responsible as cause_deployment.
    """
    import polars as pl

    from toolkit.metrics.explanation import SHOWN
    from toolkit.metrics.scope import SEVERAL_SERVICES

    if definition != "knowngood" and kind != "incidents":
        raise UsageError(f"--definition says what caused an incident; {kind} are the same by all of them.")
    place = opened(workspace)
    say_if_stale(place)
    frame = _with_causes(place, definition) if kind == "incidents" else getattr(place.facts, kind)
    if service is not None:
        frame = frame.filter(pl.col("services").list.contains(service) if kind in SEVERAL_SERVICES else pl.col("service") == service)
    rows: pl.DataFrame = frame.collect()
    if to is not None:
        write_file(rows, to)
        talk(f"{len(rows):,} {kind} in {to}")
    elif as_json:
        print_json(records(rows))
    else:
        shown = _SHOWN.get(kind) or ["at", *SHOWN[kind]]
        print_table(shown, rows.tail(LISTED).select(shown).rows())
        if len(rows) > LISTED:
            talk(f"The last {LISTED} of {len(rows):,}; all of them, with all columns: --json, or --to {kind}.csv")
    return 0


def _with_causes(place: Workspace, definition: str) -> pl.LazyFrame:
    from toolkit.definitions import with_causes

    return with_causes(place, definition).lazy()


_SHOWN = {
    "deployments": ["at", "id", "service", "environment", "version", "kind", "status", "failed_final", "undone_by"],
    "hotfixes": ["at", "id", "service", "environment", "version", "hotfix", "hotfix_incident", "failed_final"],
    "rollbacks": ["at", "id", "service", "environment", "mechanism", "status", "outcome", "outcome_reason", "incident"],
    "incidents": ["at", "id", "services", "severity", "detect", "decide", "act", "whole", "remedy", "title"],
}


def explain(
    metric: Annotated[str, Parameter(help="Which number.")],
    *,
    window: Window = None,
    since: Since = None,
    to: End = None,
    service: Service = None,
    environment: Annotated[str | None, Parameter(help="Instead of all production environments.")] = None,
    versus: Annotated[Definition | None, Parameter(help="The rows on which this definition differs from ours, and why.")] = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Take a number apart: its definition, the sum, the rows that count and why the others do not."""
    if versus is not None:
        return _versus(metric, versus, as_json, workspace, window=window, start=since, end=to, service=service, environment=environment)
    from toolkit.metrics import explain as explained
    from toolkit.metrics.explanation import SHOWN

    place = opened(workspace)
    say_if_stale(place)
    found = explained(place, metric, window=window, start=since, end=to, service=service, environment=environment)
    if as_json:
        print_json(_as_object(found))
        return 0
    print_table([found.title], [[found.definition], [""], [found.formula], *([[found.note]] if found.note else [])])
    if len(found.excluded):
        print_table(["left out", "rows"], found.excluded.rows(), right=("rows",))
    if len(found.inferred):
        ways = ["declared", "derived", "override", "n"]
        told = [[row["column"], *(row[way] for way in ways)] for row in found.inferred.iter_rows(named=True)]
        print_table(["time or kind", "declared", "derived", "corrected", "of"], told, right=("declared", "derived", "corrected", "of"))
    if len(found.gaps):
        print_table(["nobody watched", "source", "from", "to"], found.gaps.rows())
    if len(found.counted):
        shown = [name for name in found.counted.columns if name in (*SHOWN[found.metric.fact], "at", "sample", "open")]
        print_table(shown, found.counted.tail(LISTED).select(shown).rows())
    if len(found.counted) > LISTED:
        talk(f"The last {LISTED} of {len(found.counted):,} rows; all of them: --json")
    talk(f"{found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC; facts {found.digest}")
    return 0


def _versus(metric: str, definition: str, as_json: bool, workspace: Path | None, **scope: Any) -> int:
    """Both numbers, and the rows on which they part."""
    from toolkit.definitions import definition_named, measure
    from toolkit.definitions import versus as rows_apart

    place = opened(workspace)
    say_if_stale(place)
    other = definition_named(definition)
    rows = rows_apart(place, metric, definition, **scope)
    numbers = [measure(place, metric, definition=name, **scope).row(0, named=True) for name in ("knowngood", definition)]
    if as_json:
        print_json({"metric": metric, "versus": definition, "numbers": numbers, "rows": records(rows)})
        return 0
    told = [[number["definition"], *(metric_line(number)[name] for name in ("value", "n")), number["method"]] for number in numbers]
    print_table(["definition", "value", "n", "how"], told, title=metric, right=("value", "n"))
    print_table(
        ["at", "id", "service", "version", "knowngood", definition, "why"],
        rows.tail(LISTED).drop("fact").select("at", "id", "service", "version", "knowngood", "other", "why").rows(),
    )
    more = f"The last {LISTED} of " if len(rows) > LISTED else ""
    talk(f"{more}{len(rows):,} rows on which knowngood and {other.name} differ.")
    return 0


def _as_object(found: Any) -> dict[str, Any]:
    return {
        "metric": found.row["metric"],
        "title": found.title,
        "definition": found.definition,
        "formula": found.formula,
        "from": found.start,
        "to": found.end,
        "row": found.row,
        "counted": records(found.counted),
        "excluded": records(found.excluded),
        "rows_excluded": records(found.rows_excluded),
        "inferred": records(found.inferred),
        "gaps": records(found.gaps),
        "digest": found.digest,
    }
