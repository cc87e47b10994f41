"""What each deployment was: bad, good, or unknown and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from toolkit.labels import labelled

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
TEXTS = ("failed_final", "failed_source", "undone_by", "incident")
TIMES = ("superseded_at", "undone_at", "incident_started_at")


def shipped(name: str, **given: Any) -> dict[str, Any]:
    row = {
        "id": name, "source": "ci", "source_id": name, "service": "shop", "production": True, "kind": "release", "ended": True,
        "stopped": False, "drill": False, "matured": True, "deployed_at": AT,
    }  # fmt: skip
    return dict.fromkeys((*TEXTS, *TIMES)) | row | given


def labels(
    *rows: dict[str, Any],
    evidence: tuple[tuple[str, str, str], ...] = (),
    rollbacks: tuple[tuple[str, str | None, str | None], ...] = (),
    reviewed: tuple[str, ...] = (),
) -> dict[str, tuple[str, str]]:
    """evidence: deployment, level, by. rollbacks: id, trigger, incident."""
    frame = labelled_frame(*rows, evidence=evidence, rollbacks=rollbacks, reviewed=reviewed)
    return {row["deployment"]: (row["label"], row["reason"]) for row in frame.iter_rows(named=True)}


def labelled_frame(*rows: dict[str, Any], evidence: Any = (), rollbacks: Any = (), reviewed: Any = ()) -> pl.DataFrame:
    types = dict.fromkeys(TEXTS, pl.String) | dict.fromkeys((*TIMES, "deployed_at"), TIME)
    seen = pl.DataFrame(evidence, schema={"deployment": pl.String, "level": pl.String, "by": pl.String}, orient="row")
    undone = pl.DataFrame(rollbacks, schema={"id": pl.String, "trigger": pl.String, "incident": pl.String}, orient="row")
    stamps = {"held_at": TIME, "published_at": TIME, "state": pl.String}
    reviews = pl.DataFrame([{"incident": name, "held_at": AT} for name in reviewed], schema={"incident": pl.String, **stamps})
    owners = pl.DataFrame(
        {"service": ["shop"], "class": ["critical"], "valid_from": [None], "valid_to": [None]},
        schema_overrides={"valid_from": TIME, "valid_to": TIME},
    )
    return labelled(
        pl.DataFrame(rows, schema_overrides=types),
        seen.with_columns(regretted=pl.lit(value=False)),
        undone.with_columns(storm=pl.lit(None, pl.String)),
        reviews,
        owners,
        horizon=AT + timedelta(days=30),
        watch=timedelta(hours=2),
    )


def test_what_failed_is_bad_and_what_matured_without_failing_is_good() -> None:
    assert labels(
        shipped("a", failed_final="certain", failed_source="declared"),
        shipped("b", failed_final="likely", failed_source="derived:within_1h"),
        shipped("c"),
        evidence=(("a", "certain", "i1"), ("b", "likely", "i2")),
    ) == {"a": ("bad", "declared"), "b": ("bad", "derived:within_1h"), "c": ("good", "no_failure")}


def test_what_is_possible_or_too_young_is_unknown() -> None:
    assert labels(shipped("a", failed_final="possible"), shipped("b", matured=False)) == {
        "a": ("unknown", "possible"),
        "b": ("unknown", "immature"),
    }


def test_a_way_back_a_drill_and_what_a_pipeline_refused_have_no_label() -> None:
    rows = [shipped("a", kind="rollback"), shipped("b", kind="redeploy"), shipped("c", drill=True), shipped("d", stopped=True)]
    assert labels(*rows, shipped("e", production=False), shipped("f", ended=False)) == {}


def test_an_automatic_stop_that_nobody_confirmed_is_no_evidence_against_a_release() -> None:
    stopped = shipped("a", failed_final="likely", failed_source="derived:undone", undone_by="r1", undone_at=AT + timedelta(minutes=5))
    alone = {"evidence": (("a", "likely", "r1"),), "rollbacks": (("r1", "auto", "i1"),)}
    assert labels(stopped, **alone) == {"a": ("unknown", "unconfirmed_stop")}
    # A review of its incident confirms it, and so does anything else that speaks against it.
    assert labels(stopped, **alone, reviewed=("i1",)) == {"a": ("bad", "derived:undone")}
    assert labels(stopped, **(alone | {"evidence": (("a", "likely", "r1"), ("a", "likely", "i1"))})) == {"a": ("bad", "derived:undone")}
    # A person who stops it has judged it.
    assert labels(stopped, **(alone | {"rollbacks": (("r1", "manual", "i1"),)})) == {"a": ("bad", "derived:undone")}


def test_a_bad_release_whose_incident_has_no_start_in_the_watch_leaves_no_time_to_detect() -> None:
    failed = {"failed_final": "certain", "failed_source": "declared"}
    frame = labelled_frame(
        shipped("a", incident_started_at=AT + timedelta(minutes=30), **failed),
        shipped("b", incident_started_at=AT + timedelta(hours=3), **failed),
        shipped("c", **failed),
    )
    assert frame.select("deployment", "start", "in_time").rows() == [
        ("a", timedelta(minutes=30), True),
        ("b", timedelta(hours=3), False),
        ("c", None, False),
    ]
    assert set(frame["service_class"]) == {"critical"}


def test_a_stop_counts_for_the_watch_only() -> None:
    rows = [shipped(name, undone_by="r1", undone_at=AT + timedelta(minutes=minutes)) for name, minutes in (("a", 5), ("b", 500))]
    assert labelled_frame(*rows)["stopped_at"].to_list() == [timedelta(minutes=5), None]
