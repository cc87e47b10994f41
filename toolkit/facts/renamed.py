"""A service that was renamed is one service: what was said under its old names counts under the one it has now."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

__all__ = ["renamed"]


def renamed(records: Mapping[str, pl.DataFrame], names: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    """The records with services by their present names. names: old → new, as the settings have it; a new name may be an old one too."""
    now = {old: _present(old, names) for old in names}
    if not now:
        return dict(records)
    return {record: _under(frame, now) for record, frame in records.items()}


def _present(name: str, names: Mapping[str, str]) -> str:
    # Settings refuse circles, so this ends.
    while name in names:
        name = names[name]
    return name


def _under(frame: pl.DataFrame, now: Mapping[str, str]) -> pl.DataFrame:
    if "service" in frame.columns:
        frame = frame.with_columns(pl.col("service").replace(now))
    if "services" in frame.columns:
        # An incident that names both names touches one service.
        frame = frame.with_columns(pl.col("services").list.eval(pl.element().replace(now)).list.unique(maintain_order=True))
    return frame
