"""The same deployment told by two sources is one: the first source's row stands, with what only the others know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.observed import ENDED_BADLY, ENDED_WELL, known, resolve
from toolkit.facts.versions import MUTABLE_TAGS

__all__ = ["DOUBLES", "TOLERANCE", "filled", "one_of_each"]

# Two tools note the end of one rollout seconds to a few minutes apart; two rollouts of one artifact this close are rare, and then they
# are told apart by each source having both.
TOLERANCE = timedelta(minutes=5)
DOUBLES: dict[str, pl.DataType] = dict.fromkeys(("source", "source_id", "of_source", "of_source_id"), pl.String())
_KEY = ["source", "source_id"]
_IDENTITY = ("artifact_digest", "vcs_revision", "version")
_REFS = (("incident", "fixed_by"), ("incident", "suspected_deployment"), ("verdict", "deployment"))


def one_of_each(
    told: Mapping[str, pl.DataFrame], decisions: pl.DataFrame, horizon: datetime
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame, pl.DataFrame]:
    """told: typed records; decisions: overrides. Returns both without the rows that another source tells too, references following to
    the row that stands; and those rows: source, source_id, of_source, of_source_id.

    Two rows are the same deployment when they are of different sources but of one service and environment, share a digest, commit or
    version and contradict each other in none of them nor in the configuration, ended alike (well, badly or not yet), ended (else began)
    at most 5 min apart, and each is the nearest such row of its source to the other. A row whose id would name two things then is left
    as it is.
    """
    deployments = told["deployment"]
    nothing = pl.DataFrame(schema=DOUBLES)
    if deployments["source"].n_unique() < 2:
        return dict(told), decisions, nothing
    pairs = _mutual(_candidates(deployments, horizon))
    doubles = _standing(pairs, deployments)
    if doubles.is_empty():
        return dict(told), decisions, nothing
    merged = {**told, "deployment": filled(deployments, doubles)}
    for record, ref in _REFS:
        merged[record] = _followed(merged[record], ref, doubles, deployments)
    return merged, _decided(decisions, doubles), doubles


def _candidates(deployments: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """a, b (row numbers), apart, of pairs that may be one deployment; both ways round."""
    running = ((pl.col("finished_at") > horizon).fill_null(value=False)) & pl.col("status").is_in(ENDED_WELL + ENDED_BADLY)
    well, badly = pl.col("status").is_in(ENDED_WELL), pl.col("status").is_in(ENDED_BADLY)
    rows = (
        deployments.with_row_index("a")
        .filter(pl.coalesce("started_at", "finished_at") <= horizon)
        .select(
            "a", *_KEY, "service", "environment", "artifact_digest", "vcs_revision", "config_revision",
            version=pl.when(~pl.col("version").is_in(MUTABLE_TAGS)).then("version"),
            moment=pl.coalesce(known("finished_at", horizon), known("started_at", horizon)),
            how=pl.when(running).then(0).when(well).then(1).when(badly).then(2).otherwise(0),
        )
        .drop_nulls("moment")
    )  # fmt: skip
    width = TOLERANCE // timedelta(microseconds=1)
    rows = rows.with_columns(bucket=pl.col("moment").to_physical() // width)
    found = []
    for name in _IDENTITY:
        on = ["service", "environment", "how", name, "bucket"]
        some = rows.drop_nulls(name)
        # What lies at most one width apart is in the same bucket or in a neighbouring one.
        others = pl.concat([some.with_columns(pl.col("bucket") + step) for step in (-1, 0, 1)])
        shared = some.select("a", "source", *on).join(others.select(b="a", other="source", **{key: key for key in on}), on=on)
        found.append(shared.filter(pl.col("source") != pl.col("other")).select("a", "b"))
    pairs = pl.concat(found).unique()
    left = pairs.join(rows, on="a").join(rows.rename({"a": "b"}), on="b", suffix="_b")
    contradicts = pl.any_horizontal(
        (pl.col(name) != pl.col(f"{name}_b")).fill_null(value=False) for name in (*_IDENTITY, "config_revision")
    )
    left = left.with_columns(apart=(pl.col("moment") - pl.col("moment_b")).abs())
    return left.filter(~contradicts & (pl.col("apart") <= TOLERANCE))


def _mutual(pairs: pl.DataFrame) -> pl.DataFrame:
    """Pairs of which each is the other's nearest in its source."""
    order = ["apart", "moment_b", "source_id_b"]
    nearest = pairs.sort("a", "source_b", *order).unique(["a", "source_b"], keep="first", maintain_order=True)
    return nearest.join(nearest.select(a="b", b="a"), on=["a", "b"], how="semi")


def _standing(pairs: pl.DataFrame, deployments: pl.DataFrame) -> pl.DataFrame:
    """The rows that go, each with the one that stands for it: of the first source by name."""
    back = pairs.filter(pl.col("source") > pl.col("source_b")).sort("source", "source_id", "source_b")
    goes: dict[int, int] = {}
    for row, stands in back.select("a", "b").iter_rows():
        if row not in goes and stands not in goes:
            goes[row] = stands
    keys = deployments.select(_KEY)
    gone = keys.select(pl.all().gather(list(goes)))
    found = gone.hstack(keys.select(of_source="source", of_source_id="source_id").select(pl.all().gather(list(goes.values()))))
    # An id that a third row has too would be ambiguous to whoever names it.
    left = keys.join(gone, on=_KEY, how="anti").filter(pl.col("source_id").is_in(found["of_source_id"].implode()))
    shared = left.group_by("source_id").len().filter(pl.col("len") > 1)
    return found.join(shared, left_on="of_source_id", right_on="source_id", how="anti").sort(_KEY)


def filled(deployments: pl.DataFrame, doubles: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that go; those that stand have what only they knew, as far as the times stay in order."""
    stays = deployments.join(doubles, on=_KEY, how="anti", maintain_order="left")
    names = [name for name in deployments.columns if name not in (*_KEY, "service", "environment", "status")]
    told = deployments.join(doubles, on=_KEY).sort("source", "source_id")
    told = told.group_by("of_source", "of_source_id").agg(pl.col(name).drop_nulls().first().name.prefix("_") for name in names)
    stays = stays.join(told, left_on=_KEY, right_on=["of_source", "of_source_id"], how="left", maintain_order="left")
    ordered = {
        "started_at": (pl.col("_started_at") <= pl.col("finished_at")).fill_null(pl.col("finished_at").is_null()),
        "finished_at": (pl.col("_finished_at") >= pl.col("started_at")).fill_null(pl.col("started_at").is_null()),
    }
    filled = [pl.coalesce(name, pl.when(ordered[name]).then(f"_{name}") if name in ordered else f"_{name}").alias(name) for name in names]
    return stays.with_columns(filled).select(deployments.columns)


def _followed(frame: pl.DataFrame, ref: str, doubles: pl.DataFrame, deployments: pl.DataFrame) -> pl.DataFrame:
    """References to a row that goes name the one that stands."""
    named = frame.select("source", key="source_id", ref=ref).drop_nulls()
    found = resolve(named, deployments.select(*_KEY).with_row_index("row"), "row").drop_nulls("row")
    meant = found.hstack(deployments.select(was="source", was_id="source_id").select(pl.all().gather(found["row"])))
    moved = meant.join(doubles, left_on=["was", "was_id"], right_on=_KEY)
    to = moved.select("source", source_id="key", _to="of_source_id")
    return frame.join(to, on=_KEY, how="left", maintain_order="left").with_columns(pl.coalesce("_to", ref).alias(ref)).drop("_to")


def _decided(decisions: pl.DataFrame, doubles: pl.DataFrame) -> pl.DataFrame:
    """Decisions about a row that goes are about the one that stands."""
    stands = {"source": "of_source", "source_id": "of_source_id"}
    about = decisions.join(doubles.with_columns(record=pl.lit("deployment")), on=["record", *_KEY], how="left", maintain_order="left")
    about = about.with_columns(pl.coalesce(new, old).alias(old) for old, new in stands.items()).drop("of_source", "of_source_id")
    to = doubles.rename({"source": "to_source", "source_id": "to_id"}).with_columns(field=pl.lit("cause"))
    about = about.join(to, on=["field", "to_source", "to_id"], how="left", maintain_order="left")
    about = about.with_columns(to_source=pl.coalesce("of_source", "to_source"), to_id=pl.coalesce("of_source_id", "to_id"))
    return about.select(decisions.columns).unique(["record", *_KEY, "field"], keep="first", maintain_order=True)
