"""Windows end somewhere: what a day more or less does, and what a week is when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from handmade import HORIZON, at, deployment, incident, minutes, workspace

from toolkit.metrics import measure
from toolkit.metrics.edges import swings


def row(w: Any, name: str, window: str = "2w") -> dict[str, Any]:
    return swings(w, name, window=window).row(0, named=True)


def test_a_number_that_rests_on_one_day_swings_with_the_window() -> None:
    inside = [deployment(at=HORIZON - timedelta(days=3, hours=number)) for number in range(30)]
    eve = [deployment(at=HORIZON - timedelta(days=14, hours=6), failed_final="likely") for _ in range(30)]
    found = row(workspace(deployments=inside + eve), "change_failure_rate")
    # None of 30 within the fortnight; a day earlier it is 30 of 60.
    assert (found["value"], found["least"], found["most"]) == (0, 0, 30 / 60)
    assert found["hangs"]


def test_a_number_that_is_the_same_every_day_hardly_swings() -> None:
    ships = [deployment(at=at(day / 10), failed_final="likely" if day % 10 == 0 else None) for day in range(280)]
    found = row(workspace(deployments=ships), "change_failure_rate")
    assert found["swing"] < 0.01
    assert not found["hangs"]


def test_the_last_day_counts_as_well_as_the_first() -> None:
    rows = [incident(at=at(20 + number / 10), whole=minutes(10)) for number in range(10)]
    rows += [incident(at=HORIZON - timedelta(hours=1 + number), whole=minutes(60)) for number in range(12)]
    assert row(workspace(incidents=rows), "time_to_recover")["least"] == 10
    assert row(workspace(incidents=rows), "time_to_recover")["value"] == 60


def test_what_is_unknown_does_not_swing() -> None:
    assert swings(workspace(deployments=[deployment()]), "time_to_decide", window="2w").is_empty()


# Daylight saving: in London clocks go forward on 29 March and back on 25 October 2026

SPRING, AUTUMN = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)


def weeks(around: datetime, *moments: datetime) -> dict[datetime, int]:
    w = workspace(
        deployments=[deployment(at=moment) for moment in moments],
        time_zone="Europe/London",
        horizon=(around + timedelta(days=20)).isoformat(),
    )
    found = measure(w, "deployment_frequency", every="1w", start=around - timedelta(days=13))
    return {row["period"]: row["n"] for row in found.iter_rows(named=True) if row["n"]}


@pytest.mark.parametrize(
    ("moment", "monday"),
    [
        # Sunday 23:30 in London is 22:30 UTC in summer: still the old week. Half an hour later it is Monday there.
        ("2026-03-29T22:30Z", "2026-03-23T00:00Z"),
        ("2026-03-29T23:00Z", "2026-03-29T23:00Z"),
        ("2026-03-29T23:30Z", "2026-03-29T23:00Z"),
        ("2026-03-22T23:59Z", "2026-03-16T00:00Z"),
        ("2026-10-25T23:30Z", "2026-10-18T23:00Z"),
        ("2026-10-26T00:00Z", "2026-10-26T00:00Z"),
        # The hour that comes twice on the last Sunday of October is of one week, both times.
        ("2026-10-25T00:30Z", "2026-10-18T23:00Z"),
        ("2026-10-25T01:30Z", "2026-10-18T23:00Z"),
    ],
)
def test_a_week_begins_on_monday_where_the_workspace_is(moment: str, monday: str) -> None:
    when = datetime.fromisoformat(moment)
    around = SPRING if when.month == 3 else AUTUMN
    assert weeks(around, when) == {datetime.fromisoformat(monday): 1}


@pytest.mark.parametrize(("around", "hours"), [(SPRING, 167), (AUTUMN, 169)])
def test_the_week_of_the_change_is_an_hour_shorter_or_longer(around: datetime, hours: int) -> None:
    each = [around - timedelta(days=10) + timedelta(hours=number, minutes=30) for number in range(20 * 24)]
    counted = sorted(weeks(around, *each).items())
    whole = [n for _, n in counted[1:-1]]
    assert hours in whole
    assert set(whole) <= {168, hours}


def test_a_week_of_another_length_is_divided_by_its_own_length() -> None:
    # One an hour is the same rate, whether the week has 167 hours or 168.
    each = [SPRING - timedelta(days=9) + timedelta(hours=number, minutes=30) for number in range(18 * 24)]
    w = workspace(
        deployments=[deployment(at=moment) for moment in each], time_zone="Europe/London", horizon=(SPRING + timedelta(days=20)).isoformat()
    )
    found = measure(w, "deployment_frequency", every="1w", start=SPRING - timedelta(days=9)).filter(pl.col("n") > 160)
    assert sorted(found["n"]) == [167, 168]
    assert found["value"].to_list() == pytest.approx([168, 168])


def test_dates_are_days_of_the_workspaces_zone() -> None:
    when = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    w = workspace(deployments=[deployment(at=when)], time_zone="Europe/London", horizon=datetime(2026, 5, 1, tzinfo=UTC).isoformat())
    # In London it is half past midnight on the first of April.
    assert measure(w, "deployment_frequency", start="2026-04-01", end="2026-04-02")["n"][0] == 1
    assert measure(w, "deployment_frequency", start="2026-03-30", end="2026-04-01")["n"][0] == 0
