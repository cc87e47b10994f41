"""The gate answers proceed, pause or revert; what it cannot see it never lets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from toolkit.cli.entry import run
from toolkit.criteria.policy import Policy
from toolkit.gate import Ruling, Subject, rule, subject_of
from toolkit.workspace import Workspace

START = datetime(2026, 5, 4, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SUBJECT = Subject("shop", "d1", "d1", "production", START)
POLICY = """
[[criterion]]
name = "errors"
kind = "canary"
series = "errors"
limit = 0.05
for = "2m"
min_events = 30
since = 2026-01-01
"""


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    workspace = Workspace.init(tmp_path / "here")
    Policy(POLICY).save(workspace.root)
    return workspace


def telemetry(bad: Callable[[int], float], *, minutes: int = 30, baseline: bool = True) -> pl.DataFrame:
    """A hundred requests a minute in each arm; `bad`: of the canary's; one of the baseline's."""
    rows: list[dict[str, Any]] = []
    for arm in ("baseline", "canary") if baseline else ("canary",):
        rows += [
            {"variant": arm, "at": START + minute * MINUTE, "bad": 1.0 if arm == "baseline" else bad(minute), "total": 100.0}
            for minute in range(minutes + 1)
        ]
    common = {"service": "shop", "series": "errors", "deployment": "d1", "value": None, "step": 60.0}
    return pl.DataFrame([common | row for row in rows], schema_overrides={"at": pl.Datetime("us", "UTC"), "value": pl.Float64})


def quiet(_minute: int) -> float:
    return 1.0


def test_a_quiet_canary_proceeds_and_a_loud_one_is_reverted(place: Workspace) -> None:
    assert rule(place, SUBJECT, samples=telemetry(quiet)).decision == "proceed"
    # 11 points over the baseline from minute 5 on; three evaluations in a row: minutes 5, 6, 7.
    loud = rule(place, SUBJECT, samples=telemetry(lambda minute: 12.0 if minute >= 5 else 1.0))
    assert loud.decision == "revert"
    assert loud.findings[0].t == 7.0
    assert loud.findings[0].peak == pytest.approx(0.11)


def test_a_criterion_that_asks_for_a_pause_gets_one(place: Workspace) -> None:
    Policy(POLICY + 'action = "pause"\n').save(place.root)
    assert rule(Workspace(place.root), SUBJECT, samples=telemetry(lambda _: 12.0)).decision == "pause"


def without(rows: pl.DataFrame, variant: str) -> pl.DataFrame:
    return rows.filter(pl.col("variant") != variant)


def changed(rows: pl.DataFrame, minute: int, **values: float) -> pl.DataFrame:
    here = (pl.col("at") == START + minute * MINUTE) & (pl.col("variant") == "canary")
    return rows.with_columns(pl.when(here).then(pl.lit(value)).otherwise(name).alias(name) for name, value in values.items())


BROKEN = {
    "no samples": telemetry(quiet).clear(),
    "missing_baseline": without(telemetry(quiet), "baseline"),
    "negative_count": changed(telemetry(quiet), 4, bad=-3.0),
    "more_bad_than_total": changed(telemetry(quiet), 4, bad=300.0),
    "not_a_number": changed(telemetry(quiet), 4, bad=float("nan")),
    "duplicate": pl.concat([telemetry(quiet), telemetry(quiet)[3:4]]),
    "conflicting": pl.concat([telemetry(quiet), changed(telemetry(quiet), 4, bad=9.0).filter(pl.col("at") == START + 4 * MINUTE)]),
    "unsorted": telemetry(quiet).reverse(),
    "cumulative_counter": telemetry(quiet).with_columns(
        total=100.0 * (1 + pl.int_range(pl.len()).over("variant")), bad=1.0 + pl.int_range(pl.len()).over("variant")
    ),
    "counter_reset": telemetry(quiet).with_columns(
        total=100.0 * (1 + (pl.int_range(pl.len()) % 20).over("variant")), bad=1.0 + (pl.int_range(pl.len()) % 20).over("variant")
    ),
    "mixed_steps": telemetry(quiet).with_columns(step=pl.when(pl.col("at") < START + 9 * MINUTE).then(30.0).otherwise(60.0)),
    "30 events": telemetry(lambda _: 0.0).with_columns(total=pl.lit(20.0), bad=pl.lit(0.0)),
    "without a sample": telemetry(quiet).filter(~pl.col("at").is_between(START + 4 * MINUTE, START + 20 * MINUTE)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_or_missing_telemetry_pauses_with_the_reason(place: Workspace, what: str) -> None:
    ruling = rule(place, SUBJECT, samples=BROKEN[what])
    assert ruling.decision == "pause"
    assert what in " ".join(ruling.reasons)


def test_telemetry_that_ended_before_now_is_stale(place: Workspace) -> None:
    ruling = rule(place, SUBJECT, samples=telemetry(quiet, minutes=30), at=START + 45 * MINUTE)
    assert ruling.decision == "pause"
    assert "end 15 min before now" in ruling.reasons[0]


def test_later_samples_than_asked_for_are_not_looked_at(place: Workspace) -> None:
    late = telemetry(lambda minute: 50.0 if minute > 20 else 1.0)
    assert rule(place, SUBJECT, samples=late, at=START + 20 * MINUTE).decision == "proceed"
    assert rule(place, SUBJECT, samples=late).decision == "revert"


def test_nothing_in_force_and_an_unknown_beginning_pause(place: Workspace) -> None:
    assert rule(place, Subject("shop", "d1", "d1", "production", None), samples=telemetry(quiet)).decision == "pause"
    Policy("version = 1\n").save(place.root)
    ruling = rule(Workspace(place.root), SUBJECT, samples=telemetry(quiet))
    assert ruling.decision == "pause"
    assert "No criterion is in force" in ruling.reasons[0]


def test_the_same_deployment_criteria_and_data_give_the_same_id(place: Workspace) -> None:
    def asked(rows: pl.DataFrame) -> Ruling:
        return rule(Workspace(place.root), SUBJECT, samples=rows)

    first = asked(telemetry(quiet))
    assert asked(telemetry(quiet)).id == first.id
    assert asked(telemetry(lambda _: 2.0)).id != first.id
    Policy(POLICY.replace("0.05", "0.06")).save(place.root)
    assert asked(telemetry(quiet)).id != first.id


def test_a_deployment_is_found_by_either_of_its_ids(told: Workspace) -> None:
    known = told.facts.deployments.filter(pl.col("deployed_at").is_not_null()).head(1).collect().row(0, named=True)
    for name in (known["id"], known["source_id"]):
        subject = subject_of(told, known["service"], name)
        assert (subject.deployment, subject.deployed_at) == (known["id"], known["deployed_at"])
    assert subject_of(told, known["service"], "not heard of yet").deployed_at is None


def test_recorded_telemetry_gives_what_the_replay_gives(told: Workspace) -> None:
    """Of deployments with telemetry, those on which the criterion in force ever fired are reverted, no others."""
    watched = told.facts.watched.collect()
    fired = set(told.facts.criteria_met.collect()["deployment"])
    some = watched.filter(pl.col("deployment").is_in(fired)).head(4)["deployment"].to_list()
    some += watched.filter(~pl.col("deployment").is_in(fired)).head(4)["deployment"].to_list()
    rows = {row["id"]: row for row in told.facts.deployments.collect().iter_rows(named=True)}
    for name in some:
        ruling = rule(told, subject_of(told, rows[name]["service"], name))
        assert (ruling.decision == "revert") == (name in fired), name


def test_the_command_exits_with_its_answer_and_keeps_it_once(place: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.parquet"
    common = ["gate", "--service", "shop", "--deployment", "d1", "--since", START.isoformat(), "--workspace", str(place.root), "--json"]
    told = []
    for bad, code in ((1.0, 0), (12.0, 20), (12.0, 20)):
        telemetry(lambda _, bad=bad: bad).write_parquet(path)  # type: ignore[misc]
        assert run([*common, "--samples", str(path)]) == code
        told.append(json.loads(capsys.readouterr().out))
    assert [row["decision"] for row in told] == ["proceed", "revert", "revert"]
    assert told[1]["id"] == told[2]["id"]
    kept = place.ledger.read("verdicts")
    assert sorted(kept["decision"]) == ["proceed", "revert"], "asked three times, two answers"
    assert run([*common[:-1], "--samples", str(tmp_path / "nothing.parquet")]) not in (0, 10, 20), "a file that is not there is no verdict"
    telemetry(quiet).clear().write_parquet(path)
    assert run([*common, "--samples", str(path)]) == 10
