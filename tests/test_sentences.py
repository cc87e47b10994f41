"""Numbers in words, and which rows a page looks at."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import frames as made
import polars as pl
import pytest

from toolkit.ui.scope import Frames, Scope, View, emptied_by, narrowed, rows_in
from toolkit.ui.sentences import change, headline, interval, minutes, share


def row(value: float | None, low: float | None = None, high: float | None = None, **given: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "kind": "Duration", "unit": "minutes", "n": 31, "k": None, "censored": 0} | given


@pytest.fixture
def view() -> View:
    told = {"deployments": made.deployments(), "rollbacks": made.rollbacks(), "incidents": made.many_incidents()}
    facts = Frames(**{table.name: told.get(table.name, pl.DataFrame()).lazy() for table in fields(Frames)})
    return View(facts, {"version": "abc", "horizon": made.HORIZON.isoformat()})


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.75, "45 s"), (12.4, "12 min"), (119, "119 min"), (204, "3.4 h"), (3024, "2.1 d"), (-3, "-3 min"), (None, "–")],
)
def test_minutes_are_said_as_a_person_says_them(value: float | None, said: str) -> None:
    assert minutes(value) == said


def test_a_small_share_is_not_said_to_be_nothing() -> None:
    assert [share(0.004), share(0.12), share(0.0), share(None)] == ["0.4 %", "12 %", "0 %", "–"]


def test_an_interval_says_what_stands_behind_it() -> None:
    assert interval(row(10, 6, 14)) == "6–14 min, n 31"
    assert interval(row(10, 6, 14, censored=2)) == "6–14 min, n 31, 2 open"
    assert interval(row(10, 6, 300)) == "6 min – 5.0 h, n 31"
    assert interval(row(10, 6, None)) == "over 6 min, n 31"
    assert interval(row(10, n=3)) == "no interval, n 3"
    assert interval(row(0.8, 0.6, 0.9, kind="Rate", unit="share", n=30, k=24)) == "60–90 %, 24 of 30"
    assert interval(row(30.4, kind="Count", unit="per week", n=790, censored=None)) == "a week, n 790"


def test_a_change_carries_its_sign_where_streamlit_looks_for_it() -> None:
    assert change(row(10), row(14)) == "-4 min"
    assert change(row(0.6, unit="share"), row(0.5, unit="share")) == "+10 pts"
    assert change(row(10), row(10.001)) == "0"
    assert change(row(10), row(None)) is None


def test_the_headline_names_the_phase_that_takes_most() -> None:
    frame = made.incidents(*(made.incident(name) for name in "abcde"))  # 5, 15 and 10 minutes of 30 each
    assert headline(frame) == "Deciding takes 50 % of the minutes from impact to recovery."


def test_the_headline_says_when_one_incident_makes_it() -> None:
    endless = made.incident("z", act=timedelta(minutes=950), decide=timedelta(minutes=45))  # act: 990 of 1,120, without it 40 of 120
    told = headline(made.incidents(*(made.incident(name) for name in "abcd"), endless))
    assert told == "Acting takes 88 % of the minutes from impact to recovery (33 % without the longest incident)."


def test_the_headline_counts_decisions_that_came_long_after_the_criterion() -> None:
    late, soon, early = (made.incident(n, silent_minutes=timedelta(minutes=m)) for n, m in (("a", 11), ("b", 10), ("c", -4)))
    assert "in 1 of 3 a criterion had held for over 10 min" in headline(
        made.incidents(late, soon, early, made.incident("d"), made.incident("e"))
    )


def test_few_incidents_make_no_headline() -> None:
    assert headline(made.incidents()).startswith("No incidents with all three phases")
    assert headline(made.incidents(made.incident())).startswith("1 incident with all three phases")
    assert headline(made.incidents(*(made.incident(name) for name in "abcd"))).startswith("4 incidents")


def test_a_service_filter_keeps_the_incidents_that_touch_it(view: View) -> None:
    kept = narrowed(view, Scope(services=("search",))).facts
    assert kept.deployments.collect()["service"].unique().to_list() == ["search"]
    assert all("search" in services for services in kept.incidents.collect()["services"])


def test_windows_end_at_the_horizon_and_touch_without_overlap(view: View) -> None:
    scope = Scope(weeks=4)
    start, end = scope.period(view.horizon)
    assert end == made.HORIZON
    assert end - start == timedelta(weeks=4)
    assert scope.before(view.horizon) == (start - timedelta(weeks=4), start)


def test_an_empty_scope_names_the_filter_that_empties_it(view: View) -> None:
    scope = Scope(severities=("sev9",))
    assert rows_in(view, scope) == 0
    assert emptied_by(view, scope) == ["the severities: sev9"]
    both = Scope(services=("none-such",), severities=("sev9",))
    assert emptied_by(view, both) == []  # neither alone helps


def test_a_view_with_rows_is_not_empty(view: View) -> None:
    start = made.HORIZON - timedelta(weeks=26)
    expected = sum((frame["at"] >= start).sum() for frame in (made.deployments(), made.rollbacks(), made.many_incidents()))
    assert rows_in(view, Scope(weeks=26)) == expected
