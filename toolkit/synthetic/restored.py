"""Was what an attempt restored known to be good? Counted in plain loops over what had run by then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from toolkit.synthetic.things import Artifact, Attempt, Rollout

if TYPE_CHECKING:
    from toolkit.synthetic.numbers import Count

__all__ = ["went_to_known_good"]

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
GOING_BACK = ("rollback", "drill")
Stint = tuple[Artifact, datetime, datetime, bool]


def went_to_known_good(count: Count, attempt: Attempt) -> bool:
    """It had run a day in all, or an hour until something newer took its place; and nothing had gone wrong with it by then."""
    now, whole, replaced = attempt.started, timedelta(0), False
    for artifact, begun, ended, by_going_back in stints(count, attempt.service.name, now):
        if artifact is not attempt.restores:
            continue
        whole += ended - begun
        replaced |= ended - begun >= HOUR and ended < now and not by_going_back
    return (whole >= DAY or replaced) and not any(went_wrong(count, rollout, now) for rollout in shipped(count, attempt))


def stints(count: Count, service: str, until: datetime) -> Iterator[Stint]:
    """What ran one after the other: artifact, from when, to when, and whether a rollback ended it."""
    came: list[tuple[datetime, Artifact, bool]] = [
        (one.finished, one.artifact, one.purpose in GOING_BACK)
        for one in count.of[service]
        if one.status == "succeeded" and one.finished < until and not count.overtaken(one)
    ]
    came += [
        (one.completed, one.restores, True)
        for one in count.switched[service]
        if one.status == "completed" and one.restores is not None and one.completed < until
    ]
    came.sort(key=lambda one: one[0])
    changes = [one for place, one in enumerate(came) if place == 0 or one[1] is not came[place - 1][1]]
    for place, (begun, artifact, _) in enumerate(changes):
        last = place + 1 == len(changes)
        yield artifact, begun, until if last else changes[place + 1][0], not last and changes[place + 1][2]


def shipped(count: Count, attempt: Attempt) -> list[Rollout]:
    """Rollouts of what it restored."""
    return [one for one in count.of[attempt.service.name] if one.artifact is attempt.restores]


def went_wrong(count: Count, rollout: Rollout, by: datetime) -> bool:
    """Had an incident named it, or an attempt undone it within a week? Whether that was regretted nobody knew yet."""
    if any(outage.started <= by for outage in count.causing.get(id(rollout), [])):
        return True
    for attempt in count.against.get(id(rollout), []):
        what = count.undone(attempt) or rollout
        if attempt.started <= by and attempt.started < (what.finished if what.status == "succeeded" else what.started) + WEEK:
            return True
    return False
