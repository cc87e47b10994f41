"""Split each incident into detect, decide and act, and say what caused and what ended it."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.evidence import LEVELS
from toolkit.facts.joins import of_rows

__all__ = ["REPEATS_WITHIN", "with_cause", "with_decision", "with_phases", "with_remedy", "with_repeats"]

REPEATS_WITHIN = timedelta(days=90)
_ZERO = timedelta(0)


def with_cause(
    incidents: pl.DataFrame, causes: pl.DataFrame, undone: pl.DataFrame, by_time: pl.DataFrame, deployments: pl.DataFrame
) -> pl.DataFrame:
    """Adds cause_idx, cause_row, cause_evidence, cause_source: declared, else what its first attempt undid, else by time.

    causes: inc, row, idx (null for one without any time), rule; undone: inc, idx, level, at (start of the attempt); by_time: inc, idx,
    level, rule. Over several services: the best level, then the latest.
    """
    declared = causes.select(
        "inc", "idx", row="row", rank=pl.lit(0), level=pl.lit("certain"), rule="rule", at=pl.lit(None, pl.Datetime("us", "UTC"))
    )
    acted = undone.select("inc", "idx", rank=pl.lit(1), level="level", rule=pl.lit("derived:undone"), at="at")
    acted = of_rows(acted.join(incidents.select("inc", "link_time"), on="inc"), "idx", deployments, began="start")
    # What came after the impact began may have made it worse, but did not cause it.
    acted = acted.filter(pl.col("began") <= pl.col("link_time")).drop("link_time", "began")
    timed = by_time.select("inc", "idx", rank=pl.lit(2), level="level", rule="rule", at=pl.lit(None, pl.Datetime("us", "UTC")))
    every = pl.concat([declared, acted, timed], how="diagonal").join(
        incidents.filter(~pl.col("not_a_deployment")).select("inc"), on="inc", how="semi"
    )
    every = of_rows(every, "idx", deployments, **{name: name for name in ("deployed_at", "start", "source_id", "source")})
    every = every.with_columns(pl.col("level").cast(LEVELS))
    order = ["inc", "rank", "level", "at", "deployed_at", "start", "source_id", "source"]
    best = every.sort(order, descending=[False, False, False, False, True, True, True, True]).unique(
        "inc", keep="first", maintain_order=True
    )
    best = best.select("inc", cause_idx="idx", cause_row="row", cause_evidence=pl.col("level").cast(pl.String), cause_source="rule")
    innocent = pl.when(pl.col("cause_said") & pl.col("not_a_deployment")).then(pl.lit("override"))
    return incidents.join(best, on="inc", how="left", maintain_order="left").with_columns(
        cause_source=pl.coalesce(innocent, "cause_source")
    )


def with_decision(incidents: pl.DataFrame, acts: pl.DataFrame, declared: pl.DataFrame) -> pl.DataFrame:
    """Adds decided_at: declared, else the start of the first attempt or hotfix; one before detection gives none.

    acts: inc, at; declared: inc, at (decided stamps of its attempts).
    """
    first = acts.group_by("inc").agg(first_act=pl.col("at").min())
    said = declared.drop_nulls().group_by("inc").agg(attempt_decided=pl.col("at").min())
    incidents = incidents.join(first, on="inc", how="left", maintain_order="left").join(said, on="inc", how="left", maintain_order="left")
    told = pl.coalesce("declared_decided", "attempt_decided")
    late_enough = (pl.col("first_act") >= pl.col("detected_at")) | pl.col("detected_at").is_null()
    derived = pl.when(late_enough).then("first_act")
    return incidents.with_columns(
        decided_at=pl.coalesce(told, derived),
        decided_at_source=pl.when(pl.col("decided_said") & pl.col("declared_decided").is_not_null())
        .then(pl.lit("override"))
        .when(told.is_not_null())
        .then(pl.lit("declared"))
        .when(derived.is_not_null())
        .then(pl.lit("derived:first_action")),
    ).drop("first_act", "attempt_decided", "declared_decided")


def with_phases(incidents: pl.DataFrame, deployments: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """Adds started_at_source, detect, decide, act, whole, censored_phase, whole_source, recovered_undecided, offender (stamp in the
    wrong order)."""
    firm = pl.col("cause_evidence").is_in(["certain", "likely"])
    incidents = of_rows(incidents, "cause_idx", deployments, cause_deployed="deployed_at", cause_started="start")
    after = (pl.col("cause_deployed") > pl.col("link_time")).fill_null(value=False)
    derived = pl.when(firm & ~after).then("cause_deployed").when(firm).then("cause_started")
    told = pl.col("started_at").is_not_null()
    incidents = incidents.with_columns(declared_start="started_at").with_columns(
        started_at=pl.coalesce("started_at", derived),
        started_at_source=pl.when(told & pl.col("started_said"))
        .then(pl.lit("override"))
        .when(told)
        .then(pl.lit("declared"))
        .when(derived.is_not_null())
        .then(pl.lit("derived:cause")),
        open=pl.col("recovered_at").is_null() & pl.col("link_time").is_not_null(),
    )
    stamps = {"detect": "declared_start", "decide": "detected_at", "act": "decided_at", "recovered": "recovered_at"}
    # A stamp is wrong where it lies before the last stamp of an earlier phase; both phases it touches are unknown.
    names = list(stamps.values())
    for place, name in enumerate(names):
        before = pl.coalesce(pl.lit(None, pl.Datetime("us", "UTC")), *(pl.col(earlier) for earlier in reversed(names[:place])))
        incidents = incidents.with_columns((pl.col(name) < before).fill_null(value=False).alias(f"wrong_{name}"))

    def phase(begin: str, end: str) -> pl.Expr:
        wrong = pl.col(f"wrong_{begin}") | pl.col(f"wrong_{end}")
        span = pl.when(~wrong).then(pl.col(end) - pl.col(begin))
        return pl.when(span >= _ZERO).then(span)

    from_start = pl.coalesce("declared_start", "detected_at")
    whole = pl.coalesce("recovered_at", pl.when("open").then(pl.lit(horizon))) - from_start
    waits = pl.when(~pl.col("open")).then(None)
    current = (
        waits.when(pl.col("decided_at").is_not_null())
        .then(pl.lit("act"))
        .when(pl.col("detected_at").is_not_null())
        .then(pl.lit("decide"))
        .otherwise(pl.lit("detect"))
    )
    incidents = incidents.with_columns(
        detect=phase("declared_start", "detected_at"),
        decide=phase("detected_at", "decided_at"),
        act=phase("decided_at", "recovered_at"),
        whole=pl.when(whole >= _ZERO).then(whole),
        censored_phase=current,
    )
    so_far = {"detect": "declared_start", "decide": "detected_at", "act": "decided_at"}
    incidents = incidents.with_columns(
        *(
            pl.when((pl.col("censored_phase") == name) & ~pl.col(f"wrong_{begin}"))
            .then(pl.lit(horizon) - pl.col(begin))
            .otherwise(name)
            .alias(name)
            for name, begin in so_far.items()
        )
    )
    wrong = [name for name in names if name != "declared_start"]
    offender = pl.coalesce(*(pl.when(f"wrong_{name}").then(pl.lit(name)) for name in wrong))
    return incidents.with_columns(
        whole_source=pl.when(pl.col("whole").is_null())
        .then(None)
        .when(pl.col("declared_start").is_not_null())
        .then(pl.lit("declared"))
        .otherwise(pl.lit("derived:from_detection")),
        recovered_undecided=pl.col("recovered_at").is_not_null() & pl.col("decided_at").is_null(),
        offender=offender,
        silent_minutes=pl.col("decided_at") - pl.col("criterion_met_at"),
    ).drop("cause_deployed", "cause_started", *(f"wrong_{name}" for name in names))


def with_remedy(incidents: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Adds remedy: the last thing that worked by the recovery. ends: inc, began, end, remedy."""
    last = (
        ends.join(incidents.select("inc", "recovered_at"), on="inc")
        .filter(pl.col("began") <= pl.col("recovered_at"))
        .sort("inc", "end", "began", "remedy")
        .group_by("inc")
        .agg(found=pl.col("remedy").last())
    )
    incidents = incidents.join(last, on="inc", how="left", maintain_order="left")
    other = pl.when(pl.col("fixed_by").is_not_null()).then(pl.lit("other")).otherwise(pl.lit("none"))
    return incidents.with_columns(remedy=pl.when(pl.col("recovered_at").is_not_null()).then(pl.coalesce("found", other))).drop("found")


def with_repeats(incidents: pl.DataFrame) -> pl.DataFrame:
    """Adds repeat_of: the latest earlier incident of a shared service, recovered at most 90 days before, with any equal cause key."""
    real = incidents.filter(~pl.col("planned") & pl.col("link_time").is_not_null())
    titles = pl.DataFrame({"title": real["title"].drop_nulls().unique()}, schema={"title": pl.String})
    titles = titles.with_columns(normal=normalised(pl.col("title")))
    real = real.join(titles, on="title", how="left", maintain_order="left")
    keys = pl.concat(
        [
            real.select("inc", "services", "link_time", "recovered_at", key=pl.format(kind + "{}", name)).drop_nulls("key")
            for kind, name in (("root:", "root_cause"), ("alert:", "alert"), ("title:", "normal"))
        ]
    ).explode("services")
    pairs = keys.select("inc", "link_time", "services", "key").join(
        keys.select("services", "key", earlier="inc", began="link_time", over="recovered_at"), on=["services", "key"]
    )
    gap = pl.col("link_time") - pl.col("over")
    pairs = pairs.filter((pl.col("began") < pl.col("link_time")) & (gap >= _ZERO) & (gap <= REPEATS_WITHIN))
    last = pairs.sort("began", "earlier").group_by("inc").agg(pl.col("earlier").last())
    ids = incidents.select(earlier="inc", repeat_of="id")
    return incidents.join(last.join(ids, on="earlier").select("inc", "repeat_of"), on="inc", how="left", maintain_order="left")


def normalised(title: pl.Expr) -> pl.Expr:
    """A title without case, numbers and punctuation, so that "Checkout 5xx (#12)" repeats "checkout xx"; null where nothing is left."""
    # Marks belong to the letter before them; by itself one only makes a picture of a sign.
    words = title.str.to_lowercase().str.extract_all(r"\p{L}[\p{L}\p{M}]*").list.join(" ")
    return pl.when(words != "").then(words)
