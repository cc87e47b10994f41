"""What leaves the command: JSON on stdout, tables for people, files; foreign text never steers a terminal or a spreadsheet."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import UsageError
from toolkit.untrusted import visible

if TYPE_CHECKING:
    import polars as pl

__all__ = ["neutralised", "print_json", "print_table", "records", "talk", "visible", "write_file"]

# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def neutralised(text: str) -> str:
    """A CSV cell that no spreadsheet computes."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def talk(text: str) -> None:
    """Say something to a person, on stderr; line by line, so that a sentence of ours may have several."""
    sys.stderr.write("\n".join(visible(line) for line in text.splitlines()) + "\n")


def print_json(value: Any) -> None:
    """One JSON value on stdout, in ASCII: a terminal that shows it is not steered by it either."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain objects: times in ISO 8601 with Z, durations as minutes."""
    return [{name: _plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, timedelta):
        return round(value / timedelta(minutes=1), 6)
    if isinstance(value, float):
        # A nanominute: what is beyond is rounding. JSON has no NaN.
        return round(value, 9) if math.isfinite(value) else None
    if isinstance(value, (date, Path)):
        return str(value)
    return value


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, right: Sequence[str] = ()) -> None:
    """A table for people on stdout; every cell is text, never markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(visible(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(_cell(value))) for value in row))
    # A pipe has no width; what were cut there would be lost.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    with console.capture() as captured:
        console.print(table)
    sys.stdout.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, timedelta):
        return f"{value / timedelta(minutes=1):,.1f} min"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,.3g}" if isinstance(value, float) else str(value)


def write_file(frame: pl.DataFrame, path: Path) -> None:
    """A .parquet as it is; a .csv with times in ISO 8601, durations in minutes, lists as JSON and no formulas."""
    import polars as pl

    if path.suffix == ".parquet":
        frame.write_parquet(path)
        return
    if path.suffix != ".csv":
        raise UsageError(f"{path} is neither .parquet nor .csv.")
    columns = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if isinstance(kind, pl.Datetime):
            columns.append(column.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"))
        elif isinstance(kind, pl.Duration):
            columns.append(column.dt.total_microseconds() / 60e6)
        elif isinstance(kind, pl.List):
            columns.append(column.map_elements(lambda items: neutralised(json.dumps(items.to_list())), return_dtype=pl.String))
        elif isinstance(kind, (pl.String, pl.Enum, pl.Categorical)):
            text = column.cast(pl.String)
            columns.append(pl.when(text.str.contains(r"^[=+\-@\t\r]")).then(pl.concat_str(pl.lit("'"), text)).otherwise(text).alias(name))
        else:
            columns.append(column)
    frame.select(columns).write_csv(path)
