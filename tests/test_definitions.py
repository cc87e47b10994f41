"""Other tools' numbers from the same records, as those tools give them; and where they part from ours."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from tests.builders import DAY_ONE, deployment, incident, m, t
from tests.oracle.elsewhere import COUNTS
from tests.stitched import stitched
from toolkit.definitions import DEFINITIONS, measure, versus, with_causes
from toolkit.errors import UsageError

RATE, RECOVERY = "change_failure_rate", "failed_deployment_recovery_time"


def number(w: Any, name: str, definition: str, **scope: Any) -> dict[str, Any]:
    return measure(w, name, definition=definition, **scope).row(0, named=True)


def rate(w: Any, definition: str, **scope: Any) -> tuple[int, int]:
    row = number(w, RATE, definition, **scope)
    return row["k"], row["n"]


def failed(w: Any, definition: str) -> list[str]:
    rows = DEFINITIONS[definition].failed
    from toolkit.definitions.definition import history_of

    return sorted(rows(history_of(w)).rows.collect()["deployment"].to_list())


# V1 V2 V3 V1: who is to blame


def going_back() -> Any:
    return stitched(deployment("v1", "08:00"), deployment("v2", "09:00"), deployment("v3", "10:00"), deployment("v1", "11:00"))


@pytest.mark.parametrize(
    ("definition", "blamed", "minutes"),
    [
        ("datadog-rollback", ["v2 09:00"], 120),
        ("sleuth-rollback", ["v2 09:00", "v3 10:00"], (120 + 60) / 2),
        ("swarmia-rollback", ["v3 10:00"], 60),
    ],
)
def test_three_tools_blame_three_releases_for_one_rollback(definition: str, blamed: list[str], minutes: float) -> None:
    w = going_back()
    assert failed(w, definition) == blamed
    assert rate(w, definition) == (len(blamed), 4)
    assert number(w, RECOVERY, definition)["value"] == minutes


def test_knowngood_blames_the_one_that_was_current() -> None:
    frame = going_back().facts.deployments.filter(pl.col("failed_final") == "likely").collect()
    assert frame["id"].to_list() == ["v3 10:00"]


# DevLake


def test_devlake_takes_the_newest_that_had_finished_strictly_before() -> None:
    ships = [deployment("v1", "08:00"), deployment("v2", "09:00", 10), deployment("v3", "12:00")]
    w = stitched(*ships, incident("09:10", "09:40", id="at its end"), incident("09:11", "09:50", id="after its end"))
    causes = dict(with_causes(w, "devlake").select("id", "cause_deployment").rows())
    assert causes == {"at its end": "v1 08:00", "after its end": "v2 09:00"}
    assert rate(w, "devlake") == (2, 3)


def test_devlake_knows_no_limit_of_time_and_no_failed_deployment() -> None:
    w = stitched(deployment("v1", "08:00"), deployment("v2", "09:00", status="failed"), incident("40d 10:00", "40d 11:00"))
    assert with_causes(w, "devlake")["cause_deployment"].to_list() == ["v1 08:00"]
    assert with_causes(w, "devlake")["cause_source"].to_list() == ["definition:devlake"]


def test_devlake_drops_what_is_open_and_takes_the_lower_of_two_middle_ones() -> None:
    ships = [deployment("v1", "08:00")]
    tickets = [incident("09:00", f"{hour}:00", id=f"i{hour}") for hour in (10, 11, 13, 17)] + [incident("09:30", None, id="open")]
    found = number(stitched(*ships, *tickets), RECOVERY, "devlake")
    # 2, 3, 5 and 9 h after the deployment: the lower of the middle two.
    assert (found["value"], found["n"]) == (3 * 60, 4)
    assert found["note"] == "1 open incidents dropped"


def test_devlake_wants_both_ends_in_the_window() -> None:
    w = stitched(
        deployment("v1", "08:00"),
        deployment("v2", "1d 08:00"),
        incident("09:00", "1d 10:00", id="a"),
        incident("1d 09:00", "1d 11:00", id="b"),
    )
    assert number(w, RECOVERY, "devlake", start=t("1d 00:00"))["value"] == 3 * 60
    assert number(w, RECOVERY, "devlake")["n"] == 2


def test_devlakes_own_case_of_incidents_and_deployments() -> None:
    """The links in Apache DevLake's end-to-end test of its connector; what its project holds is one service here."""
    days = {"p1": (10, True), "p2": (14, True), "p4": (16, True), "p6": (20, True), "p7": (23, True), "p8": (19, False)}
    september = datetime(2022, 9, 1, 22, 51, 47, tzinfo=UTC)
    ships = [
        deployment(name, september + timedelta(days=day - 1), id=name, status="succeeded" if ok else "failed")
        for name, (day, ok) in days.items()
    ]
    opened = {"738": "2022-11-13T23:37:21", "153": "2022-11-02T08:21:09", "019": "2022-11-28T01:46:47", "478": "2022-09-15T01:56:16"}
    tickets = [incident(datetime.fromisoformat(f"{at}Z"), None, id=name) for name, at in opened.items()]
    w = stitched(*ships, *tickets, horizon=datetime(2022, 12, 31, tzinfo=UTC))
    causes = dict(with_causes(w, "devlake").select("id", "cause_deployment").rows())
    assert causes == {"738": "p7", "153": "p7", "019": "p7", "478": "p2"}


# Four Keys


def test_fourkeys_counts_incident_rows_so_it_can_pass_one() -> None:
    tickets = [incident("09:00", "10:00", id=f"i{number}", root_cause="abc") for number in range(3)]
    w = stitched(deployment("v1", "08:00", vcs_revision="abc"), *tickets)
    assert rate(w, "fourkeys") == (3, 1)
    assert number(w, RATE, "fourkeys")["value"] == 3


def test_fourkeys_reads_the_commit_from_the_text_too_and_links_nothing_by_time() -> None:
    ships = [deployment("v1", "08:00", vcs_revision="abc"), deployment("v2", "09:00", vcs_revision="def")]
    w = stitched(*ships, incident("09:05", "10:00", id="a", title="Down. Root cause: abc"), incident("09:06", "10:00", id="b"))
    assert failed(w, "fourkeys") == ["v1 08:00"]


def test_fourkeys_takes_whole_hours_from_the_named_deployment_on_and_the_middle_between_two() -> None:
    w = stitched(
        deployment("v1", "08:00", vcs_revision="abc"),
        incident("09:00", "10:59", id="a", root_cause="abc"),
        incident("12:00", "17:30", id="b"),
        incident("13:00", None, id="open"),
    )
    # 2 h 59 min since the deployment are 2, 5 h 30 min are 5: half way is 3.5.
    assert number(w, RECOVERY, "fourkeys")["value"] == 3.5 * 60


# GitLab, Middleware


def test_gitlab_divides_incidents_by_deployments_whatever_caused_them() -> None:
    w = stitched(
        deployment("v1", "08:00"), deployment("v2", "09:00"), incident("20d 09:00", "20d 10:00"), incident("07:00", "07:30", id="before")
    )
    assert rate(w, "gitlab") == (2, 2)
    assert number(w, RECOVERY, "gitlab")["value"] == (60 + 30) / 2
    assert with_causes(w, "gitlab")["cause_deployment"].null_count() == 2


def test_middlewares_own_case() -> None:
    """Six deployments, seven incidents: one before all, three after one, none after the last."""
    hours = {"1": 168, "2": 144, "3": 96, "4": 48, "5": 6, "6": 0.5}
    now = DAY_ONE + timedelta(days=20)
    ships = [deployment(f"v{name}", now - timedelta(hours=ago), id=name) for name, ago in hours.items()]
    ago = [240, 120, 72, 20, 4, 2, 1]
    tickets = [incident(now - timedelta(hours=before), None, id=f"i{before}") for before in ago]
    w = stitched(*ships, *tickets, horizon=now)
    assert failed(w, "middleware") == ["2", "3", "4", "5"]
    assert rate(w, "middleware") == (4, 6)


def test_middleware_takes_the_moment_itself_and_the_mean() -> None:
    spans = [100, 300, 800]
    tickets = [incident("09:00", t("09:00") + timedelta(seconds=span), id=f"i{span}") for span in spans]  # type: ignore[operator]
    w = stitched(deployment("v1", "08:00"), deployment("v2", "09:00"), *tickets)
    assert failed(w, "middleware") == ["v2 09:00"]
    assert number(w, RECOVERY, "middleware")["value"] == pytest.approx(400 / 60)


def test_middleware_says_zero_where_there_are_no_deployments_and_others_say_nothing() -> None:
    w = stitched(deployment("v1", "08:00", environment="staging"), incident("09:00", "10:00"))
    assert number(w, RATE, "middleware")["value"] == 0
    assert number(w, RATE, "gitlab")["value"] is None


# Metrik


def test_metrik_takes_a_failed_pipeline_for_a_failure() -> None:
    states = ["succeeded", "failed", "failed", "cancelled", "succeeded", "failed"]
    ships = [deployment(f"v{hour}", f"{hour:02}:00", 6, status=state) for hour, state in enumerate(states)]
    w = stitched(*ships, incident("04:10", "04:40"))
    assert rate(w, "metrik") == (3, 5)
    # The first of two failures ended at 01:06, the next success at 04:06; the last failure is not over.
    assert number(w, RECOVERY, "metrik")["value"] == 180


REAL = Path(os.environ.get("KNOWNGOOD_REAL_DATA", "")) / "metrik"


@pytest.mark.skipif(
    not (os.environ.get("KNOWNGOOD_REAL_DATA") and (REAL / "expected.json").exists()),
    reason="no metrik/ in KNOWNGOOD_REAL_DATA: Metrik's own cases are not here",
)
def test_metriks_own_cases() -> None:
    cases = json.loads((REAL / "expected.json").read_text(encoding="utf-8"))
    shown = 0
    for case in cases:
        if case["metric"] not in ("CFR", "MTTR") or case["start_ms"] == case["end_ms"]:
            continue
        builds = json.loads((REAL / case["file"]).read_text(encoding="utf-8"))
        since, until = (datetime.fromtimestamp(case[end] / 1000, UTC) for end in ("start_ms", "end_ms"))
        w = stitched(*_runs(builds, case["target_stage_by_pipeline"]), horizon=until + timedelta(days=40))
        name, unit = {"CFR": (RATE, 0.01), "MTTR": (RECOVERY, 1 / 60_000)}[case["metric"]]
        # Its window holds its own end.
        found = number(w, name, "metrik", start=since, end=until + timedelta(microseconds=1))["value"]
        assert (found is None) == (case["expected"] == "NaN"), case
        assert found is None or found == pytest.approx(case["expected"] * unit), case
        shown += 1
    assert shown >= 9


def _runs(builds: list[dict[str, Any]], stages: dict[str, str]) -> list[dict[str, Any]]:
    """A run of the stage that deploys is a deployment of its pipeline; it ends when the stage does."""
    rows = []
    for build in builds:
        for stage in build["stages"]:
            if stage["name"] != stages.get(str(build["pipelineId"])):
                continue
            begun = datetime.fromtimestamp(stage["startTimeMillis"] / 1000, UTC)
            ended = begun + timedelta(milliseconds=stage["durationMillis"] + stage.get("pauseDurationMillis", 0))
            status = {"SUCCESS": "succeeded", "FAILED": "failed"}.get(stage["status"], "cancelled")
            service = f"pipeline {build['pipelineId']}"
            name = f"{service} {build['number']}"
            rows.append(deployment(f"b{build['number']}", begun, None, id=name, service=service, finished_at=ended, status=status))
    return rows


# Against a plain count


def random_service(random: Random, service: str) -> list[dict[str, Any]]:
    """Eight deployments one after the other, some of versions that ran before, some failed; up to five incidents."""
    at, rows, shipped = 0, [], 0
    for place in range(8):
        at += random.choice([1, 5, 60, 300])
        again = random.random() < 0.45 and shipped > 0
        letter = random.randrange(shipped) if again else shipped
        status = "succeeded" if again else random.choice(["succeeded"] * 4 + ["failed", "cancelled"])
        shipped += not again
        length = random.choice([1, 7, 20])
        start = DAY_ONE + m(at)
        version = f"build-{'abcdefgh'[letter]}"
        rows.append(
            deployment(version, start, length, id=f"{service}/{place}", service=service, status=status, vcs_revision=f"{service}{letter}")
        )
        at += length
    for number in range(random.randrange(6)):
        seen = random.choice([at * random.random(), (rows[random.randrange(8)]["finished_at"] - DAY_ONE) / m(1)])
        seen = DAY_ONE + m(round(seen))
        over = random.choice([None, seen + m(random.choice([3, 59, 60, 61, 600]))])
        cause = random.choice([None, f"{service}{random.randrange(8)}"])
        rows.append(incident(seen, None, id=f"{service}/i{number}", services=[service], resolved_at=over, root_cause=cause))
    return rows


@pytest.fixture(scope="module")
def many() -> tuple[list[dict[str, Any]], Any]:
    random = Random(20240229)
    rows = [row for number in range(60) for row in random_service(random, f"s{number:03}")]
    return rows, stitched(*rows)


@pytest.mark.parametrize("definition", list(DEFINITIONS))
def test_a_plain_count_gives_the_same_for_every_small_history(many: tuple[list[dict[str, Any]], Any], definition: str) -> None:
    rows, w = many
    found: dict[str, list[Any]] = {}
    for row in measure(w, definition=definition, by="service").iter_rows(named=True):
        told = found.setdefault(row["by"], [0, 0, None])
        told[:2] = (row["k"], row["n"]) if row["metric"] == RATE else told[:2]
        told[2] = row["value"] if row["metric"] == RECOVERY else told[2]
    services = sorted({row["service"] for row in rows if row["record"] == "deployment"})
    assert len({tuple(map(str, told)) for told in found.values()}) > 15
    for service in services:
        ships = [row for row in rows if row["record"] == "deployment" and row["service"] == service]
        tickets = [row for row in rows if row["record"] == "incident" and row["services"] == [service]]
        k, n, spent = COUNTS[definition](ships, tickets)
        assert found[service][:2] == [k, n], service
        assert found[service][2] == (None if spent is None else pytest.approx(spent)), service


@pytest.mark.parametrize("definition", list(DEFINITIONS))
def test_the_rows_that_differ_account_for_the_difference(many: tuple[list[dict[str, Any]], Any], definition: str) -> None:
    _, w = many
    apart = versus(w, RATE, definition)
    ours, theirs = (number(w, RATE, name) for name in ("knowngood", definition))
    # Failures that only they have, less those that only we have; a failure counted twice is one more.
    times = apart["other"].str.extract(r"^failed (\d+) times$").cast(pl.Int64).fill_null(1)
    gained = times.filter(apart["other"].str.starts_with("failed")).sum() - (apart["knowngood"] == "failed").sum()
    assert theirs["k"] - ours["k"] == gained
    outside = (apart["knowngood"].str.starts_with("left out") | (apart["knowngood"] == "not in the window")) & (
        apart["other"] != "left out"
    )
    only_ours = ~apart["knowngood"].str.starts_with("left out") & (apart["other"] == "left out")
    assert theirs["n"] - ours["n"] == outside.sum() - only_ours.sum()
    assert apart["why"].str.contains(definition, literal=True).all()


# Periods, and what is not said


def test_weeks_and_services_get_a_row_each() -> None:
    w = stitched(
        deployment("v1", "08:00"), deployment("v2", "8d 08:00"), incident("8d 09:00", "8d 10:00"), deployment("v1", "09:00", service="cart")
    )
    found = measure(w, RATE, definition="devlake", by="service", every="1w", start=DAY_ONE, end=DAY_ONE + timedelta(days=14))
    rows = {(row["by"], row["period"].day): (row["k"], row["n"]) for row in found.iter_rows(named=True)}
    assert rows == {("shop", 2): (0, 1), ("shop", 9): (1, 1), ("cart", 2): (0, 1), ("cart", 9): (0, 0)}


def test_numbers_of_others_carry_their_name_and_no_interval() -> None:
    found = measure(going_back(), definition="sleuth-rollback")
    assert found["metric"].to_list() == [RATE, RECOVERY]
    assert set(found["definition"]) == {"sleuth-rollback"}
    assert found["low"].null_count() == 2


def test_what_a_tool_does_not_define_is_an_error_that_says_what_it_does() -> None:
    with pytest.raises(UsageError, match="does not define time_to_detect. It defines change_failure_rate"):
        measure(going_back(), "time_to_detect", definition="gitlab")
    with pytest.raises(UsageError, match="No definition named 'mine' here. There are: knowngood, devlake"):
        measure(going_back(), definition="mine")


def test_without_incidents_what_needs_them_is_not_measured() -> None:
    found = number(going_back(), RATE, "devlake")
    assert found["value"] is None
    assert found["note"].startswith("not measured: connect incidents")
