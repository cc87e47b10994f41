"""What a load or a sync says when it is done."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunReport"]


@dataclass(frozen=True)
class RunReport:
    """What one file or stream brought. read = new + changed + unchanged + superseded + quarantined."""

    source: str
    record: str
    path: str | None
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0
    skipped: bool = False
    resumed: bool = False
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
