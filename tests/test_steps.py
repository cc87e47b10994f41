"""Step by step through a playbook: intervals that take one bad night, or one service, for what it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from handmade import at, rollback, workspace

from toolkit.metrics import measure
from toolkit.metrics.steps import in_short, steps
from toolkit.stats.clusters import rate_intervals
from toolkit.stats.proportions import wilson

SERVICES = ["api", "web", "shop", "mail", "search", "pay"]


def asked(
    number: int, verdict: str, *, service: str = "api", minutes: float | None = 30, step: str = "triage", place: int = 0
) -> dict[str, Any]:
    """A step of the playbook in one incident that lasted some minutes; None: it is still open."""
    seen = at(days=number)
    return {
        "id": f"INC-{number:02} {step}", "incident": f"INC-{number:02}", "playbook": "rollback", "place": place, "step": step,
        "title": step.title(), "who": "us", "expected": "at any time", "verdict": verdict, "hastens": True, "services": [service],
        "environment": "production", "production": True, "planned": False, "before_coverage": False, "at": seen, "detected_at": seen,
        "recovered_at": None if minutes is None else seen + timedelta(minutes=minutes), "open": minutes is None,
    }  # fmt: skip


def told(rows: list[dict[str, Any]], rollbacks: list[dict[str, Any]] | None = None, **scope: Any) -> dict[str, Any]:
    """The only step of the playbook."""
    return steps(workspace(practices={"conformance": rows}, rollbacks=rollbacks), **scope).row(0, named=True)


def ends(row: dict[str, Any]) -> tuple[float, float]:
    return row["low"], row["high"]


def by_clusters(*sums: tuple[int, int]) -> tuple[float, float]:
    """The interval of a rate whose clusters have k of n each."""
    k, n = zip(*sums, strict=True)
    found = rate_intervals([0] * len(k), range(len(k)), k, n, cells=1)
    return float(found.low[0]), float(found.high[0])


def test_of_one_service_every_incident_is_a_witness_of_its_own() -> None:
    row = told([asked(number, "done" if number < 6 else "skipped") for number in range(8)])
    low, high = wilson([6], [8])
    assert (row["done"], row["n"], row["adherence"]) == (6, 8, 6 / 8)
    assert ends(row) == pytest.approx((low[0], high[0]))
    assert (row["adherence_method"], row["adherence_note"]) == ("Wilson", None)


def test_of_several_services_each_is_one_witness_and_few_of_them_speak_for_themselves_only() -> None:
    # Two that always do it, one that never does.
    rows = [asked(number, "skipped" if number % 3 == 0 else "done", service=SERVICES[number % 3]) for number in range(18)]
    row = told(rows)
    assert (row["done"], row["n"]) == (12, 18)
    assert ends(row) == pytest.approx(by_clusters((0, 6), (6, 6), (6, 6)))
    low, high = wilson([12], [18])
    assert row["high"] - row["low"] > 1.5 * (high[0] - low[0])
    # (4² + 2² + 2²) ÷ (18 · 2/3 · 1/3) · 3/2 = 9.
    assert row["adherence_note"] == "for these services only; design effect 9.0 over 3 clusters"
    assert in_short(row) == "for these services only; within what chance does"
    # Asked about one of them, its incidents are rows of their own again.
    one = told(rows, service="web")
    assert (one["n"], one["adherence_method"], one["adherence_note"]) == (6, "Wilson", None)


def test_from_twenty_services_on_services_are_drawn() -> None:
    rows = [asked(number, "done" if number % 4 else "late", service=f"s{number % 22:02}", minutes=30 + number) for number in range(88)]
    rows = [row | {"at": at(days=number / 4), "detected_at": at(days=number / 4)} for number, row in enumerate(rows)]
    row = told(rows)
    assert (row["adherence_method"], row["adherence_note"]) == ("cluster bootstrap", "22 clusters")
    assert row["low"] < row["adherence"] < row["high"]


def test_the_incidents_of_one_storm_are_one_witness() -> None:
    # Five in one night left it out; ten others did it.
    rows = [asked(number, "skipped" if number < 5 else "done") for number in range(15)]
    storm = [rollback(id=f"r{number}", incident=f"INC-{number:02}", at=at(days=number), storm="r0") for number in range(5)]
    row = told(rows, storm)
    assert ends(row) == pytest.approx(by_clusters((0, 5), *[(1, 1)] * 10))
    assert row["low"] < told(rows)["low"]
    # And so it is in the number of all steps together.
    w = workspace(practices={"conformance": rows}, rollbacks=storm, records={"incident_event": 15, "incident": 15})
    whole = measure(w, "step_adherence").row(0, named=True)
    assert (whole["low"], whole["high"]) == pytest.approx(ends(row))
    # ((5 · 2/3)² + 10 · (1/3)²) ÷ (15 · 2/3 · 1/3) · 11/10 = 4.03.
    assert whole["note"] == row["adherence_note"] == "design effect 4.03 over 11 clusters"


def test_recoveries_with_and_without_are_drawn_by_service_while_one_is_open() -> None:
    # Whoever does it is quick or slow as their service is, and one incident is not over yet.
    def lasted(number: int) -> float | None:
        return None if number == 23 else (10.0 if number % 2 else 100.0) + number

    rows = [
        asked(number, "done" if number < 12 else "skipped", service=SERVICES[number % 2], minutes=lasted(number)) for number in range(24)
    ]
    clustered = told(rows)
    alone = told([row | {"services": ["api"]} for row in rows])
    assert clustered["ratio"] == alone["ratio"]
    assert clustered["ratio_high"] - clustered["ratio_low"] > alone["ratio_high"] - alone["ratio_low"]
    assert clustered["note"] == "for these services only"
    assert alone["note"] is None


def test_what_nobody_asks_for_or_records_has_no_rate_and_says_why() -> None:
    unknown, unasked = (told([asked(number, verdict) for number in range(6)]) for verdict in ("unknown", "not_asked"))
    assert (unknown["n"], unknown["adherence"], unknown["low"]) == (0, None, None)
    assert in_short(unknown) == "nobody records what would show it"
    assert in_short(unasked) == "never asked for"
    assert in_short(told([asked(0, "done"), asked(1, "skipped")])) == "asked for in 2 only"


def test_a_waived_step_is_in_no_rate_and_keeps_its_reason() -> None:
    rows = [asked(0, "waived") | {"waived": "the vendor does it"}, *(asked(number, "done") for number in range(1, 6))]
    row = told(rows)
    assert (row["done"], row["n"], row["waived"], row["waived_why"]) == (5, 5, 1, ["INC-00: the vendor does it"])


def test_the_order_of_incidents_changes_no_interval() -> None:
    rows = [asked(number, "done" if number % 3 else "late", service=SERVICES[number % 6]) for number in range(26)]
    assert told(rows) == told(rows[::-1])
