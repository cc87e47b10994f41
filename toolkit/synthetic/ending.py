"""What is still going on when the history ends: a snapshot is never tidy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from toolkit.synthetic import response

if TYPE_CHECKING:
    from toolkit.synthetic.life import Life

__all__ = ["ENDINGS"]


def undecided(life: Life) -> None:
    """Noticed, and nobody has decided yet."""
    at = life.world.end - timedelta(minutes=life.rng.randrange(60, 240))
    life.plan(at, lambda at: response.break_down(life, at, None, slow=True))


def just_rolled_back(life: Life) -> None:
    """Rolled back within the last hour: too early to say whether it holds."""

    def act(at: datetime) -> None:
        rollout = life.ship(life.build(at), at, "release")
        outage = response.small_outage(life, rollout.finished + timedelta(minutes=2), cause=rollout)
        rollout.failure, rollout.outage = "incident", outage
        outage.detected = outage.started + timedelta(minutes=5)
        outage.acknowledged, outage.decided = outage.detected + timedelta(minutes=3), outage.detected + timedelta(minutes=14)
        attempt = response.roll_back(life, outage.decided, outage, reason=life.reason(), fails=0.0)
        attempt.worked, outage.remedy, outage.fixed_by = True, "rollback", attempt
        outage.recovered = attempt.completed + timedelta(minutes=2)
        outage.closed = outage.recovered + timedelta(hours=8)
        life.world.outages.append(outage)

    life.plan(life.world.end - timedelta(minutes=75), act)


def in_progress(life: Life) -> None:
    """A release that is still rolling out."""
    start = life.world.end - timedelta(minutes=2)
    life.plan(start, lambda at: life.ship(life.build(at), at, "release", finished=at + timedelta(minutes=9)))


# Each happens to a service of its own, where there are that many.
ENDINGS: tuple[Callable[[Life], None], ...] = (undecided, just_rolled_back, in_progress, undecided)
