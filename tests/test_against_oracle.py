"""Engine and oracle say the same of small hostile histories: every column of every fact."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.builders import HORIZON, NAMES, deployment, frames, history, incident, rollback
from tests.examples import FIRST, examples
from tests.oracle import stitch
from tests.oracle.comparison import differences, told
from tests.oracle.fuzz import apart, compared, disagreeing, drawn, picture, side_by_side, smallest
from toolkit.facts import facts_of
from toolkit.synthetic import synthesize

FIFTY = 50
BATCHES = range(0, examples(300), FIFTY)


def seeds(first: int) -> range:
    return range(FIRST + first, FIRST + first + FIFTY)


def report(seed: int) -> str:
    """The smallest history that still differs, and the cells in which it does."""
    records = smallest(drawn(seed))
    # What differs only in company is a leak between services, and then there is nothing to show of it alone.
    cells = [f"  {d.table:12} {d.id:14} {d.column:18} oracle {told(d.oracle):20} engine {told(d.engine)}" for d in compared(records)[:20]]
    return "\n".join([f"seed {seed}", picture(records), *cells])


# The price of a call is nearly the same for fifty histories as for one. Alone, a history has tables without any row.
@pytest.mark.parametrize("first", BATCHES)
def test_engine_and_oracle_agree_on_every_cell_of_fifty_histories_stitched_at_once(first: int) -> None:
    for seed in disagreeing(seeds(first)):
        pytest.fail(report(seed))


@pytest.mark.parametrize("first", BATCHES)
def test_engine_and_oracle_agree_on_every_cell_of_a_history_that_is_alone(first: int) -> None:
    for seed in seeds(first)[::15]:
        assert not compared(drawn(seed)), report(seed)


def facts_by_table(records: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {name: frame.to_dicts() for name, frame in facts_of(frames(records), horizon=HORIZON).items()}


@pytest.mark.parametrize("first", BATCHES[:2])
def test_the_order_of_the_rows_changes_nothing(first: int) -> None:
    records = side_by_side(seeds(first))
    shuffled = {name: Random(first).sample(rows, len(rows)) for name, rows in records.items()}
    assert facts_by_table(shuffled) == facts_by_table(records)


@pytest.mark.parametrize("first", BATCHES[:2])
def test_what_another_service_does_changes_nothing_of_this_one(first: int) -> None:
    mine, other = (apart(side_by_side(part), name) for part, name in ((seeds(first)[:25], "mine."), (seeds(first)[25:], "other.")))
    together = facts_by_table({name: mine.get(name, []) + other.get(name, []) for name in {*mine, *other}})["deployments"]
    assert [row for row in together if row["service"].startswith("mine.")] == facts_by_table(mine)["deployments"]


def test_engine_and_oracle_agree_on_a_simulated_team() -> None:
    simulated = synthesize(services=5, months=9, telemetry_share=0.0)
    records = {name: simulated.records[name] for name in NAMES}
    horizon = simulated.covers[1]
    oracle = stitch({name: frame.to_dicts() for name, frame in records.items()}, horizon)
    assert len(oracle["rollbacks"]) > 20
    assert differences(oracle, facts_of(records, horizon=horizon)) == []


def test_the_comparison_sees_a_single_wrong_cell() -> None:
    # Without this, an empty comparison would let everything pass.
    records = history(deployment("v1", "09:00"), deployment("v2", "10:00"), rollback("v1", "10:20"))
    engine = facts_of(frames(records), horizon=HORIZON)
    oracle = stitch(records, HORIZON)
    assert differences(oracle, engine) == []
    oracle["deployments"][1]["failed"] = "certain"
    assert [(d.table, d.id, d.column, d.oracle, d.engine) for d in differences(oracle, engine)] == [
        ("deployments", "v2 10:00", "failed", "certain", "likely")
    ]
    del oracle["evidence"][0]
    assert differences(oracle, engine, tables={"evidence"})


def test_the_oracle_says_every_column_that_is_published() -> None:
    # Words that the engine chooses itself, and what is copied from the records or said twice.
    own_words = {
        "deployments": {"hotfix_source", "incident"},
        "rollbacks": {"outcome_reason"},
        "incidents": {"acknowledged_at", "mitigated_at", "resolved_at", "offender"},
        "evidence": {"rule"},
    }
    records = history(deployment("v1", "09:00"), deployment("v2", "10:00"), deployment("v1", "10:20"), incident("10:10", "10:30"))
    oracle, engine = stitch(records, HORIZON), facts_of(frames(records), horizon=HORIZON)
    for table in own_words:
        assert set(engine[table].columns) - set(oracle[table][0]) == own_words[table]
