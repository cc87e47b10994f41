"""Criteria over the telemetry of the ledger: profiles of those in force, when each of them first held, and what that says of incidents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import Policy, narrows
from toolkit.criteria.telemetry import PROBLEMS
from toolkit.facts.parted import Parted
from toolkit.passage import CANDIDATES, HORIZON, PROFILE, WATCHED, Passages, detections, passages
from toolkit.store.telemetry import Telemetry

__all__ = ["MET", "classes_of", "looks_alike", "of_facts", "unwatched", "walked", "watched", "watches", "with_criterion_met"]

TIME = pl.Datetime("us", "UTC")
MET = {"deployment": pl.String(), "criterion": pl.String(), "limit": pl.Float64(), "n": pl.Int32(), "t": pl.Duration("us"), "met_at": TIME}
_OF = ["id", "source", "source_id", "service", "production", "deployed_at", "superseded_at", "undone_at"]
# What a criterion may change without looking at other numbers: its limit, its clock or count, its scope and its papers.
APART = {"name", "limit", "duration", "k", "service", "service_class", "feature", "objective", "action"}
PAPERS = {"adopted_by", "why", "since", "until", "expires"}


def watched(
    telemetry: Telemetry, policy: Policy | None, deployments: Parted, owners: pl.DataFrame, *, horizon: datetime
) -> dict[str, pl.DataFrame]:
    """The tables profiles, watched, criteria_met and telemetry, of the criteria of a policy over the telemetry; empty without
    either. One service after the other: as much telemetry is in memory as one service has.

    profiles, watched: of the criteria in force at the horizon; see toolkit.passage. criteria_met: deployment, criterion, limit, n, t,
    met_at: when a criterion that was in force at the time of the deployment first held. telemetry: what was wrong with it.
    """
    found: list[_Service] = []
    if policy is not None and policy.criteria:
        shipped = deployments.select(_OF)
        rows = watches(shipped, horizon=horizon, watch=policy.terms.horizon)
        classes, elsewhere = classes_of(owners, horizon), unwatched(shipped, rows)
        for service in telemetry.services():
            mine = rows.filter(pl.col("service") == service)
            ours = [one for one in policy.criteria if one.concerns(service=service, service_class=classes.get(service))]
            if ours and len(mine):
                series = sorted({series for one in ours for series, _ in one.arms()})
                samples = of_facts(telemetry.samples(service, series), mine, unwatched=elsewhere)
                found += _of_service(samples, mine, ours, policy, horizon.date())
    return {
        "profiles": pl.concat([pl.DataFrame(schema=PROFILE), *(one.profiles for one in found)]).sort("deployment", "criterion", "n", "t"),
        "watched": pl.concat([pl.DataFrame(schema=WATCHED), *(one.watched for one in found)]).sort("deployment", "criterion"),
        "criteria_met": pl.concat([pl.DataFrame(schema=MET), *(one.met for one in found)]).sort("deployment", "met_at", "criterion"),
        "telemetry": pl.concat([pl.DataFrame(schema=PROBLEMS), *(one.problems for one in found)]).unique().sort(list(PROBLEMS)[:5]),
    }


def walked(
    telemetry: Telemetry,
    criterion: Criterion,
    deployments: pl.DataFrame,
    classes: Mapping[str, str],
    *,
    numbers: Sequence[int] = CANDIDATES,
    horizon: timedelta = HORIZON,
    elsewhere: pl.Series | None = None,
) -> Passages:
    """One criterion over the telemetry, a service at a time. deployments: as `watches` gives them; elsewhere: as `unwatched`
    gives them."""
    found = []
    for service in telemetry.services():
        mine = deployments.filter(pl.col("service") == service)
        if len(mine) and criterion.concerns(service=service, service_class=classes.get(service)):
            samples = telemetry.samples(service, sorted({series for series, _ in criterion.arms()}))
            samples = of_facts(samples, mine, unwatched=elsewhere)
            found.append(passages(samples, mine, criterion, numbers=numbers, horizon=horizon))
    return Passages(
        pl.concat([pl.DataFrame(schema=PROFILE), *(one.profiles for one in found)]).sort("deployment", "n", "t"),
        pl.concat([pl.DataFrame(schema=WATCHED), *(one.watched for one in found)]).sort("deployment"),
        pl.concat([pl.DataFrame(schema=PROBLEMS), *(one.problems for one in found)]),
    )


def watches(deployments: pl.DataFrame, *, horizon: datetime, watch: timedelta) -> pl.DataFrame:
    """deployment, service, deployed_at, ends_at, cut: the production deployments, and until when each can be watched: until it was
    undone, superseded, or the data end. cut: what came then was not the deployment's own course."""
    ends = pl.min_horizontal("superseded_at", "undone_at", pl.lit(horizon, TIME))
    until = pl.col("deployed_at") + watch
    return deployments.filter(pl.col("production"), pl.col("deployed_at").is_not_null()).select(
        "source",
        "source_id",
        "service",
        "deployed_at",
        deployment="id",
        ends_at=ends,
        cut=(pl.min_horizontal("undone_at", pl.lit(horizon, TIME)) < until).fill_null(value=False),
    )


def classes_of(owners: pl.DataFrame, at: datetime) -> dict[str, str]:
    """The class of each service at a moment. owners: as published."""
    held = owners.rename({"service_class": "class"}, strict=False)
    since, until = pl.col("valid_from"), pl.col("valid_to")
    current = (since.is_null() | (since <= at)) & (until.is_null() | (pl.lit(at, TIME) < until))
    rows = held.filter(current & pl.col("class").is_not_null()).sort("service", "valid_from", nulls_last=False)
    return dict(rows.select("service", "class").iter_rows())


def unwatched(deployments: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
    """Ids, as sources give them, of deployments that are known and not watched: of other environments, or without a time."""
    return deployments.join(rows.select(id="deployment"), on="id", how="anti")["source_id"].unique()


def of_facts(samples: pl.DataFrame, deployments: pl.DataFrame, *, unwatched: pl.Series | None = None) -> pl.DataFrame:
    """Samples with the fact's id instead of the source's: of their own source first, else of the first source that has it. Those of
    `unwatched` deployments are left out; an id that nobody knows stays as it is, to be named."""
    named = deployments.select("source", "source_id", "deployment").sort("source")
    own = named.rename({"deployment": "own"})
    first = named.unique("source_id", keep="first", maintain_order=True).select("source_id", other="deployment")
    rows = samples if "source" in samples.columns else samples.with_columns(source=pl.lit(None, pl.String))
    rows = rows.rename({"deployment": "source_id"}).join(own, on=["source", "source_id"], how="left", maintain_order="left")
    rows = rows.join(first, on="source_id", how="left", maintain_order="left")
    rows = rows.with_columns(deployment=pl.coalesce("own", "other", "source_id"))
    if unwatched is not None:
        known = pl.col("own").is_not_null() | pl.col("other").is_not_null() | pl.col("source_id").is_null()
        rows = rows.filter(known | ~pl.col("source_id").is_in(unwatched.implode()))
    return rows.drop("own", "other", "source_id", "source")


@dataclass(frozen=True)
class _Service:
    profiles: pl.DataFrame
    watched: pl.DataFrame
    met: pl.DataFrame
    problems: pl.DataFrame


def _of_service(
    samples: pl.DataFrame, deployments: pl.DataFrame, criteria: Sequence[Criterion], policy: Policy, day: date
) -> Iterator[_Service]:
    """One walk for all criteria that look at the same numbers; the names of those in force get its profiles."""
    terms = policy.terms
    for _, group in groupby(sorted(criteria, key=_look), key=_look):
        alike = list(group)
        seen = passages(samples, deployments, alike[0], numbers=terms.candidates, horizon=terms.horizon, alike=alike)
        for one in alike:
            narrower = [other for other in criteria if narrows(other, one)]
            watched = _renamed(seen.watched, one)
            current = one.is_in_force(day) and not any(other.is_in_force(day) for other in narrower)
            yield _Service(
                profiles=(seen.profiles if current else seen.profiles.clear()).with_columns(criterion=pl.lit(one.name)),
                watched=watched if current else watched.clear(),
                met=_met(seen.profiles, watched, deployments, one, narrower),
                problems=seen.problems,
            )


def looks_alike(one: Criterion, other: Criterion) -> bool:
    """Whether one walk answers for both: they differ in limit, clock, scope and papers at most."""
    return _look(one) == _look(other)


def _look(criterion: Criterion) -> str:
    return criterion.model_dump_json(exclude=PAPERS if criterion.tied else APART | PAPERS)


def _renamed(watched: pl.DataFrame, criterion: Criterion) -> pl.DataFrame:
    """The same watch under a criterion's name, with the number it is in force with at each step."""
    steps = {step: criterion.n(step.total_seconds()) for step in watched["step"].unique()}
    number = pl.col("step").replace_strict(list(steps), list(steps.values()), return_dtype=pl.Int32) if steps else pl.col("in_force")
    return watched.with_columns(criterion=pl.lit(criterion.name), in_force=number)


def _met(
    profiles: pl.DataFrame, watched: pl.DataFrame, deployments: pl.DataFrame, criterion: Criterion, narrower: Sequence[Criterion]
) -> pl.DataFrame:
    """When the criterion, as written, first held on the deployments of its days, but for those on which a narrower one stood in."""
    days = _in_days(criterion) & ~pl.any_horizontal(pl.lit(value=False), *map(_in_days, narrower))
    mine = deployments.filter(days).select("deployment", "deployed_at")
    mine = mine.join(watched.select("deployment", n="in_force"), on="deployment")
    fired = detections(profiles, criterion, [criterion.setting()]).join(mine, on=["deployment", "n"])
    return fired.with_columns(criterion=pl.lit(criterion.name), met_at=(pl.col("deployed_at") + pl.col("t")).cast(TIME)).select(*MET)


def _in_days(criterion: Criterion) -> pl.Expr:
    day = pl.col("deployed_at").dt.date()
    since = day >= criterion.since if criterion.since else pl.lit(value=True)
    return since & (day < criterion.until if criterion.until else pl.lit(value=True))


def with_criterion_met(incidents: pl.DataFrame, met: pl.DataFrame) -> pl.DataFrame:
    """Adds criterion_met_at_source, and criterion_met_at with silent_minutes where the records do not declare it: the first time that a
    criterion in force held on the deployment that caused the incident, before the incident was over."""
    first = met.group_by(cause_deployment="deployment").agg(found=pl.col("met_at").min())
    rows = incidents.join(first, on="cause_deployment", how="left", maintain_order="left")
    over = (pl.col("found") > pl.col("recovered_at")).fill_null(value=False)
    rows = rows.with_columns(found=pl.when(~over).then(pl.col("found")))
    return (
        rows.with_columns(
            criterion_met_at=pl.coalesce("criterion_met_at", "found"),
            criterion_met_at_source=pl.when(pl.col("criterion_met_at").is_not_null())
            .then(pl.lit("declared"))
            .when(pl.col("found").is_not_null())
            .then(pl.lit("derived:criterion")),
        )
        .with_columns(silent_minutes=pl.col("decided_at") - pl.col("criterion_met_at"))
        .drop("found")
    )
