"""One deployment that two tools tell of is one deployment, with both as evidence."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import polars as pl
import pytest

from tests.builders import HORIZON, deployment, frames, history, incident, override, t
from tests.oracle import stitch
from tests.oracle.comparison import differences
from tests.oracle.doubles import one_of_each
from tests.oracle.fuzz import apart, drawn
from toolkit.facts import facts_of


def ci(version: str | None, at: str, minutes: float | None = 5, **given: Any) -> dict[str, Any]:
    return deployment(version, at, minutes, **{"id": f"run {at}", "source": "ci"} | given)


def argo(version: str | None, at: str, minutes: float | None = 5, **given: Any) -> dict[str, Any]:
    return deployment(version, at, minutes, **{"id": f"sync {at}", "source": "gitops"} | given)


def told(*rows: dict[str, Any]) -> dict[str, pl.DataFrame]:
    return facts_of(frames(history(*rows)), horizon=HORIZON)


def standing(*rows: dict[str, Any]) -> list[str]:
    return told(*rows)["deployments"]["id"].to_list()


def test_the_same_version_at_the_same_time_from_two_sources_is_one() -> None:
    facts = told(ci("v1", "09:00"), argo("v1", "09:02"), ci("v2", "10:00"), argo("v2", "10:03"))
    # Without the rule the second v1 would be a redeploy, and two of four would be counted.
    assert facts["deployments"].select("id", "kind").rows() == [("run 09:00", "release"), ("run 10:00", "release")]
    assert facts["doubles"].select("source", "source_id", "of_source", "of_source_id").rows() == [
        ("gitops", "sync 09:02", "ci", "run 09:00"),
        ("gitops", "sync 10:03", "ci", "run 10:00"),
    ]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (argo("v1", "09:06"), "more than 5 minutes apart"),
        (argo("v2", "09:00"), "another version"),
        (argo(None, "09:00"), "nothing that identifies it"),
        (argo("latest", "09:00"), "a tag that moves"),
        (argo("v1", "09:00", artifact_digest="b"), "another digest"),
        (argo("v1", "09:00", vcs_revision="b"), "another commit"),
        (argo("v1", "09:00", config_revision="b"), "another configuration"),
        (argo("v1", "09:00", service="cart"), "another service"),
        (argo("v1", "09:00", environment="staging"), "another environment"),
        (argo("v1", "09:00", status="failed"), "it ended otherwise"),
        (argo("v1", "09:00", source="ci"), "the same source: it would know"),
    ],
)
def test_what_may_be_another_deployment_stays(other: dict[str, Any], why: str) -> None:
    first = ci("v1", "09:00", artifact_digest="a", vcs_revision="a", config_revision="a")
    if other["version"] == "latest":
        first["version"] = "latest"
        first["artifact_digest"] = first["vcs_revision"] = None
    assert len(standing(first, other)) == 2, why


def test_five_minutes_between_the_ends_are_near_enough() -> None:
    assert standing(ci("v1", "09:00"), argo("v1", "09:05")) == ["run 09:00"]


def test_a_digest_is_enough_where_versions_are_not_written_down() -> None:
    assert standing(ci(None, "09:00", artifact_digest="a"), argo("v1", "09:02", artifact_digest="a")) == ["run 09:00"]


def test_each_meets_its_nearest_and_no_other() -> None:
    # Deployed twice within minutes: both sources have both.
    rows = [ci("v1", "09:00"), ci("v1", "09:04"), argo("v1", "09:01"), argo("v1", "09:05")]
    assert standing(*rows) == ["run 09:00", "run 09:04"]
    # One source missed the second.
    assert standing(*rows[:3]) == ["run 09:00", "run 09:04"]


def test_the_row_that_stands_has_what_only_the_other_knew() -> None:
    row = told(ci("v1", "09:00", committed_at="08:00"), argo("v1", "09:01", artifact_digest="a", trigger="auto"))["deployments"].row(
        0, named=True
    )
    assert (row["id"], row["started_at"], row["trigger"]) == ("run 09:00", t("09:00"), "auto")


def test_a_start_after_the_end_is_not_taken_over() -> None:
    late = ci("v1", "09:00", 0, started_at=None)
    row = told(late, argo("v1", "09:01", 3))["deployments"].row(0, named=True)
    assert (row["started_at"], row["finished_at"]) == (None, t("09:00"))


def test_whoever_names_the_row_that_went_names_the_one_that_stands() -> None:
    rows = [ci("v1", "09:00"), argo("v1", "09:01"), ci("v2", "09:30"), argo("v2", "09:31")]
    facts = told(*rows, incident("09:40", "10:00", suspected_deployment="sync 09:31", source="pager"))
    assert facts["incidents"]["cause_deployment"].to_list() == ["run 09:30"]
    assert facts["deployments"].filter(pl.col("failed") == "certain")["id"].to_list() == ["run 09:30"]


def test_what_a_reviewer_said_of_the_row_that_went_holds_for_the_one_that_stands() -> None:
    rows = [ci("v1", "09:00"), argo("v1", "09:01")]
    facts = told(*rows, override("failed", "certain", of="sync 09:01", source="gitops"))
    assert facts["deployments"]["failed_final"].to_list() == ["certain"]


def test_an_id_that_a_third_row_has_too_is_left_alone() -> None:
    rows = [ci("v1", "09:00", id="7"), argo("v1", "09:01"), deployment("v5", "15:00", id="7", source="other")]
    assert len(standing(*rows)) == 3


def test_three_sources_are_one_too() -> None:
    third = deployment("v1", "09:03", id="hook", source="webhook")
    assert standing(ci("v1", "09:00"), argo("v1", "09:02"), third) == ["run 09:00"]


def twice_told(seed: int) -> dict[str, list[dict[str, Any]]]:
    """A hostile history, most of whose deployments a second source tells too: minutes off, and with gaps."""
    random = Random(seed)
    records = drawn(seed)
    again = []
    for number, row in enumerate(records["deployment"]):
        if random.random() < 0.3:
            continue
        other = row | {"source": random.choice("wz"), "source_id": random.choice([row["source_id"], f"z{number}"])}
        for name in ("started_at", "finished_at"):
            if other[name] is not None:
                other[name] += timedelta(minutes=random.choice([0, 0, 1, -2, 5, -5, 6]))
        for name in ("version", "artifact_digest", "vcs_revision", "trigger", "started_at", "committed_at"):
            if random.random() < 0.2:
                other[name] = None
        again.append(other)
        # Who names it may name either.
        for incident_row in records["incident"]:
            if incident_row["suspected_deployment"] == row["source_id"] and random.random() < 0.5:
                incident_row["suspected_deployment"] = other["source_id"]
        for verdict_row in records.get("verdict", []):
            if verdict_row["deployment"] == row["source_id"] and random.random() < 0.5:
                verdict_row["deployment"] = other["source_id"]
    taken: set[tuple[str, str]] = set()
    kept = [row for row in again if not ((key := (row["source"], row["source_id"])) in taken or taken.add(key))]
    return {**records, "deployment": records["deployment"] + kept}


def test_engine_and_oracle_agree_on_what_was_told_twice() -> None:
    together: dict[str, list[Any]] = {}
    for seed in range(20_000, 20_050):
        for name, rows in apart(twice_told(seed), f"{seed}.").items():
            together.setdefault(name, []).extend(rows)
    assert len(together["deployment"]) - len(one_of_each(together, HORIZON)["deployment"]) > 20
    found = differences(stitch(together, HORIZON), facts_of(frames(together), horizon=HORIZON))
    assert not found, found[:5]
