"""What doctor says of what was agreed: what no longer stands is a finding, what may be meant a hint; without a policy, nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from toolkit.cli import intake
from toolkit.cli.agreed import agreed_findings, agreed_hints
from toolkit.cli.entry import run
from toolkit.criteria.terms import Terms
from toolkit.exports.standing import changed as drifted
from toolkit.hindsight import replay
from toolkit.passage import Passages
from toolkit.publish import publish
from toolkit.workspace import Workspace


@pytest.fixture
def own(told: Workspace, tmp_path: Path) -> Workspace:
    """A copy whose policy may be changed."""
    shutil.copytree(told.root, tmp_path / "own")
    return Workspace(tmp_path / "own")


def changed(place: Workspace, old: str, new: str) -> Workspace:
    path = place.root / "policy" / "criteria.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return Workspace(place.root)


def what(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["what"] for row in rows]


def test_without_a_policy_nothing_is_said(demo: Path) -> None:
    assert list(agreed_findings(Workspace(demo))) == []
    assert list(agreed_hints(Workspace(demo))) == []


def test_an_expired_criterion_is_a_finding_and_said_once(own: Workspace) -> None:
    place = changed(own, "since = 2025-01-01", "since = 2025-01-01\nexpires = 2025-04-01")
    assert [row for row in agreed_findings(place) if "canary errors" in row["what"]] == [
        {"what": "expired: canary errors", "rows": 1, "why": "to be looked at again by 2025-04-01",
         "next": "knowngood recalibrate --criterion 'canary errors'"}
    ]  # fmt: skip


def test_a_broken_cap_is_a_finding_once_the_policy_is_published(own: Workspace) -> None:
    assert "cap broken: canary errors" not in what(agreed_findings(own))
    place = changed(changed(own, "limit = 0.05", "limit = 0.0001"), 'for = "2m"', 'for = "0s"')
    assert "cap broken: canary errors" not in what(agreed_findings(place)), "doctor walks no telemetry; it says to publish"
    publish(place)
    rows = replay(place, "canary errors").rows["verdict"]
    k, n = (int(rows.is_in(verdicts).sum()) for verdicts in (["false_stop"], ["false_stop", "quiet"]))
    assert k > n / 2
    why = {row["what"]: row["why"] for row in agreed_findings(place)}["cap broken: canary errors"]
    assert why == f"{k} of {n} good deployments stopped since 2025-01-01; at most 5% was promised"


def test_criteria_deployed_otherwise_than_agreed_are_findings(own: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "criteria", "--to", "prometheus", "--workspace", str(own.root)]) == 0
    deployed = tmp_path / "rules.yml"
    deployed.write_text(capsys.readouterr().out)
    assert "drifted: canary errors" not in what(agreed_findings(own, [deployed]))
    deployed.write_text(deployed.read_text().replace("# limit: 0.05", "# limit: 0.07"))
    assert run(["doctor", str(deployed), "--json", "--workspace", str(own.root)]) == 1
    assert "drifted: canary errors" in what(json.loads(capsys.readouterr().out)["findings"])


def test_a_file_that_is_no_text_is_a_finding_and_no_traceback(own: Workspace, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_bytes(b"\xff\xfe# knowngood certificate\n")
    assert f"no certificate: {tmp_path / 'rules.yml'}" in what(agreed_findings(own, [tmp_path / "rules.yml"]))
    assert run(["criteria", "check", str(tmp_path / "rules.yml"), "--workspace", str(own.root)]) == 1


def deployments(peak: np.ndarray) -> tuple[pl.DataFrame, Passages]:
    """Good deployments of two services, one a day, with these peaks at the number in force."""
    names = [f"d{place}" for place in range(len(peak))]
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=place) for place in range(len(peak))]
    services = ["shop" if place % 2 else "mail" for place in range(len(peak))]
    rows = pl.DataFrame({"deployment": names, "service": services, "deployed_at": days}).with_columns(label=pl.lit("good"), telemetry=True)
    profiles = pl.DataFrame({"deployment": names, "value": peak}).with_columns(n=pl.lit(3, pl.Int32))
    watched = pl.DataFrame({"deployment": names}).with_columns(in_force=pl.lit(3, pl.Int32))
    return rows, Passages(profiles, watched, pl.DataFrame())


def test_good_deployments_that_peak_otherwise_than_before_are_a_finding(told: Workspace) -> None:
    assert told.policy is not None
    criterion, noise = told.policy.criteria[0], np.random.default_rng(2).exponential(0.01, 120)
    # The services differ by a factor of ten, which is no change.
    noise[::2] *= 10
    assert list(drifted(criterion, *deployments(noise), Terms())) == []
    louder = noise * np.where(np.arange(120) >= 90, 3.0, 1.0)
    (found,) = drifted(criterion, *deployments(louder), Terms())
    assert found["what"] == "changed: canary errors"
    assert found["why"] == "30 good deployments of the last 30 days peak otherwise than the 90 before them"
    assert list(drifted(criterion, *deployments(louder[85:]), Terms())) == [], "five before are too few to tell"


# Hints


def test_what_may_be_meant_is_a_hint_and_no_finding(own: Workspace) -> None:
    place = changed(own, "[recalibration]", SECOND + "[recalibration]")
    assert agreed_hints_of(place) == ["caps_add_up", "one_more", "unsigned"]
    assert not [row for row in agreed_findings(place) if row["what"].startswith("criterion")]
    wrong = changed(place, 'kind = "threshold"\nlimit = 0.3\nfor = "5m"', 'kind = "burn_rate"\nslo = 0.9')
    assert [row["why"].split(":")[0] for row in agreed_findings(wrong) if row["what"].startswith("criterion")] == ["never_burns"]


SECOND = """
[[criterion]]
name = "errors for long"
kind = "threshold"
limit = 0.3
for = "5m"

"""


def agreed_hints_of(place: Workspace) -> list[str]:
    return sorted({row["why"].split(":")[0] for row in agreed_hints(place) if row["what"].startswith("criterion")})


def test_hints_stand_apart_and_leave_the_exit_code_alone(
    demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = {"what": "criterion: x", "rows": 1, "why": "one_more: …", "next": "policy/criteria.toml"}
    monkeypatch.setattr(intake, "agreed_hints", lambda _: iter([hint]))
    for name in ("_altered", "_findings", "_hanging"):
        monkeypatch.setattr(intake, name, lambda _: [])
    monkeypatch.setattr(intake, "_swings", lambda _: None)
    assert run(["doctor", "--json", "--workspace", str(demo)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["findings"], told["hints"]) == ([], [hint])
    assert run(["doctor", "--workspace", str(demo)]) == 0
    shown = capsys.readouterr()
    assert "one_more" in shown.out
    assert "Nothing to complain about." in shown.err


def test_what_is_done_and_stands_in_no_playbook_of_the_team_is_a_hint(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo, tmp_path / "own")
    place = Workspace(tmp_path / "own")
    rows = place.facts.conformance.filter(pl.col("verdict") == "unwritten").collect()
    assert len(rows)
    assert list(agreed_hints(place)) == [], "the playbooks that come with the product are nobody's agreement"
    folder = place.root / "policy" / "playbooks"
    folder.mkdir(parents=True)
    for name in ("rollback.toml", "hotfix.toml"):
        (folder / name).write_text((files("toolkit.playbooks") / "shipped" / name).read_text())
    found = list(agreed_hints(place))
    assert sum(row["rows"] for row in found) == len(rows)
    assert {row["what"] for row in found} == {f"unwritten: {name}" for name in rows["what"].unique()}
