"""Measure: metrics in, one row per metric, group and period out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import polars as pl

from toolkit.errors import UsageError
from toolkit.metrics.coverage import followed, watched
from toolkit.metrics.estimates import COLUMNS, NO_ROWS, P90, estimated, not_measured
from toolkit.metrics.metric import METRICS, Duration, Metric
from toolkit.metrics.reading import earliest, lacking, published
from toolkit.metrics.scope import By, Every, Scope, scope_of
from toolkit.metrics.tally import tally

__all__ = ["GROUPS", "PRACTICES", "chosen", "measure"]

# In the order of a story: delivered, broken, rolled back, repaired; then the practices that this rests on.
PRACTICES = ("learning", "immutability", "gates", "flags", "canary", "playbook", "communication", "ownership")
GROUPS = ("dora", "recovery", "rollback", "hotfix", *PRACTICES)


def measure(
    w: Any,
    *names: str,
    group: str | None = None,
    by: By | None = None,
    every: Every | None = None,
    window: str | None = None,
    start: datetime | date | str | None = None,
    end: datetime | date | str | None = None,
    service: str | None = None,
    environment: str | None = None,
) -> pl.DataFrame:
    """Measures a workspace.

    names: metrics, or none for all (of a group; `practices` are the groups from learning on). by: service, team or class; every: 1w (from
    Monday) or 1mo, in the workspace's time zone.
    window: 26w, 90d, 6mo, 1y up to the horizon; or start and end. A metric that reads records whose coverage is declared to end earlier
    ends there. environment: instead of all production environments.

    Returns metric, group, kind, by (null: total), period (start of it; null: the whole window), value, low, high (95 %), n, k,
    censored, unit, method, definition, note. Rates lie in [0, 1], durations are minutes, counts are per week. A Duration has two rows:
    its median and, as <name>_p90, its 90th percentile. value null: unknown; the note says why.
    Of a Within, k had come to it by its age, and censored were not yet followed for so long. Metrics that are split have, without a `by` of
    yours, more rows: `by` is then their own kind.
    """
    w = published(w)
    asked, wanted = chosen(names, group)
    metrics = [watched(w, metric) for metric in asked]
    facts = {metric.fact for metric in metrics}
    scope = scope_of(
        w,
        earliest=earliest(w, facts) if window is None and start is None else None,
        by=by,
        every=every,
        window=window,
        start=start,
        end=end,
        service=service,
        environment=environment,
    )
    missing = {metric.name: lacking(w, metric, scope) for metric in metrics}
    frames = {metric.name: not_measured(metric, name) for metric in metrics if (name := missing[metric.name]) is not None}
    # What reads the same rows up to the same moment is read once.
    together: dict[tuple[str, Scope], list[Metric]] = {}
    for metric in metrics:
        if missing[metric.name] is None:
            together.setdefault((metric.fact, followed(w, metric, scope)), []).append(metric)
    for (fact, known), of_fact in together.items():
        sums = tally(w, fact, of_fact, known)
        frames |= {metric.name: estimated(w, metric, sums, known) for metric in of_fact}
        # Told by its own kinds, too, unless somebody asked for other groups.
        for metric in of_fact if by is None else ():
            if metric.split is not None:
                kinds = replace(known, by=metric.split)
                told = estimated(w, metric, tally(w, fact, [metric], kinds), kinds)
                # A kind of which no row counts, for no reason worth a word, is left unsaid; an empty month of one is not.
                told = told.filter((pl.col("n") != 0) | (pl.col("note") != NO_ROWS).fill_null(value=True) | pl.lit(every is not None))
                frames[metric.name] = pl.concat([frames[metric.name], told])
    rows = pl.concat([pl.DataFrame(schema=COLUMNS), *(frames[metric.name] for metric in metrics)])
    return rows if wanted is None else rows.filter(pl.col("metric").is_in(wanted))


def chosen(names: Iterable[str], group: str | None) -> tuple[list[Metric], list[str] | None]:
    """The metrics that are meant, in the order of asking, and the row names to keep (null: all)."""
    names = list(names)
    if not names:
        if group is not None and group not in (*GROUPS, "practices"):
            raise UsageError(f"No group named {group!r}. There are: {', '.join((*GROUPS, 'practices'))}.")
        asked = GROUPS if group is None else PRACTICES if group == "practices" else (group,)
        meant = [metric for metric in METRICS.values() if metric.headline and metric.group in asked]
        return sorted(meant, key=lambda metric: GROUPS.index(metric.group)), None
    found: dict[str, Metric] = {}
    wanted: list[str] = []
    for name in names:
        metric = METRICS.get(name) or METRICS.get(name.removesuffix(P90))
        if metric is None or (name not in METRICS and metric.kind is not Duration):
            known = sorted(METRICS.values(), key=lambda metric: GROUPS.index(metric.group))
            raise UsageError(f"No metric named {name!r}. There are: {', '.join(metric.name for metric in known)}.")
        if group is not None and metric.group != group and not (group == "practices" and metric.group in PRACTICES):
            raise UsageError(f"{name} is in the group {metric.group}, not in {group}.")
        found[metric.name] = metric
        # A Duration's name means both of its rows; with the suffix only that one.
        wanted += [name] if name not in METRICS else [name, *([name + P90] if metric.kind is Duration else [])]
    return list(found.values()), wanted
