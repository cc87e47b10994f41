"""`python -m tests.study`: runs every study, and writes its page in docs/."""

from __future__ import annotations

from pathlib import Path

from tests.study import recalibration
from tests.study.intervals import report

TRIALS = 4000

Path(__file__).parents[2].joinpath("docs", "study-intervals.md").write_text(report(TRIALS), encoding="utf-8")
recalibration.main()
