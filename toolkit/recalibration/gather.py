"""A workspace's deployments as cases: labels, what the criterion saw of each, when people acted, and what users bore meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.terms import Terms
from toolkit.hindsight import passages_of
from toolkit.labels import labels_of
from toolkit.passage import Passages
from toolkit.recalibration.cases import Cases, Label, Rises
from toolkit.recalibration.together import stopped_elsewhere
from toolkit.watch import of_facts

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["gathered", "horizon_of"]

MINUTE = timedelta(minutes=1)
_LABELS = {"good": Label.GOOD, "bad": Label.BAD, "unknown": Label.UNKNOWN, "immature": Label.IMMATURE}
Floats = npt.NDArray[np.float64]


def gathered(workspace: Workspace, criterion: Criterion, terms: Terms) -> Cases:
    """The cases of the services that the criterion concerns, in the order of deployment.

    People acted when the incident's remedy was decided, else when the deployment was undone. Harm is counted on the watched arm: failed
    requests beyond the service's median share among its good deployments; or, where the terms count user minutes, the incident's users
    for every minute.
    """
    labels = _labels(workspace, criterion, terms)
    seen = passages_of(workspace, criterion, numbers=terms.candidates)
    rows = labels.join(seen.watched.select("deployment", "step", "complete"), on="deployment", how="left", maintain_order="left")
    step = _step(seen)
    onset, human, stopped_at = (_minutes(rows[name]) for name in ("start", "decided", "stopped_at"))
    human = np.where(np.isnan(human), stopped_at, human)
    label = rows["label"].replace_strict(_LABELS, return_dtype=pl.Int64).to_numpy().copy()
    watched = rows["step"].is_not_null().to_numpy()
    # A good one that nobody measured is not known to be good in the way that counts here.
    label[(label == Label.GOOD) & ~watched] = Label.UNKNOWN
    services = rows["service"].unique().sort()
    service = rows["service"].cast(pl.Enum(services)).to_physical().to_numpy().astype(np.int64)
    return Cases(
        deployment=rows["deployment"].to_list(),
        services=services.to_list(),
        day=rows["deployed_at"].dt.epoch("us").to_numpy() / 86_400e6,
        service=service,
        cluster=_clusters(rows["storm"], service, len(services), terms),
        label=label,
        seen=watched,
        complete=rows["complete"].fill_null(value=False).to_numpy(),
        stopped=rows["automatic"].to_numpy() & ~np.isnan(stopped_at),
        onset=onset,
        human=human,
        harm=_harm(workspace, criterion, terms, rows, step),
        step=step,
        rises=dict(_rises(seen, rows["deployment"], criterion.n(step * 60))),
        elsewhere=stopped_elsewhere(workspace, criterion, labels, horizon_of(workspace)),
    )


def _labels(workspace: Workspace, criterion: Criterion, terms: Terms) -> pl.DataFrame:
    """Labels of the services concerned, with `decided` (from deployed_at) and whether automation undid the deployment."""
    labels = labels_of(workspace, watch=terms.horizon)
    if criterion.service_class is not None:
        labels = labels.filter(pl.col("service_class") == criterion.service_class)
    if criterion.service is not None:
        labels = labels.filter(pl.col("service") == criterion.service)
    facts = workspace.facts
    undone = facts.deployments.select(deployment="id", undone_by="undone_by").filter(pl.col("undone_by").is_not_null()).collect()
    automatic = facts.rollbacks.select(undone_by="id", automatic=pl.col("trigger") == "auto").collect()
    decided = facts.incidents.select("source", "source_id", "decided_at", incident="id").collect()
    users = workspace.ledger.read("incidents", ["source", "source_id", "impact_users"]).rename({"impact_users": "users"})
    decided = decided.join(users, on=["source", "source_id"], how="left").select("incident", "decided_at", "users")
    rows = labels.join(undone.join(automatic, on="undone_by").select("deployment", "automatic"), on="deployment", how="left")
    return (
        rows.join(decided, on="incident", how="left")
        .with_columns(
            pl.col("automatic").fill_null(value=False),
            decided=pl.col("decided_at") - pl.col("deployed_at"),
            label=pl.when(pl.col("reason") == "immature").then(pl.lit("immature")).otherwise("label"),
        )
        .sort("deployed_at", "deployment")
    )


def _step(seen: Passages) -> float:
    """Minutes between evaluations: the most common step; where there is no telemetry at all, one."""
    steps = seen.watched["step"].drop_nulls()
    if steps.is_empty():
        return 1.0
    found = steps.value_counts().sort(["count", "step"], descending=[True, False])["step"][0]
    return found / MINUTE


def _minutes(spans: pl.Series) -> Floats:
    return (spans.dt.total_microseconds() / 60e6).fill_null(np.nan).to_numpy()


def _clusters(storm: pl.Series, service: npt.NDArray[np.int64], services: int, terms: Terms) -> npt.NDArray[np.int64]:
    """The storm; from so many services on, where there is none, the service; else each deployment by itself."""
    alone = service if services >= terms.clusters_by_service else np.arange(len(service))
    names = storm.cast(pl.Categorical()).to_physical().cast(pl.Int64)
    return np.where(names.is_null().to_numpy(), alone, names.fill_null(0).to_numpy() + len(service) + services)


def _rises(seen: Passages, deployments: pl.Series, number: int) -> Iterator[tuple[int, Rises]]:
    """For each number that was replayed; where nothing was, for the criterion's own."""
    place = pl.DataFrame({"deployment": deployments}).with_row_index("row")
    profiles = seen.profiles.join(place, on="deployment").sort("n", "row", "t")
    numbers = sorted({*seen.profiles["n"].unique().to_list(), *seen.watched["in_force"].unique().to_list()})
    for n in numbers or [number]:
        own = profiles.filter(pl.col("n") == n)
        yield int(n), Rises(own["row"].to_numpy().astype(np.int64), _minutes(own["t"]), own["value"].to_numpy())


def _harm(workspace: Workspace, criterion: Criterion, terms: Terms, rows: pl.DataFrame, step: float) -> Floats:
    """What users had borne by each evaluation, counted up: cases × evaluations."""
    steps = int(np.ceil(terms.horizon.total_seconds() / 60 / step)) + 1
    borne = np.zeros((len(rows), steps))
    begun = _minutes(rows["start"])
    bad = (rows["label"] == "bad").to_numpy() & ~np.isnan(begun)
    if terms.harm == "user_minutes":
        users = rows["users"].fill_null(0).to_numpy().astype(float)
        minute = np.arange(steps) * step
        return np.where(bad[:, None], np.maximum(minute - np.nan_to_num(begun)[:, None], 0.0) * users[:, None], 0.0)
    place = rows.select("deployment", "deployed_at", "label", "service").with_row_index("row")
    for excess in _excess(workspace, criterion, place, step):
        row, at = excess["row"].to_numpy(), excess["at"].to_numpy()
        kept = bad[row] & (at < steps) & ((at + 1) * step > begun[row])
        np.add.at(borne, (row[kept], at[kept]), excess["excess"].to_numpy()[kept])
    # What fell into an evaluation's step is borne by its end.
    return np.concatenate([np.zeros((len(rows), 1)), np.cumsum(borne, axis=1)[:, :-1]], axis=1)


def _excess(workspace: Workspace, criterion: Criterion, place: pl.DataFrame, step: float) -> Iterator[pl.DataFrame]:
    """Service by service: row, at (evaluation), excess (failed requests beyond the usual)."""
    series, variant = criterion.arms()[0]
    deployments = workspace.facts.deployments.select("source", "source_id", deployment="id").collect()
    for service in workspace.telemetry.services():
        mine = place.filter(pl.col("service") == service)
        if mine.is_empty():
            continue
        samples = of_facts(workspace.telemetry.samples(service, [series]), deployments).filter(pl.col("variant") == variant)
        counted = samples.join(mine, on="deployment").filter(pl.col("total") > 0, pl.col("at") >= pl.col("deployed_at"))
        if counted.is_empty():
            continue
        shares = counted.filter(pl.col("label") == "good").group_by("row").agg(share=pl.col("bad").sum() / pl.col("total").sum())
        usual = shares["share"].median() or 0.0
        since = (pl.col("at") - pl.col("deployed_at")).dt.total_microseconds() / 60e6
        yield (
            counted.filter(pl.col("label") == "bad")
            .select("row", at=(since / step).floor().cast(pl.Int64), excess=(pl.col("bad") - pl.col("total") * usual).clip(0.0))
            .group_by("row", "at", maintain_order=True)
            .agg(pl.col("excess").sum())
        )


def horizon_of(workspace: Workspace) -> datetime | None:
    """The moment up to which the workspace's data go."""
    told = workspace.meta.get("horizon")
    return datetime.fromisoformat(told) if told else None
