"""Criteria in other tools' words decide what they decide here, or the file says what differs."""

from __future__ import annotations

import contextlib
import json
import math
import random
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.controllers.argo_rollouts import ends_at
from tests.controllers.flagger import rolls_back_at
from tests.panels import arm, fired, panel
from toolkit.cli.entry import run
from toolkit.criteria import Criterion, criterion_of
from toolkit.criteria.policy import Policy
from toolkit.errors import DataError, UsageError
from toolkit.exports import FORMATS, Certificate, Queries
from toolkit.exports.standing import standing
from toolkit.workspace import Workspace

MINUTES = 60
HOSTILE = 'a "quoted" name: {{ $x }} | - & *anchor\u202e # no'


def criterion(kind: str, **more: Any) -> Criterion:
    base = {"name": "errors", "kind": kind, "series": "errors", "min_events": 0}
    return criterion_of(base | ({} if kind == "burn_rate" else {"limit": 0.1}) | more)


ARGO = {"controller": "argo_rollouts", "variant": "canary"}
FLAGGER = {"controller": "flagger", "variant": "canary", "no_data": "fails"}
CASES = {
    "prometheus": [
        criterion("threshold"),
        criterion("threshold", **{"for": "3m"}),
        criterion("threshold", below=True, limit=0.9, **{"for": "2m"}),
        criterion("canary", variant="canary", **{"for": "2m"}),
        criterion("consecutive", k=3),
        criterion("consecutive", k=3, no_data="fails"),
    ],
    "argo-rollouts": [
        criterion("failed_checks", k=1, **ARGO),
        criterion("failed_checks", k=4, **ARGO),
        criterion("failed_checks", k=2, no_data="fails", **ARGO),
        criterion("failed_checks", k=2, below=True, limit=0.9, **ARGO),
        criterion("threshold", variant="canary", **{"for": "2m"}),
        criterion("canary", **{"for": "1m"}),
    ],
    "flagger": [
        criterion("failed_checks", k=2, **FLAGGER),
        criterion("failed_checks", k=3, below=True, limit=0.9, **FLAGGER),
        criterion("failed_checks", k=2, steps=12, **FLAGGER),
        criterion("threshold", variant="canary", **{"for": "2m"}),
        criterion("canary", **{"for": "1m"}),
    ],
    "openslo": [criterion("burn_rate", slo="0.999"), criterion("burn_rate", slo="0.99", period="28d")],
    "sloth": [criterion("burn_rate", slo="0.999"), criterion("burn_rate", slo="0.95")],
}
PAIRS = [(name, one) for name, many in CASES.items() for one in many]


def signals(seed: int, many: int = 40) -> np.ndarray:
    """Deployments' signals: calm, loud for a while, with ties at the limit and gaps; 1 − of them where low is bad."""
    rng = np.random.default_rng(seed)
    rows = rng.choice([0.0, 0.05, 0.1, 0.1000001, 0.3], (MINUTES, many), p=[0.45, 0.25, 0.1, 0.1, 0.1])
    rows[20:30, ::3] = 0.3
    return np.where(rng.random(rows.shape) < 0.04, np.nan, rows)


def detected(one: Criterion, signal: np.ndarray) -> list[int | None]:
    """The evaluation at which it fires on each deployment. A canary's signal is its difference to a baseline at zero."""
    signal = 1 - signal if getattr(one, "below", False) else signal
    if one.kind == "canary":
        zero = np.where(np.isnan(signal), np.nan, 0.0)
        where = panel(canary=arm(value=signal), baseline=arm(value=zero))
    elif one.kind == "burn_rate":
        where = panel(series=one.series, all_=arm(bad=np.nan_to_num(signal) * 1000, total=np.full(signal.shape, 1000.0)))
    else:
        where = panel(series=one.series, **{f"{one.arms()[0][1]}_": arm(value=signal)})
    return [row[0] for row in fired(one, where, [one.setting()], one.n(60.0))]


@pytest.mark.parametrize(("name", "one"), PAIRS, ids=[f"{name}-{place}" for place, (name, _) in enumerate(PAIRS)])
def test_what_was_exported_and_read_back_detects_the_same_or_the_difference_is_said(name: str, one: Criterion) -> None:
    export = FORMATS[name].write(one, Queries("shop"), 60.0)
    (back,) = FORMATS[name].read(export.text)
    assert back.criterion.setting() == pytest.approx(one.setting())
    assert back.criterion.action == one.action or name != "prometheus"
    same = detected(one, signals(1)) == detected(back.criterion, signals(1))
    stated = [said for said in (*export.differences, *back.differences) if not said.startswith("state begins")]
    assert same or stated, (export.text, back)


@pytest.mark.parametrize("one", CASES["argo-rollouts"][:4], ids=str)
def test_a_template_read_back_ends_when_the_controller_would(one: Criterion) -> None:
    spec = yaml.safe_load(FORMATS["argo-rollouts"].write(one, Queries("shop"), 60.0).text)["spec"]["metrics"][0]
    signal = 1 - signals(2) if getattr(one, "below", False) else signals(2)
    fails = "isNaN" in spec["failureCondition"]

    def failure(value: float) -> bool:
        if math.isnan(value):
            return fails
        return value < one.setting() if getattr(one, "below", False) else value > one.setting()

    for place, found in enumerate(detected(one, signals(2))):
        ended = ends_at(list(signal[:, place]), failure_limit=spec["failureLimit"], failure=failure)
        assert found == (ended[0] if ended else None)


@pytest.mark.parametrize("one", [CASES["flagger"][0], CASES["flagger"][2]], ids=str)
def test_an_analysis_read_back_rolls_back_at_flaggers_tick(one: Criterion) -> None:
    text = FORMATS["flagger"].write(one, Queries("shop"), 60.0).text
    (back,) = FORMATS["flagger"].read(text)
    analysis = next(one for one in yaml.safe_load_all(text) if one["kind"] == "Canary")["spec"]["analysis"]
    steps = analysis["iterations"] if "iterations" in analysis else analysis["maxWeight"] // analysis["stepWeight"]
    limit = analysis["metrics"][0]["thresholdRange"]["max"]
    for place, found in enumerate(detected(back.criterion, signals(3))):
        assert found == rolls_back_at(list(signals(3)[:, place]), limit, analysis["threshold"], steps=steps)


# With Prometheus' own tool


def test_promtool_takes_every_rule_whatever_it_is_called(promtool: str, tmp_path: Path) -> None:
    silent = criterion_of({"name": "silent", "kind": "no_data", "series": "errors", "for": "5m"})
    kinds = [*CASES["prometheus"], criterion("burn_rate", slo="0.999"), silent]
    for place, one in enumerate([*kinds, one_named(HOSTILE), criterion("threshold", series='odd "series" {x}')]):
        path = tmp_path / f"{place}.yml"
        path.write_text(FORMATS["prometheus"].write(one, Queries('sho"p\\'), 60.0).text, encoding="utf-8")
        checked = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, path.read_text() + checked.stdout + checked.stderr


def one_named(name: str) -> Criterion:
    return criterion("threshold", name=name)


def test_prometheus_fires_at_the_evaluation_of_the_replay(promtool: str, tmp_path: Path) -> None:
    one = criterion("threshold", **{"for": "2m"})
    text = FORMATS["prometheus"].write(one, Queries(of={"errors": "signal"}), 60.0).text
    (tmp_path / "rule.yml").write_text(text)
    signal = signals(5, many=25)
    tests = []
    for place, found in enumerate(detected(one, signal)):
        values = " ".join("stale" if np.isnan(value) else repr(float(value)) for value in signal[:, place])
        firing = [] if found is None else [{"exp_labels": {"action": "revert"}, "exp_annotations": {"summary": "errors: asks for revert"}}]
        before = MINUTES if found is None else found
        told = [(minute, []) for minute in range(before)] + ([] if found is None else [(found, firing)])
        cases = [{"eval_time": f"{minute}m", "alertname": "errors", "exp_alerts": alerts} for minute, alerts in told]
        tests.append({"interval": "1m", "input_series": [{"series": "signal", "values": values}], "alert_rule_test": cases})
    assert sum(len(one["input_series"]) for one in tests) == 25  # type: ignore[arg-type]
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rule.yml"], "evaluation_interval": "1m", "tests": tests}))
    found = subprocess.run([promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]


# Rules that others wrote


def test_a_rule_of_somebody_elses_becomes_a_criterion() -> None:
    rules = """
groups:
  - name: web
    interval: 30s
    rules:
      - record: ignored
        expr: sum(rate(x[5m]))
      - alert: TooManyErrors
        expr: sum(rate(http_errors_total{code=~"5..",job="web"}[5m])) / sum(rate(http_requests_total[5m])) > 0.05 and on() up > 0
        for: 5m
"""
    (found,) = FORMATS["prometheus"].read(rules)
    told = found.criterion.model_dump(mode="json", by_alias=True)
    assert (told["name"], told["limit"], told["for"], told["step"]) == ("TooManyErrors", 0.05, "5m", "30s")
    assert found.criterion.n(30) == 11, "five minutes at 30 s are eleven evaluations"
    assert any("up > 0" in said for said in found.differences)


def test_an_analysis_template_keeps_the_controllers_semantics() -> None:
    def template(**metric: Any) -> Criterion:
        body = {"kind": "AnalysisTemplate", "spec": {"metrics": [{"name": "rate", "interval": "1m", **metric}]}}
        return FORMATS["argo-rollouts"].read(yaml.safe_dump(body))[0].criterion

    one = template(successCondition="result[0] <= 0.05", failureLimit=2).model_dump()
    assert (one["k"], one["limit"], one["no_data"], one["below"]) == (3, 0.05, "fails", False), "only a success condition: NaN has failed"
    two = template(failureCondition="result[0] > 0.05").model_dump()
    assert (two["k"], two["no_data"]) == (1, "passes"), "only a failure condition: NaN is successful"
    both = template(failureCondition="result[0] > 0.1", successCondition="result[0] < 0.05").model_dump()
    assert both["success_limit"] == 0.05


@pytest.mark.parametrize("name", FORMATS)
def test_bad_files_are_named_with_their_line(name: str) -> None:
    with pytest.raises(DataError, match="line 2"):
        FORMATS[name].read("a: 1\nb: [ }\n")
    with pytest.raises(DataError, match="alias"):
        FORMATS[name].read("a: &a [1]\nb: *a\n")
    with pytest.raises(DataError):
        FORMATS[name].read("[]")
    with pytest.raises(DataError):
        FORMATS[name].read("a: !!python/object/apply:os.system ['true']\n")


@pytest.mark.parametrize("name", FORMATS)
def test_no_text_breaks_a_reader(name: str) -> None:
    rng = random.Random(7)
    export = next(FORMATS[name].write(one, Queries("shop"), 60.0).text for one in CASES[name])
    for _ in range(150):
        text = list(export)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(text))
            text[place] = rng.choice([*"{}[]:-\"'&*!|>0 \n", "999999999999999999999", ""])
        # Either criteria, or an error that is meant for people; nothing else.
        with contextlib.suppress(DataError):
            FORMATS[name].read("".join(text))


def test_a_kind_that_a_format_cannot_say_is_refused_with_a_way_out() -> None:
    for name in ("prometheus", "flagger", "argo-rollouts", "openslo", "sloth"):
        with pytest.raises(UsageError, match="cannot say"):
            FORMATS[name].write(criterion("anomaly", limit=4.0, halflife="10m"), Queries(), 60.0)


# Certificates, and whether what is deployed still stands


def test_a_certificate_comes_back_from_its_comment() -> None:
    one = Certificate("errors", 0.05, 0.05, 0.1, 180, 12, ("shop", HOSTILE), "abc", HOSTILE, date(2026, 9, 1))
    assert Certificate.of("x: 1\n" + one.comment() + "groups: []\n") == [one]
    assert all(line.startswith("# ") for line in one.comment().splitlines()), "no name leaves the comment"


POLICY = """
[[criterion]]
name = "errors"
kind = "threshold"
series = "errors"
limit = 0.05
since = 2026-01-01
expires = 2026-06-01
"""


def test_expired_and_drifted_criteria_are_findings(tmp_path: Path) -> None:
    place = Workspace.init(tmp_path / "here")
    Policy(POLICY).save(place.root)
    assert standing(place, today=date(2026, 5, 31)) == []
    assert [one["what"] for one in standing(place, today=date(2026, 6, 1))] == ["expired: errors"]
    old = Certificate("errors", 0.04, expires=date(2026, 5, 1)).comment() + "groups: []\n"
    found = [one["what"] for one in standing(place, {"rules.yml": old, "bare.yml": "groups: []\n"}, today=date(2026, 5, 31))]
    assert found == ["drifted: errors", "expired: errors in rules.yml", "no certificate: bare.yml"]


@pytest.mark.parametrize("to", ["prometheus", "argo-rollouts", "flagger"])
def test_a_rule_that_was_edited_under_its_certificate_has_drifted(tmp_path: Path, to: str) -> None:
    place = Workspace.init(tmp_path / "here")
    kind = 'kind = "threshold"\nfor = "2m"' if to == "prometheus" else 'kind = "failed_checks"\nk = 3'
    policy = POLICY.replace('kind = "threshold"', kind).replace("expires = 2026-06-01\n", "")
    Policy(policy).save(place.root)
    criterion = Policy(policy).criteria[0]
    text = Certificate("errors", 0.05).comment() + FORMATS[to].write(criterion, Queries(), 60.0).text

    def found(text: str) -> list[tuple[str, str]]:
        return [(one["what"], one["why"]) for one in standing(place, {"rules.yml": text}, today=date(2026, 5, 31))]

    assert found(text) == []
    # The last place is the rule itself; the first is the comment above it.
    head, _, tail = text.rpartition("0.05")
    assert found(f"{head}0.5{tail}") == [("drifted: errors", "rules.yml acts at 0.5 under a certificate for 0.05, and 0.05 was agreed")]
    longer = {
        "prometheus": ("for: 2m", "for: 9m"),
        "argo-rollouts": ("failureLimit: 2", "failureLimit: 9"),
        "flagger": ("threshold: 3", "threshold: 10"),
    }
    assert found(text.replace(*longer[to])) == [("drifted: errors", "rules.yml acts at 10 evaluations or checks, and 3 was agreed")]


@pytest.mark.parametrize("to", ["openslo", "sloth"])
def test_an_objective_that_was_edited_under_its_certificate_has_drifted(tmp_path: Path, to: str) -> None:
    place = Workspace.init(tmp_path / "here")
    policy = '[[criterion]]\nname = "budget"\nkind = "burn_rate"\nslo = 0.995\nsince = 2026-01-01\n'
    Policy(policy).save(place.root)
    text = Certificate("budget", 1.0).comment() + FORMATS[to].write(Policy(policy).criteria[0], Queries(), 60.0).text
    assert standing(place, {"slo.yml": text}, today=date(2026, 5, 31)) == []
    edited = text.replace("99.5", "95.5").replace("0.995", "0.955")
    (found,) = standing(place, {"slo.yml": edited}, today=date(2026, 5, 31))
    assert found["why"] == "slo.yml has an objective of 0.955, and 0.995 was agreed"


def test_the_command_exports_checks_and_takes_over(
    told: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], promtool: str
) -> None:
    where = ["--workspace", str(told.root)]
    assert run(["export", "criteria", "--to", "prometheus", *where]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "rules.yml"
    path.write_text(text)
    (certificate,) = Certificate.of(text)
    assert certificate.good is not None
    assert certificate.good > 0
    assert subprocess.run([promtool, "check", "rules", path], check=False, capture_output=True).returncode == 0
    assert run(["criteria", "check", str(path), *where]) == 0
    path.write_text(text.replace("# limit: 0.05", "# limit: 0.07"))
    assert run(["criteria", "check", str(path), *where, "--json"]) == 1
    assert "drifted" in capsys.readouterr().out
    own = Workspace.init(tmp_path / "own")
    assert run(["import", str(path), "--as", "prometheus", "--author", "ada", "--workspace", str(own.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["criterion"]["limit"] == 0.05
    policy = Policy.read(own.root)
    assert policy is not None
    assert policy.criteria[0].adopted_by == "ada"
    assert run(["export", "criteria", "--to", "nowhere", *where]) == 2


def test_two_people_move_a_limit_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Workspace.init(tmp_path / "here")
    Policy(POLICY).save(place.root)
    where = ["--workspace", str(place.root)]
    assert run(["criteria", "propose", "errors", "--limit", "0.04", "--why", "two slipped through", "--author", "ada", *where]) == 0
    assert run(["criteria", "list", "--json", *where]) == 0
    (asked,) = json.loads(capsys.readouterr().out)["proposals"]
    assert run(["criteria", "approve", asked["id"], "--author", "ada", *where]) == 2
    assert run(["criteria", "approve", asked["id"], "--author", "grace", *where]) == 0
    policy = Policy.read(place.root)
    assert policy is not None
    assert policy.named("errors").setting() == 0.04
