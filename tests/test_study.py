"""The study of intervals, small: each holds about as often as it says, and the published table is of these cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.intervals import CASES, Case, coverage


@pytest.fixture(scope="module")
def shares() -> dict[Case, tuple[float, int]]:
    """How often each covered what was true, of how many trials."""
    return {case: (share, size) for case, share, size in coverage(200)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.estimator}, {case.on}, {case.n}")
def test_an_interval_holds_as_often_as_it_says(shares: dict[Case, tuple[float, int]], case: Case) -> None:
    share, size = shares[case]
    # Three standard errors of so many trials.
    assert share >= case.promised - 3 * (0.95 * 0.05 / size) ** 0.5


def test_what_is_not_done_holds_too_seldom(shares: dict[Case, tuple[float, int]]) -> None:
    ignored = [share for case, (share, _) in shares.items() if case.estimator == "Wilson, clusters ignored"]
    means = [share for case, (share, _) in shares.items() if case.estimator == "bootstrap of the mean"]
    assert max(ignored) < 0.93
    assert max(means) < 0.9


def test_the_published_table_is_of_these_cases(root: Path) -> None:
    table = (root / "docs" / "study-intervals.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[:3] for line in table.splitlines() if line.startswith("| ") and not line.startswith("| estimator")]
    assert rows == [[f"| {case.estimator}", case.on.replace("%", " %").replace("  %", " %"), str(case.n)] for case in CASES]
