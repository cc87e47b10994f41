"""Tell releases, rollbacks, redeploys and reapplies apart, per service and environment."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from toolkit.facts.artifacts import with_artifacts
from toolkit.facts.joins import WIDEST, at_rows, gathered
from toolkit.facts.versions import MUTABLE_TAGS, version_ranks

__all__ = ["FIRST_DAYS", "UNDO_OF_UNSUCCESSFUL", "with_lineage"]

UNDO_OF_UNSUCCESSFUL = timedelta(hours=24)
FIRST_DAYS = timedelta(days=90)
# A byte a row instead of sixteen.
KINDS = pl.Enum(["release", "rollback", "redeploy", "reapply", "out_of_order", "unknown"])
_SOURCES = pl.Enum(["declared", "derived:overlapped", "derived:no_identity", "derived:lineage"])
_ORDER = ["part", "position", "start"]
# Columns that only the steps of this pass read: at a million rows each is 8 MB.
_SCAFFOLDING = [
    "strength", "part_from", "shared", "first_start", "first_idx", "was", "was_start", "was_idx", "was_rank", "version_rank",
    "same", "declared", "declared_kind", "vcs_revision", "config_revision",
]  # fmt: skip


def with_lineage(frame: pl.DataFrame) -> pl.DataFrame:
    """Deployments with a time, of any number of partitions, put in lineage order, with what each one was.

    Adds idx (row number in this order), artifact, rebuilt, overlapped, kind, kind_source, current (idx of the bring-in row that was
    current),
    bring_in, undoes, restores (idx), undoes_all (list of idx), superseded_by (idx), superseded_at, exposure, lead_time, first_seen.
    """
    return (
        frame.pipe(in_order)
        .pipe(with_artifacts)
        .pipe(with_overlaps)
        .pipe(with_current)
        .pipe(with_kind)
        .pipe(with_bring_ins)
        .pipe(with_undone)
        .pipe(with_spans)
        .drop(_SCAFFOLDING)
    )


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Successful ones stand where they ended, all others where they began."""
    frame = _sorted(frame.with_columns(position=pl.when("successful").then("deployed_at").otherwise("start")))
    frame = frame.drop("idx", strict=False).with_row_index("idx")
    mutable = frame["version"].is_in(MUTABLE_TAGS)
    fixed = pl.when(~mutable).then("version") if mutable.any() else pl.col("version")
    return frame.with_columns(pl.col("idx").cast(pl.Int64), fixed_version=fixed)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    """By part and position: one number sorts in a third of the time of two columns. Only rows that tie are looked at further."""
    if frame.is_empty():
        return frame
    position = frame["position"].to_physical()
    low, high, part = frame.select(
        pl.col("position").to_physical().min(), high=pl.col("position").to_physical().max(), part=pl.col("part").max()
    ).row(0)
    width = high - low + 1
    if width * (part + 1) > WIDEST:
        return frame.sort(*_ORDER, "source_id", "source")
    key = frame["part"] * width + (position - low)
    rows = None if key.is_sorted() else key.arg_sort()
    key = key if rows is None else key.gather(rows)
    tied = (key == key.shift(1)).fill_null(value=False)
    tied = tied | tied.shift(-1, fill_value=False)
    if tied.any():
        places = tied.arg_true()
        rows = pl.int_range(len(frame), dtype=pl.UInt32, eager=True) if rows is None else rows
        among = rows.gather(places)
        # They take the places that they had together.
        order = frame.select(*_ORDER, "source_id", "source").select(pl.all().gather(among)).with_columns(row=among)
        rows = rows.scatter(places, order.sort(*_ORDER, "source_id", "source")["row"])
        rows = None if rows.is_sorted() else rows
    return frame if rows is None else gathered(frame, rows)


def with_overlaps(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds overlapped (a later-started one was finished first) and counts (successful and not overlapped): only those ever are current."""
    done = frame.lazy().filter("successful").select("idx", "part", "deployed_at", start=pl.col("start").to_physical()).collect()
    latest = pl.col("start").cum_max().over("part")
    suspect = done.filter(pl.col("start") < latest)["part"].unique()
    done = done.filter(pl.col("part").is_in(suspect.implode()))
    # Strictly before: those that finished at the same moment did not overtake each other.
    before = (
        done.with_columns(latest=latest)
        .group_by("part", "deployed_at", maintain_order=True)
        .agg(pl.col("latest").max())
        .with_columns(overtaker=pl.col("latest").shift(1).over("part"))
    )
    overtaken = done.join(before, on=["part", "deployed_at"]).filter(pl.col("overtaker") > pl.col("start"))["idx"]
    overlapped = pl.col("idx").is_in(overtaken.implode())
    return frame.with_columns(overlapped=overlapped, counts=pl.col("successful") & ~overlapped)


def _last(idx_where: pl.Expr) -> pl.Expr:
    """idx of the last row before this one, in its partition, where the condition holds."""
    found = pl.when(idx_where).then(pl.col("idx")).forward_fill().shift(1)
    return pl.when(found >= pl.col("part_from")).then(found)


def with_current(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds what ran when each one came (`was`, idx), and when each artifact first succeeded (first_start, first_idx): its number."""
    frame = frame.with_columns(
        part_from=pl.when((pl.col("part") != pl.col("part").shift(1)).fill_null(value=True)).then("idx").forward_fill(),
        first_start=pl.when("successful").then("start"),
        first_idx=pl.when("successful").then("idx"),
    )
    # Most artifacts appear once; only for the others is there anything to look up.
    shared = frame.lazy().filter("shared").select("idx", "artifact", "first_start", "first_idx").collect()
    firsts = shared.drop_nulls("artifact").with_columns(
        pl.col("first_start").drop_nulls().first().over("artifact"), pl.col("first_idx").drop_nulls().first().over("artifact")
    )
    told = at_rows(frame.select("idx"), firsts.select("idx", start_of="first_start", idx_of="first_idx"))
    frame = frame.with_columns(
        first_start=pl.when("shared").then(told["start_of"]).otherwise("first_start"),
        first_idx=pl.when("shared").then(told["idx_of"]).otherwise("first_idx"),
    )
    frame = frame.with_columns(was=_last(pl.col("counts")), seen=(pl.col("first_idx") < pl.col("idx")).fill_null(value=False))
    return frame.with_columns(
        pl.col("artifact").gather(pl.col("was")).alias("was_artifact"),
        was_start=pl.col("first_start").gather(pl.col("was")),
        was_idx=pl.col("first_idx").gather(pl.col("was")),
    ).with_columns(
        # What is unknown is neither older nor younger; nor is what comes for the first time: it may have run before anybody looked.
        older=pl.col("artifact").is_not_null()
        & pl.col("seen")
        & pl.col("was_artifact").is_not_null()
        & (
            (pl.col("first_start") < pl.col("was_start"))
            | ((pl.col("first_start") == pl.col("was_start")) & (pl.col("first_idx") < pl.col("was_idx")))
        )
    )


def with_kind(frame: pl.DataFrame) -> pl.DataFrame:
    """release, rollback, redeploy, reapply, out_of_order or unknown; what is declared wins over what is derived."""
    frame = frame.pipe(_with_version_order)
    young = pl.col("position") < pl.col("position").first().over("part") + FIRST_DAYS
    lower = (pl.col("version_rank") < pl.col("was_rank")).fill_null(value=False)
    same = (pl.col("artifact") == pl.col("was_artifact")).fill_null(value=False)
    new = ~pl.col("seen")
    derived = (
        pl.when(pl.col("overlapped") | pl.col("artifact").is_null())
        .then(_word("unknown"))
        .when(new & lower & young)
        .then(_word("unknown"))
        .when(new & lower)
        .then(_word("out_of_order"))
        .when(new)
        .then(_word("release"))
        .when(pl.col("was_artifact").is_null())
        .then(_word("unknown"))
        .when(same)
        .then(_word("redeploy"))
        .when("older")
        .then(_word("rollback"))
        .otherwise(_word("reapply"))
    )
    said = pl.col("declared_kind").is_in(["release", "rollback", "redeploy", "reapply"])
    declared = pl.when(said).then("declared_kind").cast(KINDS)
    frame = frame.with_columns(same=same, kind=pl.coalesce(declared, derived), declared=said.fill_null(value=False)).pipe(
        _with_unsuccessful
    )
    undoes_unsuccessful = ~pl.col("declared") & pl.col("same") & (pl.col("kind") == "redeploy") & pl.col("after_unsuccessful").is_not_null()
    rule = (
        pl.when("declared")
        .then(pl.lit("declared", _SOURCES))
        .when("overlapped")
        .then(pl.lit("derived:overlapped", _SOURCES))
        .when(pl.col("artifact").is_null())
        .then(pl.lit("derived:no_identity", _SOURCES))
        .otherwise(pl.lit("derived:lineage", _SOURCES))
    )
    return frame.with_columns(kind=pl.when(undoes_unsuccessful).then(_word("rollback")).otherwise("kind"), kind_source=rule)


def _word(kind: str) -> pl.Expr:
    return pl.lit(kind, KINDS)


def _with_version_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds version_rank of this one and was_rank of the version that the current artifact carried last."""
    ranks = version_ranks(frame["fixed_version"])
    if ranks.is_empty():
        return frame.with_columns(version_rank=pl.lit(None, pl.Int64), was_rank=pl.lit(None, pl.Int64), is_patch=pl.lit(value=False))
    # A version is looked up by its number: no row is joined.
    number = frame["fixed_version"].cast(pl.Enum(ranks["version"]), strict=False).to_physical()
    frame = frame.hstack(ranks.select("version_rank", "is_patch").select(pl.all().gather(number)))
    frame = frame.with_columns(pl.col("is_patch").fill_null(value=False))
    named = pl.col("fixed_version")
    # Where every row of an artifact carries one and the same version, the current row's version is it.
    uneven = (
        frame.lazy()
        .filter("shared", pl.col("artifact").is_not_null())
        .group_by("artifact")
        .agg(uneven=(named.min() != named.max()) | (named.null_count() > 0) & (named.count() > 0))
        .filter("uneven")
        .select("artifact")
        .collect()["artifact"]
    )
    frame = frame.with_columns(was_rank=pl.col("version_rank").gather(pl.col("was")))
    if uneven.is_empty():
        return frame
    asked = frame.filter(~pl.col("seen") & pl.col("was_artifact").is_in(uneven.implode())).select("idx", artifact="was_artifact")
    told = frame.filter(named.is_not_null() & pl.col("artifact").is_in(uneven.implode())).select(
        "idx", "artifact", last_rank="version_rank"
    )
    last = asked.join_asof(told, on="idx", by="artifact", allow_exact_matches=False, check_sortedness=False)
    frame = at_rows(frame, last.select("idx", "last_rank", asked=pl.lit(value=True)))
    return frame.with_columns(was_rank=pl.when("asked").then("last_rank").otherwise("was_rank")).drop("asked", "last_rank")


def _with_unsuccessful(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds after_unsuccessful: idx of the last unsuccessful release, hotfix or reapply since current that ended at most 24 h before."""
    # Rollback wins over hotfix.
    hotfix = pl.col("certain_hotfix") & ~pl.col("seen") & pl.col("artifact").is_not_null() & (pl.col("kind") != "rollback")
    lost = pl.col("unsuccessful") & (pl.col("kind").is_in(["release", "reapply"]) | hotfix)
    frame = frame.with_columns(lost=lost).with_columns(last_lost=_last(pl.col("lost")))
    frame = frame.with_columns(last_lost=pl.when(pl.col("last_lost") > pl.col("was").fill_null(-1)).then("last_lost"))
    frame = frame.with_columns(lost_end=pl.col("deployed_at").gather(pl.col("last_lost")))
    in_time = pl.col("start") - pl.col("lost_end") <= UNDO_OF_UNSUCCESSFUL
    frame = frame.with_columns(after_unsuccessful=pl.when(in_time).then("last_lost"))
    # The last one ended too long ago, but an earlier one may have ended later.
    missed = pl.col("after_unsuccessful").is_null() & pl.col("last_lost").is_not_null()
    late = frame.lazy().filter(missed).select("idx", "part", "was", "start").collect()
    if late.is_empty():
        return frame.drop("last_lost", "lost_end", "lost")
    lost_rows = frame.lazy().filter("lost").select("part", "was", lost_idx="idx", end="deployed_at").collect()
    earlier = (
        late.join(lost_rows, on=["part", "was"], nulls_equal=True)
        .filter((pl.col("lost_idx") < pl.col("idx")) & (pl.col("start") - pl.col("end") <= UNDO_OF_UNSUCCESSFUL))
        .group_by("idx")
        .agg(pl.col("lost_idx").max())
    )
    frame = at_rows(frame, earlier)
    return frame.with_columns(pl.coalesce("after_unsuccessful", "lost_idx").alias("after_unsuccessful")).drop(
        "last_lost", "lost_end", "lost", "lost_idx"
    )


def with_bring_ins(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `bring_in` (brought its artifact in) and `current` (the bring-in before): redeploys are transparent."""
    transparent = pl.col("same") & (pl.col("kind") == "redeploy")
    frame = frame.with_columns(bring_in=pl.col("counts") & ~transparent)
    return frame.with_columns(current=_last(pl.col("bring_in")))


def with_undone(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds undoes, restores (idx) and undoes_all (idx, in order) to rows of kind rollback."""
    back = frame.lazy().filter(pl.col("kind") == "rollback").select("idx", "artifact", "current", "after_unsuccessful", "entered").collect()
    back_to = pl.col("artifact").is_in(back["artifact"].unique().implode())
    bring_ins = frame.lazy().filter("bring_in", back_to).select("idx", "artifact", restores="idx").collect()
    back = back.join_asof(bring_ins, on="idx", by="artifact", allow_exact_matches=False, check_sortedness=False).select(
        "idx",
        "restores",
        # What a declared one without a deployment undid is found later, from what it declares.
        undoes=pl.when(~pl.col("entered")).then(pl.coalesce("after_unsuccessful", "current")),
    )
    releases = frame.lazy().filter("bring_in", pl.col("kind") == "release").select("idx").collect()["idx"]
    back = back.with_columns(
        low=releases.search_sorted(back["restores"], side="right"), high=releases.search_sorted(back["idx"], side="left")
    )
    spans = back.select(
        "idx", "undoes", between=pl.when(pl.col("restores").is_not_null()).then(pl.int_ranges("low", pl.max_horizontal("low", "high")))
    )
    between = spans.select("idx", "between").explode("between").drop_nulls()
    between = between.select("idx", one=releases.gather(between["between"])) if len(between) else between.select("idx", one="between")
    both = pl.concat([between.cast({"one": pl.Int64}), spans.select("idx", one="undoes").drop_nulls()])
    every = both.unique().sort("idx", "one").group_by("idx", maintain_order=True).agg(undoes_all="one")
    return frame.pipe(at_rows, back.select("idx", "undoes", "restores")).pipe(at_rows, every)


def with_spans(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds superseded_by, superseded_at, exposure (on bring-ins) and lead_time."""
    bring_ins = frame.lazy().filter("bring_in").select("idx", "part", "deployed_at").collect()
    followed = pl.col("part") == pl.col("part").shift(-1)
    bring_ins = bring_ins.select(
        "idx",
        superseded_by=pl.when(followed).then(pl.col("idx").shift(-1)),
        superseded_at=pl.when(followed).then(pl.col("deployed_at").shift(-1)),
    )
    frame = at_rows(frame, bring_ins)
    first = pl.col("idx") == pl.col("idx").filter(pl.col("successful")).min().over("part")
    ships = pl.col("successful") & ~pl.col("kind").is_in(["rollback", "redeploy", "reapply"]) & ~first
    span = pl.col("deployed_at") - pl.col("committed_at")
    return frame.with_columns(
        exposure=pl.col("superseded_at") - pl.col("deployed_at"),
        lead_time=pl.when(ships & (span >= timedelta(0))).then(span),
        negative_lead=ships & (span < timedelta(0)).fill_null(value=False),
    )
