"""Step by step: how often a playbook's step is done, and how long recovery took with it and without. Never as a cause."""

from __future__ import annotations

from typing import Any

import polars as pl

from toolkit.errors import UsageError
from toolkit.metrics.reading import loaded, published
from toolkit.metrics.scope import Moment, scope_of
from toolkit.stats.comparisons import compare_durations, compare_open_durations, false_discoveries
from toolkit.stats.durations import quantiles, sample
from toolkit.stats.proportions import wilson

__all__ = ["NOT_A_CAUSE", "STEPS", "steps"]

NOT_A_CAUSE = (
    "With and without are different incidents, not the same ones treated differently: a long incident leaves more time for every step. "
    "Read it as a question to the playbook."
)
ASKED = ["done", "late", "out_of_order", "skipped"]
DONE = ["done", "late", "out_of_order"]
STEPS: dict[str, Any] = {
    "playbook": pl.String, "place": pl.Int64, "step": pl.String, "title": pl.String, "who": pl.String, "expected": pl.String,
    **dict.fromkeys(("n", "done", "late", "out_of_order", "skipped", "waived", "unknown"), pl.Int64), "waived_why": pl.List(pl.String),
    **dict.fromkeys(("adherence", "low", "high"), pl.Float64),
    "with_n": pl.Int64, **dict.fromkeys(("with", "with_low", "with_high"), pl.Float64),
    "without_n": pl.Int64, **dict.fromkeys(("without", "without_low", "without_high"), pl.Float64),
    **dict.fromkeys(("ratio", "ratio_low", "ratio_high", "p"), pl.Float64), "real": pl.Boolean, "method": pl.String, "note": pl.String,
}  # fmt: skip


def steps(
    w: Any,
    playbook: str | None = None,
    *,
    window: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    service: str | None = None,
) -> pl.DataFrame:
    """A row a step of each playbook, in its order.

    n: incidents in which it was asked for and could be told; waived_why: of each waiver the incident and the reason; adherence: done, in
    time and in order, of n, with Wilson's 95 % interval.
    with, without: median minutes from detection to recovery of the incidents in which the step was done at all (late and out of order,
    too) and in which it was skipped, with intervals; ratio: with ÷ without, Hodges–Lehmann on logs, with open incidents of Kaplan–Meier
    medians. real: more than chance, judged over all steps together. Null: not known; the note says why.
    Raises UsageError for a playbook under which no incident fell.
    """
    w = published(w)
    frame = w.facts.conformance
    scope = scope_of(w, earliest=None if window or start else _first(frame), window=window, start=start, end=end, service=service)
    rows = frame.filter(scope.rows("conformance") & ~pl.col("planned") & ~pl.col("before_coverage")).collect()
    names = rows["playbook"].unique().sort().to_list()
    if playbook is not None and playbook not in names:
        why = "" if loaded(w).get("incident_events") else " Connect timelines of incidents (knowngood load FILE --as incident_event)."
        raise UsageError(f"No incident with a timeline fell under a playbook {playbook!r}. There are: {', '.join(names) or 'none'}.{why}")
    rows = rows.filter(pl.col("step").is_not_null())
    if playbook is not None:
        rows = rows.filter(pl.col("playbook") == playbook)
    found = [
        _of_step(part, scope.horizon)
        for _, part in rows.sort("playbook", "place", "at", "id").group_by("playbook", "place", maintain_order=True)
    ]
    for one, real in zip(found, false_discoveries([float("nan") if one["p"] is None else one["p"] for one in found]), strict=True):
        one["real"] = real if one["p"] is not None else None
    return pl.DataFrame(found, schema=STEPS)


def _first(frame: pl.LazyFrame) -> Any:
    return frame.select(pl.col("at").min()).collect().item()


def _of_step(rows: pl.DataFrame, horizon: Any) -> dict[str, Any]:
    counts = dict(rows["verdict"].value_counts().iter_rows())
    asked = sum(counts.get(name, 0) for name in ASKED)
    low, high = wilson([counts.get("done", 0)], [asked]) if asked else ([None], [None])
    own = {name: counts.get(name, 0) for name in ("done", "late", "out_of_order", "skipped", "waived", "unknown")}
    waived = rows.filter(pl.col("verdict") == "waived").select(pl.format("{}: {}", "incident", "waived"))
    about = rows.select("playbook", "place", "step", "title", "who", "expected", "hastens").row(-1, named=True)
    hastens = about.pop("hastens")
    adherence = {
        "adherence": counts.get("done", 0) / asked if asked else None,
        "low": _number(low[0]),
        "high": _number(high[0]),
    }
    counted = {"n": asked, **own, "waived_why": waived.to_series().to_list()}
    return {**about, **counted, **adherence, **_recovery(rows, horizon, hastens=hastens), "real": None}


def _recovery(rows: pl.DataFrame, horizon: Any, *, hastens: bool) -> dict[str, Any]:
    minutes = (pl.coalesce("recovered_at", pl.lit(horizon)) - pl.col("detected_at")).dt.total_microseconds() / 60e6
    spans = rows.with_columns(minutes=minutes, open=pl.col("recovered_at").is_null()).filter(pl.col("minutes") >= 0)
    # Under a second counts as a second, as in every duration.
    spans = spans.with_columns(pl.col("minutes").clip(lower_bound=1 / 60))
    # A step that may be left out without being skipped: those incidents are the ones without.
    groups = {
        "with": spans.filter(pl.col("verdict").is_in(DONE)),
        "without": spans.filter(pl.col("verdict").is_in(["skipped", "not_taken"])),
    }
    told: dict[str, Any] = dict.fromkeys(("ratio", "ratio_low", "ratio_high", "p", "method", "note"))
    for name, group in groups.items():
        told |= _median(name, group) if hastens else {f"{name}_n": len(group)} | dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    few = min(len(group) for group in groups.values())
    if not hastens:
        return told | {"note": "comes after the recovery"}
    if few < 5:
        return told | {"note": "fewer than 5 incidents on one side"}
    one, two = groups["without"], groups["with"]
    if one["open"].any() or two["open"].any():
        found = compare_open_durations(one["minutes"], one["open"], two["minutes"], two["open"])
    else:
        found = compare_durations(one["minutes"], two["minutes"])
    ends = {"ratio": found.effect, "ratio_low": found.low, "ratio_high": found.high, "p": found.p}
    return told | {name: _number(value) for name, value in ends.items()} | {"method": found.method}


def _median(name: str, group: pl.DataFrame) -> dict[str, Any]:
    found = quantiles(sample([0] * len(group), group["minutes"], group["open"], cells=1), 0.5, least_for_interval=6)
    value, low, high = (_number(ends[0]) for ends in (found.value, found.low, found.high))
    return {f"{name}_n": len(group), name: value, f"{name}_low": low, f"{name}_high": high}


def _number(value: Any) -> float | None:
    """NaN and infinity are unknown."""
    return None if value is None or value != value or value in (float("inf"), float("-inf")) else float(value)
