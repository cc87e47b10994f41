"""Thirty thousand real production changes of GOV.UK: kinds, rollback rate, time on the bad version, each down to its rows.

Where KNOWNGOOD_REAL_DATA names no folder with the file, these are skipped with that word.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.engine import load
from toolkit.metrics import explain, measure
from toolkit.publish import publish
from toolkit.workspace import Workspace

MAPPING = """\
record = "deployment"
source = "govuk"
source_id = ["service", "environment", "commit"]

[columns]
finished_at = "committed_at"
evidence = "commit"
"""


@pytest.fixture(scope="module")
def changes() -> Path:
    folder = os.environ.get("KNOWNGOOD_REAL_DATA")
    file = Path(folder or "", "govuk_production_changes.parquet")
    if not folder or not file.exists():
        pytest.skip("no real data: set KNOWNGOOD_REAL_DATA to the folder of govuk_production_changes.parquet")
    return file


@pytest.fixture(scope="module")
def workspace(changes: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("govuk")
    (root / "govuk.toml").write_text(MAPPING)
    workspace = Workspace.init(root)
    report = load(workspace, changes, "deployment", root / "govuk.toml")
    assert (report.read, report.new, report.quarantined) == (31_861, 31_861, 0)
    publish(workspace)
    return workspace


def counted_plainly(changes: Path) -> Counter[str]:
    """Kinds by a loop over rows: versions only, all successful, none overlapping."""
    kinds: Counter[str] = Counter()
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pl.read_parquet(changes).sort("service", "committed_at", "commit").to_dicts():
        rows.setdefault(row["service"], []).append(row)
    for line in rows.values():
        numbers: dict[str, int] = {}
        current: str | None = None
        for row in line:
            version = None if row["version"] in {"latest", "main", "stable"} else row["version"]
            before = _number(current)
            if version is None:
                kind = "unknown"
            elif version not in numbers:
                below = before is not None and (_number(version) or before) < before
                young = row["committed_at"] < line[0]["committed_at"] + timedelta(days=90)
                kind = "release" if not below else "unknown" if young else "out_of_order"
                numbers[version] = len(numbers)
            elif current is None:
                kind = "unknown"
            else:
                step = numbers[version] - numbers[current]
                kind = "redeploy" if step == 0 else "rollback" if step < 0 else "reapply"
            kinds[kind] += 1
            current = version
    return kinds


def _number(version: str | None) -> int | None:
    """vN; the other versions of this history are commits, which have no order."""
    return int(version[1:]) if version and version[0] == "v" and version[1:].isdigit() else None


def test_kinds_equal_a_plain_count(changes: Path, workspace: Workspace) -> None:
    facts = workspace.facts.deployments.collect()
    assert dict(zip(*facts["kind"].value_counts().get_columns(), strict=True)) == dict(counted_plainly(changes))


def test_the_rollback_rate_of_every_year_is_the_share_of_its_rows(workspace: Workspace) -> None:
    by_year = (
        measure(workspace, "rollback_rate", every="1mo").group_by(pl.col("period").cast(pl.String).str.slice(0, 4)).agg(pl.sum("k", "n"))
    )
    assert set(by_year["period"]) == {"2022", "2023", "2024", "2025", "2026"}
    whole = explain(workspace, "rollback_rate")
    assert int(by_year["n"].sum()) == len(whole.counted) == whole.row["n"]
    assert int(by_year["k"].sum()) == int(whole.counted["sample"].cast(pl.Int64).sum()) == whole.row["k"]


def test_time_on_the_bad_version_is_explained_by_the_attempts_it_is_made_of(workspace: Workspace) -> None:
    explained = explain(workspace, "time_on_bad_version")
    attempts = workspace.facts.rollbacks.collect()
    assert set(explained.counted["id"]) <= set(attempts["id"])
    spans = sorted(attempts.filter(pl.col("id").is_in(explained.counted["id"].implode()))["time_on_bad"].to_list())
    # The smallest value with at least half at or below it.
    assert explained.row["value"] == pytest.approx(spans[(len(spans) - 1) // 2] / timedelta(minutes=1))
