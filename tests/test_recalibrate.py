"""Recalibrating a workspace: its rows become cases, one look at the test is noted, and people read a page."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from toolkit.cli.entry import run
from toolkit.criteria.policy import Policy
from toolkit.labels import labels_of
from toolkit.publish import publish
from toolkit.recalibration.cases import Label
from toolkit.recalibration.gather import gathered
from toolkit.recalibration.report import report
from toolkit.recalibration.units import recalibrate
from toolkit.recalibration.verdict import AT_MOST, Verdict
from toolkit.workspace import Workspace


@pytest.fixture
def own(told: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace that may be written to; its policy has an exchange rate, and a cap that four months can bound."""
    shutil.copytree(told.root, tmp_path / "own")
    policy = tmp_path / "own" / "policy" / "criteria.toml"
    text = policy.read_text().replace("# failed_requests_per_engineer_minute", "failed_requests_per_engineer_minute")
    policy.write_text(text.replace("# alpha = 0.05", "candidates = [1]\nalpha = 0.2"))
    return Workspace(tmp_path / "own")


def test_cases_are_the_rows_with_labels_and_telemetry(told: Workspace) -> None:
    policy = told.policy
    assert policy is not None
    criterion = policy.criteria[0]
    cases = gathered(told, criterion, policy.terms)
    labels = labels_of(told, watch=policy.terms.horizon)
    assert cases.deployment == labels.sort("deployed_at", "deployment")["deployment"].to_list()
    assert (np.diff(cases.day) >= 0).all()
    assert int((cases.label == Label.BAD).sum()) == labels.filter(pl.col("label") == "bad").height
    assert not ((cases.label == Label.GOOD) & ~cases.seen).any(), "a good one that nobody measured is unknown here"


def test_harm_is_what_failed_beyond_the_usual_from_the_incident_on(told: Workspace) -> None:
    policy = told.policy
    assert policy is not None
    cases = gathered(told, policy.criteria[0], policy.terms)
    hurt = [row for row in np.flatnonzero(cases.harm[:, -1] > 0) if cases.onset[row] > 0]
    assert hurt
    row = hurt[0]
    facts = told.facts.deployments.filter(pl.col("id") == cases.deployment[row]).collect().row(0, named=True)
    rows = told.ledger.samples(facts["service"], ["errors"]).filter(pl.col("variant") == "canary")
    good = [cases.deployment[place] for place in np.flatnonzero((cases.label == Label.GOOD) & cases.seen)]
    ids = told.facts.deployments.filter(pl.col("id").is_in(good), pl.col("service") == facts["service"]).collect()
    shares = []
    for one in ids.iter_rows(named=True):
        of = rows.filter(pl.col("deployment") == one["source_id"], pl.col("at") >= one["deployed_at"], pl.col("total") > 0)
        if len(of):
            shares.append(of["bad"].sum() / of["total"].sum())
    usual = float(np.median(shares))
    total = 0.0
    for one in rows.filter(pl.col("deployment") == facts["source_id"]).iter_rows(named=True):
        minute = (one["at"] - facts["deployed_at"]) / timedelta(minutes=1)
        if 0 <= minute < 120 and np.floor(minute) + 1 > cases.onset[row]:
            total += max(one["bad"] - one["total"] * usual, 0.0)
    assert cases.harm[row, -1] == pytest.approx(total)
    assert (np.diff(cases.harm, axis=1) >= 0).all()


def test_every_class_of_services_gets_a_verdict_with_reasons(own: Workspace) -> None:
    units = recalibrate(own)
    assert {unit.of for unit in units} <= {"class critical", "class standard", "class internal"}
    for unit in units:
        assert unit.found.verdict == min((AT_MOST[reason.code] for reason in unit.found.reasons), default=Verdict.ADOPT)
        assert unit.found.verdict < Verdict.ADOPT, "four months of four services carry no adoption"


def test_the_same_question_again_is_the_same_look_and_another_one_finds_the_test_used(own: Workspace) -> None:
    def looked() -> list[bool]:
        return ["test_already_used" in {reason.code for reason in unit.found.reasons} for unit in recalibrate(own, author="ada")]

    first = looked()
    noted = own.journal.entries("test_used")
    assert not any(first)
    assert len(noted) >= 1
    assert {entry.author for entry in noted} == {"ada"}
    assert looked() == first
    assert len(own.journal.entries("test_used")) == len(noted)
    path = own.root / "policy" / "criteria.toml"
    path.write_text(path.read_text().replace("limit = 0.05", "limit = 0.06"))
    changed = Workspace(own.root)
    again = ["test_already_used" in {reason.code for reason in unit.found.reasons} for unit in recalibrate(changed)]
    assert any(again), "another limit, the same test"


def test_the_page_says_the_verdict_the_reasons_and_no_p(own: Workspace) -> None:
    units = recalibrate(own)
    page = report(units)
    for unit in units:
        assert f"{unit.of}: {unit.found.verdict.word}" in page
        for reason in unit.found.reasons:
            assert f"`{reason.code}`" in page
    assert "What is not known" in page
    assert " p = " not in page
    assert "p <" not in page


def test_names_in_a_policy_are_text_in_the_page(own: Workspace) -> None:
    policy = own.policy
    assert policy is not None
    path = own.root / "policy" / "criteria.toml"
    path.write_text(path.read_text().replace('name = "canary errors"', 'name = "<script>alert(1)</script> ![x](http://e.example/x.png)"'))
    page = report(recalibrate(Workspace(own.root)))
    assert "<script>" not in page
    assert "![x](" not in page


def test_the_command_prints_one_array(own: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recalibrate", "--workspace", str(own.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in told} <= {"refuse", "keep", "shadow", "adopt"}
    assert all(row["reasons"] for row in told)


def test_a_criterion_that_has_seen_nothing_or_concerns_nobody_is_refused(own: Workspace) -> None:
    path = own.root / "policy" / "criteria.toml"
    agreed = path.read_text()
    for more in ('series = "nothing"', 'series = "errors"\nservice_class = "nobody"'):
        path.write_text(agreed.replace('series = "errors"', more))
        units = recalibrate(Workspace(own.root))
        assert units
        assert {unit.found.verdict for unit in units} == {Verdict.REFUSE}
        assert all(unit.guards.flips.at_most is None for unit in units)
        assert "too_few_good" in report(units)
    assert not own.journal.entries("test_used"), "where nothing was chosen nobody looked at the test"


def test_without_criteria_it_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(Workspace.init(tmp_path))
    Policy("version = 1\n").save(tmp_path)
    assert run(["recalibrate", "--workspace", str(tmp_path)]) != 0
    assert "no criterion" in capsys.readouterr().err.lower()
