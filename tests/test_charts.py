"""Charts are frames in, Altair out: what they count, in which order, and in which colours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import frames as made
import polars as pl
import pytest

from toolkit.charts import (
    EVENTS,
    PHASES,
    by_service,
    contrast,
    phase_dots,
    phase_minutes,
    phase_shares,
    strip,
    strip_events,
    trend,
    where_the_minutes_go,
)
from toolkit.charts.strip import MOST_MARKS, OTHERS, lane_order

START, END = made.HORIZON - timedelta(weeks=26), made.HORIZON


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def test_a_week_sums_the_minutes_of_its_incidents_by_phase() -> None:
    monday = made.HORIZON - timedelta(days=7)  # 2026-06-22 12:00
    frame = made.incidents(
        made.incident("a", monday, detect=minutes(1), decide=minutes(2), act=minutes(3)),
        made.incident("b", monday + timedelta(days=1), detect=minutes(10), decide=minutes(20), act=minutes(30)),
    )
    weeks = phase_minutes(frame, START, END)
    assert weeks["phase"].to_list() == ["detect", "decide", "act"]
    assert weeks["minutes"].to_list() == [1 + 10, 2 + 20, 3 + 30]
    assert weeks["n"].to_list() == [2, 2, 2]
    assert list(zip(weeks["below"], weeks["above"], strict=True)) == [(0, 11), (11, 33), (33, 66)]


def test_an_incident_without_one_phase_adds_to_none() -> None:
    frame = made.incidents(made.incident("a"), made.incident("b", detect=None), made.incident("c", open=True))
    assert phase_minutes(frame, START, END)["n"].to_list() == [1, 1, 1]


def test_a_week_that_the_window_cuts_is_marked() -> None:
    # 2026-06-29 is a Monday: the horizon's own week is half a day old.
    frame = made.incidents(made.incident("a", END - timedelta(days=3)), made.incident("b", END - timedelta(hours=1)))
    weeks = phase_minutes(frame, START, END).filter(pl.col("phase") == "act")
    assert weeks["partial"].to_list() == [False, True]


def test_shares_are_of_all_minutes() -> None:
    frame = made.incidents(made.incident(detect=minutes(10), decide=minutes(40), act=minutes(50)))
    assert phase_shares(frame) == {"detect": 0.1, "decide": 0.4, "act": 0.5}
    assert phase_shares(made.incidents()) == {}


def test_the_strip_shows_a_deployment_of_kind_rollback_once_as_the_rollback() -> None:
    events = strip_events(made.deployments(), made.rollbacks(), made.incidents())
    counted = dict(events.group_by("kind").agg(pl.col("n").sum()).iter_rows())
    deployed = made.deployments()
    assert counted["rollback"] == (deployed["kind"] == "rollback").sum()
    assert counted["hotfix"] == deployed["hotfix"].is_not_null().sum()
    assert sum(counted.values()) == len(deployed)


def test_an_incident_of_two_services_stands_in_both_lanes() -> None:
    events = strip_events(made.deployments().clear(), made.rollbacks().clear(), made.incidents(made.incident(services=["a", "b"])))
    assert events["service"].to_list() == ["a", "b"]


def test_quiet_services_share_the_last_lane() -> None:
    noisy = made.incidents(*(made.incident(f"i{i}", services=[f"s{i:02}"]) for i in range(12)))
    events = strip_events(made.deployments().clear(), made.rollbacks().clear(), noisy, lanes=3)
    assert lane_order(events) == ["s00", "s01", "s02", OTHERS]
    assert (events["service"] == OTHERS).sum() == 9


def test_many_marks_are_summed_and_none_is_dropped() -> None:
    deployed = made.deployments(weeks=300)
    events = strip_events(deployed, made.rollbacks(300), made.incidents())
    assert len(deployed) > MOST_MARKS >= len(events)
    assert events["n"].sum() == len(deployed.filter(pl.col("kind") != "rollback")) + len(made.rollbacks(300))


@pytest.mark.parametrize("page", ["#FFFFFF", "#12161C"])
def test_marks_stand_out_on_a_light_and_a_dark_page(page: str) -> None:
    for colour in [*PHASES.values(), *(colour for _, _, colour in EVENTS.values())]:
        assert contrast(colour, page) >= 3


def test_events_are_told_apart_without_colour() -> None:
    assert len({shape for _, shape, _ in EVENTS.values()}) == len({sign for sign, _, _ in EVENTS.values()}) == len(EVENTS)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)  # the grey that just passes


def test_every_chart_writes_itself_out() -> None:
    events = strip_events(made.deployments(), made.rollbacks(), made.many_incidents())
    measured = pl.DataFrame(
        {
            "period": [START, END - timedelta(weeks=4)],
            "value": [0.5, 0.2],
            "low": [0.1, 0.1],
            "high": [0.9, None],
            "n": [3, 40],
            "unit": "share",
        }
    )
    charts = [
        where_the_minutes_go(phase_minutes(made.many_incidents(), START, END), START, END),
        phase_dots(made.incidents(made.incident())),
        strip(events, START, END),
        trend(measured, START, END),
    ]
    for chart in charts:
        written = chart.to_dict()
        assert written["$schema"]
        assert "utc" in str(written) or chart is charts[1]


def test_charts_under_each_other_share_their_time_axis() -> None:
    minutes_chart = where_the_minutes_go(phase_minutes(made.many_incidents(), START, END), START, END).to_dict()["layer"][0]
    strip_chart = strip(strip_events(made.deployments(), made.rollbacks(), made.many_incidents()), START, END).to_dict()
    assert minutes_chart["encoding"]["x"]["scale"] == strip_chart["encoding"]["x"]["scale"]
    extents = [chart["encoding"]["y"]["axis"][end] for chart in (minutes_chart, strip_chart) for end in ("minExtent", "maxExtent")]
    assert len(set(extents)) == 1


def test_a_week_that_dwarfs_the_others_is_cut_off_and_says_what_it_holds() -> None:
    frame = made.incidents(
        made.incident("a", END - timedelta(days=30), act=minutes(3980)),  # 5 + 15 + 3980 = 4,000
        *(made.incident(f"b{i}", END - timedelta(days=3 + 7 * i)) for i in range(3)),  # 5 + 15 + 10 = 30 each
    )
    drawn = where_the_minutes_go(phase_minutes(frame, START, END), START, END).to_dict()
    assert drawn["layer"][0]["encoding"]["y"]["scale"]["domain"] == [0, 30]
    assert [row["says"] for row in drawn["datasets"][drawn["layer"][1]["data"]["name"]]] == ["↑ 4,000"]


def test_what_is_written_on_a_bar_is_legible_on_every_phase() -> None:
    assert all(contrast("#000000", colour) >= 4 for colour in PHASES.values())


def test_weeks_start_on_monday_in_the_zone_of_the_workspace() -> None:
    # Sunday 23:30 in UTC is Monday 00:30 in Lagos.
    sunday = datetime(2026, 6, 21, 23, 30, tzinfo=UTC)
    frame = made.incidents(made.incident("a", sunday))
    assert phase_minutes(frame, START, END)["week"][0] == datetime(2026, 6, 15, tzinfo=UTC)
    assert phase_minutes(frame, START, END, zone="Africa/Lagos")["week"][0] == datetime(2026, 6, 21, 23, tzinfo=UTC)


def by_service_rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "by": ["a", "b", "c"],
            "value": [0.1, 0.2, None],
            "low": [0.0, 0.1, None],
            "high": [0.5, 0.3, None],
            "n": [3, 40, 0],
            "unit": "share",
        }
    )


def test_services_stand_in_the_order_of_their_rows_and_none_without_any() -> None:
    drawn = by_service(by_service_rows(), total=0.15).to_dict()
    assert drawn["layer"][1]["encoding"]["y"]["scale"]["domain"] == ["b", "a"]
    assert drawn["datasets"][drawn["layer"][0]["data"]["name"]] == [{"total": 0.15}]


def test_a_service_with_few_rows_is_hollow_and_the_chosen_one_stands_out() -> None:
    drawn = by_service(by_service_rows(), chosen=["b"]).to_dict()
    rows = {row["service"]: (row["few"], row["stressed"]) for row in next(iter(drawn["datasets"].values()))}
    assert rows == {"a": (True, False), "b": (False, True)}
