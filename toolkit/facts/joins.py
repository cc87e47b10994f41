"""The joins that the passes share: moments in spans of the same partition, and rows by their number."""

from __future__ import annotations

import polars as pl

__all__ = ["WIDEST", "are_same", "at_rows", "gathered", "is_even", "kept", "moments_in", "of_rows"]

# Part and time, as one number, fit into 64 bits.
WIDEST = 2**62
# Two columns, or a column's rows, that differ mostly differ soon.
_GLANCE = 100


def moments_in(moments: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Pairs of rows where `from` <= `moment` < `until` and `part` is the same.

    moments: part, moment (datetime), …; spans: part, from, until (datetimes), …. Other columns are kept; they must not clash.
    Part and time go into one integer. The shorter side is then looked up in the longer one, sorted.
    """
    moments, spans = moments.drop_nulls("moment"), spans.filter(pl.col("from") < pl.col("until"))
    if moments.is_empty() or spans.is_empty():
        return moments.join(spans.drop("part"), how="cross").drop("from", "until").head(0)
    low = min(_micros(moments["moment"].min()), _micros(spans["from"].min()))
    high = max(_micros(moments["moment"].max()), _micros(spans["until"].max()))
    width = high - low + 2
    if width * (max(_int(moments["part"].max()), _int(spans["part"].max())) + 1) > WIDEST:
        pairs = moments.join(spans, on="part")
        return pairs.filter((pl.col("from") <= pl.col("moment")) & (pl.col("moment") < pl.col("until"))).drop("from", "until")

    def key(name: str) -> pl.Expr:
        return pl.col("part") * width + (pl.col(name).to_physical() - low)

    moments = moments.with_columns(_at=key("moment"))
    spans = spans.with_columns(_from=key("from"), _until=key("until")).drop("part", "from", "until")
    if len(spans) <= len(moments):
        moments = moments if moments["_at"].is_sorted() else moments.sort("_at")
        low_row, high_row = (moments["_at"].search_sorted(spans[name], side="left") for name in ("_from", "_until"))
        short, row = _expanded(low_row, high_row)
        return moments.drop("_at").select(pl.all().gather(row)).hstack(spans.drop("_from", "_until").select(pl.all().gather(short)))
    spans = spans if spans["_from"].is_sorted() else spans.sort("_from")
    # The first span that can reach a moment is the first up to which any ends after it.
    low_row = spans["_until"].cum_max().search_sorted(moments["_at"], side="right")
    high_row = spans["_from"].search_sorted(moments["_at"], side="right")
    short, row = _expanded(low_row, high_row)
    reached = (spans["_until"].gather(row) > moments["_at"].gather(short)).arg_true()
    short, row = short.gather(reached), row.gather(reached)
    return moments.drop("_at").select(pl.all().gather(short)).hstack(spans.drop("_from", "_until").select(pl.all().gather(row)))


def _expanded(low: pl.Series, high: pl.Series) -> tuple[pl.Series, pl.Series]:
    """For each row the numbers from `low` up to `high`: the rows, and the numbers, one pair each."""
    ranges = pl.DataFrame({"low": low, "high": high}).with_row_index("short").filter(pl.col("low") < pl.col("high"))
    pairs = ranges.select("short", row=pl.int_ranges("low", "high", dtype=pl.UInt32)).explode("row")
    return pairs["short"], pairs["row"]


def at_rows(frame: pl.DataFrame, told: pl.DataFrame, on: str = "idx") -> pl.DataFrame:
    """The frame with the columns of `told`, whose `on` names rows of the frame by number (each at most once); elsewhere null.

    A left join that knows where its rows are: no hashing, and a hundredth of the rows to place.
    """
    places = pl.Series(on, [None], dtype=pl.UInt32).new_from_index(0, len(frame))
    places = places.scatter(told[on].cast(pl.UInt32), pl.int_range(len(told), dtype=pl.UInt32, eager=True)) if len(told) else places
    columns = told.drop(on)
    if told.is_empty():
        return frame.hstack([pl.Series(name, [None], dtype=kind).new_from_index(0, len(frame)) for name, kind in columns.schema.items()])
    return frame.hstack(columns.select(pl.all().gather(places)))


def kept(frame: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """The rows for which it holds; the frame itself, not copied, where it holds for all."""
    mask = frame.select(where.fill_null(value=False).alias("kept")).to_series()
    return frame if mask.all() else frame.filter(mask)


def gathered(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The frame's rows by their numbers, each at most once; columns that say the same in every row are not moved, and those that say
    what another says are moved with it."""
    if len(rows) < len(frame):
        return frame.select(pl.all().gather(rows))
    if rows.is_sorted():
        return frame
    moved: list[pl.Series] = []
    twins: dict[str, str] = {}
    for column in frame:
        if is_even(column):
            continue
        same = next((other.name for other in moved if are_same(column, other)), None)
        if same is None:
            moved.append(column)
        else:
            twins[column.name] = same
    frame = frame.with_columns(pl.col([column.name for column in moved]).gather(rows))
    return frame.with_columns(pl.col(same).alias(name) for name, same in twins.items())


def is_even(column: pl.Series) -> bool:
    """Whether it says the same in every row. A look at the first few spares most columns a look at all."""
    if column.null_count() == len(column):
        return True
    if column.null_count() or column.dtype.is_nested():
        return False
    return all((part == column[0]).all() for part in (column.head(_GLANCE), column))


def are_same(one: pl.Series, other: pl.Series) -> bool:
    """Whether they say the same, row by row."""
    if one.dtype != other.dtype or one.dtype.is_nested():
        return False
    return all(a.equals(b, null_equal=True) for a, b in ((one.head(_GLANCE), other.head(_GLANCE)), (one, other)))


def of_rows(frame: pl.DataFrame, key: str, rows: pl.DataFrame, **columns: str) -> pl.DataFrame:
    """The frame with columns (new name = name) of those `rows` whose numbers stand in `key`; null where it is null."""
    return frame.hstack(rows.select(**{name: pl.col(of) for name, of in columns.items()}).select(pl.all().gather(frame[key])))


def _micros(value: object) -> int:
    return int(pl.Series([value], dtype=pl.Datetime("us", "UTC")).to_physical()[0])


def _int(value: object) -> int:
    return int(value)  # type: ignore[call-overload]
