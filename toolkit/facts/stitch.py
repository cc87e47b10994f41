"""The passes in order: lineage, incidents, attempts, links, evidence, outcomes, phases. Each adds columns and reads no later one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import polars as pl

from toolkit.facts import attempts as attempt_pass
from toolkit.facts import evidence as evidence_pass
from toolkit.facts import links, outcomes, overrides, phases, tables
from toolkit.facts.doubles import one_of_each
from toolkit.facts.incidents import Incidents, fold
from toolkit.facts.joins import kept, of_rows
from toolkit.facts.lineage import with_lineage
from toolkit.facts.observed import (
    PRODUCTION,
    deployments_until,
    fact_ids,
    flags_until,
    incidents_until,
    partitions,
    placed,
    rollbacks_until,
    typed,
)
from toolkit.facts.parted import Parted
from toolkit.facts.verdicts import asked_to_stop

__all__ = ["facts_of", "stitched"]

READ = ("deployment", "rollback", "flag_change", "incident", "incident_event", "verdict")
# What the passes read of a deployment; the rest joins again at the end, by row.
PLACED = [
    "row", "id", "source", "source_id", "part", "environment", "production", "version", "artifact_digest", "vcs_revision",
    "config_revision", "trigger", "fixes_incident", "start", "deployed_at", "committed_at",
    "successful", "unsuccessful", "cancelled", "ended", "certain_hotfix", "entered", "declared_kind", "rb",
]  # fmt: skip


def facts_of(
    records: Mapping[str, pl.DataFrame],
    *,
    horizon: datetime,
    production: Sequence[str] = PRODUCTION,
    coverage_start: datetime | None = None,
) -> dict[str, pl.DataFrame]:
    """Stitches records into facts.

    records: by record name (deployment, rollback, incident, incident_event, flag_change, verdict), frames of the record's fields and
    `source`; any may be missing. Under `override`: what reviewers decided, with the columns of OVERRIDES.
    horizon: what lies after it has not happened. production: patterns of environment names. coverage_start: incidents that begin
    before it are marked.
    Returns deployments, rollbacks, incidents, hotfixes, evidence, health, overrides, doubles. The order of the input rows changes nothing.
    """
    deployments, others = stitched(records, horizon=horizon, production=production, coverage_start=coverage_start)
    return _whole(deployments, others)


def _whole(deployments: Parted, others: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return {"deployments": deployments.whole(), **others}


def stitched(
    records: Mapping[str, pl.DataFrame],
    *,
    horizon: datetime,
    production: Sequence[str] = PRODUCTION,
    coverage_start: datetime | None = None,
    begun: Callable[[pl.DataFrame], object] | None = None,
) -> tuple[Parted, dict[str, pl.DataFrame]]:
    """The same, with what is said of few deployments apart from what is said of all. `begun` is called with the latter as soon as it is
    known, and long before the rest."""
    told = {name: typed(name, records.get(name)) for name in READ}
    told, decisions, doubles = one_of_each(told, overrides.overridden(records.get("override")), horizon)
    told |= {name: fact_ids(frame) for name, frame in told.items() if name != "incident_event"}
    deployments, facts = _stitched(told, overrides.founded(decisions, told), horizon, production, coverage_start, begun)
    said = pl.DataFrame(schema=overrides.LISTED)
    if len(decisions):
        before = _stitched(overrides.concerned(told, decisions), decisions.clear(), horizon, production, coverage_start)
        said = overrides.listed(decisions, told, _whole(*before), _whole(deployments, facts))
    health = pl.concat([facts["health"], overrides.unfounded(said)]).sort("record", "rule", "id")
    return deployments, facts | {"health": health, "overrides": said, "doubles": doubles}


def _stitched(
    told: Mapping[str, pl.DataFrame],
    decisions: pl.DataFrame,
    horizon: datetime,
    production: Sequence[str],
    coverage_start: datetime | None,
    begun: Callable[[pl.DataFrame], object] | None = None,
) -> tuple[Parted, dict[str, pl.DataFrame]]:
    """The passes, over typed records with their ids."""
    deployments = deployments_until(told["deployment"], horizon)
    rollbacks = rollbacks_until(told["rollback"], horizon)
    flags = flags_until(told["flag_change"], horizon)
    known = incidents_until(overrides.laid_over(told["incident"], decisions), horizon)
    events, words = (told[name].filter(pl.col("at") <= horizon) for name in ("incident_event", "verdict"))

    # A flag that names no service takes its incident's.
    placeless = flags.filter(pl.col("service").is_null()).select("environment").unique()
    lent = known.select(pl.col("services").alias("service")).explode("service").unique().join(placeless, how="cross")
    parts = partitions([deployments, rollbacks, _places(flags), _places(known), lent.drop_nulls()], production)
    deployments, rollbacks = placed(deployments, parts), placed(rollbacks, parts)
    environments = parts.select("environment", "production").unique()
    flags = flags.join(environments, on="environment", how="left")
    known = known.join(environments, on="environment", how="left").with_columns(pl.col("production").fill_null(value=True))
    rollbacks = rollbacks.sort("source", "source_id").with_row_index("rb").with_columns(pl.col("rb").cast(pl.Int64))
    flags = flags.sort("source", "source_id").with_row_index("flag_row").with_columns(pl.col("flag_row").cast(pl.Int64))
    known = known.sort("source", "source_id").with_row_index("rec").with_columns(pl.col("rec").cast(pl.Int64))

    deployments = deployments.with_row_index("row")
    fixed = links.fixes(known, deployments, "row")
    deployments = _with_declared(deployments, fixed)
    with ThreadPoolExecutor(1) as beside:
        folded = beside.submit(fold, known, events, parts, horizon)
        line, carried = _lineage(kept(deployments.select(*PLACED), pl.col("start").is_not_null()), rollbacks)
        incidents = _with_stamping(folded.result())
    dense = tables.deployed(line, deployments, horizon)
    if begun is not None:
        begun(dense)

    switches = links.flag_offs(flags, incidents, known, parts)
    pieces, attempts = _attempts(line, rollbacks, switches, carried)
    shipped = line.lazy().filter(pl.col("row").is_in(fixed["row"].implode())).select("row", "idx").collect()
    fixed = fixed.join(shipped, on="row").select("rec", "idx")
    named = _named(pieces, attempts, incidents, known, fixed, rollbacks, switches, parts)
    attempts = attempts.join(parts, on="part", how="left", maintain_order="left")
    attempts = attempts.pipe(links.with_incident, named, incidents)
    attempts = attempts.pipe(links.with_race, line, asked_to_stop(words, deployments, line, parts)).pipe(links.with_episodes)
    line = _with_drills(line, rollbacks, carried).pipe(overrides.labelled, decisions)

    latest = links.candidates(incidents, line, attempts, pieces)
    causes = evidence_pass.causes_declared(incidents, deployments, line)
    hotfixes, fixing = _hotfixes(line, incidents, attempts, known, fixed)
    by_time = evidence_pass.evidence_by_time(incidents, causes, latest, fixing.filter("named"))
    by_undoing = evidence_pass.evidence_by_undoing(attempts, pieces, line)
    # A declared rollback that took its place in the lineage is no deployment: nothing is held against it.
    by_undoing = of_rows(by_undoing, "idx", line, entered="entered").filter(~pl.col("entered")).drop("entered")
    evidence = pl.concat([by_time, by_undoing, overrides.by_review(line)])
    # A reviewer's "not failed" takes the ground from all of it; what had spoken for a failure stays to be seen.
    cleared = line.lazy().filter(pl.col("label") == "none").select("idx").collect()["idx"].implode()
    evidence = evidence.with_columns(overruled=pl.col("idx").is_in(cleared))
    standing = evidence.filter(~pl.col("overruled"))

    attempts = (
        attempts.pipe(outcomes.with_outcome, incidents, line, pieces, horizon)
        .pipe(outcomes.with_storm)
        .pipe(outcomes.with_reapplied, line, pieces, standing, horizon)
        .pipe(outcomes.with_known_good, line, standing)
    )
    evidence = evidence.join(attempts.select("attempt", "regretted"), on="attempt", how="left").with_columns(
        pl.col("regretted").fill_null(value=False)
    )
    causes = causes.filter((pl.col("rule") == "override") | ~pl.col("idx").is_in(cleared).fill_null(value=False))
    by_time, by_undoing = (rows.filter(~pl.col("idx").is_in(cleared)) for rows in (by_time, by_undoing))
    rows = _phases(incidents, attempts, causes, by_time, by_undoing, fixing, line, horizon)
    return tables.finished(
        line=line,
        deployments=deployments,
        dense=dense,
        attempts=attempts,
        pieces=pieces,
        incidents=rows,
        hotfixes=hotfixes,
        evidence=evidence,
        rollbacks=rollbacks,
        coverage_start=coverage_start,
    )


def _places(frame: pl.DataFrame) -> pl.DataFrame:
    if "services" in frame.columns:
        frame = frame.select(pl.col("services").alias("service"), "environment").explode("service")
    return frame.select("service", "environment").drop_nulls()


def _with_declared(deployments: pl.DataFrame, fixed: pl.DataFrame) -> pl.DataFrame:
    """Adds certain_hotfix, and what is declared or not yet known: declared_kind, entered, rb. fixed: row of what incidents name."""
    label = pl.col("labels").list.eval(pl.element().str.to_lowercase() == "hotfix").list.any()
    certain = (pl.col("kind") == "hotfix") | label | pl.col("branch").str.starts_with("hotfix/")
    return deployments.with_columns(
        certain_hotfix=certain.fill_null(value=False) | pl.col("row").is_in(fixed["row"].implode()),
        entered=pl.lit(value=False),
        declared_kind="kind",
        rb=pl.lit(None, pl.Int64),
    ).drop("kind", "labels", "branch")


def _lineage(deployments: pl.DataFrame, rollbacks: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The lineage, and which deployments carry which declared rollbacks (idx, rb)."""
    line = with_lineage(deployments)
    carried = attempt_pass.carriers(line, rollbacks)
    entering = attempt_pass.entering(rollbacks, carried)
    if entering.is_empty():
        return line, carried
    added = entering.select(
        "id",
        "source",
        "source_id",
        "environment",
        "part",
        "production",
        "rb",
        "trigger",
        "start",
        deployed_at="completed_at",
        version="to_version",
        artifact_digest="to_digest",
        declared_kind=pl.lit("rollback"),
        entered=pl.lit(value=True),
        successful=pl.lit(value=True),
        unsuccessful=pl.lit(value=False),
        cancelled=pl.lit(value=False),
        ended=pl.lit(value=True),
        certain_hotfix=pl.lit(value=False),
    )
    line = with_lineage(pl.concat([deployments, added], how="diagonal"))
    return line, attempt_pass.carriers(line.filter(~pl.col("entered")), rollbacks.join(entering.select("rb"), on="rb", how="anti"))


def _attempts(
    line: pl.DataFrame, rollbacks: pl.DataFrame, switches: pl.DataFrame, carried: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Parts with their attempt, and attempts."""
    pieces = attempt_pass.merged(attempt_pass.parts_of_attempts(line, rollbacks, switches, carried))
    back = line.lazy().filter(pl.col("kind") == "rollback", ~pl.col("entered"))
    # Back beyond an unsuccessful one to something older than current: current is blamed too.
    also = pl.when(pl.col("after_unsuccessful").is_not_null() & pl.col("older")).then("current")
    moved = back.select(
        key=pl.format("deployment:{}", "idx"), undoes="undoes", undoes_all="undoes_all", restores="restores", also=also
    ).collect()
    alone = rollbacks.join(carried.join(back.select("idx").collect(), on="idx", how="semi"), on="rb", how="anti")
    said = attempt_pass.declared_undone(line, alone, carried)
    switched = line.filter("entered").select("rb", "undoes_all", "restores", entered_older="older", entered_current="current")
    told = alone.select("rb").join(said, on="rb", how="left").join(switched, on="rb", how="left")
    told = of_rows(told, "undone", line, gave_up="unsuccessful")
    nothing = pl.lit([], pl.List(pl.Int64))
    named = pl.when(pl.col("undone").is_not_null()).then(pl.concat_list("undone")).otherwise(nothing)
    told = told.select(
        key=pl.format("rollback:{}", "rb"),
        undoes="undone",
        undoes_all=pl.coalesce("undoes_all", nothing).list.set_union(named).list.sort(),
        restores="restores",
        also=pl.when(pl.col("gave_up") & pl.col("entered_older")).then("entered_current"),
    )
    undone = pl.concat([moved, told])
    attempts = links.attempts_of(pieces, undone.drop("also"))
    return pieces.join(undone.select("key", "undoes", "restores", "also"), on="key", how="left", maintain_order="left"), attempts


def _named(
    pieces: pl.DataFrame,
    attempts: pl.DataFrame,
    incidents: Incidents,
    known: pl.DataFrame,
    fixed: pl.DataFrame,
    rollbacks: pl.DataFrame,
    switches: pl.DataFrame,
    parts: pl.DataFrame,
) -> pl.DataFrame:
    """attempt, inc: the incident that a part names, or that names a part as its fix. fixed: rec, idx of the deployments so named."""
    start = attempts.select("attempt", "part", moment="started_at").join(parts, on="part")
    pieces = pieces.with_row_index("order")
    refs = pieces.select("attempt", "order", "source", ref="names").drop_nulls("ref").join(start, on="attempt", maintain_order="left")
    naming = links.named_incidents(refs, incidents, known).drop_nulls("inc").select("attempt", "order", "inc", turn=pl.lit(0))
    fixes = {
        "deployment": fixed.rename({"idx": "row"}),
        "rollback": links.fixes(known, rollbacks, "rb").rename({"rb": "row"}),
        "flag_change": links.fixes(known, switches, "flag_row").rename({"flag_row": "row"}),
    }
    rows = []
    for what, named in fixes.items():
        of_kind = pieces.filter(pl.col("what") == what).select("row", "attempt", "order")
        rows.append(named.join(of_kind, on="row").select("rec", "attempt", "order"))
    fixing = pl.concat(rows).join(known.select("rec", "source", ref="source_id"), on="rec").join(start, on="attempt")
    fixing = links.named_incidents(fixing.drop("rec"), incidents, known).drop_nulls("inc").select("attempt", "order", "inc", turn=pl.lit(1))
    # What a part names itself comes before what names it; of several that name it, the last one begun, else the first.
    told = pl.concat([naming, fixing]).join(incidents.rows.select("inc", "link_time"), on="inc")
    told = told.join(start.select("attempt", "moment"), on="attempt")
    begun = pl.when(pl.col("link_time") <= pl.col("moment")).then("link_time")
    place = pl.when(begun.is_not_null()).then(-pl.col("inc")).otherwise("inc")
    order = [pl.col("attempt"), pl.col("turn"), pl.col("order"), -begun.to_physical(), place]
    return told.sort(order, nulls_last=True).select("attempt", "inc")


def _with_drills(line: pl.DataFrame, rollbacks: pl.DataFrame, carried: pl.DataFrame) -> pl.DataFrame:
    drills = carried.join(rollbacks.filter("drill").select("rb"), on="rb", how="semi").select("idx").unique()
    returns = attempt_pass.drill_returns(line, drills)
    return line.with_columns(drill=pl.col("idx").is_in(pl.concat([drills["idx"], returns]).implode()))


def _with_stamping(incidents: Incidents) -> Incidents:
    """Adds source_stamps: whether the incident's source stamps mitigations at all, by any incident of it."""
    stamping = incidents.rows.group_by("source").agg(source_stamps=pl.col("stamped").any())
    rows = incidents.rows.join(stamping, on="source", how="left", maintain_order="left")
    return Incidents(rows, incidents.stretches, incidents.stamps, incidents.places, incidents.aliases)


def _hotfixes(
    line: pl.DataFrame, incidents: Incidents, attempts: pl.DataFrame, known: pl.DataFrame, fixed: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """idx, hotfix, hotfix_inc; and inc, idx of the incidents that a hotfix names, that name it or that it ended."""
    likely = evidence_pass.likely_hotfixes(incidents, line, attempts)
    fresh = ~pl.col("seen") & pl.col("artifact").is_not_null() & (pl.col("kind") != "rollback") & ~pl.col("entered")
    certain = fresh & pl.col("certain_hotfix")
    releases = line.lazy().filter(pl.col("kind") == "release", "successful").select("idx", "part", "is_patch", "deployed_at").collect()
    releases = releases.filter(pl.col("part").is_in(releases.filter("is_patch")["part"].unique().implode()))
    gaps = releases.select("idx", "part", "is_patch", gap=pl.col("deployed_at") - pl.col("deployed_at").shift(1).over("part"))
    # The smallest gap with at least a tenth of the gaps at or below it.
    tenth = (
        gaps.drop_nulls("gap")
        .sort("part", "gap")
        .group_by("part", maintain_order=True)
        .agg(tenth=pl.col("gap").gather(((pl.len() + 9) // 10 - 1).cast(pl.Int64)).first())
    )
    quick = gaps.filter("is_patch").join(tenth, on="part").filter(pl.col("gap") < pl.col("tenth"))["idx"]
    hotfix = (
        pl.when(certain)
        .then(pl.lit("certain"))
        .when(pl.col("idx").is_in(likely["idx"].implode()))
        .then(pl.lit("likely"))
        .when(fresh & pl.col("idx").is_in(quick.implode()))
        .then(pl.lit("possible"))
    )
    wanted = ["idx", "source", "environment", "production", "fixes_incident", "start"]
    hotfixes = line.lazy().filter(hotfix.is_not_null()).select(*wanted, hotfix=hotfix).collect()
    firm = hotfixes.filter(pl.col("hotfix").is_in(["certain", "likely"]))
    refs = firm.select("idx", "source", "environment", "production", ref="fixes_incident", moment="start").drop_nulls("ref")
    naming = links.named_incidents(refs, incidents, known).drop_nulls("inc").select("inc", "idx")
    fixed = fixed.join(firm.select("idx", "environment", "production", moment="start"), on="idx")
    fixed = fixed.join(known.select("rec", "source", ref="source_id"), on="rec")
    fixed = links.named_incidents(fixed.drop("rec"), incidents, known).drop_nulls("inc").select("inc", "idx")
    named = pl.concat([naming, fixed]).unique().sort("inc", "idx")
    ended = likely.select("inc", "idx").join(firm.select("idx"), on="idx", how="semi")
    of = pl.concat([named, ended]).unique("idx", keep="first", maintain_order=True).select("idx", hotfix_inc="inc")
    hotfixes = hotfixes.select("idx", "hotfix").join(of, on="idx", how="left")
    both = pl.concat([named.with_columns(named=pl.lit(value=True)), ended.with_columns(named=pl.lit(value=False))])
    return hotfixes, both.unique(["inc", "idx"], keep="first", maintain_order=True)


def _phases(
    incidents: Incidents,
    attempts: pl.DataFrame,
    causes: pl.DataFrame,
    by_time: pl.DataFrame,
    by_undoing: pl.DataFrame,
    fixing: pl.DataFrame,
    line: pl.DataFrame,
    horizon: datetime,
) -> pl.DataFrame:
    real = attempts.filter(pl.col("inc").is_not_null() & ~pl.col("drill") & ~pl.col("race"))
    first = real.drop_nulls("undoes").sort("started_at", "id").unique("inc", keep="first", maintain_order=True)
    undone = first.select("attempt", "inc", "undoes").join(
        by_undoing.filter(pl.col("rule") == "derived:undone").select("attempt", "level", "at", undoes="idx"), on=["attempt", "undoes"]
    )
    undone = undone.select("inc", "level", "at", idx="undoes")
    timed = by_time.filter(~pl.col("rule").is_in(["declared", "override"])).select("inc", "idx", "level", "rule")
    fixes = of_rows(fixing, "idx", line, start="start", deployed_at="deployed_at", successful="successful")
    acts = pl.concat([real.select("inc", at="started_at"), fixes.select("inc", at="start")])
    worked = real.filter(pl.col("outcome").is_in(["succeeded", "pending"]))
    remedies = {"flag": "flag", "traffic": "traffic", "redeploy": "rollback", "gitops": "rollback", "database": "other"}
    ends = pl.concat(
        [
            worked.select("inc", began="started_at", end="completed_at", remedy=pl.col("mechanism").replace(remedies)),
            fixes.filter("successful").select("inc", began="deployed_at", end="deployed_at", remedy=pl.lit("hotfix")),
        ]
    )
    listed = real.sort("started_at", "id").group_by("inc", maintain_order=True).agg(attempts="id")
    return (
        incidents.rows.pipe(phases.with_cause, causes, undone, timed, line)
        .pipe(phases.with_decision, acts, real.select("inc", at="decided_at"))
        .pipe(phases.with_phases, line, horizon)
        .pipe(phases.with_remedy, ends)
        .pipe(phases.with_repeats)
        .join(listed, on="inc", how="left", maintain_order="left")
    )
