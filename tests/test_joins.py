"""The shortcuts that a million rows need give what the plain way gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import HORIZON, deployment, frames, history
from toolkit.facts import artifacts, facts_of
from toolkit.facts.joins import moments_in
from toolkit.facts.lineage import in_order
from toolkit.facts.links import EPISODE, with_episodes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


@given(
    moments=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=12),
    spans=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(-5, 60)), max_size=12),
)
def test_a_moment_is_in_every_span_of_its_part_that_has_begun_and_is_not_over(
    moments: list[tuple[int, int]], spans: list[tuple[int, int, int]]
) -> None:
    time = pl.Datetime("us", "UTC")
    left = pl.DataFrame(
        [(row, part, at(minute)) for row, (part, minute) in enumerate(moments)],
        {"m": pl.Int64, "part": pl.Int64, "moment": time},
        orient="row",
    )
    right = pl.DataFrame(
        [(row, part, at(minute), at(minute + lasts)) for row, (part, minute, lasts) in enumerate(spans)],
        {"s": pl.Int64, "part": pl.Int64, "from": time, "until": time},
        orient="row",
    )
    expected = {
        (m, s)
        for m, (part, minute) in enumerate(moments)
        for s, (of, begin, lasts) in enumerate(spans)
        if part == of and begin <= minute < begin + lasts
    }
    pairs = moments_in(left, right)
    assert set(pairs.select("m", "s").iter_rows()) == expected
    assert len(pairs) == len(expected)
    assert pairs.columns == ["m", "part", "moment", "s"]


@given(starts=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), max_size=15))
def test_an_episode_is_anchored_in_its_first_attempt(starts: list[tuple[int, int]]) -> None:
    half_hours = sorted(starts)
    rows = pl.DataFrame(
        [(number, part, at(30 * half), f"a{number:02}", None) for number, (part, half) in enumerate(half_hours)],
        {"attempt": pl.Int64, "part": pl.Int64, "started_at": pl.Datetime("us", "UTC"), "id": pl.String, "inc": pl.Int64},
        orient="row",
    ).with_columns(drill=pl.lit(value=False), race=pl.lit(value=False), code_level=pl.lit(value=False))
    expected: list[int] = []
    anchor = -1
    for number, (part, half) in enumerate(half_hours):
        if anchor < 0 or half_hours[anchor][0] != part or timedelta(minutes=30 * (half - half_hours[anchor][1])) >= EPISODE:
            anchor = number
        expected.append(anchor)
    assert with_episodes(rows)["episode"].to_list() == expected


def test_what_ties_in_time_stands_by_its_start_and_then_by_its_id() -> None:
    #        ends    begins
    # late   10:00   09:00     the same end: the one that began first stands first, then by id
    # b, a   10:00   08:00
    shop = [
        deployment("v3", at=at(-180), minutes=60, id="late"),
        deployment("v2", at=at(-240), minutes=120, id="b"),
        deployment("v1", at=at(-240), minutes=120, id="a"),
        deployment("v0", at=at(-300), minutes=0, id="first"),
    ]
    frame = frames(history(*shop))["deployment"].with_columns(
        part=pl.lit(0, pl.Int64),
        successful=pl.lit(value=True),
        start="started_at",
        deployed_at="finished_at",
    )
    assert in_order(frame)["source_id"].to_list() == ["first", "a", "b", "late"]


def test_artifacts_whose_hashes_are_equal_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frames(history(*(deployment(f"v{number % 3}", at(number * 60)) for number in range(8))))
    plain = facts_of(rows, horizon=HORIZON)["deployments"]
    monkeypatch.setattr(artifacts, "_hashed", lambda text: text.hash() * 0)
    assert plain["kind"].to_list() == ["release"] * 3 + ["rollback", "reapply", "reapply", "rollback", "reapply"]
    assert facts_of(rows, horizon=HORIZON)["deployments"].equals(plain)
