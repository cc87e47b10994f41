"""What canary judges said of rollouts, and who decided otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from toolkit.synthetic.chance import stream
from toolkit.synthetic.things import Attempt, Rollout, World

__all__ = ["Judgement", "judgements"]


@dataclass(frozen=True)
class Judgement:
    """One word of the judge on one rollout. last: no later decision of it followed."""

    rollout: Rollout
    decision: str
    at: datetime
    overridden: bool = False
    last: bool = True


def judgements(world: World) -> Iterator[Judgement]:
    """Rollouts by canary, in order; one in twenty goes unjudged."""
    undoing = {attempt.undoes: attempt for attempt in reversed(world.attempts) if attempt.undoes is not None and not attempt.drill}
    for rollout in world.rollouts:
        if rollout.strategy != "canary" or rollout.purpose != "release" or rollout.finished >= world.end:
            continue
        rng = stream(world.seed, rollout.id, "judge")
        attempt = undoing.get(rollout)
        if rng.random() < 0.05 or (attempt is not None and attempt.race):
            continue
        word = _final(rng, rollout, attempt)
        if word.at >= world.end:
            continue
        early = rollout.started + (rollout.finished - rollout.started) * 0.3
        if rng.random() < 0.25 and early + timedelta(seconds=1) < word.at:
            yield Judgement(rollout, rng.choice(("proceed", "proceed", "pause")), early.replace(microsecond=0), last=_silent(word))
        yield word


def _silent(word: Judgement) -> bool:
    return word.decision in ("inconclusive", "error")


def _final(rng: Random, rollout: Rollout, attempt: Attempt | None) -> Judgement:
    end = max(rollout.started, rollout.finished - timedelta(seconds=20))
    if rollout.failure == "stopped by its canary":
        return Judgement(rollout, "revert", end)
    if attempt is not None and rng.random() < (0.55 if attempt.trigger == "auto" else 0.3):
        # It saw what people then acted on; of a false alarm, what was not there.
        at = max(end, attempt.started - timedelta(seconds=rng.randrange(20, 90)))
        return Judgement(rollout, "revert", at)
    luck = rng.random()
    if rollout.failure is not None and luck < 0.2:
        return Judgement(rollout, "revert", end, overridden=True)
    if luck < 0.225:
        return Judgement(rollout, rng.choice(("inconclusive", "inconclusive", "error")), end)
    if luck < 0.24:
        return Judgement(rollout, "pause", end)
    if luck < 0.25:
        return Judgement(rollout, "revert", end, overridden=True)
    return Judgement(rollout, "proceed", end)
