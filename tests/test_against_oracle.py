"""Engine and oracle say the same of small hostile histories: every column of every fact."""

from __future__ import annotations

import os
from datetime import datetime
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.builders import HORIZON, NAMES, deployment, frames, history, incident, rollback
from tests.oracle import stitch
from tests.oracle.comparison import differences, told
from tests.oracle.fuzz import apart, compared, disagreeing, drawn, picture, smallest
from tests.oracle.hostile import horizon_of, hostile
from toolkit.facts import facts_of
from toolkit.synthetic import synthesize

# KNOWNGOOD_EXAMPLES=20000 looks longer, at other histories each time.
EXAMPLES = int(os.environ.get("KNOWNGOOD_EXAMPLES", "60"))
LONG = "KNOWNGOOD_EXAMPLES" in os.environ
FIFTY = 50

settings.register_profile(
    "oracle",
    max_examples=EXAMPLES,
    derandomize=not LONG,
    deadline=None,
    database=None,
    # A history is made smaller by taking rows away, which is quicker and reads better than drawing others.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def report(records: dict, horizon: datetime) -> str:
    """The smallest history that still differs, and the cells in which it does."""
    records = smallest(records, horizon)
    found = compared(records, horizon)
    cells = [f"  {d.table:12} {d.id:14} {d.column:18} oracle {told(d.oracle):20} engine {told(d.engine)}" for d in found[:20]]
    return "\n".join(["", picture(records, horizon), *cells])


@given(random=st.randoms(use_true_random=False))
@settings(settings.get_profile("oracle"))
def test_engine_and_oracle_agree_on_every_cell(random: Random) -> None:
    records, horizon = hostile(random, horizon_of(random))
    assert not compared(records, horizon), report(records, horizon)


@pytest.mark.parametrize("start", range(0, max(6, EXAMPLES // FIFTY) * FIFTY, FIFTY))
def test_engine_and_oracle_agree_on_fifty_histories_stitched_at_once(start: int) -> None:
    for seed in disagreeing(range(start, start + FIFTY)):
        # What differs only in company is a leak between services, and then there is nothing to show of it alone.
        pytest.fail(f"seed {seed}" + report(*drawn(seed)))


@given(random=st.randoms(use_true_random=False))
@settings(settings.get_profile("oracle"), max_examples=max(10, EXAMPLES // 5))
def test_the_order_of_the_rows_changes_nothing(random: Random) -> None:
    records, horizon = hostile(random, horizon_of(random))
    shuffled = {name: random.sample(rows, len(rows)) for name, rows in records.items()}
    first, second = (facts_of(frames(one), horizon=horizon) for one in (records, shuffled))
    assert {name: frame.to_dicts() for name, frame in first.items()} == {name: frame.to_dicts() for name, frame in second.items()}


@given(random=st.randoms(use_true_random=False))
@settings(settings.get_profile("oracle"), max_examples=max(10, EXAMPLES // 5))
def test_what_another_service_does_changes_nothing_of_this_one(random: Random) -> None:
    horizon = horizon_of(random)
    mine, other = apart(hostile(random, horizon)[0], "mine."), apart(hostile(random, horizon)[0], "other.")
    alone = facts_of(frames(mine), horizon=horizon)["deployments"].to_dicts()
    together = facts_of(frames({name: mine[name] + other.get(name, []) for name in mine}), horizon=horizon)["deployments"].to_dicts()
    assert [row for row in together if row["service"].startswith("mine.")] == alone


def test_engine_and_oracle_agree_on_a_simulated_team() -> None:
    simulated = synthesize(services=6, months=12, telemetry_share=0.0)
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
