"""Which moments lie in which spans of the same partition: the one range join that the passes share."""

from __future__ import annotations

import polars as pl

__all__ = ["moments_in"]

_WIDEST = 2**62


def moments_in(moments: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Pairs of rows where `from` <= `moment` < `until` and `part` is the same.

    moments: part, moment (datetime), …; spans: part, from, until (datetimes), …. Other columns are kept; they must not clash.
    Part and time go into one integer, so that the engine sorts once instead of comparing every pair of a partition.
    """
    spans = spans.filter(pl.col("from") < pl.col("until"))
    if moments.is_empty() or spans.is_empty():
        return moments.join(spans.drop("part"), how="cross").drop("from", "until").head(0)
    low = min(_micros(moments["moment"].min()), _micros(spans["from"].min()))
    high = max(_micros(moments["moment"].max()), _micros(spans["until"].max()))
    width = high - low + 2
    if width * (max(_int(moments["part"].max()), _int(spans["part"].max())) + 1) > _WIDEST:
        pairs = moments.join(spans, on="part")
        return pairs.filter((pl.col("from") <= pl.col("moment")) & (pl.col("moment") < pl.col("until"))).drop("from", "until")

    def key(name: str) -> pl.Expr:
        return pl.col("part") * width + (pl.col(name).to_physical() - low)

    left = moments.with_columns(_at=key("moment"))
    right = spans.with_columns(_from=key("from"), _until=key("until")).drop("part", "from", "until")
    pairs = left.lazy().join_where(right.lazy(), pl.col("_at") >= pl.col("_from"), pl.col("_at") < pl.col("_until")).collect()
    return pairs.drop("_at", "_from", "_until")


def _micros(value: object) -> int:
    return int(pl.Series([value], dtype=pl.Datetime("us", "UTC")).to_physical()[0])


def _int(value: object) -> int:
    return int(value)  # type: ignore[call-overload, no-any-return]
