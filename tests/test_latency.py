"""Decision latency: minutes from a criterion's holding to the decision, what acting at once would have saved, and stopped for nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from scipy.stats import beta

import toolkit as kg
from toolkit.cli.entry import run
from toolkit.decision_latency import late, summed
from toolkit.errors import UsageError
from toolkit.hindsight import ROWS as REPLAYED
from toolkit.passage import WATCHED
from toolkit.workspace import Workspace

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(minute: float | None) -> datetime | None:
    return None if minute is None else NOON + timedelta(minutes=minute)


def incident(name: str, *, started: float | None = 0, decided: float | None = 30, over: float | None = 90, **more: Any) -> dict[str, Any]:
    """Of deployment d-NAME, an impact at noon that was decided about half an hour later."""
    row = {"id": name, "at": NOON, "cause_deployment": f"d-{name}", "started_at": at(started), "decided_at": at(decided)}
    return row | {"recovered_at": at(over), "planned": False, "production": True} | more


def firing(name: str, minute: float | None, verdict: str = "caught") -> dict[str, Any]:
    return {"deployment": f"d-{name}", "fired_at": at(minute), "verdict": verdict, "deployed_at": NOON}


def told(incidents: list[dict[str, Any]], *fired: dict[str, Any], step: float = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows and sum of one criterion that is evaluated every so many minutes."""
    kinds: dict[str, Any] = dict.fromkeys(("at", "started_at", "decided_at", "recovered_at"), pl.Datetime("us", "UTC"))
    kinds["cause_deployment"] = pl.String()
    replayed = pl.DataFrame(list(fired), schema_overrides={"fired_at": pl.Datetime("us", "UTC")})
    seen = [{"deployment": one["deployment"], "step": timedelta(minutes=step)} for one in fired]
    watched = pl.DataFrame(seen, schema_overrides={"step": pl.Duration("us")})
    assert set(replayed.columns) <= set(REPLAYED)
    assert set(watched.columns) <= set(WATCHED)
    rows = late(pl.DataFrame(incidents, schema_overrides=kinds), replayed, watched, criterion="errors", scope="all services")
    return rows, summed(rows, replayed, criterion="errors", scope="all services")


def minutes(column: pl.Series) -> list[float | None]:
    return [None if one is None else one / timedelta(minutes=1) for one in column]


# What is a row, and what it saves


def test_between_holding_and_deciding_all_but_one_evaluation_is_saved() -> None:
    # Held at minute 10, decided at 30: 20 minutes; a stop acts one evaluation after it fires: 19 are saved.
    rows, total = told([incident("a")], firing("a", 10))
    assert minutes(rows["minutes"]) == [20]
    assert minutes(rows["saved"]) == [20 - 1] == minutes(total["saved"])
    assert minutes(told([incident("a")], firing("a", 10), step=5)[0]["saved"]) == [20 - 5]


def test_where_people_were_first_minutes_are_negative_and_nothing_is_saved() -> None:
    rows, total = told([incident("a", decided=5)], firing("a", 10))
    assert (minutes(rows["minutes"]), minutes(rows["saved"]), rows["says"].item()) == ([-5], [0], "people were first")
    assert total.select("incidents", "people_first").row(0) == (1, 1)


def test_what_held_before_the_impact_is_early_and_no_catch() -> None:
    rows, total = told([incident("a", started=15)], firing("a", 10))
    assert (minutes(rows["minutes"]), minutes(rows["saved"])) == ([20], [0])
    assert total.select("incidents", "early").row(0) == (1, 1)


def test_an_incident_about_which_nobody_says_when_it_was_decided_is_a_row_and_in_no_sum() -> None:
    rows, total = told([incident("a"), incident("b", decided=None)], firing("a", 10), firing("b", 10))
    assert minutes(rows["saved"]) == [19, None]
    assert total.select("incidents", "undecided").row(0) == (1, 1)
    assert minutes(total["saved"]) == [19]


@pytest.mark.parametrize(
    "row",
    [
        incident("a", over=8),
        incident("a", planned=True),
        incident("a", production=False),
        incident("b"),
        incident("a", cause_deployment=None),
    ],
    ids=["over before it held", "planned", "not in production", "caused by another", "cause unknown"],
)
def test_no_row_is_made_of(row: dict[str, Any]) -> None:
    rows, total = told([row], firing("a", 10), firing("b", None))
    assert len(rows) == 0
    assert total.select("incidents", "saved").row(0) == (0, None)


# The sum


def test_the_sum_has_an_interval_from_five_causes_on_and_one_cause_is_one_witness() -> None:
    many = [incident(str(place), decided=20 + place) for place in range(12)]
    fired = [firing(str(place), 10) for place in range(12)]
    total = told(many, *fired)[1].row(0, named=True)
    # 10 + 11 + … + 21 minutes between, one evaluation less each.
    assert total["saved"] == timedelta(minutes=sum(range(10, 22)) - 12)
    assert total["low"] < total["saved"] < total["high"]
    assert told(many[:4], *fired)[1]["low"].item() is None
    # Six incidents of one deployment, and three others: four causes.
    shared = [incident(str(place), cause_deployment="d-0" if place < 6 else f"d-{place}") for place in range(9)]
    assert told(shared, *fired)[1]["low"].item() is None


def test_its_price_is_the_good_ones_it_would_have_stopped() -> None:
    fired = [firing("a", 10), firing("x", 4, "false_stop"), *(firing(f"q{place}", None, "quiet") for place in range(45))]
    _, total = told([incident("a")], *fired)
    assert total.select("false_stops", "good").row(0) == (1, 46)
    # Clopper and Pearson, 2.5 % beyond each end.
    assert total["stops_low"].item() == pytest.approx(beta.ppf(0.025, 1, 46))
    assert total["stops_high"].item() == pytest.approx(beta.ppf(0.975, 2, 45))


def test_where_no_good_one_was_watched_no_share_is_claimed() -> None:
    assert told([incident("a")], firing("a", 10))[1].select("good", "stops_low", "stops_high").row(0) == (0, None, None)


# A workspace


def test_it_holds_when_the_facts_say_that_it_held(told: Workspace) -> None:
    found = kg.latency(told, "canary errors")
    met = {row["deployment"]: row["met_at"] for row in told.facts.criteria_met.collect().iter_rows(named=True)}
    assert len(found.rows)
    for row in found.rows.iter_rows(named=True):
        assert row["met_at"] == met[row["deployment"]]
    decided = {row["id"]: row["decided_at"] for row in told.facts.incidents.collect().iter_rows(named=True)}
    assert all(row["decided_at"] == decided[row["incident"]] for row in found.rows.iter_rows(named=True))
    replayed = kg.replay(told, "canary errors").summary
    assert found.sums.select("false_stops", "good").row(0) == (replayed["false_stops"], replayed["good"])


def test_what_sources_declare_stands_by_itself_since_nobody_says_which_criterion_it_was(told: Workspace) -> None:
    found = kg.latency(told)
    declared = told.facts.incidents.filter(pl.col("criterion_met_at_source") == "declared", ~pl.col("planned"), pl.col("production"))
    rows = found.rows.filter(pl.col("criterion").is_null())
    assert set(rows["incident"]) <= set(declared.collect()["id"])
    assert rows["minutes"].equals(rows["decided_at"] - rows["met_at"])
    assert found.sums.filter(pl.col("criterion").is_null())["false_stops"].to_list() == [None]
    assert kg.latency(told, "canary errors").rows["criterion"].null_count() == 0


def test_a_window_holds_its_incidents_and_its_deployments(told: Workspace) -> None:
    whole, short = kg.latency(told, "canary errors"), kg.latency(told, "canary errors", window="6w")
    end = datetime.fromisoformat(told.meta["horizon"])
    assert short.rows.equals(whole.rows.filter(pl.col("at") >= end - timedelta(weeks=6)))
    assert 0 < short.sums["good"].item() < whole.sums["good"].item()
    one = kg.latency(told, "canary errors", service=kg.replay(told).rows["service"][0])
    assert 0 < one.sums["good"].item() < whole.sums["good"].item()


def test_the_command_prints_rows_and_sums(told: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["latency", "--workspace", str(told.root), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    found = kg.latency(told)
    assert [row["incident"] for row in out["rows"]] == found.rows["incident"].to_list()
    first = found.sums.row(0, named=True)
    assert out["sums"][0]["saved"] == pytest.approx(first["saved"] / timedelta(minutes=1))
    assert run(["latency", "--workspace", str(told.root)]) == 0
    assert "would have saved" in capsys.readouterr().out


def test_a_criterion_that_is_not_in_force_is_said_with_those_that_are(told: Workspace) -> None:
    with pytest.raises(UsageError, match="canary errors"):
        kg.latency(told, "nothing")
