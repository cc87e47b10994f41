"""Which of two versions is the later one, as far as their text says."""

from __future__ import annotations

from functools import cmp_to_key

import polars as pl

__all__ = ["MUTABLE_TAGS", "version_ranks"]

# These move: they identify nothing, so a deployment that carries only one of them ships an unknown artifact.
MUTABLE_TAGS = ("latest", "main", "stable")
_SHAPE = r"^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$"


def version_ranks(versions: pl.Series) -> pl.DataFrame:
    """The distinct versions that have an order (vN or semantic versions): version, version_rank, is_patch.

    Equal ranks are equal versions (v1 and 1.0.0). Order as semver.org §11; missing parts count as 0.
    """
    text = versions.drop_nulls().unique()
    parts = text.to_frame("version").with_columns(pl.col("version").str.extract_groups(_SHAPE).alias("parts")).unnest("parts")
    numbers = [pl.col(str(i)).cast(pl.Int64, strict=False) for i in (1, 2, 3)]
    parsed = parts.select("version", *numbers, pre="4", three=pl.col("3").is_not_null()).filter(pl.col("1").is_not_null())
    parsed = parsed.with_columns(pl.col("2", "3").fill_null(0))
    suffixes = sorted(parsed["pre"].drop_nulls().unique().to_list(), key=cmp_to_key(_compare_prereleases))
    order = pl.DataFrame({"pre": suffixes, "pre_rank": range(len(suffixes))}, schema={"pre": pl.String, "pre_rank": pl.Int64})
    # A prerelease comes before its release.
    parsed = parsed.join(order, on="pre", how="left").with_columns(pl.col("pre_rank").fill_null(len(suffixes)))
    return parsed.select(
        "version",
        version_rank=pl.struct("1", "2", "3", "pre_rank").rank("dense").cast(pl.Int64),
        is_patch=pl.col("three") & (pl.col("3") > 0),
    )


def _compare_prereleases(left: str, right: str) -> int:
    for a, b in zip(left.split("."), right.split("."), strict=False):
        if a == b:
            continue
        if a.isdigit() and b.isdigit():
            if int(a) != int(b):
                return -1 if int(a) < int(b) else 1
            continue
        if a.isdigit() != b.isdigit():
            return -1 if a.isdigit() else 1
        return -1 if a < b else 1
    shorter, longer = left.count("."), right.count(".")
    return (shorter > longer) - (shorter < longer)
