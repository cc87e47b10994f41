"""Fold duplicates, split by reopenings, and say when each incident was open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.observed import resolve

__all__ = ["OPEN_AFTER_LAST_EVENT", "REOPENED_IS_THE_SAME", "Incidents", "fold"]

REOPENED_IS_THE_SAME = timedelta(hours=24)
# A ticket that nobody closed must not swallow every later rollback.
OPEN_AFTER_LAST_EVENT = timedelta(days=7)


@dataclass(frozen=True)
class Incidents:
    """incidents: one row each (inc, id, …, link_time, recovered_at). stretches: inc, stretch, from, recovery, mitigated (bool: by a stamp),
    implied (bool). stamps: inc, at. places: inc, part. aliases: record row (rec) → inc, from."""

    rows: pl.DataFrame
    stretches: pl.DataFrame
    stamps: pl.DataFrame
    places: pl.DataFrame
    aliases: pl.DataFrame


def fold(incidents: pl.DataFrame, events: pl.DataFrame, parts: pl.DataFrame, horizon: datetime) -> Incidents:
    """incidents (with id, rec), events up to the horizon, parts of the workspace."""
    incidents = incidents.join(_originals(incidents), on="rec", maintain_order="left")
    stamps = _stamps(incidents, events, horizon)
    stretches = _stretches(stamps)
    rows = _rows(incidents, stamps, stretches)
    own = pl.col("inc")
    stretches = stretches.join(rows.select("inc", "rec", "section"), on=["rec", "section"])
    opened = rows.select("inc", "link_time")
    first = own.is_first_distinct()
    stretches = (
        stretches.sort("inc", "stretch")
        .join(opened, on="inc", maintain_order="left")
        .with_columns(pl.when(first).then("link_time").otherwise("begins").alias("from"))
        .select(
            "inc",
            "stretch",
            "from",
            "recovery",
            "mitigated_at",
            "implied",
            next_reopening=pl.col("reopening"),
            first=first,
        )
    )
    told = stamps.filter(~pl.col("gone")).join(rows.select("inc", "rec", "section"), on=["rec", "section"]).select("inc", "at")
    aliases = incidents.select("rec", "original").join(
        rows.select("inc", original="rec", section="section", link_time="link_time"), on="original"
    )
    return Incidents(rows.drop("rec"), stretches, told.unique().sort("inc", "at"), _places(rows, parts), aliases)


def _originals(incidents: pl.DataFrame) -> pl.DataFrame:
    """rec → original: duplicates point, through any number of steps, to the incident they repeat; circles point to themselves."""
    refs = incidents.filter(pl.col("duplicate_of").is_not_null()).select("rec", source="duplicate_source", ref="duplicate_of")
    found = resolve(refs, incidents.select("source", "source_id", target="rec"), "target").drop_nulls("target")
    step = dict(zip(found["rec"].to_list(), found["target"].to_list(), strict=True))
    original = {}
    for rec in step:
        seen, at = {rec}, rec
        while at in step and step[at] not in seen:
            at = step[at]
            seen.add(at)
        original[rec] = rec if at in step else at
    pairs = pl.DataFrame({"rec": list(original), "original": list(original.values())}, schema={"rec": pl.Int64, "original": pl.Int64})
    return (
        incidents.select("rec")
        .join(pairs, on="rec", how="left", maintain_order="left")
        .with_columns(pl.col("original").fill_null(pl.col("rec")))
    )


def _stamps(incidents: pl.DataFrame, events: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Every stamp of every original: rec, at, what, declared (of the record itself), reviewed, stamped (a source's mitigation), gone (a
    reviewer's took its place), section and stretch, counted by reopenings."""
    own = incidents.filter(pl.col("rec") == pl.col("original"))
    declared = [
        own.select("rec", at=name, what=pl.lit(what), declared=pl.lit(value=True))
        for name, what in {
            "started_at": "started",
            "detected_at": "detected",
            "acknowledged_at": "acknowledged",
            "decided_at": "decided",
            "mitigated_at": "mitigated",
            "resolved_at": "resolved",
            "recovered_said": "said over",
        }.items()
    ]
    named = resolve(events.select("source", "at", "type", ref="incident"), incidents.select("source", "source_id", "original"), "original")
    told = named.drop_nulls("original").select(rec="original", at="at", what="type", declared=pl.lit(value=False))
    stamps = pl.concat([*declared, told]).drop_nulls("at")
    reopenings = stamps.filter(pl.col("what") == "reopened").select("rec", "at").unique().sort("rec", "at")
    if reopenings.is_empty():
        return _as_reviewed(stamps.with_columns(stretch=pl.lit(0, pl.Int64), section=pl.lit(0, pl.Int64)), horizon)
    counted = reopenings.with_columns(stretch=pl.int_range(1, pl.len() + 1).over("rec"))
    stamps = stamps.sort("at").join_asof(counted.sort("at"), on="at", by="rec", check_sortedness=False)
    # What a record says of its beginning belongs to the first stretch, wherever a clock put it.
    begins = pl.col("what").is_in(["started", "detected", "acknowledged", "decided"]) & pl.col("declared")
    stamps = stamps.with_columns(stretch=pl.when(begins).then(0).otherwise(pl.col("stretch").fill_null(0)).cast(pl.Int64))
    stamps = _as_reviewed(stamps, horizon)
    sections = _stretches(stamps.with_columns(section=pl.lit(0, pl.Int64))).select("rec", "stretch", "section")
    return stamps.drop("section", strict=False).join(sections, on=["rec", "stretch"])


def _as_reviewed(stamps: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Where a reviewer said when a stretch was over, that is its mitigation, and what the source said of it is not."""
    reviewed = pl.col("what") == "said over"
    ends = pl.col("what").is_in(["mitigated", "resolved"])
    replaced = ends & reviewed.any().over("rec", "stretch")
    stamps = stamps.with_columns(
        stamped=pl.col("what") == "mitigated",
        # The field of the record is overridden; the event of a timeline stays one, and shows that somebody was there.
        gone=replaced & pl.col("declared"),
        reviewed=reviewed,
        what=pl.when(replaced).then(pl.lit("replaced")).when(reviewed).then(pl.lit("mitigated")).otherwise("what"),
    )
    # Over beyond the horizon: not over yet, whatever the source says.
    return stamps.filter(~pl.col("reviewed") | (pl.col("at") <= horizon))


def _stretches(stamps: pl.DataFrame) -> pl.DataFrame:
    """rec, stretch, begins (its reopening), reopening (the next), mitigated_at, recovery, implied, section: of which incident it is
    part."""

    def earliest(what: str) -> pl.Expr:
        return pl.col("at").filter(pl.col("what") == what).min()

    every = (
        stamps.group_by("rec", "stretch")
        .agg(
            mitigated_at=earliest("mitigated"),
            resolved_at=earliest("resolved"),
            begins=earliest("reopened"),
            reviewed=pl.col("reviewed").any(),
        )
        .sort("rec", "stretch")
    )
    # A record whose first word is a reopening still had a first stretch.
    missing = every.filter((pl.col("stretch") > 0) & (pl.col("stretch") == pl.col("stretch").min().over("rec"))).select(
        "rec", stretch=pl.lit(0, pl.Int64)
    )
    every = pl.concat([every, missing], how="diagonal").unique(["rec", "stretch"]).sort("rec", "stretch")
    every = every.with_columns(reopening=pl.col("begins").shift(-1).over("rec"))
    every = every.with_columns(recovery=pl.coalesce("mitigated_at", "resolved_at", "reopening"))
    every = every.with_columns(
        implied=pl.coalesce("mitigated_at", "resolved_at").is_null() & pl.col("recovery").is_not_null(),
        anew=(pl.col("reopening") - pl.col("recovery") >= REOPENED_IS_THE_SAME).shift(1).over("rec").fill_null(value=False),
    )
    return every.with_columns(section=pl.col("anew").cast(pl.Int64).cum_sum().over("rec")).drop("anew")


def _rows(incidents: pl.DataFrame, stamps: pl.DataFrame, stretches: pl.DataFrame) -> pl.DataFrame:
    own = incidents.filter(pl.col("rec") == pl.col("original"))
    duplicates = (
        incidents.filter(pl.col("rec") != pl.col("original"))
        .sort("id")
        .group_by("original", maintain_order=True)
        .agg(duplicates="id")
        .rename({"original": "rec"})
    )

    def earliest(what: str, *, declared: bool) -> pl.Expr:
        return pl.col("at").filter((pl.col("what") == what) & (pl.col("declared") == declared)).min()

    marks = stamps.group_by("rec", "section").agg(
        event_started=earliest("started", declared=False),
        event_detected=earliest("detected", declared=False),
        event_acknowledged=earliest("acknowledged", declared=False),
        event_decided=earliest("decided", declared=False),
        stamped=pl.col("stamped").any(),
    )
    sections = stretches.group_by("rec", "section").agg(
        begins=pl.col("begins").sort_by("stretch").first(),
        recovered_at=pl.col("recovery").sort_by("stretch").last(),
        last_mitigated=pl.col("mitigated_at").sort_by("stretch").last(),
        recovery_said=pl.col("reviewed").sort_by("stretch").last(),
        reopened=pl.len().cast(pl.Int64) - 1,
    )
    rows = own.join(sections, on="rec", how="left").join(marks, on=["rec", "section"], how="left").join(duplicates, on="rec", how="left")
    rows = rows.with_columns(pl.col("section").fill_null(0), pl.col("reopened").fill_null(0), pl.col("stamped").fill_null(value=False))
    first = pl.col("section") == 0
    rows = rows.with_columns(pl.col("started_said", "detected_said", "decided_said") & first)
    acknowledged = pl.min_horizontal(pl.when(first).then("acknowledged_at"), "event_acknowledged")
    noticed = pl.min_horizontal(pl.when(first).then("detected_at"), "event_detected", acknowledged)
    detected = pl.when("detected_said").then("detected_at").otherwise(noticed)
    rows = rows.with_columns(
        id=pl.when(first).then("id").otherwise(pl.format("{}#{}", "id", pl.col("section") + 1)),
        started_at=pl.when("started_said").then("started_at").when(first).then(pl.coalesce("started_at", "event_started")),
        detected_at=pl.when(first).then(detected).otherwise("begins"),
        detected_at_source=pl.when(~first)
        .then(pl.lit("derived:reopened"))
        .when(detected.is_null())
        .then(None)
        .when("detected_said")
        .then(pl.lit("override"))
        .when(detected == pl.col("detected_at"))
        .then(pl.lit("declared"))
        .when(detected == pl.col("event_detected"))
        .then(pl.lit("derived:event"))
        .otherwise(pl.lit("derived:acknowledged")),
        acknowledged_at=acknowledged,
        declared_decided=pl.when("decided_said")
        .then("decided_at")
        .otherwise(pl.coalesce(pl.when(first).then("decided_at"), "event_decided")),
        recovered_at_source=pl.when(pl.col("last_mitigated").is_not_null() & pl.col("recovery_said"))
        .then(pl.lit("override"))
        .when(pl.col("last_mitigated").is_not_null())
        .then(pl.lit("declared"))
        .when(pl.col("recovered_at").is_not_null())
        .then(pl.lit("derived:resolved")),
    )
    rows = rows.with_columns(link_time=pl.coalesce("started_at", "detected_at"), duplicates=pl.when(first).then("duplicates").fill_null([]))
    return rows.sort("id").with_row_index("inc").with_columns(pl.col("inc").cast(pl.Int64))


def _places(rows: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """inc, part: its services in its environment; without one, in every production environment of theirs."""
    services = rows.filter(~pl.col("planned")).select("inc", "environment", service="services").explode("service").drop_nulls("service")
    told = services.drop_nulls("environment").join(parts, on=["service", "environment"])
    open_to = services.filter(pl.col("environment").is_null()).drop("environment").join(parts.filter("production"), on="service")
    return pl.concat([told.select("inc", "part"), open_to.select("inc", "part")]).unique().sort("inc", "part")
