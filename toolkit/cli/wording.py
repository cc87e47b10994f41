"""Numbers as people read them: 74.2 %, 1 h 23 min, 4.7 a week."""

from __future__ import annotations

from typing import Any

__all__ = ["METRIC_COLUMNS", "amount", "metric_line"]

METRIC_COLUMNS = ("metric", "by", "period", "value", "95 %", "n", "note")


def amount(value: float | None, unit: str) -> str:
    """A number with its unit; nothing where it is unknown."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "minutes":
        return _span(value)
    if unit == "per week":
        return f"{value:.2f} a week" if value < 10 else f"{value:.1f} a week"
    return f"{value:,.0f} {unit}"


def _span(minutes: float) -> str:
    sign, size = ("−" if minutes < 0 else ""), abs(minutes)
    if size < 1:
        return f"{sign}{size * 60:.0f} s"
    if size < 60:
        return f"{sign}{size:.1f} min"
    whole = round(size)
    if whole < 48 * 60:
        return f"{sign}{whole // 60} h {whole % 60} min"
    return f"{sign}{size / 1440:.1f} d"


def metric_line(row: dict[str, Any]) -> dict[str, Any]:
    """A row of measure() for a table."""
    unit = row["unit"]
    known = row["low"] is not None or row["high"] is not None
    ends = f"{amount(row['low'], unit)} to {amount(row['high'], unit)}" if known else ""
    # A share by a certain age is not k ÷ n: many have not been followed so long.
    counted = row["k"] is not None and row["kind"] != "Within"
    count = "" if row["n"] is None else f"{row['k']} of {row['n']}" if counted else str(row["n"])
    return {
        "metric": row["metric"],
        "by": row["by"],
        "period": f"{row['period']:%Y-%m-%d}" if row["period"] else None,
        "value": amount(row["value"], unit),
        "95 %": ends,
        "n": count,
        "note": row["note"],
    }
