"""Error counts of the new version and the old one, side by side, around a share of the deployments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.synthetic.chance import lognormal, stream
from toolkit.synthetic.frames import schema_of
from toolkit.synthetic.things import Outage, Rollout, World

__all__ = ["SERIES", "telemetry"]

SERIES = "errors"
STEP = 60
BEFORE, AFTER = timedelta(minutes=15), timedelta(minutes=125)
# The incumbent rule of the simulated team: canary more than this above the baseline, that many minutes in a row.
LIMIT, IN_A_ROW = 0.05, 3

Floats = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """One arm of one watched rollout; times in seconds since 1970."""

    rollout: Rollout
    variant: str
    at: Seconds
    bad: Floats
    total: Floats


def telemetry(world: World, share: float) -> pl.DataFrame:
    """A series a watched deployment and arm: bad and total per minute. Sets when the incumbent criterion was met, where it is watched."""
    watched = [(place, rollout) for place, rollout in enumerate(world.rollouts) if _watched(rollout, world, share)]
    arms = [arm for place, rollout in watched for arm in _arms(rollout, place, world)]
    schema = schema_of("sample")
    if not arms:
        return pl.DataFrame(schema=schema)
    lengths = [len(arm.at) for arm in arms]
    names = pl.DataFrame(
        {
            "service": [arm.rollout.service.name for arm in arms],
            "variant": [arm.variant for arm in arms],
            "deployment": [arm.rollout.id for arm in arms],
        }
    )
    table = names[np.repeat(np.arange(len(arms)), lengths)].with_columns(
        source=pl.lit("sample"),
        series=pl.lit(SERIES),
        at=pl.Series(np.concatenate([arm.at for arm in arms]) * 1_000_000).cast(schema["at"]),
        value=pl.lit(None),
        bad=pl.Series(np.concatenate([arm.bad for arm in arms])),
        total=pl.Series(np.concatenate([arm.total for arm in arms])),
        step=pl.lit(float(STEP)),
    )
    table = table.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    return table.sort("service", "series", "deployment", "variant", "at")


def _watched(rollout: Rollout, world: World, share: float) -> bool:
    """Critical services are watched most, internal ones hardly."""
    more = {"critical": 1.5, "standard": 1.0, "internal": 0.25}[rollout.service.service_class]
    return (
        rollout.purpose in ("release", "hotfix", "reapply")
        and rollout.environment == "production"
        and rollout.started < world.end
        and stream(world.seed, rollout.id, "watched").random() < share * more
    )


def _arms(rollout: Rollout, place: int, world: World) -> list[Points]:
    """Baseline and canary: the same world, with the defect in one of them."""
    chance, plain = np.random.default_rng([world.seed, place]), stream(world.seed, rollout.id, "telemetry")
    service = rollout.service
    # A canary that was taken away has no more samples.
    last = min(rollout.finished + AFTER, world.end, rollout.gone or world.end)
    at = np.arange(_seconds(rollout.started - BEFORE) // STEP * STEP, _seconds(last), STEP)
    both = _noise(rollout, plain, at) + _trouble(rollout, plain, at, world)
    new = both + _cold(rollout, plain, at) + _harm(rollout, plain, at)
    hour = at % 86400 / 3600
    volume = service.requests * (0.35 + 0.65 * np.maximum(0.05, 1 - ((hour - 14) / 11) ** 2))
    arms, shares = [], {}
    for variant, part, rates in (("baseline", 1 - service.canary, both), ("canary", service.canary, new)):
        # Rounded, so that another processor's last bit cannot change a draw.
        total = chance.poisson(np.round(volume * part, 3))
        bad = chance.binomial(total, np.round(np.clip(rates, 0, 1), 6))
        # Scrapes get lost.
        seen = chance.random(len(at)) > 0.003
        if variant == "canary":
            seen &= at >= _seconds(rollout.started)
        arms.append(Points(rollout, variant, at[seen], bad[seen].astype(float), total[seen].astype(float)))
        shares[variant] = np.where(seen, bad / np.maximum(total, 1), np.nan)
    if rollout.outage and rollout.outage.cause is rollout:
        rollout.outage.criterion_met = _first_met(at, shares["canary"] - shares["baseline"], rollout)
    return arms


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _between(at: Seconds, start: datetime, stop: datetime | None) -> Floats:
    """1 from start until stop, or for ever."""
    over = at >= _seconds(stop) if stop else np.zeros(len(at), bool)
    return ((at >= _seconds(start)) & ~over).astype(float)


def _noise(rollout: Rollout, plain: Random, at: Seconds) -> Floats:
    """The day's level, and a few bad minutes that hit both arms: a rule has to live with them."""
    rates = np.full(len(at), rollout.service.errors * lognormal(plain, 1.0, 0.25))
    for _ in range(plain.choice((0, 0, 0, 1, 1, 2))):
        first, width = plain.randrange(len(at)), plain.randrange(1, 5)
        rates[first : first + width] += plain.uniform(0.004, 0.04)
    return rates


def _trouble(rollout: Rollout, plain: Random, at: Seconds, world: World) -> Floats:
    """Outages that no release made hurt the old version as much as the new."""

    def hits(outage: Outage) -> bool:
        return outage.cause is None and rollout.service in outage.services and not outage.planned and outage.environment == "production"

    rates = np.zeros(len(at))
    for outage in filter(hits, world.outages):
        rates += _between(at, outage.started, outage.recovered) * lognormal(plain, 0.05, 0.6)
    return rates


def _cold(rollout: Rollout, plain: Random, at: Seconds) -> Floats:
    """Cold caches: the first minutes of one good version in five look bad."""
    if plain.random() >= 0.2:
        return np.zeros(len(at))
    warm = rollout.started + timedelta(minutes=plain.randrange(2, 6))
    return _between(at, rollout.started, warm) * plain.uniform(0.005, 0.05)


def _harm(rollout: Rollout, plain: Random, at: Seconds) -> Floats:
    """What the defect adds in the new version, from when it shows until it is over; one in seven is not an error at all."""
    if rollout.failure is None:
        return np.zeros(len(at))
    size = min(0.9, lognormal(plain, 0.07, 0.8)) if plain.random() > 0.14 else 0.0
    outage = rollout.outage
    start = outage.started if outage else rollout.started + (rollout.finished - rollout.started) * 0.4
    minutes_in = np.maximum(0, at - _seconds(start)) / 60
    return size * np.minimum(1.0, minutes_in / plain.uniform(0.5, 12)) * _between(at, start, outage.recovered if outage else None)


def _first_met(at: Seconds, difference: Floats, rollout: Rollout) -> datetime | None:
    """The first minute at which the incumbent rule held."""
    run = 0
    for second, gap in zip(at.tolist(), difference.tolist(), strict=True):
        run = run + 1 if gap > LIMIT and second >= _seconds(rollout.finished) else 0
        if run >= IN_A_ROW:
            return datetime.fromtimestamp(second, UTC)
    return None
