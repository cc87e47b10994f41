"""Decision latency: minutes between a criterion's holding and the decision, and what acting on it at once would have saved and stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import FILE, Policy
from toolkit.errors import UsageError
from toolkit.hindsight import judged, passages_of
from toolkit.labels import labels_of
from toolkit.metrics.reading import earliest, published
from toolkit.metrics.scope import Moment, Scope, moment, scope_of
from toolkit.stats.proportions import clopper_pearson
from toolkit.watch import classes_of

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["ROWS", "SUMS", "Latency", "late", "latency", "summed"]

SEED, DRAWS = 20250501, 2000
# Incidents of fewer causes than these say nothing about how sure a sum is.
LEAST = 5
MINUTE = timedelta(minutes=1)
SPAN, TIME = pl.Duration("us"), pl.Datetime("us", "UTC")
ROWS: dict[str, Any] = {
    "incident": pl.String(), "at": TIME, "criterion": pl.String(), "scope": pl.String(), "deployment": pl.String(), "met_at": TIME,
    "decided_at": TIME, "minutes": SPAN, "saved": SPAN, "says": pl.String(),
}  # fmt: skip
SUMS: dict[str, Any] = {
    "criterion": pl.String(), "scope": pl.String(), "incidents": pl.Int64(), "people_first": pl.Int64(), "early": pl.Int64(),
    "undecided": pl.Int64(), "saved": SPAN, "low": SPAN, "high": SPAN, "false_stops": pl.Int64(), "good": pl.Int64(),
    "stops_low": pl.Float64(), "stops_high": pl.Float64(),
}  # fmt: skip


@dataclass(frozen=True)
class Latency:
    """What criteria knew, and when people decided.

    rows: one an incident and criterion that held on the deployment that caused it before it was over: incident, at, criterion (null: a
    source says when "the" criterion held, and not which), scope (whom it is for), deployment, met_at, decided_at, minutes (from one to the
    other; negative: people were first; null: nobody says when it was decided), saved (see `late`), says.
    sums: one a criterion: incidents (with a decision), people_first, early, undecided (not among the incidents), saved over all of them
    with its 95 % interval (low, high: a bootstrap over causes, null under five), false_stops of good with the exact 95 % interval of
    the share (stops_low, stops_high); null for what a source declared.
    """

    rows: pl.DataFrame
    sums: pl.DataFrame


def latency(
    workspace: Workspace,
    criterion: str | None = None,
    *,
    service: str | None = None,
    window: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
) -> Latency:
    """Of each criterion in force where the data end, or the one named, as it is set: over the incidents in production, planned ones aside,
    and over the deployments of the same window.

    Raises UsageError without a policy, or where no criterion in force has that name.
    """
    policy, w = workspace.policy, published(workspace)
    if policy is None or not policy.criteria:
        raise UsageError(f"There is no criterion to hold. Write one into {FILE}; `knowngood init --policy` begins it with an example.")
    first = None if window or start else earliest(w, {"incidents", "deployments"})
    scope = scope_of(w, earliest=first, window=window, start=start, end=end, service=service)
    incidents = w.facts.incidents.filter(scope.rows("incidents")).collect()
    rows, sums = [pl.DataFrame(schema=ROWS)], [pl.DataFrame(schema=SUMS)]
    if w.meta.get("horizon"):
        for one, of, mine in _concerned(workspace, policy, criterion, scope):
            seen = passages_of(workspace, one, numbers=())
            replayed = judged(mine, seen, one)
            told = late(incidents, replayed, seen.watched, criterion=one.name, scope=of)
            rows.append(told)
            sums.append(summed(told, replayed.filter(_within(scope)), criterion=one.name, scope=of))
    if criterion is None and len(told := _declared(incidents)):
        rows.append(told)
        sums.append(summed(told, None))
    return Latency(pl.concat(rows).sort("at", "incident", "criterion", "scope", nulls_last=True), pl.concat(sums))


def _concerned(workspace: Workspace, policy: Policy, name: str | None, scope: Scope) -> Iterator[tuple[Criterion, str, pl.DataFrame]]:
    """Each criterion in force, whom it is for, and the labels of the deployments for which no narrower one stands in."""
    at = moment(workspace.meta["horizon"], UTC)
    labels, classes = labels_of(workspace, watch=policy.terms.horizon), classes_of(workspace.facts.owners.collect(), at)
    current = [one for one in policy.in_force(at.date()) if name is None or one.name == name]
    if name is not None and not current:
        there = ", ".join(dict.fromkeys(one.name for one in policy.in_force(at.date()))) or "none"
        raise UsageError(f"No criterion named {name!r} is in force where the data end. There are: {there}.")
    services = labels["service"].unique().sort().to_list() if scope.service is None else [scope.service]
    for one in current:
        ours = [each for each in services if one in policy.in_force(at.date(), service=each, service_class=classes.get(each))]
        if ours:
            yield one, _whom(one), labels.filter(pl.col("service").is_in(ours))


def _whom(criterion: Criterion) -> str:
    if criterion.service is not None:
        return f"service {criterion.service}"
    return f"class {criterion.service_class}" if criterion.service_class is not None else "all services"


def _within(scope: Scope) -> pl.Expr:
    deployed = pl.col("deployed_at")
    return (deployed >= scope.start) & ((deployed <= scope.end) if scope.end == scope.horizon else (deployed < scope.end))


def late(
    incidents: pl.DataFrame, replayed: pl.DataFrame, watched: pl.DataFrame, *, criterion: str | None = None, scope: str | None = None
) -> pl.DataFrame:
    """The rows of a Latency, of one criterion. incidents: as the facts have them; replayed: rows of a Replay; watched: of its passages.

    saved: a stop acts one evaluation after the criterion held; what is left until people decided is saved, and nothing where they were
    first, or where it held before the incident began. null where nobody says when it was decided.
    """
    fired = replayed.filter(pl.col("fired_at").is_not_null()).select(cause_deployment="deployment", met_at="fired_at")
    steps = watched.select("step", cause_deployment="deployment").unique("cause_deployment")
    held = incidents.join(fired, on="cause_deployment").join(steps, on="cause_deployment", how="left")
    return _rows(held, criterion, scope)


def _declared(incidents: pl.DataFrame) -> pl.DataFrame:
    """Where a source says when the criterion held, and not which: how often it is evaluated is not known either, so it acts at once."""
    stamped = incidents.filter(pl.col("criterion_met_at_source") == "declared")
    return _rows(stamped.with_columns(met_at="criterion_met_at", step=pl.lit(timedelta(0), SPAN)), None, None)


def _rows(held: pl.DataFrame, criterion: str | None, scope: str | None) -> pl.DataFrame:
    over = (pl.col("met_at") > pl.col("recovered_at")).fill_null(value=False)
    early = (pl.col("met_at") < pl.col("started_at")).fill_null(value=False)
    minutes = pl.col("decided_at") - pl.col("met_at")
    left = minutes - pl.col("step").fill_null(timedelta(0))
    nothing = pl.lit(timedelta(0), SPAN)
    says = (
        pl.when(minutes.is_null())
        .then(pl.lit("nobody says when it was decided"))
        .when(early)
        .then(pl.lit("it held before the incident began: no catch"))
        .when(minutes <= nothing)
        .then(pl.lit("people were first"))
        .otherwise(pl.lit("it held first"))
    )
    rows = held.filter(~over, ~pl.col("planned"), pl.col("production")).with_columns(
        criterion=pl.lit(criterion, pl.String),
        scope=pl.lit(scope, pl.String),
        deployment="cause_deployment",
        minutes=minutes,
        saved=pl.when(minutes.is_not_null()).then(pl.when(early).then(nothing).otherwise(pl.max_horizontal(left, nothing))),
        says=says,
        incident="id",
    )
    return rows.select(pl.col(name).cast(kind) for name, kind in ROWS.items()).sort("at", "incident")


def summed(rows: pl.DataFrame, replayed: pl.DataFrame | None, *, criterion: str | None = None, scope: str | None = None) -> pl.DataFrame:
    """One row of a Latency's sums. rows: as `late` gives them. replayed: rows of the Replay in the window; None: nobody knows what the
    criterion would have stopped."""
    decided = rows.filter(pl.col("saved").is_not_null())
    low, high = _ends(decided)
    stops, good, least, most = _stopped(replayed) if replayed is not None else (None, None, None, None)
    counted = {
        "criterion": criterion,
        "scope": scope,
        "incidents": len(decided),
        "people_first": int((decided["says"] == "people were first").sum()),
        "early": int(decided["says"].str.starts_with("it held before").sum()),
        "undecided": len(rows) - len(decided),
        "saved": decided["saved"].sum() if len(decided) else None,
        "low": low,
        "high": high,
        "false_stops": stops,
        "good": good,
        "stops_low": least,
        "stops_high": most,
    }
    return pl.DataFrame([counted], schema=SUMS)


def _stopped(replayed: pl.DataFrame) -> tuple[int, int, float | None, float | None]:
    """False stops, good deployments, and the exact 95 % interval of the share; none of none says nothing."""
    stops, good = (int(replayed["verdict"].is_in(verdicts).sum()) for verdicts in (["false_stop"], ["false_stop", "quiet"]))
    low, high = clopper_pearson(stops, good)
    return (stops, good, float(low), float(high)) if good else (stops, good, None, None)


def _ends(decided: pl.DataFrame) -> tuple[timedelta | None, timedelta | None]:
    """The 95 % interval of the sum: causes drawn anew, as many as there were, each with all of its incidents."""
    own = pl.coalesce("deployment", "incident").alias("cause")
    minutes = decided.group_by(own).agg(pl.col("saved").sum().dt.total_microseconds() / 60e6).sort("cause")["saved"].to_numpy()
    if len(minutes) < LEAST:
        return None, None
    draws = np.random.default_rng(SEED).integers(0, len(minutes), (DRAWS, len(minutes)))
    low, high = (timedelta(minutes=float(end)) for end in np.quantile(minutes[draws].sum(axis=1), [0.025, 0.975]))
    return low, high
