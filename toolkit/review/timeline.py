"""One incident along time: deployments, flags, attempts, signals and people, each row with what its place in time rests on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from toolkit.facts.links import ATTRIBUTION

__all__ = ["LANES", "PHASES", "PROVENANCES", "incident_named", "phases_of", "picture_of", "provenance", "timeline_of"]

LANES = ("deployments", "flags", "attempts", "alerts", "people")
PROVENANCES = ("declared", "derived", "overridden")
PHASES = ("detect", "decide", "act")
AFTER = timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
SCHEMA: dict[str, Any] = {
    "lane": pl.String, "at": TIME, "until": TIME, "what": pl.String, "provenance": pl.String, "rule": pl.String, "id": pl.String,
    "text": pl.String,
}  # fmt: skip
# Column of the incident: its lane, in words, and the column that says what it rests on.
STAMPS = {
    "started_at": ("alerts", "impact began", "started_at_source"),
    "criterion_met_at": ("alerts", "criterion held", "criterion_met_at_source"),
    "detected_at": ("alerts", "noticed", "detected_at_source"),
    "acknowledged_at": ("people", "acknowledged", None),
    "decided_at": ("people", "decided", "decided_at_source"),
    "recovered_at": ("alerts", "recovered", "recovered_at_source"),
    "resolved_at": ("people", "closed", None),
}
# The event that says the same as a stamp.
SAME = {
    "started": "started_at",
    "detected": "detected_at",
    "acknowledged": "acknowledged_at",
    "decided": "decided_at",
    "mitigated": "recovered_at",
    "resolved": "resolved_at",
}
SIGNALS = ("started", "detected", "mitigated", "validated", "reopened")


def incident_named(facts: Any, id: str) -> dict[str, Any] | None:
    """The incident of this id as a row of facts.incidents; None where there is none."""
    found = facts.incidents.filter(pl.col("id") == id).head(1).collect()
    return found.row(0, named=True) if len(found) else None


def provenance(source: str) -> pl.Expr:
    """declared, derived or overridden, from a column such as started_at_source; nothing said there was declared."""
    said = pl.col(source).cast(pl.String)
    return (
        pl.when(said.str.starts_with("derived"))
        .then(pl.lit("derived"))
        .when(said.str.starts_with("overrid"))
        .then(pl.lit("overridden"))
        .otherwise(pl.lit("declared"))
    )


def timeline_of(facts: Any, incident: Mapping[str, Any], horizon: datetime) -> pl.DataFrame:
    """lane, at, until (null: a moment), what, provenance, rule (by which it was derived), id (of the row), text: by time.

    Deployments and flags of the incident's services, from a day before the link time, within which one may be its cause, to an hour
    after the recovery. An event that says what a stamp says is one row with it."""
    start = incident["link_time"] or horizon
    end = min((incident["recovered_at"] or horizon) + AFTER, horizon)
    rows = [
        _deployments(facts, incident, start - ATTRIBUTION, end),
        _flags(facts, incident, start - ATTRIBUTION, end),
        _attempts(facts, incident),
        _verdicts(facts, incident, start - ATTRIBUTION, end),
        *_told(facts, incident),
    ]
    order = pl.col("lane").replace_strict({lane: place for place, lane in enumerate(LANES)}, return_dtype=pl.Int8)
    whole = pl.concat([frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()) for frame in rows])
    return whole.filter(pl.col("at").is_not_null()).unique(maintain_order=True).sort("at", order, "what", "id", "text", nulls_last=True)


def phases_of(incident: Mapping[str, Any]) -> pl.DataFrame:
    """The phases that are known, in order: phase, start, end (of an open one: so far), minutes, provenance, open."""
    stamps = {"detect": "started_at", "decide": "detected_at", "act": "decided_at", "": "recovered_at"}
    ends = list(stamps.values())[1:]
    rows = []
    for phase, stop in zip(PHASES, ends, strict=True):
        lasted, begin = incident[phase], incident[stamps[phase]]
        if lasted is None or begin is None:
            continue
        still = incident["censored_phase"] == phase
        told = {_word(incident.get(f"{stamp}_source")) for stamp in (stamps[phase], *(() if still else (stop,)))}
        rests = next((word for word in ("overridden", "derived") if word in told), "declared")
        rows.append((phase, begin, begin + lasted, lasted / timedelta(minutes=1), rests, still))
    kinds: dict[str, Any] = {
        "phase": pl.String,
        "start": TIME,
        "end": TIME,
        "minutes": pl.Float64,
        "provenance": pl.String,
        "open": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=kinds, orient="row")


def picture_of(incident: Mapping[str, Any], timeline: pl.DataFrame, horizon: datetime) -> tuple[datetime, datetime]:
    """From when to when a picture of the incident shows most of it: its phases with a margin, and its cause where that is near."""
    known = [incident[name] for name in ("started_at", "detected_at", "decided_at", "link_time") if incident[name] is not None]
    known += timeline.filter(pl.col("lane") == "attempts")["at"].to_list()
    first = min(known, default=horizon)
    last = max([*known, incident["recovered_at"] or horizon])
    near = max(last - first, timedelta(hours=1))
    caused = timeline.filter((pl.col("id") == (incident["cause_deployment"] or "")) & (pl.col("at") >= first - near))["at"].min()
    first = min(first, caused) if isinstance(caused, datetime) else first
    margin = max((last - first) / 12, timedelta(minutes=3))
    return first - margin, last + margin


def _word(source: str | None) -> str:
    if source is None:
        return "declared"
    return "derived" if source.startswith("derived") else "overridden" if source.startswith("overrid") else "declared"


def _own(incident: Mapping[str, Any]) -> pl.Expr:
    """Rows of its services in its environment; without one, in production."""
    where = pl.col("production") if incident["environment"] is None else pl.col("environment") == incident["environment"]
    return pl.col("service").is_in(incident["services"]) & where


def _deployments(facts: Any, incident: Mapping[str, Any], start: datetime, end: datetime) -> pl.DataFrame:
    begins, stops = pl.coalesce("started_at", "finished_at"), pl.coalesce("finished_at", "started_at")
    hotfix, caused = pl.col("hotfix").is_in(["certain", "likely"]), pl.col("id") == (incident["cause_deployment"] or "")
    ended = pl.when(pl.col("status") != "succeeded").then(pl.format(", {}", pl.col("status").str.replace_all("_", " ")))
    what = pl.when(hotfix).then(pl.lit("hotfix")).otherwise("kind")
    # Of the cause one asks how that is known; of any other, how its kind is.
    source = pl.when(caused).then(pl.lit(incident["cause_source"])).when(hotfix).then("hotfix_source").otherwise("kind_source")
    return (
        facts.deployments.filter(_own(incident) & (begins <= end) & (stops >= start))
        .select(
            lane=pl.lit("deployments"),
            at=begins,
            until=stops,
            what=pl.concat_str(what, ended, pl.when(caused).then(pl.lit(", the cause")), ignore_nulls=True),
            source=source,
            id="id",
            text=pl.concat_str(["service", "version"], separator=" ", ignore_nulls=True),
        )
        .with_columns(
            provenance=provenance("source"),
            rule=pl.when(pl.col("source").str.starts_with("derived")).then(pl.col("source").str.strip_prefix("derived:")),
        )
        .collect()
    )


def _flags(facts: Any, incident: Mapping[str, Any], start: datetime, end: datetime) -> pl.DataFrame:
    own = pl.col("service").is_in(incident["services"]) & pl.col("at").is_between(start, end)
    if incident["environment"] is not None:
        own &= pl.col("environment") == incident["environment"]
    named = (pl.col("incident") == incident["source_id"]) & (pl.col("source") == incident["source"])
    return (
        facts.flag_changes.filter((own | named).fill_null(value=False))
        .select(
            lane=pl.lit("flags"),
            at="at",
            until=pl.lit(None, TIME),
            what=pl.concat_str([pl.lit("flag"), pl.col("action").fill_null("changed")], separator=" "),
            provenance=pl.lit("declared"),
            rule=pl.lit(None, pl.String),
            id="source_id",
            text=pl.concat_str(["flag", pl.concat_str(["before", "after"], separator=" → ")], separator=": ", ignore_nulls=True),
        )
        .collect()
    )


def _attempts(facts: Any, incident: Mapping[str, Any]) -> pl.DataFrame:
    """What was done to get back. That an attempt belongs to the incident was declared by it, or derived from its time."""
    return (
        facts.rollbacks.filter(pl.col("incident") == incident["id"])
        .select(
            lane=pl.lit("attempts"),
            at="started_at",
            until="completed_at",
            what=pl.concat_str([pl.lit("back by"), pl.col("mechanism").str.replace_all("_", " ")], separator=" ")
            + pl.format(", {}", "outcome").fill_null(""),
            provenance=provenance("incident_source"),
            rule=pl.when(pl.col("incident_source").str.starts_with("derived")).then(pl.col("incident_source").str.strip_prefix("derived:")),
            id="id",
            text="reason",
        )
        .collect()
    )


def _verdicts(facts: Any, incident: Mapping[str, Any], start: datetime, end: datetime) -> pl.DataFrame:
    own = pl.col("service").is_in(incident["services"]) & pl.col("at").is_between(start, end)
    if incident["environment"] is not None:
        own &= pl.col("environment") == incident["environment"]
    return (
        facts.verdicts.filter(own)
        .select(
            lane=pl.lit("alerts"),
            at="at",
            until=pl.lit(None, TIME),
            what=pl.format("verdict: {}", "decision"),
            provenance=pl.lit("declared"),
            rule=pl.lit(None, pl.String),
            id="source_id",
            text=pl.concat_str(["tool", "criterion", "deployment"], separator=", ", ignore_nulls=True),
        )
        .collect()
    )


def _told(facts: Any, incident: Mapping[str, Any]) -> list[pl.DataFrame]:
    """The incident's own stamps, and the lines of its timeline that say something else."""
    events = _events(facts, incident)
    stamps = []
    for column, (lane, what, source) in STAMPS.items():
        at, rests = incident[column], incident.get(source) if source else None
        if at is None:
            continue
        same = events.filter((pl.col("type").replace(SAME) == column) & ((pl.col("at") - at).abs() <= _exact()))
        events = events.join(same.select("source_id"), on="source_id", how="anti")
        rule = rests.removeprefix("derived:") if rests and rests.startswith("derived") else None
        text = same["text"].drop_nulls().first() or (incident["alert"] if column == "detected_at" else None)
        stamps.append((lane, at, None, what, _word(rests), rule, None, text))
    rest = events.select(
        lane=pl.when(pl.col("type").is_in(SIGNALS)).then(pl.lit("alerts")).otherwise(pl.lit("people")),
        at="at",
        until=pl.lit(None, TIME),
        what=pl.col("type").str.replace_all("_", " "),
        provenance=pl.lit("declared"),
        rule=pl.lit(None, pl.String),
        id=pl.lit(None, pl.String),
        text="text",
    )
    return [pl.DataFrame(stamps, schema=SCHEMA, orient="row"), rest]


def _exact() -> pl.Expr:
    """How far a line of the timeline may lie from the moment it means: one written to the minute says the same as a stamp within it."""
    size = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
    seconds = pl.col("precision").replace_strict(
        {word: span.total_seconds() for word, span in size.items()}, default=0.0, return_dtype=pl.Float64
    )
    return pl.duration(microseconds=(seconds * 1e6).cast(pl.Int64))


def _events(facts: Any, incident: Mapping[str, Any]) -> pl.DataFrame:
    """Lines of its timeline, and of what was folded into it. Of one that came back as a new incident each has its own part of time."""
    parts = (
        facts.incidents.filter((pl.col("source") == incident["source"]) & (pl.col("source_id") == incident["source_id"]))
        .select("id", "link_time")
        .sort("link_time", "id")
        .collect()
    )
    starts = parts["link_time"].to_list()
    place = parts["id"].to_list().index(incident["id"])
    inside = pl.lit(value=True)
    if place > 0:
        inside &= pl.col("at") >= starts[place]
    if place + 1 < len(parts):
        inside &= pl.col("at") < starts[place + 1]
    ids = [incident["source_id"], *(name.removeprefix(f"{incident['source']}/") for name in incident["duplicates"])]
    return facts.incident_events.filter((pl.col("source") == incident["source"]) & pl.col("incident").is_in(ids) & inside).collect()
