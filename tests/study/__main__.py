"""python -m tests.study: writes docs/study-intervals.md."""

from __future__ import annotations

from pathlib import Path

from tests.study.intervals import report

TRIALS = 4000

Path(__file__).parents[2].joinpath("docs", "study-intervals.md").write_text(report(TRIALS), encoding="utf-8")
