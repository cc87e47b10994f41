"""Up to when, and how much of each period, the sources were watching: a week without deployments is 0, a week without data is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl

from toolkit.metrics.metric import Metric
from toolkit.metrics.reading import STREAMS, Published
from toolkit.metrics.scope import Scope, moment

__all__ = ["covered_weeks", "followed", "gaps_in", "watched"]

WEEK = timedelta(days=7)
# Theirs is the horizon of all facts.
STITCHED = frozenset({"deployments", "rollbacks", "incidents", "incident_events", "flag_changes"})


def followed(w: Published, metric: Metric, scope: Scope) -> Scope:
    """The scope up to where every record that the metric reads is declared to be covered: a deployment of which no gate was told since
    nobody told of gates any more was not shipped untested."""
    streams = {*STREAMS.get(metric.fact, ()), *metric.needs} - STITCHED
    ends: dict[str, datetime] = {}
    for row in w.meta.get("coverage") or []:
        if row["stream"] in streams and row.get("end") and not row.get("assumed") and not row.get("gap"):
            end = moment(row["end"], UTC)
            ends[row["stream"]] = max(ends.get(row["stream"], end), end)
    horizon = min([scope.horizon, *ends.values()])
    return replace(scope, horizon=horizon, end=min(scope.end, horizon))


def watched(w: Published, metric: Metric) -> Metric:
    """The metric, without the rows of a time in which nobody told of a record that it needs: a deployment of then had perhaps passed its
    gates. The records that facts are stitched from are not asked: without them there is no row."""
    gaps: dict[str, pl.Expr] = {}
    for row in w.meta.get("coverage") or []:
        if row.get("gap") and row["stream"] in set(metric.needs) - STITCHED:
            reason = f"while nobody told of {row['stream'].replace('_', ' ')}"
            inside = pl.col("at").is_between(moment(row["start"], UTC), moment(row["end"], UTC), closed="left")
            gaps[reason] = gaps.get(reason, pl.lit(value=False)) | inside
    return replace(metric, excluded={**metric.excluded, **gaps}, shown=(*metric.shown, *gaps)) if gaps else metric


def covered_weeks(w: Published, fact: str, scope: Scope) -> list[tuple[float, bool]]:
    """Per period the weeks that were covered and whether a gap lies in it. Without any word on coverage: all of the window."""
    rows = [row for row in w.meta.get("coverage") or [] if row["stream"] in STREAMS[fact]]
    # The records that the fact is mainly made of bound it; a rarer one (rollbacks, flags) begins when its first row happens to.
    streams = [stream for stream in STREAMS[fact] if any(row["stream"] == stream and not row.get("gap") for row in rows)]
    first = min(
        (moment(row["start"], UTC) for row in rows if streams and row["stream"] == streams[0] and not row.get("gap")), default=scope.start
    )
    gaps = _merged([(moment(row["start"], UTC), moment(row["end"], UTC)) for row in rows if row.get("gap")])
    result = []
    for begin, finish in zip(scope.bounds, scope.ends, strict=True):
        since, until = max(begin, scope.start, first), min(finish, scope.end)
        length = max(until - since, timedelta(0))
        missing = sum((max(min(stop, until) - max(start, since), timedelta(0)) for start, stop in gaps), timedelta(0))
        result.append(((length - missing) / WEEK, missing > timedelta(0)))
    return result


def gaps_in(w: Published, metric: Metric, scope: Scope) -> pl.DataFrame:
    """stream, source, start, end of every gap of what the metric reads within the window; what was never connected is no gap."""
    rows = []
    for row in w.meta.get("coverage") or []:
        if not row.get("gap") or row["stream"] not in {*STREAMS.get(metric.fact, ()), *metric.needs}:
            continue
        start, end = max(moment(row["start"], UTC), scope.start), min(moment(row["end"], UTC), scope.end)
        if start < end:
            rows.append({"stream": row["stream"], "source": row.get("source"), "start": start, "end": end})
    times = dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC"))
    return pl.DataFrame(rows, schema={"stream": pl.String, "source": pl.String, **times}).sort("start", "stream", "source")


def _merged(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
