"""Rollbacks of releases that were fine: by automation in a race, by people in a hurry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from toolkit.synthetic.response import close, roll_back, small_outage
from toolkit.synthetic.things import Rollout

if TYPE_CHECKING:
    from toolkit.synthetic.life import Life

__all__ = ["false_alarm", "race"]


def race(life: Life, rollout: Rollout) -> None:
    """Automation writes the older version over the new one within minutes, without any reason; later it is put right."""
    if len(life.line) < 2:
        return
    attempt = roll_back(life, rollout.finished + life.minutes(2.5, 0.4), None, trigger="auto", fails=0.0)
    if attempt.rollout is None:
        attempt.mechanism, attempt.rollout = "gitops", life.ship(attempt.restores, attempt.started, "rollback", trigger="auto")  # type: ignore[arg-type]
    attempt.race, attempt.declared, attempt.worked, attempt.mistaken = True, False, True, True
    again = attempt.completed + life.minutes(70)
    life.free = max(life.free, again + timedelta(hours=26))
    life.plan(again, lambda at: _bring_back(life, at, rollout))


def false_alarm(life: Life, rollout: Rollout) -> None:
    """The release was fine; people blamed it for something else, took it back and shipped it again unchanged."""
    if len(life.line) < 2:
        return
    at = rollout.finished + life.minutes(35, 0.6)
    if life.rng.random() < 0.5:
        outage = small_outage(life, at - life.minutes(15, 0.3))
        outage.decided = outage.acknowledged + life.minutes(8)
        attempt = roll_back(life, outage.decided, outage, reason=life.reason(), fails=0.0)
        # It went away by itself, some time after the rollback.
        outage.recovered = attempt.completed + life.minutes(20, 1.2)
        attempt.worked = outage.recovered - attempt.completed < timedelta(minutes=60)
        outage.remedy, outage.fixed_by = "rollback", None
        close(life, outage)
    else:
        attempt = roll_back(life, at, None, reason="Suspected release, errors went up", fails=0.0)
        attempt.worked = True
    attempt.mistaken = True
    again = max(attempt.completed, life.down) + life.minutes(60 * 20, 0.5)
    life.free = max(life.free, again + timedelta(hours=26))
    life.plan(again, lambda at: _bring_back(life, at, rollout))


def _bring_back(life: Life, at: datetime, rollout: Rollout) -> None:
    """The undone artifact comes back unchanged, unless something newer runs by now."""
    if all(other.artifact.number <= rollout.artifact.number for other in life.line) and at >= life.down:
        life.ship(rollout.artifact, at, "reapply")
