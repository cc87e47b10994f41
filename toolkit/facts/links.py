"""Link attempts to incidents, tell races apart, gather episodes, and find the deployments that may have caused an incident."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from toolkit.facts.attempts import DEPLOY_MECHANISMS
from toolkit.facts.incidents import OPEN_AFTER_LAST_EVENT, Incidents
from toolkit.facts.joins import moments_in, of_rows
from toolkit.facts.observed import resolve

__all__ = [
    "ATTRIBUTION",
    "attempts_of",
    "candidates",
    "fixes",
    "flag_offs",
    "named_incidents",
    "with_episodes",
    "with_incident",
    "with_race",
]

ATTRIBUTION = timedelta(hours=24)
LATE_TICKET = timedelta(minutes=60)
RACE_AGE = timedelta(minutes=10)
EPISODE = timedelta(hours=2)
_INSTANT = timedelta(microseconds=1)


def open_spells(incidents: Incidents) -> pl.DataFrame:
    """When each incident counted as open on which partition: inc, part, from, until. It is so for at most 7 days after its last event
    so far."""
    begins = incidents.rows.select("inc", "link_time").drop_nulls()
    stretches = incidents.stretches.select("inc", "from", "recovery").join(begins, on="inc")
    spells = stretches.join(incidents.stamps, on="inc").select(
        "inc",
        pl.max_horizontal("from", "at", "link_time").alias("from"),
        until=pl.min_horizontal("recovery", pl.col("at") + OPEN_AFTER_LAST_EVENT + _INSTANT),
    )
    return spells.filter(pl.col("from") < pl.col("until")).unique().join(incidents.places, on="inc")


def named_incidents(refs: pl.DataFrame, incidents: Incidents, records: pl.DataFrame) -> pl.DataFrame:
    """refs (source, ref, moment, environment, production) → inc: the incident of the same environment that each names, or null.

    Of an incident that came back later as a new one: the last that had begun by the moment, else the first.
    """
    refs = refs.with_row_index("_ref")
    found = resolve(refs, records.select("source", "source_id", "rec"), "rec").drop_nulls("rec")
    sections = found.join(incidents.aliases, on="rec").join(incidents.rows.select("inc", where="environment", ignored="planned"), on="inc")
    fits = pl.when(pl.col("where").is_null()).then("production").otherwise(pl.col("where") == pl.col("environment"))
    sections = sections.filter(fits & ~pl.col("ignored"))
    begun = (pl.col("link_time") <= pl.col("moment")).fill_null(value=False)
    best = (
        sections.with_columns(choice=pl.when(begun).then(pl.col("section")).otherwise(-1 - pl.col("section")))
        .sort("_ref", "choice")
        .group_by("_ref", maintain_order=True)
        .agg(pl.col("inc").last())
    )
    return refs.join(best, on="_ref", how="left", maintain_order="left").drop("_ref")


def fixes(records: pl.DataFrame, targets: pl.DataFrame, key: str) -> pl.DataFrame:
    """Which records the incidents name as their fix, in the incident's own environment: rec, `key`. targets: source, source_id, key,
    environment, production."""
    refs = records.filter(~pl.col("planned")).select("source", "rec", ref="fixed_by", where="environment").drop_nulls("ref")
    found = resolve(refs, targets.select("source", "source_id", key), key).drop_nulls(key)
    if found.is_empty():
        return found.select("rec", key)
    found = found.join(targets.select(key, "environment", "production"), on=key)
    fits = pl.when(pl.col("where").is_null()).then("production").otherwise(pl.col("where") == pl.col("environment"))
    return found.filter(fits).select("rec", key)


def flag_offs(flags: pl.DataFrame, incidents: Incidents, records: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Flag-offs that are attempts: named by or naming an incident, or of a kill switch of its service while it is open. Adds part."""
    if flags.is_empty():
        return flags.with_columns(part=pl.lit(None, pl.Int64))
    named = named_incidents(
        flags.select("flag_row", "source", "environment", "production", ref="incident", moment="at").drop_nulls("ref"), incidents, records
    ).select("flag_row", "inc")
    fixing = fixes(records, flags, "flag_row").join(incidents.aliases.select("rec", "inc"), on="rec").select("flag_row", "inc")
    naming = pl.concat([named.drop_nulls("inc"), fixing]).unique("flag_row", keep="first", maintain_order=True)
    first_service = incidents.rows.select("inc", first_service=pl.col("services").list.first())
    flags = flags.join(naming.join(first_service, on="inc"), on="flag_row", how="left", maintain_order="left")
    flags = flags.with_columns(pl.coalesce("service", "first_service").alias("service"))
    flags = flags.join(parts.drop("production"), on=["service", "environment"], how="inner", maintain_order="left")
    switches = flags.filter("kill_switch").select("flag_row", "part", moment="at")
    during = moments_in(switches, open_spells(incidents).drop("inc"))["flag_row"].unique()
    return flags.filter(pl.col("inc").is_not_null() | pl.col("flag_row").is_in(during.implode())).drop("inc", "first_service")


def attempts_of(parts: pl.DataFrame, undone: pl.DataFrame) -> pl.DataFrame:
    """One row an attempt, from its parts in order. undone: key (part), undoes, undoes_all, restores (idx)."""
    parts = parts.join(undone, on="key", how="left", maintain_order="left")
    moved = pl.col("what") == "deployment"
    declared = (pl.col("what") == "rollback") & (pl.col("mechanism") != "flag")
    auto, manual = pl.col("trigger") == "auto", pl.col("trigger") == "manual"
    of_moved = pl.col("mechanism").filter(declared & pl.col("mechanism").is_in(DEPLOY_MECHANISMS)).first()
    # Parts of deployments come first: what a deployment did is better known than what was declared of it.
    back = moved & pl.col("back")
    went_back = back.any().over("attempt")
    parts = parts.with_columns(tells=(went_back & back) | (~went_back & ~moved))
    # While a part has not ended the attempt has not, whichever part ended last.
    running = (pl.col("status") == "in_progress").any()
    last = pl.when(running).then(pl.lit("in_progress")).otherwise(pl.col("status").sort_by("end", "start", maintain_order=True).last())
    rows = parts.group_by("attempt", maintain_order=True).agg(
        pl.col("part").first(),
        drill=pl.col("drill").any(),
        code_level=(pl.col("mechanism") == "revert_commit").any(),
        parts=pl.format("{}:{}", "what", "id"),
        lead=pl.coalesce(
            pl.format("{}:{}", "what", "id").filter(moved).first(),
            pl.format("{}:{}", "what", "id").filter(pl.col("what") == "rollback").first(),
            pl.format("{}:{}", "what", "id").first(),
        ),
        started_at=pl.col("start").min(),
        completed_at=pl.col("end").max(),
        status=last,
        mechanism=pl.when(moved.any())
        .then(pl.coalesce(of_moved, pl.lit("redeploy")))
        .otherwise(pl.coalesce(pl.col("mechanism").filter(declared).first(), pl.lit("flag"))),
        trigger=pl.when(manual.any()).then(pl.lit("manual")).when(auto.any()).then(pl.lit("auto")),
        reason=pl.col("reason").drop_nulls().first(),
        decided_at=pl.col("decided_at").min(),
        undoes=pl.col("undoes").filter("tells").drop_nulls().first(),
        restores=pl.col("restores").filter("tells").drop_nulls().last(),
        undoes_all=pl.col("undoes_all").drop_nulls().explode().unique().sort().drop_nulls(),
    )
    return rows.with_columns(
        undoes_all=pl.when(pl.col("undoes_all").list.len() > 0).then("undoes_all"),
    ).rename({"lead": "id"})


def with_incident(attempts: pl.DataFrame, named: pl.DataFrame, incidents: Incidents) -> pl.DataFrame:
    """Adds inc and incident_source: the incident an attempt names, else the latest-started one open, else the ticket that came late.

    named: attempt, inc, in order of parts. Drills and revert commits belong to none.
    """
    real = attempts.filter(~pl.col("drill") & ~pl.col("code_level"))
    named = named.join(real.select("attempt"), on="attempt", how="semi").unique("attempt", keep="first", maintain_order=True)
    rest = real.join(named, on="attempt", how="anti")
    links = incidents.rows.select("inc", "link_time")
    running = moments_in(rest.select("attempt", "part", moment="started_at"), open_spells(incidents)).join(links, on="inc")
    running = running.sort("link_time", "inc").group_by("attempt").agg(pl.col("inc").last())
    rest = rest.join(running, on="attempt", how="anti")
    late = incidents.rows.filter(pl.col("started_at").is_null() & pl.col("detected_at").is_not_null())
    tickets = late.select("inc", moment="detected_at").join(incidents.places, on="inc")
    spans = rest.select("attempt", "part", (pl.col("started_at") + _INSTANT).alias("from"), until=pl.col("completed_at") + LATE_TICKET)
    tickets = moments_in(tickets, spans).sort("moment", "inc").group_by("attempt").agg(pl.col("inc").first())
    found = pl.concat(
        [
            named.select("attempt", "inc", incident_source=pl.lit("declared")),
            running.select("attempt", "inc", incident_source=pl.lit("derived:open")),
            tickets.select("attempt", "inc", incident_source=pl.lit("derived:late_ticket")),
        ]
    )
    return attempts.join(found, on="attempt", how="left", maintain_order="left")


def with_race(attempts: pl.DataFrame, deployments: pl.DataFrame, stops: pl.DataFrame) -> pl.DataFrame:
    """Adds `race`: automation, without verdict, incident or stated reason, took back a successful deployment younger than 10 min.

    stops: idx, stop_at: when a verdict first asked to stop that deployment.
    """
    attempts = of_rows(attempts, "undoes", deployments, undone_at="deployed_at", undone_successful="successful")
    attempts = attempts.join(stops.select(undoes="idx", stop_at="stop_at"), on="undoes", how="left", maintain_order="left")
    race = (
        ~pl.col("drill")
        & ~pl.col("code_level")
        & (pl.col("trigger") == "auto")
        & pl.col("reason").is_null()
        & pl.col("inc").is_null()
        & ~(pl.col("stop_at") <= pl.col("started_at")).fill_null(value=False)
        & pl.col("undone_successful")
        & (pl.col("started_at") >= pl.col("undone_at"))
        & (pl.col("started_at") - pl.col("undone_at") < RACE_AGE)
    )
    return attempts.with_columns(race=race.fill_null(value=False)).drop("undone_at", "undone_successful", "stop_at")


def with_episodes(attempts: pl.DataFrame) -> pl.DataFrame:
    """Adds episode (number) and episode_order: the attempts of one incident on a partition, else those within 2 h of the episode's
    first."""
    joins = attempts.filter(~pl.col("drill") & ~pl.col("race") & ~pl.col("code_level")).sort("started_at", "id")
    linked = joins.filter(pl.col("inc").is_not_null()).with_columns(
        anchor=pl.col("attempt").first().over("inc", "part"),
    )
    alone = joins.filter(pl.col("inc").is_null()).sort("part", "started_at", "id")
    alone = alone.with_columns(anchor=_anchors(alone))
    episodes = (
        pl.concat([linked, alone])
        .sort("started_at", "id")
        .select("attempt", episode="anchor", episode_order=pl.int_range(1, pl.len() + 1).over("anchor"))
    )
    return attempts.join(episodes, on="attempt", how="left", maintain_order="left")


def _anchors(alone: pl.DataFrame) -> pl.Series:
    """The attempt that opened the episode of each, for attempts in order: one that starts within 2 h of it joins."""
    gap = pl.col("started_at") - pl.col("started_at").shift(1)
    apart = (pl.col("part") != pl.col("part").shift(1)) | (gap >= EPISODE)
    runs = alone.select("attempt", "started_at", run=apart.fill_null(value=True).cum_sum())
    runs = runs.with_columns(anchor=pl.col("attempt").first().over("run"), lasts=pl.col("started_at").max().over("run"))
    long = pl.col("lasts") - pl.col("started_at").first().over("run") >= EPISODE
    # Only where each follows soon after the one before, but not all of them after the first, is there an order to walk.
    runs = runs.with_columns(long=long).with_row_index("row")
    anchors = runs["anchor"].to_list() if runs["long"].any() else []
    last, first, anchor = None, None, 0
    for row, attempt, start, run in runs.filter("long").select("row", "attempt", "started_at", "run").iter_rows():
        if run != last or first is None or start - first >= EPISODE:
            last, first, anchor = run, start, attempt
        anchors[row] = anchor
    return pl.Series("anchor", anchors, pl.Int64) if anchors else runs["anchor"].cast(pl.Int64)


def candidates(incidents: Incidents, deployments: pl.DataFrame, attempts: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """The latest candidate of each incident on each of its partitions: inc, part, idx, distance."""
    links = incidents.rows.select("inc", moment="link_time").drop_nulls().join(incidents.places, on="inc")
    possible = (
        deployments.lazy()
        .filter(pl.col("kind") != "redeploy", ~pl.col("entered"), ~pl.col("drill"))
        .select(
            "idx",
            "part",
            "deployed_at",
            "start",
            "source_id",
            "source",
            "ended",
            pl.col("start").alias("from"),
            until=pl.when("unsuccessful").then("deployed_at").otherwise(pl.col("deployed_at") + ATTRIBUTION),
        )
    )
    pairs = moments_in(links, possible.collect())
    # Never one that carries an attempt of this very incident.
    carried = (
        parts.filter(pl.col("what") == "deployment")
        .join(attempts.select("attempt", "inc").drop_nulls(), on="attempt")
        .select("inc", idx="row")
    )
    pairs = pairs.join(carried, on=["inc", "idx"], how="anti")
    running = ~pl.col("ended")
    latest = (
        pairs.sort("deployed_at", "start", "source_id", "source")
        .group_by("inc", "part")
        .agg(
            pl.col("idx").last(),
            distance=pl.when(running)
            .then(timedelta(0))
            .otherwise(pl.max_horizontal(pl.col("moment") - pl.col("deployed_at"), timedelta(0)))
            .last(),
        )
    )
    return latest.sort("inc", "part")
