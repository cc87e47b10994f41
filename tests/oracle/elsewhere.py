"""Other tools' numbers for one service, counted in plain loops over the records, from their published rules alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

__all__ = ["COUNTS", "Numbers"]

Row = dict[str, Any]
# k, n and the recovery time in minutes; None: the tool prints nothing.
Numbers = tuple[int, int, float | None]
HOUR = timedelta(hours=1)


def minutes(span: timedelta) -> float:
    return span / timedelta(minutes=1)


def good(ships: list[Row]) -> list[Row]:
    """Successful deployments in the order in which they ended."""
    return sorted((row for row in ships if row["status"] == "succeeded"), key=lambda row: row["finished_at"])


def middle(values: list[float]) -> float | None:
    values = sorted(values)
    if not values:
        return None
    return values[len(values) // 2] if len(values) % 2 else (values[len(values) // 2 - 1] + values[len(values) // 2]) / 2


def average(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def devlake(ships: list[Row], tickets: list[Row]) -> Numbers:
    blamed, spans = set(), []
    for ticket in tickets:
        before = [row for row in good(ships) if row["finished_at"] < ticket["detected_at"]]
        if before:
            blamed.add(before[-1]["source_id"])
            if ticket["resolved_at"] is not None:
                spans.append(minutes(ticket["resolved_at"] - before[-1]["finished_at"]))
    spans.sort()
    return len(blamed), len(good(ships)), spans[(len(spans) - 1) // 2] if spans else None


def fourkeys(ships: list[Row], tickets: list[Row]) -> Numbers:
    rows, hours = 0, []
    for ticket in tickets:
        named = [row for row in good(ships) if row["vcs_revision"] == ticket["root_cause"]]
        rows += len(named)
        if ticket["resolved_at"] is not None:
            created: datetime = min([ticket["detected_at"], *(row["finished_at"] for row in named)])
            hours.append(float((ticket["resolved_at"] - created) // HOUR))
    found = middle(hours)
    return rows, len(good(ships)), None if found is None else found * 60


def gitlab(ships: list[Row], tickets: list[Row]) -> Numbers:
    spans = [minutes(row["resolved_at"] - row["detected_at"]) for row in tickets if row["resolved_at"] is not None]
    return len(tickets), len(good(ships)), middle(spans)


def middleware(ships: list[Row], tickets: list[Row]) -> Numbers:
    line, hit = good(ships), 0
    for place, row in enumerate(line):
        until = line[place + 1]["finished_at"] if place + 1 < len(line) else None
        hit += any(row["finished_at"] <= one["detected_at"] and (until is None or one["detected_at"] < until) for one in tickets)
    spans = [minutes(row["resolved_at"] - row["detected_at"]) for row in tickets if row["resolved_at"] is not None]
    return hit, len(line), average(spans)


def metrik(ships: list[Row], _: list[Row]) -> Numbers:
    runs = sorted((row for row in ships if row["status"] in ("succeeded", "failed")), key=lambda row: row["finished_at"])
    since, spans = None, []
    for row in runs:
        if row["status"] == "failed":
            since = since or row["finished_at"]
        elif since is not None:
            spans.append(minutes(row["finished_at"] - since))
            since = None
    return sum(row["status"] == "failed" for row in runs), len(runs), average(spans)


def by_rollbacks(ships: list[Row], which: str) -> Numbers:
    """Going back to what was first shown earlier than what runs is a rollback; blamed are the deployments since it last ran that were
    neither rollbacks themselves nor the same again."""
    line, born, blamed, shipping = good(ships), {}, {}, []
    for place, row in enumerate(line):
        fresh = row["version"] not in born
        born.setdefault(row["version"], len(born))
        step = born[row["version"]] - born[line[place - 1]["version"]] if place else 1
        shipping.append(fresh or step > 0)
        if fresh or step >= 0:
            continue
        last = max(at for at in range(place) if line[at]["version"] == row["version"])
        between = [at for at in range(last + 1, place) if shipping[at]]
        held = {"first": between[:1], "latest": between[-1:], "every": between}[which]
        for at in held:
            blamed.setdefault(at, minutes(row["finished_at"] - line[at]["finished_at"]))
    return len(blamed), len(line), middle(list(blamed.values()))


COUNTS = {
    "devlake": devlake,
    "fourkeys": fourkeys,
    "gitlab": gitlab,
    "middleware": middleware,
    "metrik": metrik,
    "datadog-rollback": lambda ships, _: by_rollbacks(ships, "first"),
    "sleuth-rollback": lambda ships, _: by_rollbacks(ships, "every"),
    "swarmia-rollback": lambda ships, _: by_rollbacks(ships, "latest"),
}
