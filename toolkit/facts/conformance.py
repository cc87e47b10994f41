"""What was done in each incident, laid against the playbook that it fell under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from toolkit.facts.ownership import owned_at
from toolkit.facts.told import TIME, named_incident, told
from toolkit.playbooks import Happened, Playbook, aligned

__all__ = ["PROVEN_FOR", "Waivers", "conformance", "timelines"]

# As long as a rollback test speaks for the way back.
PROVEN_FOR = timedelta(days=90)
_PRECISION = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_BY_MECHANISM = {"redeploy": "rollback", "gitops": "rollback", "database": "rollback", "traffic": "traffic_switch", "flag": "flag_off"}
# As long as a hotfix may take to the main branch.
IN_TIME = timedelta(days=7)
# By what it is about (incident:tickets/INC-7): step, reason.
Waivers = Mapping[str, Mapping[str, str]]

SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "incident": pl.String,
    "playbook": pl.String,
    "place": pl.Int64,
    "step": pl.String,
    "title": pl.String,
    "who": pl.String,
    "expected": pl.String,
    "verdict": pl.String,
    "what": pl.String,
    "shown_by": pl.String,
    "shown_at": TIME,
    "due_at": TIME,
    "waived": pl.String,
    "hastens": pl.Boolean,
}


def timelines(records: Mapping[str, pl.DataFrame], incidents: pl.DataFrame, *, horizon: datetime) -> pl.DataFrame:
    """The lines that belong to an incident: incident, id, type, at, until (the end of what `at` may mean)."""
    lines = told("incident_event", records).filter(pl.col("at") <= horizon).with_row_index("row")
    named = named_incident(lines.select("row", "source", ref="incident", moment="at"), incidents, records)
    width = pl.col("precision").replace_strict(_PRECISION, default=timedelta(0), return_dtype=pl.Duration("us"))
    lines = lines.drop("incident").join(named, on="row", maintain_order="left")
    return lines.select("incident", "id", "type", "at", until=pl.col("at") + width).sort("incident", "at", "type", "id")


def conformance(
    records: Mapping[str, pl.DataFrame],
    tables: Mapping[str, pl.DataFrame],
    lines: pl.DataFrame,
    playbooks: Sequence[Playbook],
    *,
    horizon: datetime,
    waivers: Waivers,
) -> pl.DataFrame:
    """A row an incident and step of its playbook, with the verdict; and one, without step, for each thing done that is not written there
    (verdict `unwritten`). Only incidents with a timeline: of the others nobody wrote down what was done.

    tables: incidents, rollbacks and of practices hotfixes, provenance, checks, gates, followups. hastens: a step before the recovery.
    """
    incidents = tables["incidents"].filter(pl.col("id").is_in(lines["incident"].unique().implode()))
    happened = _happened(tables, incidents, lines)
    seen = {
        *told("incident_event", records).filter(pl.col("at") <= horizon)["type"].unique(),
        *happened["what"].unique(),
        *("gate:" + kind for kind in tables["gates"]["kind"].unique()),
        *(["review"] if tables["followups"]["review_published_at"].null_count() < len(tables["followups"]) else []),
        *(["rollback_tested"] if len(tables["gates"]) or tables["rollbacks"]["drill"].any() else []),
    }
    followed = _followed(tables["hotfixes"])
    classes = _classes(records, incidents) if any(one.classes for one in playbooks) else {}
    by_incident = {
        incident: [Happened(*row[1:]) for row in rows] for incident, rows in groupby(happened.iter_rows(), key=lambda row: str(row[0]))
    }
    rows: list[tuple[Any, ...]] = []
    for row in incidents.iter_rows(named=True):
        own = classes.get(row["id"], [])
        fitting = [one for one in playbooks if one.concerns(remedy=row["remedy"], services=row["services"], classes=own)]
        if fitting:
            playbook = max(fitting, key=lambda one: one.narrowness)
            known = seen | {"merged"} if row["id"] in followed else seen - {"merged"}
            rows.extend(_rows(row, playbook, by_incident.get(row["id"], []), horizon, known, _waived(row, waivers)))
    found = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    around = (
        "services",
        "environment",
        "production",
        "severity",
        "planned",
        "before_coverage",
        "detected_at",
        "recovered_at",
        "open",
        "at",
    )
    return found.join(incidents.select(*around, incident="id"), on="incident", maintain_order="left").sort("at", "id", nulls_last=True)


def _rows(
    row: Mapping[str, Any], playbook: Playbook, happened: list[Happened], horizon: datetime, seen: set[str], waived: Mapping[str, str]
) -> Iterator[tuple[Any, ...]]:
    moments = {"detected": row["detected_at"], "recovered": row["recovered_at"]}
    steps, unwritten = aligned(
        playbook, happened, moments=moments, horizon=horizon, severity=row["severity"], seen=seen, waived=set(waived)
    )
    own = (row["id"], playbook.name)
    for place, one in enumerate(steps):
        step, shown = one.step, one.shown
        yield (
            f"{row['id']} {step.id}", *own, place, step.id, step.title, step.who, step.expected, one.verdict,
            shown.what if shown else None, shown.id if shown else None, shown.at if shown else None, one.due, waived.get(step.id),
            step.id not in playbook.afterwards,
        )  # fmt: skip
    for shown in unwritten:
        yield (
            f"{row['id']} unwritten {shown.what} {shown.id}", *own, None, None, None, None, None, "unwritten",
            shown.what, shown.id, shown.at, None, None, None,
        )  # fmt: skip


def _waived(row: Mapping[str, Any], waivers: Waivers) -> Mapping[str, str]:
    """Steps taken out of this incident, with the reason; one that came back as a new incident may have its own."""
    record = f"incident:{row['source']}/{row['source_id']}"
    _, hashed, again = row["id"].rpartition("#")
    own = f"{record}#{again}" if hashed and row["id"] != row["source_id"] else record
    return {**waivers.get(record, {}), **waivers.get(own, {})}


def _happened(tables: Mapping[str, pl.DataFrame], incidents: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """incident, what, at, until, id, files, lines, review_minutes: the timeline, the stamps that it leaves out, and what the facts tell of
    attempts, hotfixes and their gates, reviews."""
    written = lines.rename({"type": "what"})
    # A stamp that only stands for something else shows nothing of its own: the decision is then when somebody acted.
    said = pl.col("decided_at_source").is_in(["declared", "override", "derived:event"])
    stamps = pl.concat(
        [
            incidents.select(incident="id", what=pl.lit(what), at=at, id="id").drop_nulls("at")
            for what, at in {
                "detected": pl.col("detected_at"),
                "acknowledged": pl.col("acknowledged_at"),
                "decided": pl.when(said).then("decided_at"),
            }.items()
        ]
    ).join(written, on=["incident", "what"], how="anti")
    real = ~pl.col("drill") & ~pl.col("race") & ~pl.col("code_level") & pl.col("incident").is_in(incidents["id"].implode())
    attempts = tables["rollbacks"].filter(real).select(
        "incident", "id", at="started_at", what=pl.col("mechanism").replace_strict(_BY_MECHANISM, default="rollback"),
    )  # fmt: skip
    fixes = tables["hotfixes"].filter(
        pl.col("hotfix").is_in(["certain", "likely"]) & pl.col("hotfix_incident").is_in(incidents["id"].implode())
    )
    fixes = fixes.with_columns(begun=pl.coalesce("started_at", "deployed_at"))
    shipped = fixes.select(
        "id", incident="hotfix_incident", what=pl.lit("hotfix"), at="begun",
        files="changes_files", lines="changes_lines", review_minutes="changes_review_minutes",
    )  # fmt: skip
    of_fix = fixes.select("begun", deployment="id", incident="hotfix_incident")
    gates = tables["checks"].filter(pl.col("status") == "passed").join(of_fix, on="deployment")
    gates = gates.select("incident", "id", what=pl.format("gate:{}", "kind"), at="gate_at")
    proofs = tables["provenance"].select("rollback_tested_at", deployment="id").join(of_fix, on="deployment")
    proofs = proofs.filter(pl.col("begun") - pl.col("rollback_tested_at") <= PROVEN_FOR)
    proofs = proofs.select("incident", id="deployment", what=pl.lit("rollback_tested"), at="rollback_tested_at")
    reviews = tables["followups"].filter(pl.col("id").is_in(incidents["id"].implode()))
    reviews = reviews.select(incident="id", id="review", what=pl.lit("review"), at="review_published_at")
    back = fixes.select(incident="hotfix_incident", id="id", what=pl.lit("merged"), at="merged_at")
    every = pl.concat([written, stamps, attempts, shipped, gates, proofs, back, reviews], how="diagonal").drop_nulls("at")
    numbers = ("files", "lines", "review_minutes")
    return every.select(
        "incident", "what", "at", pl.coalesce("until", "at").alias("until"), pl.col("id").fill_null(""), *numbers
    ).sort("incident", "at", "what", "id")  # fmt: skip


def _followed(hotfixes: pl.DataFrame) -> set[str]:
    """Incidents of whose fixes it is known whether they were on the main branch in time: one not followed so long was not forgotten."""
    known = pl.col("merged_at").is_not_null() | (pl.col("unmerged_until") >= pl.col("deployed_at") + IN_TIME)
    return set(hotfixes.filter(known, pl.col("hotfix").is_in(["certain", "likely"]))["hotfix_incident"].drop_nulls())


def _classes(records: Mapping[str, pl.DataFrame], incidents: pl.DataFrame) -> dict[str, list[str]]:
    """By incident: the classes that its services had then."""
    asked = incidents.select("id", service="services", moment="at").explode("service").drop_nulls().with_row_index("row")
    owned = asked.join(owned_at(asked, records), on="row").drop_nulls("service_class")
    return dict(owned.group_by("id").agg(pl.col("service_class").unique().sort()).iter_rows())
