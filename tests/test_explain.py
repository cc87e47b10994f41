"""An explanation accounts for every row: it counts, or it says why not."""

from __future__ import annotations

import pkgutil
from datetime import timedelta

import polars as pl
import pytest
from handmade import (
    HORIZON,
    MONDAY,
    PRACTICES,
    at,
    check,
    deployment,
    followup,
    gate,
    incident,
    item,
    minutes,
    rollback,
    service,
    shipped,
    verdict,
    version,
    workspace,
)

import toolkit
from toolkit import metrics
from toolkit.metrics import METRICS, explain, measure


def test_a_rate_shows_its_sum() -> None:
    w = workspace(rollbacks=[rollback() for _ in range(23)] + [rollback(outcome="ineffective") for _ in range(8)])
    found = explain(w, "rollback_success_rate")
    assert found.formula == "23 of 31 = 74.2 %"
    assert found.digest == "v1"


def test_a_median_names_its_row() -> None:
    w = workspace(incidents=[incident(decide=minutes(number)) for number in range(1, 12)])
    assert explain(w, "time_to_decide").formula == "median of 11: the 6th smallest = 6.0 minutes"
    assert explain(w, "time_to_decide_p90").formula == "90th percentile of 11: the 10th smallest = 10.0 minutes"


def test_a_count_shows_the_weeks() -> None:
    w = workspace(deployments=[deployment(), deployment()])
    assert explain(w, "deployment_frequency", start=MONDAY).formula == "2 in 4.0 weeks = 0.50 per week"


def test_a_median_that_is_not_reached_says_more_than() -> None:
    w = workspace(incidents=[incident(whole=minutes(20), open=True), incident(whole=minutes(90), open=True)])
    assert explain(w, "time_to_recover").formula == "median of 2, 2 still open (Kaplan–Meier): > 90.0 minutes"


def test_a_row_is_left_out_for_the_first_reason_that_holds() -> None:
    tries = [
        rollback(id="both", drill=True, outcome="drill", mechanism="flag"),
        rollback(id="flag", mechanism="flag", outcome="pending"),
        rollback(id="late", outcome="pending"),
        rollback(id="fine"),
    ]
    found = explain(workspace(rollbacks=tries), "rollback_success_rate")
    assert dict(found.rows_excluded.select("id", "reason").rows()) == {
        "both": "drill",
        "flag": "flag-off",
        "late": "verification still pending",
    }
    assert found.excluded.rows() == [("drill", 1), ("flag-off", 1), ("verification still pending", 1)]
    assert found.counted["id"].to_list() == ["fine"]


def test_immature_rows_are_counted_as_such() -> None:
    found = explain(workspace(deployments=[deployment(), deployment(matured=False)]), "change_failure_rate")
    assert ("not yet matured", 1) in found.excluded.rows()


def test_the_share_that_was_inferred_is_told() -> None:
    troubles = [
        incident(decided_at_source="declared", detected_at_source="declared"),
        incident(decided_at_source="derived:first_attempt", detected_at_source="declared"),
    ]
    found = explain(workspace(incidents=troubles), "time_to_decide").inferred
    assert dict(found.select("column", "share").rows()) == {"detected_at": 0, "decided_at": 0.5}


def test_what_was_said_derived_and_corrected_is_counted_apart() -> None:
    ways = ["declared", "declared", "derived:first_attempt", "override", None]
    troubles = [incident(decided_at_source=way, detected_at_source="declared") for way in ways]
    found = explain(workspace(incidents=troubles), "time_to_decide").inferred
    assert found.filter(pl.col("column") == "decided_at").row(0) == ("decided_at", 4, 2, 1, 1, 1 / 4)


def test_gaps_in_the_window_are_shown_as_far_as_they_lie_in_it() -> None:
    def gap(stream: str, first: float, last: float) -> dict[str, object]:
        return {"stream": stream, "source": "ci", "start": at(first).isoformat(), "end": at(last).isoformat(), "gap": True}

    covered = {"stream": "deployments", "source": "ci", "start": MONDAY.isoformat(), "end": HORIZON.isoformat(), "gap": False}
    coverage = [covered, gap("deployments", 5, 9), gap("deployments", 1, 2), gap("incidents", 8, 9)]
    found = explain(workspace(deployments=[deployment(at=at(20))], coverage=coverage), "change_failure_rate", start=at(7)).gaps
    assert found.rows() == [("deployments", "ci", at(7), at(9))]


def test_times_in_the_wrong_order_are_a_reason_of_their_own() -> None:
    trouble = incident(id="i", detected_at=at(2))
    ships = [deployment(hotfix="certain", hotfix_incident="i", at=at(1))]
    found = explain(workspace(deployments=ships, incidents=[trouble]), "hotfix_lead_time")
    assert found.excluded.rows() == [("times in the wrong order", 1)]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_counted_and_left_out_are_all_rows_in_scope(name: str) -> None:
    ships = [deployment(at=at(number), hotfix="certain" if number % 2 else None, kind="release") for number in range(6)]
    ships += [deployment(kind="rollback"), deployment(stopped=True, successful=False), deployment(environment="qa", production=False)]
    tries = [rollback(), rollback(drill=True, outcome="drill"), rollback(mechanism="flag")]
    troubles = [incident(), incident(planned=True), incident(open=True, censored_phase="act")]
    practices = {
        "followups": [followup(), followup(items=1, last_closed_at=at(2)), followup(planned=True)],
        "action_items": [item(), item(due=None)],
        "versions": [version(), version(mutated=True)],
        "provenance": [shipped(), shipped(drill=True), shipped(gates_since=None)],
        "checks": [check(), check(status="failed")],
        "gates": [gate(), gate(status="skipped")],
        "verdicts": [verdict(), verdict(last=False)],
        "services": [service("shop"), service("cart", owned=False)],
        "communications": [followup() | {"timeline": True}, followup()],
        "update_gaps": [followup() | {"told_at": at(), "until": at(2), "waiting": False}],
        "conformance": [followup() | {"verdict": word} for word in ("done", "skipped", "unwritten", "unknown")],
    }
    practices |= {
        name: [{key: value for key, value in row.items() if key in PRACTICES[name]} for row in practices[name]]
        for name in ("communications", "update_gaps", "conformance")
    }
    w = workspace(deployments=ships, rollbacks=tries, incidents=troubles, practices=practices)
    found = explain(w, name)
    rows = {fact: len(of) for fact, of in practices.items()} | {
        "deployments": 8,
        "hotfixes": 3,
        "rollbacks": 3,
        "incidents": 3,
    }
    rows = rows[METRICS[name].fact]
    assert len(found.counted) + len(found.rows_excluded) == rows
    assert len(found.rows_excluded) == found.excluded["n"].sum()
    assert len(found.counted) == (found.row["n"] or 0)


def test_a_scope_narrows_the_rows() -> None:
    w = workspace(deployments=[deployment(), deployment(service="cart"), deployment(at=HORIZON - timedelta(days=1))])
    assert len(explain(w, "deployment_frequency", service="cart").counted) == 1
    assert len(explain(w, "deployment_frequency", window="1w").counted) == 1


def test_what_is_not_measured_is_explained_as_such() -> None:
    found = explain(workspace(), "time_to_decide")
    assert found.formula == "no rows: unknown"
    assert found.note is not None
    assert found.note.startswith("not measured")


def test_the_notebook_words_are_the_metrics_own() -> None:
    w = workspace(incidents=[incident()])
    assert toolkit.measure(w, "time_to_decide").equals(measure(w, "time_to_decide"))
    assert toolkit.explain(w, "time_to_decide").formula == explain(w, "time_to_decide").formula
    assert "open" not in toolkit.__all__
    assert isinstance(explain(w, "time_to_decide").counted, pl.DataFrame)


def test_no_public_word_of_the_notebook_is_also_a_module() -> None:
    modules = {module.name for package in (toolkit, metrics) for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & {*toolkit.__all__, *metrics.__all__, "open"}
