"""On simulated histories every practice's number is the one that plain counting over what truly happened gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pytest
from laid import verdicts_by_hand

from tests.test_truth import CORE, by_hand
from toolkit.facts import facts_of
from toolkit.facts.practices import practice_facts
from toolkit.metrics import METRICS, measure
from toolkit.records import RECORDS
from toolkit.synthetic import SAMPLE, synthesize

Rows = list[dict[str, Any]]
Spans = list[tuple[timedelta, bool]]
# Metrics that no count is needed for, each with the reason why it cannot differ from the truth; every other one is counted here or, from
# the simulated world itself, in test_truth.py.
NEED_NOT: dict[str, str] = {}
END = SAMPLE["end"]
DAY = timedelta(days=1)
# Three seeds, three sizes.
HISTORIES = [(seed, services, months) for seed in (1, 2, 3) for services, months in ((3, 4), (5, 5), (9, 7))]


class Team:
    """A simulated team: what is true, the core facts (which have an oracle of their own), and the workspace that is measured."""

    def __init__(self, seed: int, services: int, months: int) -> None:
        history = synthesize(seed=seed, services=services, months=months, telemetry_share=0.0)
        tables = facts_of(history.records, horizon=END)
        self.truth: dict[str, Rows] = {name: frame.to_dicts() for name, frame in history.truth.items()}
        self.told: dict[str, Rows] = {name: frame.to_dicts() for name, frame in history.records.items() if name != "sample"}
        self.deployments, self.attempts, incidents = (tables[name].to_dicts() for name in ("deployments", "rollbacks", "incidents"))
        # One without any time lies in no window.
        self.incidents = [row for row in incidents if row["production"] and not row["planned"] and row["link_time"]]
        facts = tables | practice_facts(history.records, tables, horizon=END)
        facts |= {"owners": history.records["owner"]}
        self.workspace = SimpleNamespace(
            facts=SimpleNamespace(**{name: frame.lazy() for name, frame in facts.items()}),
            meta={"horizon": END.isoformat(), "records": {name: len(frame) for name, frame in history.records.items()}},
            settings=SimpleNamespace(severities=[], time_zone="UTC"),
        )
        self.merges = {row["deployment"]: row for row in self.truth["merges"]}
        self.supply = {row["deployment"]: row for row in self.truth["supply"]}
        self.failed = {row["id"] for row in self.deployments if row["failed_final"] in ("certain", "likely")}

    @cached_property
    def books(self) -> list[str]:
        """The verdict on every step of every incident, found by going through all ways of laying events to steps."""
        return list(
            verdicts_by_hand(
                self.told | {"supply": self.supply, "merges": self.merges}, self.incidents, self.deployments, self.attempts, END
            )
        )

    def changes(self) -> Rows:
        """Releases and hotfixes to production that ended and that no pipeline refused."""
        hot = ("certain", "likely")
        real = [row for row in self.deployments if row["production"] and row["ended"] and not row["stopped"] and not row["drill"]]
        return [row for row in real if row["kind"] == "release" or row["hotfix"] in hot]

    def measured(self, name: str) -> dict[str, Any]:
        return measure(self.workspace, name).row(0, named=True)


@pytest.fixture(scope="module", params=HISTORIES, ids=lambda history: "seed {} services {} months {}".format(*history))
def team(request: pytest.FixtureRequest) -> Team:
    return Team(*request.param)


def counted(answers: Iterable[bool | None]) -> tuple[int, int]:
    """k of n, where None is not known."""
    known = [answer for answer in answers if answer is not None]
    return sum(known), len(known)


# Immutability


def mutated_versions(team: Team) -> tuple[int, int]:
    seen: dict[tuple[str, str], set[str]] = {}
    for row in team.told["artifact"]:
        seen.setdefault((row["service"], row["version"]), set()).add(row["digest"])
    for row in team.told["deployment"]:
        if row["version"] and row["version"] != "latest" and row["artifact_digest"]:
            seen.setdefault((row["service"], row["version"]), set()).add(row["artifact_digest"])
    return counted(len(digests) > 1 for digests in seen.values())


def of_supply(column: str, where: Callable[[dict[str, Any]], bool] = lambda row: True) -> Callable[[Team], tuple[int, int]]:
    def count(team: Team) -> tuple[int, int]:
        rows = [team.supply[row["id"]] for row in team.changes()]
        return counted(row[column] for row in rows if where(row))

    return count


# Gates


def gate_pass_rate(team: Team) -> tuple[int, int]:
    return counted(row["status"] == "passed" for row in team.told["gate"] if row["status"] in ("passed", "failed"))


def since_gates_are_told_of(team: Team) -> Rows:
    first: dict[str, datetime] = {}
    for row in team.told["gate"]:
        first[row["service"]] = min(row["started_at"], first.get(row["service"], END))
    return [row for row in team.changes() if row["service"] in first and first[row["service"]] <= row["at"]]


def untested_deployments(team: Team) -> tuple[int, int]:
    passed = [team.supply[row["id"]]["passed"] for row in since_gates_are_told_of(team)]
    return counted(None if kinds is None else not kinds for kinds in passed)


def rollback_tested_rate(team: Team) -> tuple[int, int]:
    rows = [(row["at"], team.supply[row["id"]]["rollback_tested"]) for row in since_gates_are_told_of(team)]
    return counted(tested is not None and at - tested <= 90 * DAY for at, tested in rows)


def escaped_by_gate(team: Team) -> tuple[int, int]:
    matured = [row for row in team.changes() if row["matured"]]
    return counted(row["id"] in team.failed for row in matured for _ in team.supply[row["id"]]["passed"] or [])


def skipped_gate_rate(team: Team) -> tuple[int, int]:
    rows = [
        row | team.supply[row["id"]]
        for row in team.deployments
        if row["id"] in team.supply and team.supply[row["id"]]["passed"] is not None
    ]
    rows.sort(key=lambda row: (row["started_at"] or row["deployed_at"], row["id"]))
    answers: list[bool | None] = []
    for place, row in enumerate(rows):
        if row["hotfix"] not in ("certain", "likely") or not row["successful"] or row["drill"]:
            continue
        before = [
            one["passed"]
            for one in rows[:place]
            if one["service"] == row["service"]
            and one["kind"] == "release"
            and one["successful"]
            and one["hotfix"] not in ("certain", "likely")
        ]
        kinds = {kind for passed in before for kind in passed}
        usual = {kind for kind in kinds if 2 * sum(kind in passed for passed in before) >= len(before)}
        answers.append(bool(usual - set(row["passed"])) if usual else None)
    return counted(answers)


def hotfix_drift(team: Team) -> tuple[int, int]:
    hotfixes = [row for row in team.deployments if row["hotfix"] in ("certain", "likely") and row["successful"] and not row["drill"]]
    deadlines = {row["id"]: row["deployed_at"] + 7 * DAY for row in hotfixes}

    def drifted(row: dict[str, Any]) -> bool | None:
        by = deadlines.get(row["deployment"], END + DAY)
        if by > END or not row["named"] or not row["told"]:
            return None
        return row["merged"] > by if row["merged"] else True if row["looked"] >= by else None

    return counted(drifted(row) for row in team.truth["merges"])


# Canary


def verdicts(*outcomes: bool, stops: bool, failed: bool) -> Callable[[Team], tuple[int, int]]:
    def count(team: Team) -> tuple[int, int]:
        facts = {row["id"]: row for row in team.deployments}
        answers = []
        for word in team.truth["verdicts"]:
            fact = facts.get(word["deployment"])
            if fact is None or not word["last"] or word["overridden"] or not fact["matured"]:
                continue
            stop = word["decision"] in ("revert", "pause")
            if not (stop and fact["stopped"]) and (fact["id"] in team.failed) == failed:
                answers.append(stop == stops)
        return counted(answers)

    return count


def overridden(team: Team) -> tuple[int, int]:
    matured = {row["id"] for row in team.deployments if row["matured"]}
    return counted(word["overridden"] for word in team.truth["verdicts"] if word["last"] and word["deployment"] in matured)


# Flags


def real_attempts(team: Team) -> Rows:
    rows = [row for row in team.attempts if row["production"] and not row["drill"] and not row["race"]]
    return [row for row in rows if row["mechanism"] != "revert_commit"]


def flag_off_share(team: Team) -> tuple[int, int]:
    return counted(row["mechanism"] == "flag" for row in real_attempts(team))


def flag_off_success_rate(team: Team) -> tuple[int, int]:
    offs = [row["outcome"] for row in real_attempts(team) if row["mechanism"] == "flag"]
    return counted(outcome == "succeeded" for outcome in offs if outcome != "pending")


def kill_switch_coverage(team: Team) -> tuple[int, int]:
    def known(row: dict[str, Any]) -> bool:
        over = row["recovered_at"] or END
        switches = [one for one in team.told["flag_change"] if one["kill_switch"] and one["at"] <= over]
        return any(one["service"] in row["services"] for one in switches)

    return counted(known(row) for row in team.incidents)


# Learning


def fifth_working_day(recovered: datetime) -> datetime:
    day, left = recovered.date(), 5
    while left:
        day += DAY
        left -= day.weekday() < 5
    return datetime.combine(day + DAY, time(), UTC)


def review_rate(team: Team) -> tuple[int, int]:
    fates = {row["incident"]: row["fate"] for row in team.truth["reviews"]}
    due = [row for row in team.incidents if row["recovered_at"] and fifth_working_day(row["recovered_at"]) <= END]
    return counted(fates.get(row["source_id"]) == "in time" for row in due)


def action_items_on_time(team: Team) -> tuple[int, int]:
    due = [row for row in team.truth["action_items"] if row["due"] and row["due"] <= END]
    return counted(row["closed"] is not None and row["closed"] <= row["due"] for row in due)


# Ownership


def unowned_services(team: Team) -> tuple[int, int]:
    deployed = {row["service"] for row in team.told["deployment"] if row["environment"] == "production"}
    owned = {row["service"] for row in team.told["owner"] if row["valid_to"] is None}
    return counted(service not in owned for service in deployed)


# Communication


def customers_first_rate(team: Team) -> tuple[int, int]:
    return counted(None if row["detected_by"] is None else row["detected_by"] == "customer" for row in team.incidents)


# Playbooks


def steps(*verdicts: str) -> Callable[[Team], tuple[int, int]]:
    def count(team: Team) -> tuple[int, int]:
        return counted(verdict in verdicts for verdict in team.books if verdict in ("done", "late", "out_of_order", "skipped"))

    return count


def unwritten_actions(team: Team) -> tuple[int, int]:
    return counted(verdict == "unwritten" for verdict in team.books if verdict in ("done", "late", "out_of_order", "unwritten"))


RATES: dict[str, Callable[[Team], tuple[int, int]]] = {
    "mutated_versions": mutated_versions,
    "digest_pinned_rate": of_supply("pinned"),
    "promoted_unchanged_rate": of_supply("promoted_unchanged", lambda row: row["staged"]),
    "traceable_rate": of_supply("traceable"),
    "gate_pass_rate": gate_pass_rate,
    "untested_deployments": untested_deployments,
    "rollback_tested_rate": rollback_tested_rate,
    "escaped_by_gate": escaped_by_gate,
    "skipped_gate_rate": skipped_gate_rate,
    "hotfix_drift": hotfix_drift,
    "caught": verdicts(stops=True, failed=True),
    "missed": verdicts(stops=False, failed=True),
    "false_stop": verdicts(stops=True, failed=False),
    "quiet": verdicts(stops=False, failed=False),
    "overridden": overridden,
    "flag_off_share": flag_off_share,
    "flag_off_success_rate": flag_off_success_rate,
    "kill_switch_coverage": kill_switch_coverage,
    "review_rate": review_rate,
    "action_items_on_time": action_items_on_time,
    "unowned_services": unowned_services,
    "customers_first_rate": customers_first_rate,
    "step_adherence": steps("done"),
    "steps_skipped": steps("skipped"),
    "steps_late": steps("late"),
    "steps_out_of_order": steps("out_of_order"),
    "unwritten_actions": unwritten_actions,
}


# In the group of hotfixes, and made of the records of practices.


@pytest.mark.parametrize("name", RATES)
def test_a_rate_is_what_plain_counting_gives(team: Team, name: str) -> None:
    found = team.measured(name)
    if METRICS[name].fact == "verdicts" and not team.told["verdict"]:
        # Nobody there rolls out by canary.
        assert found["note"].startswith("not measured: connect verdicts")
        return
    assert (found["k"], found["n"]) == RATES[name](team)


def causes(row: dict[str, Any]) -> set[str]:
    words = " ".join(re.findall(r"[^\W\d_]+", (row["title"] or "").lower()))
    return {f"{kind} {value}" for kind, value in (("root", row["root_cause"]), ("alert", row["alert"]), ("title", words)) if value}


def came_back(team: Team, row: dict[str, Any], since: datetime) -> datetime | None:
    later = [
        one["link_time"]
        for one in team.incidents
        if one["link_time"] >= since
        and one["link_time"] > row["link_time"]
        and causes(one) & causes(row)
        and set(one["services"]) & set(row["services"])
    ]
    return min(later, default=None)


def left_after_ninety_days(spells: list[tuple[timedelta, bool]]) -> float | None:
    """Kaplan–Meier by hand. spells: how long, and whether it is still going on."""
    left = 1.0
    for at in sorted({span for span, going in spells if not going and span <= 90 * DAY}):
        left *= 1 - sum(span == at and not going for span, going in spells) / sum(span >= at for span, _ in spells)
    return left if left == 0 or max((span for span, _ in spells), default=timedelta(0)) >= 90 * DAY else None


def spells_after(team: Team, since: dict[str, datetime]) -> list[tuple[timedelta, bool]]:
    found = [(at, came_back(team, row, at)) for row in team.incidents if (at := since.get(row["id"])) is not None]
    return [((back or END) - at, back is None) for at, back in found]


def since_recovery(team: Team) -> dict[str, datetime]:
    return {row["id"]: row["recovered_at"] for row in team.incidents if row["recovered_at"]}


def since_the_last_item(team: Team) -> dict[str, datetime]:
    closed: dict[str, list[datetime | None]] = {}
    for row in team.truth["action_items"]:
        closed.setdefault(row["incident"], []).append(row["closed"])
    over = {row["id"] for row in team.incidents if row["recovered_at"]}
    return {name: max(days) for name, days in closed.items() if name in over and None not in days}  # type: ignore[type-var]


# From when each incident is followed, and whether the share is of those that stayed away.
SHARES: dict[str, tuple[Callable[[Team], dict[str, datetime]], bool]] = {
    "incident_repetition_rate": (since_recovery, False),
    "fix_held_rate": (since_the_last_item, True),
}


@pytest.mark.parametrize("name", SHARES)
def test_a_share_at_ninety_days_is_what_following_each_incident_gives(team: Team, name: str) -> None:
    since, held = SHARES[name]
    spells = spells_after(team, since(team))
    found, left = team.measured(name), left_after_ninety_days(spells)
    assert found["n"] == len(spells)
    assert found["value"] == (None if left is None else pytest.approx(left if held else 1 - left))


def test_action_items_by_kind_are_those_that_were_asked_for(team: Team) -> None:
    found = measure(team.workspace, "action_items_by_kind")
    kinds = [row["kind"] or "unknown" for row in team.truth["action_items"]]
    expected = {None: len(kinds)} | {kind: kinds.count(kind) for kind in kinds}
    assert dict(found.select("by", "n").rows()) == expected


# Spans: minutes, and whether it is still going on.


def to_flag_off(team: Team) -> Spans:
    detected = {row["id"]: row["detected_at"] for row in team.incidents}
    first: dict[str, datetime] = {}
    for row in real_attempts(team):
        if row["mechanism"] == "flag" and row["incident"]:
            first[row["incident"]] = min(row["started_at"], first.get(row["incident"], END))
    return [(at - detected[name], False) for name, at in first.items() if detected.get(name)]


def to_acknowledge(team: Team) -> Spans:
    rows = [row for row in team.incidents if row["detected_at_source"] != "derived:acknowledged" and row["detected_at"]]
    spans = [(row["acknowledged_at"] - row["detected_at"], False) for row in rows if row["acknowledged_at"]]
    waiting = [row for row in rows if not row["acknowledged_at"] and row["open"] and not row["decided_at"]]
    return spans + [(END - row["detected_at"], True) for row in waiting]


def updates(team: Team) -> dict[str, list[datetime]]:
    """Words to customers, by incident."""
    found: dict[str, list[datetime]] = {}
    for row in sorted(team.told["incident_event"], key=lambda row: row["at"]):
        if row["type"] == "informed_customers":
            found.setdefault(row["incident"], []).append(row["at"])
    return found


def to_first_update(team: Team) -> Spans:
    told, lined = updates(team), {row["incident"] for row in team.told["incident_event"]}
    rows = [row for row in team.incidents if row["detected_at"] and row["source_id"] in lined]
    spans = [(told[row["source_id"]][0] - row["detected_at"], False) for row in rows if row["source_id"] in told]
    return spans + [(END - row["detected_at"], True) for row in rows if row["source_id"] not in told and row["open"]]


def to_the_next_word(team: Team) -> Spans:
    told, spans = updates(team), []
    for row in team.incidents:
        words, over = told.get(row["source_id"], []), row["recovered_at"]
        for place, word in enumerate(words):
            following = words[place + 1] if place + 1 < len(words) else None
            if over is None or word < over:
                spans.append(((following or over or END) - word, following is None and over is None))
    return spans


def to_revert(team: Team) -> Spans:
    commits = [row for row in team.told["rollback"] if row["mechanism"] == "revert_commit" and row["from_committed_at"]]
    return [(row["started_at"] - row["from_committed_at"], False) for row in commits]


SPANS: dict[str, Callable[[Team], Spans]] = {
    "time_to_flag_off": to_flag_off,
    "time_to_acknowledge": to_acknowledge,
    "time_to_first_update": to_first_update,
    "update_gap": to_the_next_word,
    "time_to_revert": to_revert,
}


@pytest.mark.parametrize("name", SPANS)
def test_a_span_is_as_long_as_the_stamps_say_its_median_and_its_ninetieth_percentile(team: Team, name: str) -> None:
    spans = [(max(span / timedelta(minutes=1), 1 / 60), going) for span, going in SPANS[name](team) if span >= timedelta(0)]
    rows = {row["metric"]: row for row in measure(team.workspace, name).iter_rows(named=True)}
    for row, share, least in ((rows[name], 0.5, 1), (rows[f"{name}_p90"], 0.9, 10)):
        true = by_hand(spans, share) if len(spans) >= least else None
        assert (row["n"], row["censored"]) == (len(spans), sum(going for _, going in spans))
        assert row["value"] == (None if true is None else pytest.approx(true))


OTHERS = {"action_items_by_kind": test_action_items_by_kind_are_those_that_were_asked_for}


def test_every_metric_is_counted_from_what_truly_happened_or_says_why_it_need_not_be() -> None:
    counted = set(CORE) | RATES.keys() | SHARES.keys() | SPANS.keys() | OTHERS.keys()
    assert METRICS.keys() - counted == NEED_NOT.keys()
    assert not NEED_NOT.keys() & counted
    assert {"artifact", "gate", "verdict", "review", "action_item"} <= RECORDS.keys()
