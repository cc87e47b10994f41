"""Read the facts a question needs: only its columns, only its rows, with the few columns that cross facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from toolkit.metrics.samples import one_of
from toolkit.metrics.scope import Scope, moment
from toolkit.records import RECORDS

__all__ = ["CONNECT", "STREAMS", "Published", "connected", "earliest", "fact_frame", "owners_of", "published", "rows_in_scope"]

# Which records a fact is made of: the first one bounds its coverage, a gap in any makes a count unknown.
STREAMS: dict[str, tuple[str, ...]] = {
    "deployments": ("deployments",),
    "rollbacks": ("deployments", "rollbacks", "flag_changes"),
    "incidents": ("incidents",),
    "hotfixes": ("deployments",),
}
CONNECT = {
    "deployments": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "rollbacks": "deployments or rollbacks (knowngood sync, or knowngood load FILE --as rollback)",
    "incidents": "incidents (knowngood sync, or knowngood load FILE --as incident)",
    "hotfixes": "deployments (knowngood sync, or knowngood load FILE --as deployment)",
    "gates": "the results of gates",
    "merges": "when changes reached the main branch",
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


# Columns that no fact carries, and how to add them: done only where a metric asks for one.
ACROSS: dict[str, tuple[str, Reader, set[str]]] = {
    "first_outcome": ("incidents", _with_first_outcome, {"id"}),
    "incident_detected_at": ("hotfixes", _with_incident_detected_at, {"hotfix_incident"}),
}


def fact_frame(w: Published, fact: str) -> pl.LazyFrame | None:
    """The fact's rows; None where nothing of the kind is recorded yet."""
    if fact not in STREAMS:
        return None
    frame: pl.LazyFrame = getattr(w.facts, fact)
    return frame


def connected(w: Published, fact: str) -> bool:
    """Whether any record that the fact is made of was ever loaded."""
    if fact not in STREAMS:
        return False
    records = w.meta.get("records") or {}
    counts = [records[name] for name, record in RECORDS.items() if name in records and record.table in STREAMS[fact]]
    if counts:
        return any(count > 0 for count in counts)
    frame = fact_frame(w, "deployments" if fact == "hotfixes" else fact)
    return frame is not None and frame.select(pl.len()).collect().item() > 0


def earliest(w: Published, facts: set[str]) -> datetime | None:
    """The first event of these facts, or the start of their coverage where that is earlier."""
    found: list[datetime] = []
    for fact in sorted(facts & STREAMS.keys()):
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
    across = [name for name in ACROSS if name in columns and ACROSS[name][0] == fact]
    needed = (columns - {"horizon"} - set(across)) | scope.columns(fact) | {"at"}
    for name in across:
        needed |= ACROSS[name][2]
    frame = frame.select(sorted(needed)).filter(scope.rows(fact))
    for name in across:
        frame = ACROSS[name][1](frame, w.facts)
    frame = frame.with_columns(pl.lit(scope.horizon).cast(pl.Datetime("us", "UTC")).alias("horizon"), scope.period().alias("_period"))
    return _with_by(w, frame, fact, scope, each_service=each_service)


def _with_by(w: Published, frame: pl.LazyFrame, fact: str, scope: Scope, *, each_service: bool) -> pl.LazyFrame:
    """Adds `service` (of an incident its first) and `_by`. An incident counts under each of its services, once in totals."""
    if fact == "incidents":
        if scope.by in ("team", "class"):
            frame = frame.with_row_index("_row")
        if scope.by is None and not each_service:
            # Asked about one service, an incident of several counts there.
            return frame.with_columns(
                (pl.col("services").list.first() if scope.service is None else pl.lit(scope.service)).alias("service")
            )
        frame = frame.with_columns(pl.col("services").list.unique().list.sort().alias("service")).explode("service")
        # An incident that names no service counts in totals and under none.
        frame = frame.filter(pl.col("service").is_not_null())
        if scope.service is not None:
            frame = frame.filter(pl.col("service") == scope.service)
    if scope.by is None:
        return frame
    if scope.by == "service":
        return frame.with_columns(pl.col("service").cast(pl.String).alias("_by"))
    owned = _with_owner(frame, owners_of(w), scope.by)
    # An incident of two services of one team is one incident of the team.
    return owned.unique(["_row", "_by"], keep="first", maintain_order=True).drop("_row") if fact == "incidents" else owned


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
