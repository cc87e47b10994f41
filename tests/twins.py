"""The two that stitch, to be asked the same: the plain oracle and the engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from tests import oracle
from tests.builders import HORIZON, frames, history
from toolkit.facts import facts_of

__all__ = ["TWINS", "Stitch", "Twin", "stitched_by"]

Row = dict[str, Any]
Facts = dict[str, list[Row]]
Twin = Callable[[Facts, datetime], Facts]
Stitch = Callable[..., SimpleNamespace]


def by_oracle(records: Facts, horizon: datetime) -> Facts:
    return oracle.stitch(records, horizon)


def by_engine(records: Facts, horizon: datetime) -> Facts:
    return {name: frame.to_dicts() for name, frame in facts_of(frames(records), horizon=horizon).items()}


TWINS: list[Twin] = [by_oracle, by_engine]


def stitched_by(twin: Twin, *rows: Row, horizon: datetime = HORIZON) -> SimpleNamespace:
    """Deployments, rollbacks and incidents by id, and all evidence."""
    facts = twin(history(*rows), horizon)
    named = {name: {row["id"]: row for row in facts[name]} for name in ("deployments", "rollbacks", "incidents")}
    return SimpleNamespace(**named, evidence=sorted(facts["evidence"], key=str))
