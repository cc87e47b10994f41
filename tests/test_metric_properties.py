"""What must hold of every metric, whatever the facts; a slow count in plain Python is the oracle."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import polars as pl
from examples import examples
from handmade import MONDAY, at, deployment, incident, minutes, rollback, workspace
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.metrics import METRICS, Duration, Rate, measure
from toolkit.metrics.scope import SEVERAL_SERVICES

DAYS = st.integers(0, 27)
SERVICES = st.sampled_from(["shop", "cart", "mail"])
LEVELS = st.sampled_from([None, "certain", "likely", "possible"])


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    return deployment(
        at=at(draw(DAYS)),
        service=draw(SERVICES),
        kind=draw(st.sampled_from(["release", "rollback", "redeploy", "reapply", "out_of_order", "unknown"])),
        hotfix=draw(LEVELS),
        failed_final=draw(LEVELS),
        successful=draw(st.booleans()),
        ended=draw(st.booleans()),
        stopped=draw(st.booleans()),
        matured=draw(st.booleans()),
        drill=draw(st.booleans()),
        undone_by=draw(st.sampled_from([None, "r1"])),
        lead_time=draw(st.one_of(st.none(), st.integers(-5, 500).map(minutes))),
    )


@st.composite
def rollbacks(draw: st.DrawFn) -> dict[str, Any]:
    return rollback(
        at=at(draw(DAYS)),
        service=draw(SERVICES),
        mechanism=draw(st.sampled_from(["redeploy", "traffic", "flag", "database"])),
        outcome=draw(st.sampled_from(["succeeded", "failed", "ineffective", "pending"])),
        storm=draw(st.sampled_from([None, "x", "y"])),
        race=draw(st.booleans()),
        drill=draw(st.booleans()),
    )


@st.composite
def incidents(draw: st.DrawFn) -> dict[str, Any]:
    still_open = draw(st.booleans())
    return incident(
        at=at(draw(DAYS)),
        services=draw(st.lists(SERVICES, min_size=1, max_size=3, unique=True)),
        planned=draw(st.booleans()),
        open=still_open,
        censored_phase="decide" if still_open else None,
        decide=draw(st.one_of(st.none(), st.integers(0, 300).map(minutes))),
        whole=minutes(draw(st.integers(0, 900))),
        detected_by=draw(st.sampled_from([None, "machine", "person"])),
    )


HISTORIES = st.builds(
    workspace,
    deployments=st.lists(deployments(), max_size=40),
    rollbacks=st.lists(rollbacks(), max_size=40),
    incidents=st.lists(incidents(), max_size=40),
    records=st.just({"deployment": 1, "rollback": 1, "incident": 1}),
)


def in_rates(row: dict[str, Any]) -> bool:
    change = row["kind"] == "release" or row["hotfix"] in ("certain", "likely")
    return change and not row["drill"] and row["ended"] and not row["stopped"] and row["matured"]


@given(st.lists(deployments(), max_size=40))
@settings(max_examples=examples(10))
def test_rates_of_deployments_agree_with_a_plain_count(ships: list[dict[str, Any]]) -> None:
    w = workspace(deployments=ships, records={"deployment": 1})
    found = {row["metric"]: row for row in measure(w, group="dora", start=MONDAY).to_dicts()}
    counted = [row for row in ships if in_rates(row)]
    failed = sum(row["failed_final"] in ("certain", "likely") for row in counted)
    assert (found["change_failure_rate"]["k"], found["change_failure_rate"]["n"]) == (failed, len(counted))
    hot = sum(row["hotfix"] in ("certain", "likely") for row in counted)
    assert (found["deployment_rework_rate"]["k"], found["deployment_rework_rate"]["n"]) == (hot, len(counted))
    undone = measure(w, "rollback_rate", start=MONDAY).row(0, named=True)
    assert undone["k"] == sum(row["undone_by"] is not None for row in counted)


@given(st.lists(incidents(), max_size=50))
@settings(max_examples=examples(10))
def test_the_median_agrees_with_a_plain_kaplan_meier(troubles: list[dict[str, Any]]) -> None:
    w = workspace(incidents=troubles, records={"incident": 1})
    found = measure(w, "time_to_recover", start=MONDAY).row(0, named=True)
    rows = [(max(row["whole"].total_seconds() / 60, 1 / 60), row["open"]) for row in troubles if not row["planned"]]
    curve, expected = 1.0, None
    for time in sorted({time for time, _ in rows}):
        at_risk = sum(other >= time for other, _ in rows)
        ended = sum(other == time and not still_open for other, still_open in rows)
        curve *= 1 - ended / at_risk
        if expected is None and curve <= 0.5 + 1e-9:
            expected = time
    assert found["n"] == len(rows)
    assert (found["value"] is None) == (expected is None)
    assert expected is None or math.isclose(found["value"], expected)


@given(HISTORIES)
@settings(max_examples=examples(6))
def test_an_estimate_lies_in_its_interval_and_no_interval_is_a_point(w: Any) -> None:
    found = measure(w, start=MONDAY)
    some = found.filter(pl.col("low").is_not_null() & pl.col("value").is_not_null())
    assert (some["low"] <= some["value"] + 1e-9).all()
    assert (some.filter(pl.col("high").is_not_null()).select(pl.col("high") + 1e-9 >= pl.col("value")).to_series()).all()
    rates = found.filter((pl.col("kind") == Rate.value) & (pl.col("n") > 0))
    assert (rates["high"] > rates["low"]).all()
    assert ((rates["low"] >= 0) & (rates["high"] <= 1)).all()


@given(HISTORIES)
@settings(max_examples=examples(4))
def test_periods_add_up_to_the_window(w: Any) -> None:
    whole = measure(w, start=MONDAY).drop_nulls("n")
    weeks = measure(w, start=MONDAY, every="1w").drop_nulls("n").group_by("metric").agg(pl.col("n", "k", "censored").sum())
    joined = whole.join(weeks, on="metric", suffix="_weeks")
    assert len(joined) == len(whole)
    assert (joined["n"] == joined["n_weeks"]).all()
    assert (joined["k"].fill_null(0) == joined["k_weeks"]).all()
    assert (joined["censored"].fill_null(0) == joined["censored_weeks"]).all()


@given(HISTORIES)
@settings(max_examples=examples(4))
def test_services_add_up_except_where_an_incident_has_several(w: Any) -> None:
    whole = dict(measure(w, start=MONDAY).drop_nulls("n").select("metric", "n").rows())
    by = dict(measure(w, start=MONDAY, by="service").drop_nulls("n").group_by("metric").agg(pl.col("n").sum()).rows())
    for name, n in by.items():
        of_incidents = METRICS[name.removesuffix("_p90")].fact in SEVERAL_SERVICES
        assert n >= whole[name] if of_incidents else n == whole[name], name


@given(HISTORIES)
@settings(max_examples=examples(3))
def test_a_service_alone_gives_what_it_gives_among_all(w: Any) -> None:
    among = measure(w, start=MONDAY, by="service").filter(pl.col("by") == "shop").drop("by", "note")
    alone = measure(w, start=MONDAY, service="shop").drop("by", "note")
    joined = alone.join(among, on="metric", suffix="_among", nulls_equal=True)
    for column in ("value", "low", "high", "n", "k", "censored"):
        assert joined[column].equals(joined[f"{column}_among"].alias(column), null_equal=True), column


@given(HISTORIES, st.randoms())
@settings(max_examples=examples(3))
def test_the_order_of_rows_changes_nothing(w: Any, random: Any) -> None:
    before = measure(w, start=MONDAY, by="service", every="1w")
    for name in ("deployments", "rollbacks", "incidents", "hotfixes"):
        frame = getattr(w.facts, name).collect()
        order = list(range(len(frame)))
        random.shuffle(order)
        setattr(w.facts, name, frame[order].lazy())
    assert measure(w, start=MONDAY, by="service", every="1w").equals(before)


@given(HISTORIES, st.integers(1, 27))
@settings(max_examples=examples(4))
def test_what_lies_before_a_window_changes_nothing_in_it(w: Any, day: int) -> None:
    since = MONDAY + timedelta(days=day)
    before = measure(w, start=since)
    for name in ("deployments", "rollbacks", "incidents", "hotfixes"):
        setattr(w.facts, name, getattr(w.facts, name).filter(pl.col("at") >= since))
    connected = measure(w, start=since).filter(~pl.col("note").str.starts_with("not measured").fill_null(value=False))
    assert before.join(connected, on=before.columns, how="semi", nulls_equal=True).height == connected.height


def test_every_duration_has_two_rows() -> None:
    found = measure(workspace(deployments=[deployment()], incidents=[incident()], rollbacks=[rollback()]), start=MONDAY)["metric"].to_list()
    for name, metric in METRICS.items():
        if metric.headline:
            assert (f"{name}_p90" in found) == (metric.kind is Duration)
