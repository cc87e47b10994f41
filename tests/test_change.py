"""Against the window before: which test, on which rows, and when none."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from handmade import HORIZON, MONDAY, deployment, incident, minutes, rollback, workspace

from toolkit.errors import UsageError
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


def test_what_could_not_have_been_seen_is_said_in_words() -> None:
    rng = np.random.default_rng(3)
    rows = [incident(at=when, whole=minutes(float(rng.lognormal(3, 1)))) for when in (old(), new()) for _ in range(41)]
    found = row(workspace(incidents=rows), "time_to_recover")
    spread = np.std([np.log(one["whole"] / minutes(1)) for one in rows], ddof=2)
    smallest = 1 - np.exp(-(1.959964 + 0.841621) * spread * np.sqrt(2 / 41))
    assert found["smallest"] == pytest.approx(smallest, rel=0.02)
    assert found["verdict"] == f"no change that 82 incidents could show; the smallest visible is {found['smallest']:.0%}".replace("%", " %")


def test_below_thirty_rows_the_spread_is_assumed_and_both_are_told() -> None:
    rows = [incident(at=when, whole=minutes(number)) for when in (old(), new()) for number in range(10, 18)]
    found = row(workspace(incidents=rows), "time_to_recover")
    # 8 rows each: 2.8 × 1 × √(2/8) and with 1.5.
    assert (found["smallest"], found["smallest_at_most"]) == pytest.approx(
        (1 - np.exp(-2.8016 * 0.5), 1 - np.exp(-2.8016 * 0.75)), abs=1e-3
    )
    assert found["verdict"].endswith("the smallest visible is 75 % to 88 %")


def test_a_fall_that_is_real_is_told_with_its_bounds_and_whether_it_is_better() -> None:
    ships = [deployment(at=old(), failed_final="likely" if number < 12 else None) for number in range(40)]
    ships += [deployment(at=new(), failed_final="likely" if number < 2 else None) for number in range(40)]
    found = row(workspace(deployments=ships), "change_failure_rate")
    assert found["verdict"] == f"fell by 25.0 points ({-100 * found['high']:.1f} to {-100 * found['low']:.1f}), which is better"
    spans = np.random.default_rng(1).lognormal(3, 0.8, 40).tolist()
    slow = [incident(at=when, whole=minutes(span * factor)) for when, factor in ((old(), 1), (new(), 3)) for span in spans]
    assert row(workspace(incidents=slow), "time_to_recover")["verdict"].startswith("rose to 3 times (")
    assert row(workspace(incidents=slow), "time_to_recover")["verdict"].endswith("), which is worse")


def test_one_finding_of_many_is_told_as_what_chance_does() -> None:
    # p is about 0.03 alone; on a page of several it is no finding.
    ships = [deployment(at=old(), failed_final="likely" if number < 8 else None) for number in range(40)]
    ships += [deployment(at=new(), failed_final="likely" if number < 1 else None) for number in range(40)]
    found = (
        compare(workspace(deployments=ships), group="dora", window="2w")
        .filter(pl.col("metric") == "change_failure_rate")
        .row(0, named=True)
    )
    assert found["p"] < 0.05
    assert not found["real"]
    assert found["verdict"].endswith("numbers compared at once so much is expected by chance")


def test_a_date_splits_into_before_and_since() -> None:
    rows = [incident(at=when) for when in (old(), new()) for _ in range(6)]
    w = workspace(incidents=rows)
    found = compare(w, "time_to_recover", against=f"{HORIZON - minutes(6 * 24 * 60):%Y-%m-%d}").row(0, named=True)
    # As long before the date as after it: the old rows lie further back.
    assert (found["n_before"], found["n_after"]) == (0, 6)
    found = compare(w, "time_to_recover", against=f"{HORIZON - minutes(6 * 24 * 60):%Y-%m-%d}", start=MONDAY).row(0, named=True)
    assert (found["n_before"], found["n_after"]) == (6, 6)


def test_two_services_are_compared_in_one_window() -> None:
    rows = [incident(services=[name], whole=minutes(span + place)) for name, span in (("a", 10), ("b", 40)) for place in range(8)]
    found = compare(workspace(incidents=rows), "time_to_recover", against="a:b").row(0, named=True)
    assert (found["before"], found["after"]) == (13, 43)
    assert found["visible_on"] is None
    with pytest.raises(UsageError, match="No service named 'c'. There are: a, b"):
        compare(workspace(incidents=rows), against="a:c")


def test_the_date_of_a_visible_change_may_be_never() -> None:
    few = [incident(at=when, whole=minutes(10 + number)) for when in (old(), new()) for number in range(8)]
    assert row(workspace(incidents=few), "time_to_recover")["visible_on"] == "never"
    rng = np.random.default_rng(3)
    many = [incident(at=when, whole=minutes(float(rng.lognormal(3, 0.3)))) for when in (old(), new()) for _ in range(20)]
    found = row(workspace(incidents=many), "time_to_recover")
    # Its own spread of about 0.3 needs about as many rows as there are: the day lies near the end of the window.
    assert abs((datetime.fromisoformat(found["visible_on"] + "T00:00+00:00") - HORIZON).days) < 20
    assert compare(workspace(incidents=many), "time_to_recover", window="2w", reduction=0.1)["visible_on"][0] == "never"


def test_clustered_rows_show_less() -> None:
    spread = [(f"s{number}", 2.0 ** (number % 4)) for number in range(8)]
    apart = [
        incident(at=when, services=["one"], whole=minutes(10 * factor)) for when in (old(), new()) for _, factor in spread for _ in range(5)
    ]
    together = [
        incident(at=when, services=[name], whole=minutes(10 * factor))
        for when in (old(), new())
        for name, factor in spread
        for _ in range(5)
    ]
    assert (
        row(workspace(incidents=together), "time_to_recover")["smallest"] > row(workspace(incidents=apart), "time_to_recover")["smallest"]
    )


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
