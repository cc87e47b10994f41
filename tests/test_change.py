"""Against the window before: which test, on which rows, and when none."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from handmade import HORIZON, deployment, incident, minutes, rollback, workspace

from toolkit.metrics import compare, measure, with_shrunk_rates


def old() -> datetime:
    """In the two weeks before the last two."""
    return HORIZON - minutes(20 * 24 * 60)


def new() -> datetime:
    return HORIZON - minutes(5 * 24 * 60)


def row(w: Any, name: str) -> dict[str, Any]:
    return compare(w, name, window="2w").row(0, named=True)


def test_durations_compare_as_a_ratio() -> None:
    spans = np.random.default_rng(1).lognormal(3, 0.8, 40).tolist()
    slow = [incident(at=old(), whole=minutes(span)) for span in spans]
    fast = [incident(at=new(), whole=minutes(span / 4)) for span in spans]
    found = row(workspace(incidents=slow + fast), "time_to_recover")
    assert found["effect"] == pytest.approx(1 / 4, rel=0.01)
    assert found["low"] < 1 / 4 < found["high"] < 1
    assert found["real"]
    assert found["method"] == "Hodges–Lehmann on logs"


def test_open_incidents_are_compared_by_log_rank() -> None:
    slow = [incident(at=old(), whole=minutes(10 * number)) for number in range(1, 12)]
    fast = [incident(at=new(), whole=minutes(number), open=number == 11) for number in range(1, 12)]
    found = row(workspace(incidents=slow + fast), "time_to_recover")
    assert found["method"].startswith("log-rank")
    assert found["effect"] == 6 / 60
    assert found["p"] < 0.05


def test_phases_are_compared_within_one_source_only() -> None:
    declared = {"decided_at_source": "declared", "detected_at_source": "declared"}
    derived = {"decided_at_source": "derived:first_attempt", "detected_at_source": "declared"}
    rows = [incident(at=old(), decide=minutes(60 + number), **derived) for number in range(9)]
    rows += [incident(at=old(), decide=minutes(10 + number), **declared) for number in range(6)]
    rows += [incident(at=new(), decide=minutes(10 + number), **declared) for number in range(6)]
    found = row(workspace(incidents=rows), "time_to_decide")
    assert (found["n_before"], found["n_after"]) == (6, 6)
    assert found["effect"] == 1
    assert found["note"] == "only times that are declared: 6 of 15 and 6 of 6 rows"


def test_rates_compare_as_a_difference() -> None:
    ships = [deployment(at=old(), failed_final="likely" if number < 12 else None) for number in range(40)]
    ships += [deployment(at=new(), failed_final="likely" if number < 2 else None) for number in range(40)]
    found = row(workspace(deployments=ships), "change_failure_rate")
    assert (found["before"], found["after"]) == (12 / 40, 2 / 40)
    assert found["effect"] == pytest.approx(-10 / 40)
    assert found["p"] < 0.01


def test_counts_take_a_storm_as_one() -> None:
    stormy = [rollback(at=old(), outcome="failed", storm="x", service=f"s{number}") for number in range(6)]
    calm = [rollback(at=new(), outcome="failed") for _ in range(2)]
    found = row(workspace(rollbacks=stormy + calm), "failed_rollbacks")
    # Six in two weeks became two; but the six were one storm.
    assert (found["before"], found["after"]) == (3, 1)
    assert found["effect"] == pytest.approx(2 / 1)
    assert found["note"] == "storms count once"


def test_too_few_rows_are_not_compared() -> None:
    rows = [incident(at=old())] * 4 + [incident(at=new())] * 9
    found = row(workspace(incidents=rows), "time_to_recover")
    assert found["effect"] is None
    assert found["note"] == "4 rows in one of them: not compared"


def test_signed_minutes_have_no_ratio() -> None:
    rows = [incident(at=when, criterion_met_at=when, silent_minutes=minutes(-3)) for when in (old(), new()) for _ in range(6)]
    assert row(workspace(incidents=rows), "silent_decision_minutes")["effect"] is None


def test_what_is_not_measured_is_not_compared() -> None:
    found = compare(workspace(), window="2w")
    assert found["effect"].null_count() == len(found)
    assert not found["real"].any()


def test_one_lucky_number_among_many_is_not_called_real() -> None:
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(20):
        rows = [incident(at=when, **_phases(rng)) for when in (old(), new()) for _ in range(12)]
        called += int(compare(workspace(incidents=rows), group="recovery", window="2w")["real"].sum())
    assert called <= 3


def _phases(rng: np.random.Generator) -> dict[str, Any]:
    return {phase: minutes(float(rng.lognormal(2, 1))) for phase in ("detect", "decide", "act", "whole")}


def test_small_rates_lean_on_the_others() -> None:
    tries = [rollback(service="shop")]
    outcomes = ["succeeded"] * 5 + ["failed"] * 2
    tries += [rollback(service=f"s{number % 10}", outcome=outcomes[number % 7]) for number in range(100)]
    found = with_shrunk_rates(measure(workspace(rollbacks=tries), "rollback_success_rate", by="service"))
    shop = found.filter(found["by"] == "shop").row(0, named=True)
    assert shop["value"] == 1
    assert 0.6 < shop["shrunk"] < 0.95
    assert shop["shrunk_low"] < shop["shrunk"] < shop["shrunk_high"]
    assert with_shrunk_rates(measure(workspace(rollbacks=tries), "rollback_success_rate"))["shrunk"].null_count() == 1
