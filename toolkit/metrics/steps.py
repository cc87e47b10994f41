"""Step by step: how often a playbook's step is done, and how long recovery took with it and without. Never as a cause."""

from __future__ import annotations

from typing import Any

import polars as pl

from toolkit.errors import UsageError
from toolkit.metrics.estimates import FEW, SERVICES_ONLY, rated
from toolkit.metrics.reading import loaded, published, with_storm
from toolkit.metrics.scope import Moment, scope_of
from toolkit.metrics.tally import clustered, numbered
from toolkit.stats.clusters import rate_intervals
from toolkit.stats.comparisons import compare_durations, compare_open_durations, false_discoveries
from toolkit.stats.durations import quantiles, sample

__all__ = ["NOT_A_CAUSE", "STEPS", "in_short", "steps"]

NOT_A_CAUSE = (
    "With and without are different incidents, not the same ones treated differently: a long incident leaves more time for every step. "
    "Read it as a question to the playbook."
)
ASKED = ["done", "late", "out_of_order", "skipped"]
DONE = ["done", "late", "out_of_order"]
STEPS: dict[str, Any] = {
    "playbook": pl.String, "place": pl.Int64, "step": pl.String, "title": pl.String, "who": pl.String, "expected": pl.String,
    **dict.fromkeys(("n", "done", "late", "out_of_order", "skipped", "waived", "unknown"), pl.Int64), "waived_why": pl.List(pl.String),
    **dict.fromkeys(("adherence", "low", "high"), pl.Float64), "adherence_method": pl.String, "adherence_note": pl.String,
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
    time and in order, of n, with the 95 % interval that any rate has: an incident is no witness of its own where a storm or, over several
    services, a service brought more of them.
    with, without: median minutes from detection to recovery of the incidents in which the step was done at all (late and out of order,
    too) and in which it was skipped, with intervals; ratio: with ÷ without, Hodges–Lehmann on logs, with open incidents of Kaplan–Meier
    medians, whose interval draws the same clusters. real: more than chance, judged over all steps together. Null: not known; the note
    says why.
    Raises UsageError for a playbook under which no incident fell.
    """
    w = published(w)
    frame = w.facts.conformance
    scope = scope_of(w, earliest=None if window or start else _first(frame), window=window, start=start, end=end, service=service)
    rows = with_storm(frame.filter(scope.rows("conformance") & ~pl.col("planned") & ~pl.col("before_coverage")), w.facts).collect()
    names = rows["playbook"].unique().sort().to_list()
    if playbook is not None and playbook not in names:
        why = "" if loaded(w).get("incident_events") else " Connect timelines of incidents (knowngood load FILE --as incident_event)."
        raise UsageError(f"No incident with a timeline fell under a playbook {playbook!r}. There are: {', '.join(names) or 'none'}.{why}")
    rows = rows.filter(pl.col("step").is_not_null())
    if playbook is not None:
        rows = rows.filter(pl.col("playbook") == playbook)
    rows = _numbered(rows.sort("playbook", "place", "at", "id"), service)
    found = [
        about | _recovery(part, scope.horizon, hastens=part["hastens"][-1])
        for about, part in zip(_adherence(rows), rows.partition_by("_cell", maintain_order=True), strict=True)
    ]
    for one, real in zip(found, false_discoveries([float("nan") if one["p"] is None else one["p"] for one in found]), strict=True):
        one["real"] = real if one["p"] is not None else None
    return pl.DataFrame(found, schema=STEPS)


def in_short(row: dict[str, Any]) -> str:
    """What a person must know of a step's numbers, in a few words."""
    if row["n"] == 0:
        return "nobody records what would show it" if row["unknown"] else "never asked for"
    if row["n"] < FEW:
        return f"asked for in {row['n']} only"
    parts = [row["note"]]
    if row["ratio"] is not None:
        parts.append("more than chance" if row["real"] else "within what chance does")
    if SERVICES_ONLY in (row["adherence_note"] or ""):
        parts.append(SERVICES_ONLY)
    return "; ".join(dict.fromkeys(filter(None, parts)))


def _first(frame: pl.LazyFrame) -> Any:
    return frame.select(pl.col("at").min()).collect().item()


def _numbered(rows: pl.DataFrame, service: str | None) -> pl.DataFrame:
    """Adds the step's number _cell and, for each incident, service (its first, or the one asked for), _service and _storm as numbers."""
    first = pl.lit(service) if service is not None else pl.col("services").list.first()
    return numbered(rows.with_columns(first.alias("service"), _cell=pl.struct("playbook", "place").rank("dense").cast(pl.Int64) - 1))


def _adherence(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """For each step, in order: what it is, its verdicts counted, and how far it is followed."""
    each = rows.group_by("_cell", maintain_order=True)
    about = each.agg(pl.col("playbook", "place", "step", "title", "who", "expected").last())
    counts = each.agg(
        *(_verdict(name).sum().cast(pl.Int64).alias(name) for name in ("done", "late", "out_of_order", "skipped", "waived", "unknown")),
        n=_verdict(*ASKED).sum().cast(pl.Int64),
        waived_why=pl.format("{}: {}", "incident", "waived").filter(_verdict("waived")),
    )
    asked = rows.filter(_verdict(*ASKED))
    sums = asked.group_by("_cell", "_service", "_storm", maintain_order=True).agg(k=_verdict("done").sum(), n=pl.len())
    found = rate_intervals(*clustered(sums, cells=len(about)), cells=len(about))
    estimates = rated(counts.select("_cell", "n"), found)
    estimates = estimates.select("low", "high", adherence="value", adherence_method="method", adherence_note="note")
    return pl.concat([about, counts.drop("_cell"), estimates], how="horizontal").drop("_cell").to_dicts()


def _verdict(*names: str) -> pl.Expr:
    return pl.col("verdict").is_in(names)


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
    if few < FEW:
        return told | {"note": f"fewer than {FEW} with it, or without"}
    one, two = groups["without"], groups["with"]
    clusters = [_clusters(side) for side in (one, two)]
    if one["open"].any() or two["open"].any():
        found = compare_open_durations(
            one["minutes"], one["open"], two["minutes"], two["open"], before_cluster=clusters[0], after_cluster=clusters[1]
        )
    else:
        found = compare_durations(one["minutes"], two["minutes"])
    ends = {"ratio": found.effect, "ratio_low": found.low, "ratio_high": found.high, "p": found.p}
    note = SERVICES_ONLY if any(names is not None and names.n_unique() < FEW for names in clusters) else None
    return told | {name: _number(value) for name, value in ends.items()} | {"method": found.method, "note": note}


def _clusters(side: pl.DataFrame) -> pl.Series | None:
    """For each incident its storm, else its service where there are several; None where each is its own."""
    several = side["_service"].n_unique() > 1
    if not several and (side["_storm"] < 0).all():
        return None
    storm = pl.when(pl.col("_storm") >= 0).then(pl.format("storm {}", "_storm"))
    own = pl.col("service") if several else pl.format("row {}", pl.int_range(pl.len()))
    return side.select(pl.coalesce(storm, own, pl.lit("")).alias("cluster")).to_series()


def _median(name: str, group: pl.DataFrame) -> dict[str, Any]:
    found = quantiles(sample([0] * len(group), group["minutes"], group["open"], cells=1), 0.5, least_for_interval=6)
    value, low, high = (_number(ends[0]) for ends in (found.value, found.low, found.high))
    return {f"{name}_n": len(group), name: value, f"{name}_low": low, f"{name}_high": high}


def _number(value: Any) -> float | None:
    """NaN and infinity are unknown."""
    return None if value is None or value != value or value in (float("inf"), float("-inf")) else float(value)
