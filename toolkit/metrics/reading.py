"""Read the facts a question needs: only its columns, only its rows, with the few columns that cross facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from toolkit.metrics.metric import Metric
from toolkit.metrics.samples import one_of
from toolkit.metrics.scope import SEVERAL_SERVICES, Scope, moment
from toolkit.records import RECORDS

__all__ = [
    "CONNECT",
    "STREAMS",
    "Published",
    "connected",
    "earliest",
    "fact_frame",
    "lacking",
    "loaded",
    "owners_of",
    "published",
    "rows_in_scope",
    "with_storm",
]

# Which records a fact is made of: the first one bounds its coverage, a gap in any makes a count unknown.
STREAMS: dict[str, tuple[str, ...]] = {
    "deployments": ("deployments",),
    "rollbacks": ("deployments", "rollbacks", "flag_changes"),
    "incidents": ("incidents",),
    "hotfixes": ("deployments",),
    "followups": ("incidents",),
    "action_items": ("action_items",),
    "versions": ("artifacts", "deployments"),
    "provenance": ("deployments",),
    "checks": ("deployments",),
    "gates": ("gates",),
    "verdicts": ("verdicts",),
    "services": ("deployments",),
    "communications": ("incidents",),
    "update_gaps": ("incident_events",),
    "conformance": ("incident_events",),
}
# Facts of what is deployed somewhere.
OF_ENVIRONMENTS = frozenset({"deployments", "rollbacks", "hotfixes", "provenance", "checks", "services"})
# By fact or by record.
CONNECT = {
    "deployments": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "rollbacks": "deployments or rollbacks (knowngood sync, or knowngood load FILE --as rollback)",
    "incidents": "incidents (knowngood sync, or knowngood load FILE --as incident)",
    "hotfixes": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "followups": "incidents (knowngood sync, or knowngood load FILE --as incident)",
    "provenance": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "checks": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "services": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "versions": "builds (knowngood load FILE --as artifact)",
    "artifacts": "builds (knowngood load FILE --as artifact)",
    "gates": "the results of gates (knowngood load FILE --as gate)",
    "verdicts": "verdicts of canary judges (knowngood load FILE --as verdict)",
    "communications": "incidents (knowngood sync, or knowngood load FILE --as incident)",
    "incident_events": "timelines of incidents (knowngood load FILE --as incident_event)",
    "reviews": "reviews of incidents (knowngood load FILE --as review)",
    "action_items": "action items (knowngood load FILE --as action_item)",
    "flag_changes": "changes of feature flags (knowngood load FILE --as flag_change)",
    "owners": "owners of services (knowngood load FILE --as owner)",
    "merges": "when commits reached the main branch (knowngood load CLONE --as git, or knowngood load FILE --as merge)",
    "running": "deployments and incidents: a tag or a merge does not say what ran, or broke",
}

Reader = Callable[[pl.LazyFrame, Any], pl.LazyFrame]


@dataclass(frozen=True)
class Published:
    """One published state: a workspace resolves its facts anew at every access, a question must not."""

    facts: Any
    meta: Any
    settings: Any


def published(w: Any) -> Published:
    """What the workspace has published now."""
    return w if isinstance(w, Published) else Published(w.facts, w.meta, w.settings)


def _with_first_outcome(incidents: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds the outcome of the first real attempt of each incident; null without one."""
    real = ~(pl.col("drill") | pl.col("race") | pl.col("code_level") | one_of("outcome", "drill", "race"))
    first = (
        facts.rollbacks.filter(pl.col("incident").is_not_null() & real.fill_null(value=True))
        .select("incident", "started_at", "id", first_outcome="outcome")
        .sort("started_at", "id")
        .unique("incident", keep="first", maintain_order=True)
        .select(id="incident", first_outcome="first_outcome")
    )
    return incidents.join(first, on="id", how="left")


def _with_incident_detected_at(hotfixes: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds when the incident that a hotfix answers was detected."""
    detected = facts.incidents.select(hotfix_incident="id", incident_detected_at="detected_at")
    return hotfixes.join(detected, on="hotfix_incident", how="left")


def _with_detection(rollbacks: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds when the incident of an attempt was detected."""
    return rollbacks.join(facts.incidents.select(incident="id", incident_detected_at="detected_at"), on="incident", how="left")


def _with_first_flag_off(rollbacks: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds whether an attempt is the first flag-off of its incident."""
    offs = facts.rollbacks.filter((pl.col("mechanism") == "flag") & pl.col("incident").is_not_null() & ~pl.col("drill"))
    first = offs.select("incident", "started_at", "id").sort("started_at", "id").unique("incident", keep="first", maintain_order=True)
    marked = first.select("id", first_flag_off=pl.lit(value=True))
    return rollbacks.join(marked, on="id", how="left").with_columns(pl.col("first_flag_off").fill_null(value=False))


def _with_kill_switch(incidents: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds whether a service of the incident was known, by its end, to have a kill switch there."""
    switches = facts.flag_changes.filter("kill_switch").select("service", "at", place="environment", live="production")
    asked = incidents.select("id", "environment", "recovered_at", service="services").explode("service").join(switches, on="service")
    there = pl.when(pl.col("environment").is_null()).then("live").otherwise(pl.col("environment") == pl.col("place"))
    known = asked.filter(there & (pl.col("recovered_at").is_null() | (pl.col("at") <= pl.col("recovered_at"))))
    known = known.select("id", kill_switch=pl.lit(value=True)).unique()
    return incidents.join(known, on="id", how="left").with_columns(pl.col("kill_switch").fill_null(value=False))


def _with_skipped(hotfixes: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds the gates that releases of the service usually pass and this hotfix had not; null: not known."""
    return hotfixes.join(facts.provenance.select("id", "skipped"), on="id", how="left")


def with_storm(rows: pl.LazyFrame, facts: Any) -> pl.LazyFrame:
    """Adds the storm that an attempt of the row's `incident` was in; null: none."""
    stormy = facts.rollbacks.filter(pl.col("storm").is_not_null() & pl.col("incident").is_not_null())
    return rows.join(stormy.group_by("incident").agg(pl.col("storm").min()), on="incident", how="left", maintain_order="left")


# Columns that no fact carries, and how to add them: done only where a metric asks for one.
ACROSS: dict[tuple[str, str], tuple[Reader, set[str]]] = {
    ("incidents", "first_outcome"): (_with_first_outcome, {"id"}),
    ("incidents", "kill_switch"): (_with_kill_switch, {"id", "services", "environment", "recovered_at"}),
    ("hotfixes", "incident_detected_at"): (_with_incident_detected_at, {"hotfix_incident"}),
    ("conformance", "storm"): (with_storm, {"incident"}),
    ("hotfixes", "skipped"): (_with_skipped, {"id"}),
    ("rollbacks", "incident_detected_at"): (_with_detection, {"incident"}),
    ("rollbacks", "first_flag_off"): (_with_first_flag_off, {"id", "incident"}),
}


def fact_frame(w: Published, fact: str) -> pl.LazyFrame | None:
    """The fact's rows; None where nothing of the kind is recorded yet."""
    if fact not in STREAMS:
        return None
    frame: pl.LazyFrame | None = getattr(w.facts, fact, None)
    return frame


def connected(w: Published, fact: str) -> bool:
    """Whether any record that the fact is made of was ever loaded."""
    if fact not in STREAMS or (frame := fact_frame(w, fact)) is None:
        return False
    counts = [count for table, count in loaded(w).items() if table in STREAMS[fact]]
    if counts:
        return any(count > 0 for count in counts)
    if fact == "hotfixes":
        return connected(w, "deployments")
    return bool(frame.select(pl.len()).collect().item())


def lacking(w: Published, metric: Metric, scope: Scope) -> str | None:
    """The fact or record that must be connected before the metric can be measured in the scope's environment; None: nothing is missing."""
    if not connected(w, metric.fact):
        return metric.needs[0] if metric.needs else metric.fact
    counts = loaded(w)
    # Facts that say nothing of their records are taken as they are.
    missing = next((table for table in metric.needs if not (counts.get(table) if counts else hasattr(w.facts, table))), None)
    return missing or _not_seen(w, metric, scope)


def _not_seen(w: Published, metric: Metric, scope: Scope) -> str | None:
    """What nobody tells of the environment: where nothing was ever deployed, none in a week is no number."""
    told = w.meta.get("environments")
    if told is None or metric.fact not in OF_ENVIRONMENTS:
        return None
    here = [row for row in told if (row["production"] if scope.environment is None else row["environment"] == scope.environment)]
    if not here or (metric.fact != "rollbacks" and not any(row["deployed"] for row in here)):
        return metric.fact
    return None if metric.at_code_level or not all(row["code_level"] for row in here) else "running"


def loaded(w: Published) -> dict[str, int]:
    """How many records each table held when the facts were published."""
    counts = w.meta.get("records") or {}
    return {record.table: counts[name] for name, record in RECORDS.items() if name in counts}


def earliest(w: Published, facts: set[str]) -> datetime | None:
    """The first event of these facts, or the start of their coverage where that is earlier."""
    found: list[datetime] = []
    known = w.meta.get("begins") or {}
    for fact in sorted(facts & STREAMS.keys()):
        if fact in known:
            found.append(moment(known[fact], UTC))
            continue
        frame = fact_frame(w, fact)
        if frame is not None and (first := frame.select(pl.col("at").min()).collect().item()) is not None:
            found.append(first)
    streams = {stream for fact in facts & STREAMS.keys() for stream in STREAMS[fact]}
    covered = [row for row in w.meta.get("coverage") or [] if row["stream"] in streams and row.get("start") and not row.get("gap")]
    return min([*found, *(moment(row["start"], UTC) for row in covered)], default=None)


def rows_in_scope(w: Published, fact: str, columns: set[str], scope: Scope, *, each_service: bool = False) -> pl.LazyFrame:
    """The fact's rows in scope with these columns, `horizon` and `_period`; `_by` where the scope groups. each_service: an incident once
    for each of its services even in totals."""
    frame = fact_frame(w, fact)
    assert frame is not None, f"no fact {fact}"  # noqa: S101 (callers ask connected() first)
    across = [name for of, name in ACROSS if of == fact and name in columns]
    needed = (columns - {"horizon"} - set(across)) | scope.columns(fact) | {"at"}
    for name in across:
        needed |= ACROSS[fact, name][1]
    frame = frame.select(sorted(needed)).filter(scope.rows(fact))
    for name in across:
        frame = ACROSS[fact, name][0](frame, w.facts)
    frame = frame.with_columns(pl.lit(scope.horizon).cast(pl.Datetime("us", "UTC")).alias("horizon"), scope.period().alias("_period"))
    return _with_by(w, frame, fact, scope, each_service=each_service)


def _with_by(w: Published, frame: pl.LazyFrame, fact: str, scope: Scope, *, each_service: bool) -> pl.LazyFrame:
    """Adds `service` (of an incident its first) and `_by`. An incident counts under each of its services, once in totals."""
    if fact in SEVERAL_SERVICES:
        if scope.by in ("team", "class"):
            frame = frame.with_row_index("_row")
        if scope.by in (None, "kind") and not each_service:
            # Asked about one service, an incident of several counts there.
            one = pl.col("services").list.first() if scope.service is None else pl.lit(scope.service)
            frame = frame.with_columns(one.alias("service"))
            return frame if scope.by is None else _by_kind(frame)
        frame = frame.with_columns(pl.col("services").list.unique().list.sort().alias("service")).explode("service")
        # An incident that names no service counts in totals and under none.
        frame = frame.filter(pl.col("service").is_not_null())
        if scope.service is not None:
            frame = frame.filter(pl.col("service") == scope.service)
    if scope.by is None:
        return frame
    if scope.by == "kind":
        return _by_kind(frame)
    if scope.by == "service":
        return frame.with_columns(pl.col("service").cast(pl.String).alias("_by"))
    owned = _with_owner(frame, owners_of(w), scope.by)
    # An incident of two services of one team is one incident of the team.
    return owned.unique(["_row", "_by"], keep="first", maintain_order=True).drop("_row") if fact in SEVERAL_SERVICES else owned


def _by_kind(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("kind").cast(pl.String).fill_null("unknown").alias("_by"))


def owners_of(w: Published) -> pl.DataFrame:
    """service, team, class, valid_from, valid_to: as published with the facts."""
    moment_type = pl.Datetime("us", "UTC")
    schema: dict[str, Any] = {
        "service": pl.String,
        "team": pl.String,
        "class": pl.String,
        "valid_from": moment_type,
        "valid_to": moment_type,
    }
    found = getattr(w.facts, "owners", None)
    if found is None:
        return pl.DataFrame(schema=schema)
    frame: pl.DataFrame = found.collect() if isinstance(found, pl.LazyFrame) else found
    return frame.rename({"service_class": "class"}, strict=False).select(pl.col(column).cast(kind) for column, kind in schema.items())


def _with_owner(frame: pl.LazyFrame, owners: pl.DataFrame, by: str) -> pl.LazyFrame:
    """Adds `_by`: who owned the service at the time of the row; "unowned" where nobody did."""
    held = owners.select("service", pl.col(by).alias("_by"), "valid_from", "valid_to").sort(
        "service", "valid_from", "_by", nulls_last=False
    )
    held = held.with_columns(turn=pl.int_range(pl.len()).over("service"))
    frame = frame.with_columns(_by=pl.lit(None, pl.String))
    since, until = pl.col("valid_from"), pl.col("valid_to")
    # A service changes hands a few times at most: a small join for each turn beats one row for each pair.
    for turn in held["turn"].unique().sort():
        holds = (since.is_null() | (since <= pl.col("at"))) & (until.is_null() | (pl.col("at") < until))
        owner = held.lazy().filter(pl.col("turn") == turn).select("service", "valid_from", "valid_to", _owner="_by")
        frame = frame.join(owner, on="service", how="left", maintain_order="left")
        frame = frame.with_columns(_by=pl.when(holds & pl.col("_owner").is_not_null()).then("_owner").otherwise("_by"))
        frame = frame.drop("_owner", "valid_from", "valid_to")
    return frame.with_columns(pl.col("_by").fill_null("unowned"))
