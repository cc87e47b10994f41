"""Every threshold at a glance: what each limit would have caught and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from toolkit.criteria import Criterion
from toolkit.hindsight import judged
from toolkit.passage import PROFILE, WATCHED, Passages, detections
from toolkit.stats.proportions import clopper_pearson

__all__ = ["Scoped", "curve", "firings", "limits_around", "scoped", "stored"]


def stored(facts: Any, criterion: str) -> Passages:
    """What a criterion in force has seen, as it was published."""
    named = pl.col("criterion") == criterion
    profiles, watched = (table.filter(named).collect() for table in (facts.profiles, facts.watched))
    return Passages(profiles.select(*PROFILE), watched.select(*WATCHED), pl.DataFrame())


@dataclass(frozen=True)
class Scoped:
    """The labels of the deployments that a criterion concerns, and what it has seen of them."""

    labels: pl.DataFrame
    passages: Passages


def scoped(facts: Any, labels: pl.DataFrame, criterion: Criterion) -> Scoped:
    """A criterion's own deployments. labels: as `labels_of` gives them."""
    if criterion.service_class is not None:
        labels = labels.filter(pl.col("service_class") == criterion.service_class)
    if criterion.service is not None:
        labels = labels.filter(pl.col("service") == criterion.service)
    seen = stored(facts, criterion.name)
    profiles, watched = (table.join(labels, on="deployment", how="semi") for table in (seen.profiles, seen.watched))
    return Scoped(labels, Passages(profiles, watched, seen.problems))


def limits_around(seen: Passages, criterion: Criterion, n: int, *, many: int = 60) -> list[float]:
    """Limits at which something changes, from the quietest deployments to the loudest, and the one in force, its half and its double."""
    values = seen.profiles.filter(pl.col("n") == n)["value"]
    known = np.unique([criterion.limit_of(float(value)) for value in values.filter(values.is_finite())])
    if len(known) > many:
        known = known[np.linspace(0, len(known) - 1, many).round().astype(int)]
    current = criterion.setting()
    return sorted({*known.tolist(), current / 2, current, current * 2})


def curve(labels: pl.DataFrame, seen: Passages, criterion: Criterion, n: int, limits: Sequence[float]) -> pl.DataFrame:
    """Per limit: caught of bad, false_stops of good, with exact 95 % intervals (caught_low, caught_high, stops_low, stops_high).

    labels: as `labels_of` gives them. A bad deployment without telemetry is one that no limit catches; a good one counts where it fired or
    was watched to the end.
    """
    told = labels.select("deployment", "label", "start").join(seen.watched.select("deployment", "complete"), on="deployment", how="left")
    bad = told.filter(pl.col("label") == "bad")
    good = told.filter(pl.col("label") == "good", pl.col("complete").is_not_null())
    fired = detections(seen.profiles, criterion, limits, n=n).join(told, on="deployment")
    early = (pl.col("t") < pl.col("start")).fill_null(value=False)
    rows = fired.group_by("limit").agg(
        caught=((pl.col("label") == "bad") & ~early).sum(),
        false_stops=(pl.col("label") == "good").sum(),
        cut=((pl.col("label") == "good") & ~pl.col("complete").fill_null(value=False)).sum(),
    )
    counted = pl.DataFrame({"limit": list(limits)}, schema_overrides={"limit": pl.Float64}).join(rows, on="limit", how="left")
    counted = counted.with_columns(pl.col("caught", "false_stops", "cut").fill_null(0).cast(pl.Int64)).with_columns(
        bad=pl.lit(len(bad), pl.Int64), good=pl.lit(int(good["complete"].sum()), pl.Int64) + pl.col("cut")
    )
    ends: dict[str, Any] = {}
    for name, of, k in (("caught", "bad", "caught"), ("stops", "good", "false_stops")):
        low, high = clopper_pearson(counted[k].to_numpy(), counted[of].to_numpy())
        ends |= {f"{name}_low": low, f"{name}_high": high}
    return counted.drop("cut").with_columns(pl.Series(name, values) for name, values in ends.items()).sort("limit")


def firings(labels: pl.DataFrame, seen: Passages, settings: dict[str, tuple[Criterion, int]]) -> pl.DataFrame:
    """One row a deployment that is bad or was stopped by any of the settings: deployment, service, deployed_at, label, and for each
    setting its verdict and the minutes from deployed_at to firing (`<name>`, `<name>_t`)."""
    rows = labels.select("deployment", "service", "deployed_at", "label", "start", "incident")
    for name, (criterion, n) in settings.items():
        own = judged(labels, seen, criterion, n=n).select("deployment", pl.col("verdict").alias(name), pl.col("t").alias(f"{name}_t"))
        rows = rows.join(own, on="deployment", how="left", maintain_order="left")
    stopped = pl.any_horizontal(pl.col(f"{name}_t").is_not_null() for name in settings)
    return rows.filter((pl.col("label") == "bad") | stopped).sort("deployed_at", "deployment")
