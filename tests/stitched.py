"""A workspace made of a few records: stitched, not published."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import polars as pl

from tests.builders import HORIZON, frames, history
from toolkit.facts import facts_of

__all__ = ["stitched"]

OWNED = {"service": pl.String, "team": pl.String, "class": pl.String}


def stitched(*rows: dict[str, Any], horizon: datetime = HORIZON, time_zone: str = "UTC", **meta: Any) -> Any:
    """What measure() and explain() need of a workspace that holds these records."""
    records = history(*rows)
    facts = facts_of(frames(records), horizon=horizon)
    times = {name: pl.Datetime("us", "UTC") for name in ("valid_from", "valid_to")}
    lazy = {name: frame.lazy() for name, frame in facts.items()} | {"owners": pl.LazyFrame(schema=OWNED | times)}
    return SimpleNamespace(
        facts=SimpleNamespace(**lazy),
        meta={"horizon": horizon.isoformat(), "version": "v1", "records": {name: len(rows) for name, rows in records.items()}} | meta,
        settings=SimpleNamespace(severities=[], time_zone=time_zone),
    )
