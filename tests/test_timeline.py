"""One incident along time: what stands in which lane, what it rests on, which deployments may have caused it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tests.builders import HORIZON, deployment, event, flag_off, frames, history, incident, m, rollback, t
from toolkit.charts import lanes, lanes_in_words, phases_bar, phases_in_words
from toolkit.facts import facts_of
from toolkit.records import RECORDS
from toolkit.review.causes import candidates_of
from toolkit.review.timeline import LANES, incident_named, phases_of, picture_of, timeline_of
from toolkit.workspace import Workspace


def published(*rows: dict[str, Any]) -> SimpleNamespace:
    """The facts of a history, with the small records beside them, as a warehouse has them."""
    records = frames(history(*rows))
    verdicts = pl.DataFrame(schema={"source_id": pl.String, "service": pl.String, "environment": pl.String, "at": pl.Datetime("us", "UTC")})
    verdicts = verdicts.with_columns(pl.lit(None, pl.String).alias(name) for name in ("deployment", "tool", "criterion", "decision"))
    tables = facts_of(records, horizon=HORIZON) | {RECORDS[name].table: records[name] for name in ("incident_event", "flag_change")}
    return SimpleNamespace(**{name: frame.lazy() for name, frame in tables.items()}, verdicts=verdicts.lazy())


def lines(facts: SimpleNamespace, id: str = "inc") -> list[tuple[str, str, str, str]]:
    """lane, clock, what, provenance."""
    row = incident_named(facts, id)
    assert row is not None
    told = timeline_of(facts, row, HORIZON)
    return [(line["lane"], f"{line['at']:%H:%M}", line["what"], line["provenance"]) for line in told.to_dicts()]


# 09:00 v1   10:00 v2   10:10 impact   10:20 noticed   10:30 decided   10:32 flag off   10:40 v1 again   10:50 recovered
TROUBLE = (
    deployment("v1", "9:00"),
    deployment("v2", "10:00"),
    incident("10:20", "10:50", started_at="10:10", decided_at="10:30"),
    event("decided", "10:30", text="Roll back"),
    event("informed_customers", "10:35", text="Sorry"),
    flag_off("10:32"),
    deployment("v1", "10:40", 5),
)


def test_every_lane_holds_its_rows_in_order_of_time() -> None:
    assert lines(published(*TROUBLE)) == [
        ("deployments", "09:00", "release", "derived"),
        ("deployments", "10:00", "release, the cause", "derived"),
        ("alerts", "10:10", "impact began", "declared"),
        ("alerts", "10:20", "noticed", "declared"),
        ("people", "10:30", "decided", "declared"),
        ("flags", "10:32", "flag off", "declared"),
        ("people", "10:35", "informed customers", "declared"),
        ("deployments", "10:40", "rollback", "derived"),
        ("attempts", "10:40", "back by redeploy, succeeded", "derived"),
        ("alerts", "10:50", "recovered", "declared"),
    ]


def test_an_event_that_says_what_a_stamp_says_is_one_row_with_its_text() -> None:
    facts = published(*TROUBLE)
    told = timeline_of(facts, incident_named(facts, "inc") or {}, HORIZON)
    assert told.filter(pl.col("what") == "decided")["text"].to_list() == ["Roll back"]
    # Written to the minute, it may lie within the minute; written to the second, it is another moment.
    for precision, rows in (("minute", ["decided"]), ("second", ["decided", "decided"])):
        stamped = incident("10:20", "10:50", decided_at=t("10:30") + m(0.5))  # type: ignore[operator]
        facts = published(stamped, event("decided", "10:30", precision=precision))
        assert [what for _, _, what, _ in lines(facts) if what == "decided"] == rows


def test_what_came_back_as_a_new_incident_has_its_own_part_of_the_events() -> None:
    again = (event("reopened", "3d 10:00"), event("note", "3d 10:30"), event("mitigated", "3d 11:00"))
    facts = published(incident("10:00", "11:00"), event("note", "10:30"), *again)
    assert [clock for _, clock, what, _ in lines(facts, "inc") if what == "note"] == ["10:30"]
    assert ("people", "10:30", "note", "declared") in lines(facts, "inc#2")
    assert len([what for _, _, what, _ in lines(facts, "inc#2") if what == "note"]) == 1


def test_other_services_and_environments_are_in_no_lane() -> None:
    facts = published(
        incident("10:20", "10:50"), deployment("v2", "10:00", service="cart"), deployment("v3", "10:00", environment="staging")
    )
    assert [lane for lane, *_ in lines(facts)] == ["alerts", "alerts"]


def test_the_phases_are_those_of_the_facts_and_say_what_they_rest_on() -> None:
    facts = published(*TROUBLE)
    row = incident_named(facts, "inc") or {}
    found = phases_of(row)
    assert found.select("phase", "minutes", "provenance").rows() == [
        ("detect", 10, "declared"), ("decide", 10, "declared"), ("act", 20, "declared"),
    ]  # fmt: skip
    assert sum(found["minutes"]) == row["whole"] / m(1)
    undecided = {**row, "decided_at_source": "derived:first_action"}
    assert phases_of(undecided)["provenance"].to_list() == ["declared", "derived", "derived"]
    corrected = {**undecided, "started_at_source": "override"}
    assert phases_of(corrected)["provenance"].to_list() == ["overridden", "derived", "derived"]


def test_an_open_phase_lasts_as_long_as_it_has_lasted() -> None:
    facts = published(incident("10:20", None, started_at="10:10"))
    row = incident_named(facts, "inc") or {}
    assert phases_of(row).select("phase", "open").rows() == [("detect", False), ("decide", True)]
    assert phases_of(row)["end"].to_list()[-1] == HORIZON
    assert "still open" in phases_in_words(phases_of(row))


def test_candidates_come_with_distance_evidence_and_the_reason() -> None:
    facts = published(deployment("v0", "8:00"), *TROUBLE, deployment("v9", "10:00", service="cart"))
    found = candidates_of(facts, incident_named(facts, "inc") or {})
    assert found.select("id", pl.col("distance").dt.total_minutes(), "counted").rows() == [
        ("v2 10:00", 10, True), ("v1 9:00", 70, False), ("v0 8:00", 130, False),
    ]  # fmt: skip
    assert found["why"][0] == "counts: the first attempt to get back undid it"
    assert found["evidence"][0].to_list() == ["likely: within 1h, by inc", "likely: undone, by deployment:v1 10:40"]
    assert found["why"][1] == "does not count: a later deployment came between"


def test_a_cause_that_somebody_named_is_listed_though_it_is_no_candidate() -> None:
    facts = published(
        deployment("v1", "9:00"), deployment("v2", "3d 10:00"), incident("3d 10:20", "3d 10:50", suspected_deployment="v1 9:00")
    )
    found = candidates_of(facts, incident_named(facts, "inc") or {})
    assert found.select("id", "counted").rows() == [("v1 9:00", True), ("v2 3d 10:00", False)]
    assert found["why"].to_list() == ["counts: the incident names it", "does not count: for v1 9:00, the incident names it"]


def test_no_deployment_counts_where_somebody_said_that_none_was_to_blame() -> None:
    facts = published(deployment("v2", "10:00"), incident("10:20", "10:50", cause="not_a_deployment"))
    found = candidates_of(facts, incident_named(facts, "inc") or {})
    assert found.select("id", "counted", "why").rows() == [("v2 10:00", False, "does not count: the cause is no deployment")]


def test_the_latest_candidate_of_each_service_is_the_one_that_the_facts_blame(demo: Path) -> None:
    facts = Workspace(demo).facts
    timed = facts.evidence.filter(pl.col("rule").is_in(["derived:within_1h", "derived:within_24h", "derived:hotfix"])).collect()
    blamed = timed.group_by("by").agg("deployment").sort("by").tail(60)
    assert len(blamed) == 60
    for id, deployments in blamed.iter_rows():
        found = candidates_of(facts, incident_named(facts, id) or {})
        latest = found.filter("candidate").sort("deployed_at").unique("service", keep="last")
        assert set(deployments) <= set(latest["id"]), id


def test_every_incident_of_the_sample_has_a_timeline_candidates_and_pictures(demo: Path) -> None:
    workspace = Workspace(demo)
    facts, horizon = workspace.facts, datetime.fromisoformat(workspace.meta["horizon"])
    for id in facts.incidents.select("id").collect()["id"].to_list()[::12]:
        row = incident_named(facts, id) or {}
        told = timeline_of(facts, row, horizon)
        start, end = picture_of(row, told, horizon)
        assert start < end
        assert set(told["lane"]) <= set(LANES)
        assert candidates_of(facts, row)["counted"].sum() == (row["cause_deployment"] is not None)


@pytest.fixture(scope="module")
def picture() -> dict[str, Any]:
    facts = published(*TROUBLE, rollback("v1", "10:41", id="\u202e<script>" + "x" * 9_000, reason="=cmd()"))
    row = incident_named(facts, "inc") or {}
    told = timeline_of(facts, row, HORIZON).with_columns(
        provenance=pl.when(pl.col("what") == "decided").then(pl.lit("overridden")).otherwise("provenance")
    )
    start, end = picture_of(row, told, HORIZON)
    return {
        "lanes": lanes(told, start, end).to_dict(),
        "phases": phases_bar(phases_of(row), start, end).to_dict(),
        "words": lanes_in_words(told),
    }


def test_a_marks_shape_says_what_it_rests_on(picture: dict[str, Any]) -> None:
    marks = picture["lanes"]["layer"][1]["encoding"]
    assert dict(zip(*(marks["shape"]["scale"][part] for part in ("domain", "range")), strict=True)) == {
        "declared": "circle", "derived": "diamond", "overridden": "square",
    }  # fmt: skip
    assert marks["color"]["scale"]["domain"] == marks["shape"]["scale"]["domain"]


def test_both_pictures_share_one_axis_in_utc(picture: dict[str, Any]) -> None:
    axes = [layer["encoding"]["x"]["scale"] for name in ("lanes", "phases") for layer in picture[name]["layer"]]
    assert axes[0]["type"] == "utc"
    assert all(axis == axes[0] for axis in axes)


def test_hostile_text_comes_to_the_picture_short_and_visible(picture: dict[str, Any]) -> None:
    said = json.dumps(picture["lanes"], ensure_ascii=False)
    assert "\u202e" not in said
    assert len(said) < 30_000
    assert "the table under it says the same" in picture["words"]
