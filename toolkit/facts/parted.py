"""A long table of which many columns say something of few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from toolkit.facts.joins import at_rows

__all__ = ["Parted"]


@dataclass(frozen=True)
class Parted:
    """What an undoing, an incident or a reviewer says of deployments it says of one in thirty: at a million rows each such column would
    be 8 or 16 MB of nulls, written many times on the way.

    dense: the columns that say something of most rows; some words as numbers (Enum), which leave here as text. apart: `row`, the number
    of a row of `dense`, ascending, and the other columns; one that is true or false is false of all other rows. columns: all of them but
    `row`, in the table's order.
    """

    dense: pl.DataFrame
    apart: pl.DataFrame
    columns: Sequence[str]

    @classmethod
    def of(cls, table: pl.DataFrame | Parted) -> Parted:
        """The table, with nothing apart where it is whole."""
        return table if isinstance(table, Parted) else cls(table, pl.DataFrame(schema={"row": pl.UInt32()}), table.columns)

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def schema(self) -> pl.Schema:
        both = {**self.apart.schema, **self.dense.schema}
        return pl.Schema({name: pl.String() if isinstance(both[name], pl.Enum) else both[name] for name in self.columns})

    def select(self, names: Sequence[str]) -> pl.DataFrame:
        """These columns of every row."""
        apart = [name for name in names if name in self.apart.columns]
        frame = _as_text(self.dense.select(name for name in names if name not in apart))
        return at_rows(frame, self.apart.select("row", *apart), "row").with_columns(self._flags(apart)).select(names) if apart else frame

    def whole(self) -> pl.DataFrame:
        return self.select(self.columns)

    def of_few(self, name: str) -> pl.DataFrame:
        """All columns of the rows of which the column `name` says something."""
        if name in self.dense.columns:
            return self.at(self.dense[name].is_not_null().arg_true())
        return self.at(self.apart.lazy().filter(pl.col(name).is_not_null()).select("row").collect()["row"])

    def at(self, rows: pl.Series) -> pl.DataFrame:
        """All columns of these rows, by their numbers."""
        frame = _as_text(self.dense.select(pl.all().gather(rows))).with_columns(row=rows.cast(pl.UInt32))
        return (
            frame.join(self.apart, on="row", how="left", maintain_order="left").with_columns(self._flags(self.columns)).select(self.columns)
        )

    def _flags(self, names: Sequence[str]) -> list[pl.Expr]:
        return [pl.col(name).fill_null(value=False) for name in names if self.apart.schema.get(name) == pl.Boolean]


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(name).cast(pl.String) for name, kind in frame.schema.items() if isinstance(kind, pl.Enum))
