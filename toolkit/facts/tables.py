"""The facts as they are published: row numbers become ids, and every column is named and documented."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.evidence import strongest
from toolkit.facts.joins import gathered, kept, of_rows
from toolkit.facts.links import ATTRIBUTION
from toolkit.facts.parted import Parted

__all__ = ["deployed", "finished"]

PROVISIONAL = timedelta(days=7)


def finished(
    *,
    line: pl.DataFrame,
    deployments: pl.DataFrame,
    dense: pl.DataFrame,
    attempts: pl.DataFrame,
    pieces: pl.DataFrame,
    incidents: pl.DataFrame,
    hotfixes: pl.DataFrame,
    evidence: pl.DataFrame,
    rollbacks: pl.DataFrame,
    coverage_start: datetime | None,
) -> tuple[Parted, dict[str, pl.DataFrame]]:
    """deployments; and rollbacks, incidents, hotfixes, evidence, health: sorted, so that equal input gives equal tables. dense: what
    `deployed` said. hotfixes: idx, hotfix, hotfix_inc."""
    timeless = deployments.filter(pl.col("start").is_null())
    apart = _of_evidence(line, evidence).pipe(_with_recovery, evidence, attempts, incidents, pieces)
    apart = _named(apart.join(hotfixes, on="idx", how="full", coalesce=True), line, attempts, incidents, pieces)
    shipped = Parted(dense, _of_few(line, apart), _DEPLOYMENT)
    rows = _rollbacks(attempts, line, incidents)
    told = _incidents(incidents, line, deployments["id"], coverage_start).pipe(_with_named, incidents, deployments)
    seen = evidence.join(incidents.select("inc", by_incident="id"), on="inc", how="left").join(
        attempts.select("attempt", by_attempt="id"), on="attempt", how="left"
    )
    evidence_rows = seen.select(
        deployment=line["id"].gather(seen["idx"]),
        level="level",
        at="at",
        rule="rule",
        by=pl.coalesce("by_incident", "by_attempt"),
        regretted="regretted",
        overruled="overruled",
    )
    return shipped, {
        "rollbacks": rows,
        "incidents": told,
        "hotfixes": shipped.of_few("hotfix"),
        "evidence": evidence_rows.sort("deployment", "at", "rule", "by", nulls_last=True),
        "health": _health(line, deployments, timeless, told, rollbacks),
    }


def _of_evidence(line: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """idx, cleared, failed, failed_source, failed_at, evidence_inc, failed_final of the deployments against which anything speaks, or
    about which a reviewer spoke."""
    final = evidence.with_columns(final=pl.when("regretted").then(pl.lit("possible")).otherwise("level"))
    after = strongest(final.filter(~pl.col("overruled")), "final").select("idx", failed_final="failed")
    label = line.lazy().filter(pl.col("label").is_not_null()).select("idx", "label").collect()
    told = strongest(evidence).join(after, on="idx", how="left").join(label, on="idx", how="full", coalesce=True)
    # What spoke for a failure stays to be seen in `failed`; it has no moment and no incident any more.
    cleared = (pl.col("label") == "none").fill_null(value=False)
    return told.with_columns(
        cleared=cleared,
        failed_source=pl.when(pl.col("label").is_not_null()).then(pl.lit("override")).otherwise("failed_source"),
        **{name: pl.when(~cleared).then(name).alias(name) for name in ("failed_at", "evidence_inc")},
    ).drop("label")


def _with_recovery(
    told: pl.DataFrame, evidence: pl.DataFrame, attempts: pl.DataFrame, incidents: pl.DataFrame, pieces: pl.DataFrame
) -> pl.DataFrame:
    """Adds undone_by, undone_at, recovered_at, incident_started_at, and the rows of those that were undone."""
    real = attempts.filter(~pl.col("drill") & ~pl.col("race") & ~pl.col("code_level"))
    undoing = (
        pieces.select("attempt", idx="undoes")
        .drop_nulls()
        .unique()
        .join(real.select("attempt", "started_at", "completed_at", "status", "id", "inc"), on="attempt")
    )
    first = undoing.sort("started_at", "id").unique("idx", keep="first", maintain_order=True)
    worked = undoing.filter(~pl.col("status").is_in(["failed", "cancelled", "partial", "in_progress"]))
    done = worked.group_by("idx").agg(undone_done=pl.col("completed_at").max())
    standing = evidence.filter(~pl.col("overruled"))
    linked = pl.concat([standing.select("idx", "inc").drop_nulls(), undoing.select("idx", "inc").drop_nulls()]).unique()
    linked = linked.join(incidents.select("inc", "recovered_at", "declared_start"), on="inc")
    over = linked.group_by("idx").agg(over=pl.col("recovered_at").max(), incident_started_at=pl.col("declared_start").min())
    told = told.join(first.select("idx", undone_by="id", undone_at="started_at"), on="idx", how="full", coalesce=True)
    told = told.join(done, on="idx", how="full", coalesce=True).join(over, on="idx", how="full", coalesce=True)
    fell = (pl.col("failed").is_not_null() & ~pl.col("cleared").fill_null(value=False)) | pl.col("undone_by").is_not_null()
    return told.with_columns(recovered_at=pl.when(fell).then(pl.coalesce("over", "undone_done"))).drop("over", "undone_done")


def _named(told: pl.DataFrame, line: pl.DataFrame, attempts: pl.DataFrame, incidents: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """Adds the attempt that a deployment carried out, and what it undid and restored; numbers become ids. In the order of idx."""
    carriers = pieces.filter(pl.col("what") == "deployment").join(attempts.select("attempt", "id"), on="attempt", suffix="_of")
    moved = pl.any_horizontal(pl.col("undoes", "restores", "undoes_all").is_not_null())
    told = told.join(carriers.select(idx="row", attempt="id_of"), on="idx", how="full", coalesce=True)
    told = told.join(
        line.lazy().filter(moved).select("idx", "undoes", "restores", "undoes_all").collect(), on="idx", how="full", coalesce=True
    )
    told = told.sort("idx")
    ids, incident_ids = line["id"], incidents.sort("inc")["id"]
    return told.with_columns(
        **{name: ids.gather(told[name]) for name in ("undoes", "restores")},
        undoes_all=_named_lists(told["undoes_all"], ids),
        incident=incident_ids.gather(told["evidence_inc"]),
        hotfix_incident=incident_ids.gather(told["hotfix_inc"]),
        hotfix_source=pl.when(pl.col("hotfix") == "certain")
        .then(pl.lit("declared"))
        .when(pl.col("hotfix") == "likely")
        .then(pl.lit("derived:ended_an_incident"))
        .when(pl.col("hotfix") == "possible")
        .then(pl.lit("derived:quick_patch")),
    )


def _of_few(line: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """What is said of few deployments, by their row in the table."""
    said = line.lazy().filter(pl.col("unsuccessful") | pl.col("drill")).select("idx", "unsuccessful", "drill").collect()
    told = told.join(said, on="idx", how="full", coalesce=True)
    stopped = pl.col("unsuccessful") & (pl.col("failed").is_null() | pl.col("cleared").fill_null(value=False))
    told = told.with_columns(stopped=stopped)
    if line["entered"].any():
        # Declared rollbacks that took their place in the lineage are no deployments.
        told = told.join(line.lazy().filter(~pl.col("entered")).select("idx").with_row_index("row").collect(), on="idx")
    else:
        told = told.with_columns(row=pl.col("idx").cast(pl.UInt32))
    return told.select("row", *_APART).sort("row")


def deployed(line: pl.DataFrame, deployments: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """What is said of all deployments, known as soon as their lineage is, which is their order: by service, environment and time; those
    without a time at the end."""
    rows = line.with_columns(
        matured=pl.col("deployed_at") + ATTRIBUTION <= horizon,
        provisional=pl.col("deployed_at") + PROVISIONAL > horizon,
        at="deployed_at",
    )
    rows = kept(rows, ~pl.col("entered"))
    wide = deployments.select(name for name in _DEPLOYMENT if name in deployments.columns and name not in rows.columns)
    rows = rows.hstack(gathered(wide, rows["row"]))
    timeless = deployments.filter(pl.col("start").is_null())
    if len(timeless):
        rows = pl.concat([rows, timeless.sort("id").drop("declared_kind", "entered", "rb", "certain_hotfix")], how="diagonal")
    flags = ["rebuilt", "overlapped", "matured", "provisional"]
    return rows.with_columns(pl.col(flags).fill_null(value=False)).select(name for name in _DEPLOYMENT if name not in _APART)


_DEPLOYMENT = [
    "id", "source", "source_id", "service", "environment", "production", "version", "status",
    "trigger", "started_at", "finished_at", "committed_at", "deployed_at", "successful", "ended",
    "rebuilt", "overlapped", "kind", "kind_source", "undoes", "undoes_all", "restores", "superseded_at", "exposure",
    "lead_time", "hotfix", "hotfix_source", "hotfix_incident", "drill", "attempt", "failed", "failed_final", "failed_source",
    "failed_at", "stopped", "undone_by", "undone_at", "incident", "recovered_at", "incident_started_at", "matured", "provisional",
    "changes_files", "changes_lines", "changes_review_minutes", "at",
]  # fmt: skip
# Said of few.
_APART = [
    "undoes", "undoes_all", "restores", "hotfix", "hotfix_source", "hotfix_incident", "attempt", "failed", "failed_final", "failed_source",
    "failed_at", "undone_by", "undone_at", "incident", "recovered_at", "incident_started_at", "drill", "stopped",
]  # fmt: skip


def _named_lists(lists: pl.Series, ids: pl.Series) -> pl.Series:
    if lists.null_count() == len(lists):
        return pl.Series("undoes_all", [None] * len(lists), dtype=pl.List(pl.String))
    rows = lists.to_frame("all").with_row_index("n").explode("all").drop_nulls("all")
    named = rows.with_columns(one=ids.gather(rows["all"])).group_by("n", maintain_order=True).agg("one")
    return lists.to_frame("all").with_row_index("n").join(named, on="n", how="left", maintain_order="left")["one"].alias("undoes_all")


def _rollbacks(attempts: pl.DataFrame, line: pl.DataFrame, incidents: pl.DataFrame) -> pl.DataFrame:
    ids = line["id"]
    rows = of_rows(attempts, "undoes", line, bad_start="start", bad_deployed="deployed_at", bad_unsuccessful="unsuccessful")
    rows = rows.with_columns(bad_from=pl.when("bad_unsuccessful").then("bad_start").otherwise("bad_deployed"))
    rows = rows.join(incidents.select("inc", incident="id"), on="inc", how="left", maintain_order="left")
    names = attempts.select("attempt", "id")
    on_bad = pl.col("completed_at") - pl.col("bad_from")
    rows = rows.join(names.select(episode="attempt", episode_id="id"), on="episode", how="left", maintain_order="left").join(
        names.select(storm="attempt", storm_id="id"), on="storm", how="left", maintain_order="left"
    )
    rows = rows.with_columns(
        **{name: ids.gather(rows[name]) for name in ("undoes", "restores")},
        undoes_all=_named_lists(rows["undoes_all"], ids),
        episode="episode_id",
        storm="storm_id",
        time_on_bad=pl.when(on_bad >= timedelta(0)).then(on_bad),
        at="started_at",
    )
    return rows.select(_ROLLBACK).sort("at", "id")


_ROLLBACK = [
    "id", "service", "environment", "production", "parts", "mechanism", "trigger", "reason", "status", "decided_at", "started_at",
    "completed_at", "undoes", "undoes_all", "restores", "incident", "incident_source", "episode", "episode_order", "storm", "drill",
    "race", "code_level", "outcome", "outcome_source", "outcome_reason", "reapplied_at", "regretted", "to_known_good", "time_on_bad",
    "at",
]  # fmt: skip


def _incidents(incidents: pl.DataFrame, line: pl.DataFrame, declared: pl.Series, coverage_start: datetime | None) -> pl.DataFrame:
    derived = line["id"].gather(incidents["cause_idx"])
    before = pl.col("link_time") < coverage_start if coverage_start else pl.lit(value=False)
    return (
        incidents.with_columns(
            cause_deployment=declared.gather(incidents["cause_row"]).zip_with(incidents["cause_row"].is_not_null(), derived),
            before_coverage=before.fill_null(value=False),
            attempts=pl.col("attempts").fill_null([]),
            at="link_time",
        )
        .select(_INCIDENT)
        .sort("at", "id", nulls_last=True)
    )


def _with_named(told: pl.DataFrame, incidents: pl.DataFrame, deployments: pl.DataFrame) -> pl.DataFrame:
    """Adds names_deployments: of its services, those of the commit that somebody typed into the incident."""
    typed = pl.col("title").str.extract(r"(?i)root cause: *([0-9a-z]+)")
    said = incidents.select("id", service="services", commit=pl.concat_list("root_cause", "suspected_deployment", typed))
    said = said.explode("commit").explode("service").drop_nulls().unique()
    of_one = pl.col("vcs_revision").is_in(said["commit"].unique().implode())
    shipped = deployments.lazy().filter(of_one).select("service", commit="vcs_revision", names_deployments="id").collect()
    named = said.join(shipped, on=["service", "commit"]).group_by("id").agg(pl.col("names_deployments").unique().sort())
    return told.join(named, on="id", how="left", maintain_order="left").with_columns(pl.col("names_deployments").fill_null([]))


_INCIDENT = [
    "id", "source", "source_id", "title", "severity", "status", "services", "environment", "production", "planned", "duplicates",
    "alert", "root_cause", "link_time", "started_at", "started_at_source", "detected_at", "detected_at_source", "detected_by",
    "acknowledged_at", "decided_at", "decided_at_source", "mitigated_at", "resolved_at", "recovered_at", "recovered_at_source",
    "open", "reopened", "detect", "decide", "act", "whole", "censored_phase", "whole_source", "recovered_undecided",
    "before_coverage", "remedy", "cause_deployment", "cause_evidence", "cause_source", "not_a_deployment", "attempts", "repeat_of",
    "criterion_met_at", "silent_minutes", "offender", "at",
]  # fmt: skip


def _health(
    line: pl.DataFrame, deployments: pl.DataFrame, timeless: pl.DataFrame, incidents: pl.DataFrame, rollbacks: pl.DataFrame
) -> pl.DataFrame:
    """record, id, rule, text: what contradicts itself or cannot be placed."""

    def rows(frame: pl.DataFrame, record: str, rule: str, text: str) -> pl.DataFrame:
        return frame.select(record=pl.lit(record), id="id", rule=pl.lit(rule), text=pl.lit(text))

    return pl.concat(
        [
            rows(
                deployments.lazy().filter(pl.col("finished_at") < pl.col("started_at")).select("id").collect(),
                "deployment",
                "negative_span",
                "finished before it started",
            ),
            rows(
                line.lazy().filter("negative_lead").select("id").collect(),
                "deployment",
                "negative_lead_time",
                "deployed before its change was committed",
            ),
            rows(timeless, "deployment", "no_time", "neither started_at nor finished_at: it is in no lineage"),
            rows(
                rollbacks.filter(pl.col("completed_at") < pl.col("started_at")), "rollback", "negative_span", "completed before it started"
            ),
            rows(rollbacks.filter(pl.col("start").is_null()), "rollback", "no_time", "no stamp at all: it is no attempt"),
            rows(
                incidents.filter(pl.col("link_time").is_null()), "incident", "no_time", "neither started nor detected: it links to nothing"
            ),
            incidents.filter(pl.col("offender").is_not_null()).select(
                record=pl.lit("incident"),
                id="id",
                rule=pl.lit("wrong_order"),
                text=pl.format("{} lies before an earlier phase's stamp: both phases it touches are unknown", "offender"),
            ),
        ]
    ).sort("record", "rule", "id")
