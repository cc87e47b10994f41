"""Explain a number: its definition, the sum with its figures, the rows that count, and why the others do not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from toolkit.metrics.coverage import covered_weeks, followed, gaps_in, watched
from toolkit.metrics.estimates import P90
from toolkit.metrics.measurement import chosen, measure
from toolkit.metrics.metric import Count, Metric, Rate, Within
from toolkit.metrics.reading import STREAMS, earliest, lacking, published, rows_in_scope
from toolkit.metrics.scope import Scope, scope_of

__all__ = ["SHOWN", "Explanation", "explain", "rows_of"]


@dataclass(frozen=True)
class Explanation:
    """One number, taken apart.

    counted: the rows it is made of, with `sample` (and `open`: the time so far). rows_excluded: the others in scope, with `reason`;
    excluded: reason and n, in the order in which reasons are tried. inferred: column, n, declared, derived, override, share: how much of
    the number rests on times and kinds that a source said, that a rule derived (and the share of those), that a person corrected. gaps:
    stream, source, start, end: where in the window nobody was watching. row: as measure() gives it. digest: the version of the published
    facts.
    """

    metric: Metric
    title: str
    definition: str
    formula: str
    start: datetime
    end: datetime
    counted: pl.DataFrame
    excluded: pl.DataFrame
    rows_excluded: pl.DataFrame
    inferred: pl.DataFrame
    gaps: pl.DataFrame
    row: dict[str, Any]
    note: str | None
    digest: str | None


def explain(
    w: Any,
    name: str,
    *,
    window: str | None = None,
    start: datetime | date | str | None = None,
    end: datetime | date | str | None = None,
    service: str | None = None,
    environment: str | None = None,
) -> Explanation:
    """Explains a metric (see measure() for its scope). <name>_p90 explains the 90th percentile."""
    w = published(w)
    (asked,), _ = chosen([name], None)
    metric = watched(w, asked)
    when: dict[str, Any] = {"window": window, "start": start, "end": end, "service": service, "environment": environment}
    whole = window is None and start is None
    scope = followed(w, metric, scope_of(w, earliest=earliest(w, {metric.fact}) if whole else None, **when))
    row = measure(w, name, **when).row(0, named=True)
    rows = (
        rows_of(w, metric, scope)
        if lacking(w, metric, scope) is None
        else pl.DataFrame(schema={"id": pl.String, "at": pl.Datetime("us", "UTC"), "_code": pl.UInt8})
    )
    counted = rows.filter(pl.col("_code") == 0).drop("_code")
    reasons = pl.DataFrame(
        {"_code": range(1, len(metric.reasons) + 1), "reason": metric.reasons}, schema={"_code": pl.UInt8, "reason": pl.String}
    )
    left_out = rows.filter(pl.col("_code") > 0).join(reasons, on="_code", how="left", maintain_order="left")
    tally = left_out.group_by("_code", "reason").agg(n=pl.len().cast(pl.Int64)).sort("_code").select("reason", "n")
    weeks = sum(weeks for weeks, _ in covered_weeks(w, metric.fact, scope)) if metric.fact in STREAMS else 0.0
    return Explanation(
        metric=metric,
        title=metric.title,
        definition=metric.definition,
        formula=_formula(metric, row, counted, weeks),
        start=scope.start,
        end=scope.end,
        counted=counted,
        excluded=tally,
        rows_excluded=left_out.drop("_code", "sample", "open", strict=False),
        inferred=_inferred(metric, counted),
        gaps=gaps_in(w, metric, scope),
        row=row,
        note=row["note"],
        digest=w.meta.get("version"),
    )


# What a person needs to find a row again.
SHOWN = {
    "deployments": ("id", "service", "environment", "version", "kind", "status"),
    "hotfixes": ("id", "service", "environment", "version", "kind", "status"),
    "rollbacks": ("id", "service", "environment", "mechanism", "status", "outcome", "incident", "storm"),
    "incidents": ("id", "title", "severity", "services", "status"),
    "followups": ("id", "title", "services", "recovered_at", "review", "next_repeat"),
    "action_items": ("id", "title", "kind", "services", "of_incident", "due", "closed"),
    "versions": ("id", "service", "version", "digests"),
    "provenance": ("id", "service", "environment", "version", "kind", "artifact", "passed"),
    "checks": ("id", "deployment", "service", "environment", "version", "kind", "status"),
    "gates": ("id", "service", "environment", "version", "kind", "status"),
    "verdicts": ("id", "service", "of_deployment", "version", "tool", "criterion", "decision", "outcome"),
    "services": ("id", "service", "team", "rota"),
    "flag_changes": ("id", "flag", "service", "environment", "action", "kill_switch", "of_incident", "outcome"),
    "communications": ("id", "services", "severity", "updates", "first_update_at"),
    "update_gaps": ("id", "incident", "services", "told_at", "until"),
    "conformance": ("id", "incident", "services", "playbook", "step", "verdict", "what", "shown_at", "due_at"),
}


def rows_of(w: Any, metric: Metric, scope: Scope) -> pl.DataFrame:
    """The fact's rows in scope with `sample`, `open` and `_code` (0: counted, else the reason's place), by time."""
    sources = {f"{column}_source" for column in metric.inferred}
    read = metric.columns() | set(SHOWN[metric.fact]) | sources
    frame = rows_in_scope(w, metric.fact, read, scope)
    still_open = [metric.still_open.fill_null(value=False).alias("open")] if metric.still_open is not None and metric.spans else []
    shown = [*SHOWN[metric.fact], "at", *sorted(read - {*SHOWN[metric.fact], "at", "horizon", "open"})]
    # Counts of hundreds of thousands are explained by their rows too: sorted, so that two explanations can be laid side by side.
    return frame.select(*shown, metric.value().alias("sample"), *still_open, metric.code().alias("_code")).sort("at", "id").collect()


def _inferred(metric: Metric, counted: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for column in metric.inferred:
        source = f"{column}_source"
        if source not in counted.columns:
            continue
        known = counted[source].drop_nulls().cast(pl.String).str.split(":").list.first()
        ways = {way: int((known == way).sum()) for way in ("declared", "derived", "override")}
        rows.append({"column": column, "n": len(known), **ways, "share": ways["derived"] / len(known) if len(known) else None})
    counts = dict.fromkeys(("n", "declared", "derived", "override"), pl.Int64)
    return pl.DataFrame(rows, schema={"column": pl.String, **counts, "share": pl.Float64})


def _formula(metric: Metric, row: dict[str, Any], counted: pl.DataFrame, weeks: float) -> str:
    """The sum with its figures put in."""
    value, n, unit = row["value"], row["n"], metric.unit
    if n is None or (n == 0 and metric.kind is not Count):
        return "no rows: unknown"
    if metric.kind is Rate:
        return f"{row['k']} of {n} = {100 * value:.1f} %"
    if metric.kind is Count:
        return f"{n} in {weeks:.1f} weeks = {value:.2f} {unit}" if value is not None else f"{n}, but the time is not covered: unknown"
    if metric.kind is Within:
        happened = f"{row['k']} of {n} {metric.happening} within {metric.within.days} days"
        followed = f"{happened}, {row['censored']} not yet followed for so long (Kaplan–Meier)"
        what = "had not" if metric.held else "had"
        return f"{followed}: {100 * value:.1f} % {what}" if value is not None else f"{followed}: unknown"
    share, what = (0.9, "90th percentile") if row["metric"].endswith(P90) else (0.5, "median")
    of = f"{what} of {n}" + (f", {row['censored']} still open (Kaplan–Meier)" if row["censored"] else "")
    if value is not None:
        rank = "" if row["censored"] else f": the {_nth(math.ceil(round(share * n, 6)))} smallest"
        return f"{of}{rank} = {value:.1f} {unit}"
    if row["method"] is not None:
        longest = float(counted["sample"].cast(pl.Float64).max() or 0.0)  # type: ignore[arg-type]
        return f"{of}: > {longest:.1f} {unit}"
    return f"{of}: too few rows"


def _nth(rank: int) -> str:
    suffix = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{suffix}"
