"""How a long table lies in the warehouse: a column that says little takes little room, and a view shows it as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import polars as pl

from toolkit.store.connect import literal, quoted, select_list

if TYPE_CHECKING:
    from toolkit.facts.parted import Parted

__all__ = ["Layout", "Table", "create", "is_long", "lay", "lay_apart", "layout_of", "put_together"]

Table: TypeAlias = Union[pl.DataFrame, "Parted"]

_LONG = 10_000
# Null in nine rows of ten: such columns stand apart, with the rows that they say anything of.
_THIN = 0.9
# So many rows a word on average make words worth a number each.
_REPEATED = 20
# A table of constants has one row, even where there is none.
_ONLY = "one row"


@dataclass(frozen=True)
class Layout:
    """Columns by how they lie; those in none of these are `dense` as they are. thin: apart, with their rows. constant: once for
    all rows. twin: the column that says the same in every row. words: numbers, and the words once. flags: those of the thin that are
    false where nothing is said."""

    thin: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    twin: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.thin or self.constant or self.twin or self.words)

    def with_apart(self, apart: pl.DataFrame) -> Layout:
        """With these columns apart too."""
        names = [name for name in apart.columns if name != "row"]
        return replace(self, thin=(*self.thin, *names), flags=tuple(name for name in names if apart.schema[name] == pl.Boolean))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        said = json.loads(text)
        return cls(tuple(said["thin"]), tuple(said["constant"]), said["twin"], tuple(said["words"]), tuple(said.get("flags", ())))

    def is_dense(self, name: str) -> bool:
        return name not in self.thin and name not in self.constant and name not in self.twin

    def stored(self, name: str) -> str:
        """The column that says it."""
        return self.twin.get(name, name)


def is_long(table: Table) -> bool:
    """Whether it pays to look how it lies: shorter tables are cheap whatever they hold."""
    return len(table) >= _LONG


def layout_of(frame: pl.DataFrame) -> Layout:
    """Of a table in DuckDB's types. The first column is always dense: it says how many rows there are."""
    if not is_long(frame):
        return Layout()
    # With it come all the passes, which those who only read do without.
    from toolkit.facts.joins import are_same, is_even

    thin, constant = [], []
    twin: dict[str, str] = {}
    dense: list[pl.Series] = []
    for column in frame:
        if dense and column.null_count() >= _THIN * len(column):
            thin.append(column.name)
        elif dense and is_even(column):
            constant.append(column.name)
        elif (same := next((other.name for other in dense if are_same(column, other)), None)) is not None:
            twin[column.name] = same
        else:
            dense.append(column)
    words = [column.name for column in dense if isinstance(column.dtype, pl.Enum)]
    texts = pl.DataFrame([column for column in dense if column.dtype == pl.String])
    found = texts.select(pl.all().approx_n_unique()).rows(named=True)
    words += [name for row in found for name, count in row.items() if count * _REPEATED < len(frame)]
    return Layout(tuple(thin), tuple(constant), twin, tuple(words))


def lay(con: Any, name: str, frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Write what lies dense and what is said once into the attached database `out`, and return what stands apart, by `row`."""
    table = quoted(name)
    kinds = {column: f"dense.{quoted(f'{name}.{column}')}" for column in layout.words}
    for column, kind in kinds.items():
        words = f"SELECT DISTINCT {quoted(column)} FROM frame WHERE {quoted(column)} IS NOT NULL ORDER BY ALL"
        if isinstance(known := frame.schema[column], pl.Enum):
            words = ", ".join(literal(word) for word in known.categories)
        create(con, f"TYPE out.{kind} AS ENUM ({words})", frame.select(column))
    dense = [column for column in frame.columns if layout.is_dense(column)]
    as_kind = (f"{quoted(column)}::out.{kinds[column]} AS {quoted(column)}" if column in kinds else quoted(column) for column in dense)
    create(con, f"TABLE out.dense.{table} AS SELECT {', '.join(as_kind)} FROM frame", frame.select(dense))
    once = frame.head(1).select(pl.lit(value=True).alias(_ONLY), *layout.constant)
    create(con, f"TABLE out.constant.{table} AS SELECT * FROM frame", once)
    told = pl.any_horizontal(pl.col(layout.thin).is_not_null()) if layout.thin else pl.lit(value=False)
    return frame.select(layout.thin).with_row_index("row").filter(told)


def lay_apart(con: Any, name: str, thin: pl.DataFrame, layout: Layout, columns: Sequence[str]) -> None:
    """Write what stands apart, and the view in `facts` that shows the table with these columns, in this order."""
    table = quoted(name)
    create(con, f"TABLE out.thin.{table} AS SELECT * FROM frame", thin)
    listed = ", ".join(f"{_shown(column, layout)} AS {quoted(column)}" for column in columns)
    joined = f"dense.{table} AS d CROSS JOIN constant.{table} AS c LEFT JOIN thin.{table} AS t ON t.row = d.rowid"
    con.execute(f"CREATE VIEW out.facts.{table} AS SELECT {listed} FROM {joined}")


def create(con: Any, what: str, frame: pl.DataFrame) -> None:
    """CREATE what, which reads `frame`."""
    # As polars holds them: the texts are not copied.
    con.register("frame", frame.to_arrow(compat_level=pl.CompatLevel.newest()))
    con.execute(f"CREATE {what}")
    con.unregister("frame")


def _shown(column: str, layout: Layout) -> str:
    if column in layout.thin:
        return f"coalesce(t.{quoted(column)}, false)" if column in layout.flags else f"t.{quoted(column)}"
    if column in layout.constant:
        return f"c.{quoted(column)}"
    stored = layout.stored(column)
    return f"d.{quoted(stored)}{'::VARCHAR' if stored in layout.words else ''}"


def put_together(con: Any, name: str, columns: list[str], layout: Layout) -> pl.DataFrame:
    """What the view shows, with its rows in the order in which they were written, at a fraction of its price."""
    table = quoted(name)
    stored = list(dict.fromkeys(layout.stored(column) for column in columns if layout.is_dense(layout.stored(column))))
    # Columns that stand apart do not say how many rows there are.
    frame = con.sql(f"SELECT {select_list(stored) or 'true'} FROM dense.{table}").pl()
    # In one piece while words are numbers: later it would be in any case, at twice the size.
    frame = frame.rechunk().with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    once = con.sql(f"SELECT * FROM constant.{table}").pl()
    twins = [pl.col(layout.stored(column)).alias(column) for column in columns if column in layout.twin]
    frame = frame.with_columns(
        *twins, *(pl.lit(once[column][0], once.schema[column]).alias(column) for column in columns if column in layout.constant)
    )
    apart = [column for column in columns if column in layout.thin]
    if apart:
        rows = con.sql(f"SELECT row, {select_list(apart)} FROM thin.{table}").pl()
        # With it come all the passes, which most readers of a warehouse do without.
        from toolkit.facts.joins import at_rows

        flags = [pl.col(column).fill_null(value=False) for column in apart if column in layout.flags]
        frame = at_rows(frame, rows, "row").with_columns(flags)
    return frame.select(columns)
