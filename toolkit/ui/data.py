"""The warehouse for the pages: read once per version, shared by everyone who looks; no page holds a connection."""

from __future__ import annotations

__all__ = [
    "BY_CONTENT", "case", "compared", "explanation", "journal", "measured", "published_version", "readiness", "scorecard", "states",
    "steps", "view", "what_if", "workspace",
]  # fmt: skip
