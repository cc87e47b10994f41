"""When the changes of hotfixes came to the main branch: made there, brought back within days, late, or never."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from toolkit.synthetic.chance import lognormal, stream
from toolkit.synthetic.things import Rollout, World

__all__ = ["Landing", "landings"]


@dataclass(frozen=True)
class Landing:
    """What became of one hotfix's commit. landed: when it was on the main branch, `name` by what name if not its own; None: not by
    `looked`, the last time that anybody compared. told: a record of it was written."""

    rollout: Rollout
    landed: datetime | None
    name: str | None
    looked: datetime
    told: bool


def landings(world: World) -> Iterator[Landing]:
    """Hotfixes, in order; each has a stream of chance of its own."""
    for rollout in world.rollouts:
        if rollout.purpose == "hotfix" and rollout.finished < world.end:
            yield _landing(stream(world.seed, rollout.artifact.digest, "merge back"), rollout, world.end)


def _landing(rng: Random, rollout: Rollout, end: datetime) -> Landing:
    artifact = rollout.artifact
    luck, squashed, told = rng.random(), rng.random() < 0.3, rng.random() > 0.06
    on_main = artifact.branch == "main"
    landed: datetime | None = artifact.committed
    if not on_main:
        if luck < 0.72:
            landed = rollout.finished + timedelta(minutes=round(lognormal(rng, 60 * 9, 1.0)))
        elif luck < 0.88:
            landed = rollout.finished + timedelta(days=rng.randrange(8, 45), minutes=rng.randrange(600))
        else:
            landed = None
    landed = landed if landed is not None and landed < end else None
    name = hashlib.sha1(artifact.revision.encode(), usedforsecurity=False).hexdigest()
    # Clones are compared every night, until the branch is deleted.
    night = end.replace(hour=0, minute=0, second=0, microsecond=0)
    gone = rollout.finished + timedelta(days=rng.randrange(2, 6))
    looked = min(night, gone) if rng.random() < 0.1 else night
    return Landing(rollout, landed, name if squashed and landed and not on_main else None, looked, told)
