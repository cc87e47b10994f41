"""Panels and sample frames by hand: a test names what matters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.panel import Arm, Panel
from toolkit.passage import first_passages

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def arm(value: Any = None, bad: Any = None, total: Any = None) -> Arm:
    """An arm from matrices of evaluations × deployments."""
    given = next(part for part in (value, bad, total) if part is not None)
    nothing = np.full(np.shape(given), np.nan)
    return Arm(*(nothing if part is None else np.asarray(part, float) for part in (bad, total, value)))


def panel(step: float = 60.0, first: int = 0, series: str = "errors", **arms: Arm) -> Panel:
    """A panel of the named variants of one series; all evaluations are asked for."""
    rows, across = next(iter(arms.values())).value.shape
    return Panel(
        deployments=tuple(f"d{place}" for place in range(across)),
        step=step,
        first=first,
        rows=rows,
        offsets=np.zeros(across),
        ends=np.full(across, rows - first),
        arms={(series, variant.removesuffix("_")): value for variant, value in arms.items()},
    )


def fired(criterion: Criterion, where: Panel, limits: Sequence[float], n: int) -> list[list[int | None]]:
    """For each deployment and limit the evaluation at which it fires."""
    ((_, found),) = first_passages(where, criterion, limits, (n,))
    rows = where.rows - where.first
    return [[None if at == rows else int(at) for at in row] for row in found]


def samples(
    *,
    deployment: str | None = "d1",
    service: str = "shop",
    variant: str = "all",
    series: str = "errors",
    start: datetime = START,
    step: float = 60,
    declared: float | None = 60,
    **columns: Sequence[float | None],
) -> pl.DataFrame:
    """Sample rows a step apart: bad and total, or value."""
    length = len(next(iter(columns.values())))
    told = {name: columns.get(name, [None] * length) for name in ("value", "bad", "total")}
    return pl.DataFrame(
        {
            "service": service,
            "series": series,
            "variant": variant,
            "deployment": pl.Series([deployment] * length, dtype=pl.String),
            "at": [start + timedelta(seconds=step * place) for place in range(length)],
            **{name: pl.Series(values, dtype=pl.Float64, strict=False) for name, values in told.items()},
            "step": pl.Series([declared] * length, dtype=pl.Float64),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def deployments(*names: str, service: str = "shop", deployed_at: datetime = START) -> pl.DataFrame:
    """Deployments of one service, all at one moment."""
    return pl.DataFrame(
        {"deployment": list(names), "service": service, "deployed_at": deployed_at},
        schema_overrides={"deployed_at": pl.Datetime("us", "UTC")},
    )
