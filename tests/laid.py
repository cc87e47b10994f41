"""Playbooks by hand: every way of laying events to steps is tried, and the best one kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from toolkit.playbooks import Happened, Playbook, Step, shipped

__all__ = ["best", "verdicts_by_hand"]

Rows = Sequence[Mapping[str, Any]]
MINUTE = timedelta(minutes=1)
# What somebody does about an incident; the rest of a timeline tells of its course.
ACTS = {
    "detected", "acknowledged", "triaged", "contained", "decided", "switched", "rerouted", "flag_suspended", "validated",
    "informed_customers", "rollback", "traffic_switch", "flag_off", "hotfix",
}  # fmt: skip


def comes_before(playbook: Playbook, one: str, other: str) -> bool:
    """Whether `one` must come before `other`, directly or through others."""
    (step,) = [step for step in playbook.step if step.id == other]
    direct = {*step.after, *({step.of} - {"detected", "recovered"})}
    return one in direct or any(comes_before(playbook, one, between) for between in direct)


def best(
    playbook: Playbook, steps: Sequence[Step], happened: Sequence[Happened], moments: Mapping[str, datetime | None]
) -> tuple[tuple[int, int, int], dict[str, Happened]]:
    """(required steps, steps, steps in time) of the best way, and one such way."""
    pairs = {(one.id, other.id) for one in steps for other in steps if comes_before(playbook, one.id, other.id)}
    found = max(ways(list(steps), happened, pairs, {}), key=lambda way: score(steps, way, moments))
    return score(steps, found, moments), found


def ways(
    left: list[Step], happened: Sequence[Happened], pairs: set[tuple[str, str]], so_far: dict[str, Happened]
) -> Iterator[dict[str, Happened]]:
    """Every way in which events, each at most once, can be laid to the steps so that their order holds."""
    if not left:
        yield so_far
        return
    step, *rest = left
    for one in sorted(happened, key=lambda one: (one.at, one.id)):
        if one.what not in step.shown_by or any(one is other for other in so_far.values()):
            continue
        earlier = all(other.at <= one.until for name, other in so_far.items() if (name, step.id) in pairs)
        later = all(one.at <= other.until for name, other in so_far.items() if (step.id, name) in pairs)
        if earlier and later:
            yield from ways(rest, happened, pairs, so_far | {step.id: one})
    yield from ways(rest, happened, pairs, so_far)


def in_time(step: Step, way: Mapping[str, Happened], moments: Mapping[str, datetime | None]) -> bool:
    since = moments[step.of] if step.of in moments else way[step.of].until if step.of in way else None
    return step.within is None or since is None or way[step.id].at <= since + step.within


def score(steps: Sequence[Step], way: Mapping[str, Happened], moments: Mapping[str, datetime | None]) -> tuple[int, int, int]:
    placed = [step for step in steps if step.id in way]
    return sum(not step.optional for step in placed), len(placed), sum(in_time(step, way, moments) for step in placed)


def verdicts_by_hand(told: Mapping[str, Any], incidents: Rows, deployments: Rows, attempts: Rows, end: datetime) -> Iterator[str]:
    """What is true of each step of the shipped playbooks, in incidents with a timeline; and `unwritten` for each other action."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in told["incident_event"]:
        lines.setdefault(row["incident"], []).append(row)
    reviews: dict[str, datetime] = {}
    for row in told["review"]:
        if row["published_at"]:
            reviews[row["incident"]] = min(row["published_at"], reviews.get(row["incident"], end))
    recorded = {row["type"] for row in told["incident_event"]} | {"gate:acceptance", "rollback_tested", "hotfix", "rollback", "review"}
    with_lines = [row for row in incidents if row["source_id"] in lines]
    recorded |= {one.what for row in with_lines for one in acted(told, row, deployments, attempts)}
    books = {remedy: book for book in shipped() for remedy in book.remedies}
    for incident in incidents:
        if incident["source_id"] not in lines or incident["remedy"] not in books:
            continue
        book = books[incident["remedy"]]
        happened = [
            Happened(row["type"], row["at"], row["at"] + (MINUTE if row["precision"] == "minute" else 0 * MINUTE), row["source_id"])
            for row in lines[incident["source_id"]]
        ]
        types = {one.what for one in happened}
        stamps = {"detected": incident["detected_at"], "acknowledged": incident["acknowledged_at"]}
        stamps["decided"] = None if (incident["decided_at_source"] or "").startswith("derived:first") else incident["decided_at"]
        happened += [Happened(what, at, at, "stamp") for what, at in stamps.items() if at and what not in types]
        if incident["source_id"] in reviews:
            at = reviews[incident["source_id"]]
            happened.append(Happened("review", at, at, "review"))
        happened += list(acted(told, incident, deployments, attempts))
        moments = {"detected": incident["detected_at"], "recovered": incident["recovered_at"]}
        known = recorded - {"merged"} | ({"merged"} if any(followed(told, row) for row in fixes(incident, deployments)) else set())
        yield from of_incident(book, incident, happened, moments, known, end)


def fixes(incident: Mapping[str, Any], deployments: Rows) -> list[Mapping[str, Any]]:
    return [row for row in deployments if row["hotfix_incident"] == incident["id"] and row["hotfix"] in ("certain", "likely")]


def followed(told: Mapping[str, Any], fix: Mapping[str, Any]) -> bool:
    """Whether it is known of the fix that it came to the main branch, or that it had not within a week."""
    row = told["merges"].get(fix["source_id"])
    if row is None or not row["named"] or not row["told"]:
        return False
    return bool(row["merged"]) or row["looked"] >= fix["deployed_at"] + timedelta(days=7)


def acted(told: Mapping[str, Any], incident: Mapping[str, Any], deployments: Rows, attempts: Rows) -> Iterator[Happened]:
    words = {"flag": "flag_off", "traffic": "traffic_switch"}
    for row in attempts:
        if row["incident"] == incident["id"] and not row["drill"] and not row["race"] and not row["code_level"]:
            yield Happened(words.get(row["mechanism"], "rollback"), row["started_at"], row["started_at"], row["id"])
    for row in fixes(incident, deployments):
        at = row["started_at"] or row["deployed_at"]
        sizes = [row[name] for name in ("changes_files", "changes_lines", "changes_review_minutes")]
        yield Happened("hotfix", at, at, row["id"], *sizes)
        supply = told["supply"][row["source_id"]]
        for kind in supply["passed"] or ():
            yield Happened(f"gate:{kind}", at - MINUTE, at - MINUTE, kind)
        landed = told["merges"].get(row["source_id"])
        if landed and landed["named"] and landed["told"] and landed["merged"]:
            yield Happened("merged", landed["merged"], landed["merged"], row["id"])
        if supply["rollback_tested"] and at - supply["rollback_tested"] <= timedelta(days=90):
            yield Happened("rollback_tested", supply["rollback_tested"], supply["rollback_tested"], "proof")


def of_incident(
    book: Playbook,
    incident: Mapping[str, Any],
    happened: Sequence[Happened],
    moments: Mapping[str, datetime | None],
    recorded: set[str],
    end: datetime,
) -> Iterator[str]:
    asked = [step for step in book.step if not step.severities or incident["severity"] in step.severities]
    _, way = best(book, [step for step in asked if step.limits is None], happened, moments)
    for step in asked:
        since = moments[step.of] if step.of in moments else way[step.of].until if step.of in way else None
        spare = [one for one in happened if one.what in step.shown_by and all(one is not used for used in way.values())]
        if step.limits is not None:
            yield kept(step, [one for one in happened if one.what in step.shown_by])
        elif step.id in way:
            yield "done" if in_time(step, way, moments) else "late"
        elif spare:
            yield "out_of_order"
        elif step.optional:
            yield "not_taken"
        elif not recorded & set(step.shown_by):
            yield "unknown"
        else:
            due = None if step.within is None or since is None else since + step.within
            yield "pending" if (incident["recovered_at"] is None if due is None else due > end) else "skipped"
    written = {name for step in book.step for name in step.shown_by}
    yield from ("unwritten" for one in happened if one.what in ACTS - written)


def kept(step: Step, shown: Sequence[Happened]) -> str:
    assert step.limits is not None
    found = []
    for one in shown:
        pairs = [(getattr(one, name), most, name) for name, most in step.limits if most is not None]
        over = [name for value, most, name in pairs if value is not None and value > most]
        if over:
            found.append("late" if over == ["review_minutes"] else "skipped")
        else:
            found.append("unknown" if any(value is None for value, _, _ in pairs) else "done")
    return next((verdict for verdict in ("done", "unknown", "late", "skipped") if verdict in found), "skipped")
