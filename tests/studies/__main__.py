"""`python -m tests.studies`: run every study, and write its page in docs/."""

from __future__ import annotations

from tests.studies import recalibration

recalibration.main()
