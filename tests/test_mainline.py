"""Whether a hotfix came back to the main branch: small histories, told by their times."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import handmade
import polars as pl
import pytest
from builders import HORIZON, deployment, frames, history, t, told

from toolkit.facts import facts_of
from toolkit.facts.mainline import with_merges
from toolkit.facts.practices import practice_facts
from toolkit.metrics import explain, measure

Row = dict[str, Any]
SHA = "0123456789abcdef0123456789abcdef01234567"
OTHER = SHA[:12] + "f" * 28


def hotfix(at: str = "10:00", sha: str | None = SHA, version: str = "v1.0.1", **given: Any) -> Row:
    return deployment(version, at, vcs_revision=sha, kind="hotfix", **given)


def merged(at: str | None, sha: str = SHA, *, id: str = "m", **given: Any) -> Row:
    return told("merge", id, vcs_revision=sha, merged_at=at, **{"service": None} | given)


def hotfixes(*rows: Row, horizon: datetime = HORIZON) -> pl.DataFrame:
    """The hotfixes among the deployments, with what the merges tell of them."""
    ours = [row for row in rows if row["record"] == "deployment"]
    shipped = [handmade.deployment(**{name: row[name] for name in _KEPT}, at=row["finished_at"]) for row in ours]
    bare = pl.DataFrame([row | {"hotfix": "certain", "hotfix_source": "declared"} for row in shipped], schema=handmade.DEPLOYMENTS)
    return with_merges(bare, frames(history(*rows)), horizon=horizon)


_KEPT = ("source", "source_id", "service", "version")


def place(*rows: Row, horizon: datetime = HORIZON, **meta: Any) -> Any:
    counts = {name: sum(row["record"] == name for row in rows) for name in ("deployment", "merge")}
    facts = {"hotfixes": hotfixes(*rows, horizon=horizon).lazy(), "deployments": pl.LazyFrame(schema=handmade.DEPLOYMENTS)}
    return SimpleNamespace(
        facts=SimpleNamespace(**facts, owners=None),
        meta={"horizon": horizon.isoformat(), "records": counts} | meta,
        settings=SimpleNamespace(severities=[], time_zone="UTC"),
    )


def drift(*rows: Row, **more: Any) -> tuple[int, int]:
    """k of n."""
    found = measure(place(*rows, **more), "hotfix_drift").row(0, named=True)
    return found["k"], found["n"]


def left_out(*rows: Row, **more: Any) -> dict[str, int]:
    return dict(explain(place(*rows, **more), "hotfix_drift").excluded.rows())


@pytest.mark.parametrize(
    ("came", "drifted"),
    [("1d 10:00", 0), ("7d 10:00", 0), ("7d 10:01", 1), ("30d 10:00", 1), ("0:00", 0)],
    ids=["the day after", "on the seventh day", "a minute later", "after a month", "made on main"],
)
def test_a_hotfix_drifts_that_is_not_on_main_seven_days_after_its_deployment(came: str, drifted: int) -> None:
    assert drift(hotfix("10:00"), merged(came)) == (drifted, 1)


def test_what_was_looked_for_and_not_found_drifts_from_the_seventh_day_on() -> None:
    assert drift(hotfix("10:00"), merged(None, observed_at="7d 10:00")) == (1, 1)
    early = hotfix("10:00"), merged(None, observed_at="7d 9:59")
    assert drift(*early) == (0, 0)
    assert left_out(*early) == {"not merged when last looked at, within the 7 days": 1}


def test_a_row_that_does_not_say_when_it_looked_holds_up_to_the_end_of_the_data() -> None:
    assert drift(hotfix("10:00"), merged(None)) == (1, 1)


def test_what_nobody_can_know_is_in_no_rate_and_is_counted() -> None:
    rows = [
        hotfix("10:00"),
        merged("1d 10:00"),
        hotfix("11:00", None, "v1.0.2"),
        hotfix("12:00", "abc", "v1.0.3"),
        hotfix("59d 10:00", "def", "v1.0.4"),
        merged("59d 11:00", "def", id="young"),
    ]
    assert drift(*rows) == (0, 1)
    assert left_out(*rows) == {
        "not yet 7 days old": 1,
        "its commit is not known": 1,
        "nobody tells whether its commit was merged": 1,
    }


def test_what_could_not_be_compared_is_neither_there_nor_missing_unless_somebody_else_knows() -> None:
    untold = merged(None, id="git", observed_at="40d 0:00", inferred_by="derived:not_compared")
    assert drift(hotfix("10:00"), untold) == (0, 0)
    assert left_out(hotfix("10:00"), untold) == {"its change could not be compared": 1}
    assert drift(hotfix("10:00"), untold, merged("2d 0:00", id="forge")) == (0, 1)
    assert drift(hotfix("10:00"), untold, merged(None, id="forge", observed_at="20d 0:00")) == (1, 1)


def test_without_any_merge_it_is_not_measured() -> None:
    (row,) = measure(place(hotfix()), "hotfix_drift").iter_rows(named=True)
    assert (row["value"], row["n"]) == (None, None)
    assert row["note"].startswith("not measured: connect when commits reached the main branch")


def test_it_ends_where_merges_are_declared_to_end() -> None:
    until = {"stream": "merges", "source": "git", "start": "2026-03-01T00:00:00+00:00", "end": t("5d 0:00").isoformat()}  # type: ignore[union-attr]
    rows = hotfix("10:00"), merged(None)
    assert drift(*rows, coverage=[until | {"assumed": False, "gap": False}]) == (0, 0)
    assert drift(*rows, coverage=[until | {"assumed": True, "gap": False}]) == (1, 1)


def test_a_release_that_ended_no_incident_is_no_hotfix() -> None:
    records = frames(history(deployment("v1", "9:00"), deployment("v2", "10:00", vcs_revision=SHA), hotfix("11:00"), merged(None)))
    tables = facts_of(records, horizon=HORIZON)
    found = practice_facts(records, tables, horizon=HORIZON)["hotfixes"]
    assert found.select("id", "hotfix", "revision", "unmerged_until").rows() == [("v1.0.1 11:00", "certain", SHA, HORIZON)]


# Which merge speaks of which hotfix


def test_a_merge_that_names_a_service_speaks_of_it_alone() -> None:
    rows = hotfix("10:00"), hotfix("10:00", service="cart", id="of cart")
    assert drift(*rows, merged("1d 10:00")) == (0, 2)
    assert drift(*rows, merged("1d 10:00", service="cart")) == (0, 1)


@pytest.mark.parametrize(("ours", "theirs"), [(SHA[:7], SHA), (SHA, SHA[:12]), (SHA.upper(), SHA)])
def test_a_commit_may_be_abbreviated_by_either(ours: str, theirs: str) -> None:
    assert drift(hotfix("10:00", ours), merged("1d 10:00", theirs)) == (0, 1)


@pytest.mark.parametrize(("ours", "theirs"), [(SHA[:6], SHA), ("r12345678", "r1234567"), (SHA, OTHER)])
def test_what_is_no_abbreviation_of_a_commit_is_another_one(ours: str, theirs: str) -> None:
    assert drift(hotfix("10:00", ours), merged("1d 10:00", theirs)) == (0, 0)


def test_an_abbreviation_of_two_commits_names_neither() -> None:
    two = merged("1d 10:00", id="one"), merged(None, OTHER, id="other")
    assert drift(hotfix("10:00", SHA[:12]), *two) == (0, 0)
    assert drift(hotfix("10:00", SHA), *two) == (0, 1)


def test_the_registry_knows_the_commit_of_a_version() -> None:
    built = told("artifact", "a", version="v1.0.1", artifact_digest="sha256:a", vcs_revision=SHA, built_at="9:30")
    assert drift(hotfix("10:00", None), merged(None), built) == (1, 1)


def test_of_several_who_saw_it_there_is_right_and_the_first_of_them() -> None:
    rows = [merged(None, id="1", observed_at="40d 0:00"), merged("9d 0:00", id="2"), merged("2d 0:00", id="3", merged_as="squashed")]
    for order in (rows, rows[::-1]):
        (found,) = hotfixes(hotfix("10:00"), *order).iter_rows(named=True)
        assert (found["merged_at"], found["merged_as"], found["unmerged_until"]) == (t("2d 0:00"), "squashed", None)


def test_what_was_merged_after_the_end_of_the_data_had_not_been_by_then() -> None:
    (found,) = hotfixes(hotfix("10:00"), merged("20d 0:00", merged_as="later"), horizon=t("10d 0:00")).iter_rows(named=True)  # type: ignore[arg-type]
    assert (found["merged_at"], found["merged_as"], found["unmerged_until"]) == (None, None, t("10d 0:00"))
    (found,) = hotfixes(hotfix("10:00"), merged(None, observed_at="20d 0:00"), horizon=t("10d 0:00")).iter_rows(named=True)  # type: ignore[arg-type]
    assert found["unmerged_until"] == t("10d 0:00")


def test_how_it_was_found_out_is_told() -> None:
    (found,) = hotfixes(hotfix("10:00"), merged("1d 0:00", inferred_by="derived:same_change")).iter_rows(named=True)
    assert found["merged_source"] == "derived:same_change"
    (row,) = explain(place(hotfix("10:00"), merged("1d 0:00")), "hotfix_drift").inferred.filter(pl.col("column") == "merged").rows()
    assert row == ("merged", 1, 1, 0, 0, 0.0)


def test_the_sample_tells_of_hotfixes_that_came_back_late_or_never(demo: Any) -> None:
    from toolkit.workspace import Workspace

    found = explain(Workspace(demo), "hotfix_drift")
    late = found.counted.filter(pl.col("sample"))
    assert 0.05 < found.row["value"] < 0.3
    assert late["merged_at"].null_count() > 0
    assert late["merged_at"].drop_nulls().len() > 0
    assert set(found.excluded["reason"]) == {
        "only possibly a hotfix",
        "not yet 7 days old",
        "nobody tells whether its commit was merged",
        "not merged when last looked at, within the 7 days",
    }
