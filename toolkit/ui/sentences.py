"""Numbers in words: minutes, shares, intervals, and the one sentence that says where the time goes."""

from __future__ import annotations

from typing import Any

import polars as pl

from toolkit.charts import phase_shares
from toolkit.charts.trend import FEW

__all__ = ["change", "headline", "interval", "minutes", "quantity", "rows_behind", "share"]

DOING = {"detect": "Noticing", "decide": "Deciding", "act": "Acting"}
LONG_SILENCE = 10
OUTLIER = 0.1


def minutes(value: float | None) -> str:
    """Minutes as a person says them: 45 s, 12 min, 3.4 h, 2.1 d."""
    if value is None:
        return "–"
    size = abs(value)
    if size < 1:
        return f"{value * 60:.0f} s"
    if size < 120:
        return f"{value:.0f} min"
    return f"{value / 60:.1f} h" if size < 48 * 60 else f"{value / 1440:.1f} d"


def share(value: float | None) -> str:
    """A share as per cent; whole ones unless that would say nothing."""
    if value is None:
        return "–"
    return f"{value:.1%}".replace("%", " %") if 0 < value < 0.01 else f"{value:.0%}".replace("%", " %")


def quantity(value: float | None, unit: str | None) -> str:
    """A metric's value in its own unit."""
    if unit == "minutes":
        return minutes(value)
    if unit == "share":
        return share(value)
    return "–" if value is None else f"{value:,.1f}".removesuffix(".0")


def interval(row: dict[str, Any]) -> str:
    """The interval and what stands behind it: `6–14 min, n 31`; says so where there is none. A count is no estimate."""
    low, high, unit = row["low"], row["high"], row["unit"]
    behind = rows_behind(row)
    if row["censored"]:
        behind += f", {row['censored']:,.0f} {'too recent' if row['kind'] == 'Within' else 'open'}"
    if row["kind"] == "Count" and low is None:
        return f"{str(unit).replace('per ', 'a ')}, {behind}"
    if low is None and high is None:
        return f"no interval, {behind}"
    if high is None:
        return f"over {quantity(low, unit)}, {behind}"
    return f"{_range(low, high, unit)}, {behind}"


def rows_behind(row: dict[str, Any]) -> str:
    """What a number was counted from: `24 of 30`, `n 31`."""
    if row["kind"] == "Rate" and row["k"] is not None:
        return f"{row['k']:,.0f} of {row['n']:,.0f}"
    return f"n {row['n'] or 0:,.0f}"


def change(now: dict[str, Any], before: dict[str, Any]) -> str | None:
    """The difference to the window before, with its sign; "0" where it rounds to nothing, None where either is unknown."""
    if now["value"] is None or before["value"] is None:
        return None
    difference = now["value"] - before["value"]
    size = f"{abs(difference) * 100:.0f} pts" if now["unit"] == "share" else quantity(abs(difference), now["unit"])
    if size.split()[0] in {"0", "0.0"}:
        return "0"
    # A plain hyphen: Streamlit reads the direction of the arrow off it.
    return ("-" if difference < 0 else "+") + size


def headline(incidents: pl.DataFrame) -> str:
    """The one sentence: which phase takes most, and how often a criterion held long before anyone decided."""
    # An open incident's last phase is the time so far: it is whole once it is over.
    whole = incidents.filter(pl.all_horizontal(pl.col(*DOING).is_not_null()) & ~pl.col("open"))
    shares = phase_shares(whole)
    if not shares or len(whole) < FEW:
        many = f"{len(whole) or 'No'} incident{'' if len(whole) == 1 else 's'} with all three phases"
        return f"{many} in this window: too few to say where the minutes go."
    phase = max(shares, key=lambda name: shares[name])
    sentence = f"{DOING[phase]} takes {share(shares[phase])} of the minutes from impact to recovery"
    without = phase_shares(whole.sort("whole", "id").head(-1))
    # One endless incident must not speak for all of them.
    if without and abs(without[phase] - shares[phase]) >= OUTLIER:
        sentence += f" ({share(without[phase])} without the longest incident)"
    silent = incidents.filter(pl.col("silent_minutes").is_not_null() & ~pl.col("open"))
    late = silent.filter(pl.col("silent_minutes").dt.total_microseconds() > LONG_SILENCE * 60_000_000)
    if len(late):
        sentence += f"; in {len(late)} of {len(silent)} a criterion had held for over {LONG_SILENCE} min before anyone decided"
    return sentence + "."


def _range(low: float, high: float, unit: str | None) -> str:
    first, last = quantity(low, unit), quantity(high, unit)
    number, _, name = first.partition(" ")
    return f"{number}–{last}" if name and last.endswith(f" {name}") else f"{first} – {last}"
