"""A comparison in words: what changed and how surely, or what could not have been seen."""

from __future__ import annotations

from typing import Any

from toolkit.metrics.metric import Metric

__all__ = ["verdict"]

SURPRISING = 0.05
# Facts whose rows people call by another name.
_ROWS = {
    "followups": "incidents",
    "provenance": "deployments",
    "checks": "gates passed",
    "gates": "runs of gates",
    "action_items": "action items",
    "conformance": "steps",
    "communications": "incidents",
    "update_gaps": "waits",
}


def verdict(metric: Metric, row: dict[str, Any], compared: int) -> str:
    """One sentence on a row of compare(); compared: how many numbers were compared on the page."""
    if row["p"] is None:
        return row["note"] if row["note"] and "compared" in row["note"] else f"not compared: {row['note'] or 'no rows'}"
    if row["p"] > SURPRISING:
        return _nothing(metric, row)
    said = f"{_moved(metric, row)}{_judged(metric, row)}"
    if row["real"]:
        return said
    return f"{said}; but among {compared} numbers compared at once so much is expected by chance"


def _nothing(metric: Metric, row: dict[str, Any]) -> str:
    rows = row["n_before"] + row["n_after"]
    seen = f"no change that {rows:,} {_noun(metric, rows)} could show"
    if row["smallest"] is None:
        return f"{seen}; not even a fall to nothing would be visible"
    if round(row["smallest"], 2) == round(row["smallest_at_most"] or row["smallest"], 2):
        return f"{seen}; the smallest visible is {row['smallest']:.0%}".replace("%", " %")
    return f"{seen}; the smallest visible is {row['smallest']:.0%} to {row['smallest_at_most']:.0%}".replace("%", " %")


def _noun(metric: Metric, rows: int) -> str:
    if metric.fact in _ROWS:
        return _ROWS[metric.fact]
    return metric.fact if rows != 1 else metric.fact.removesuffix("es") if metric.fact == "hotfixes" else metric.fact.removesuffix("s")


def _moved(metric: Metric, row: dict[str, Any]) -> str:
    """Which way, by how much, and between which bounds."""
    if metric.unit == "share":
        way, sign = ("rose", 1) if row["effect"] > 0 else ("fell", -1)
        ends = sorted(sign * 100 * end for end in (row["low"], row["high"]))
        return f"{way} by {abs(100 * row['effect']):.1f} points ({ends[0]:.1f} to {ends[1]:.1f})"
    effect, low, high = row["effect"], row["low"], row["high"]
    if effect is None:
        return "changed, by an amount that is not known yet"
    way = "rose" if effect > 1 else "fell"
    if way == "rose":
        return f"{way} to {effect:.2g} times ({_times(low)} to {_times(high)})"
    return f"{way} by {1 - effect:.0%} ({_less(high)} to {_less(low)})".replace("%", " %")


def _times(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.2g}"


def _less(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{1 - ratio:.0%}"


def _judged(metric: Metric, row: dict[str, Any]) -> str:
    if metric.better is None or row["effect"] is None:
        return ""
    rose = row["effect"] > (0 if metric.unit == "share" else 1)
    return ", which is better" if rose == (metric.better == "up") else ", which is worse"
