"""Error counts of the new version and the old one, side by side, around a share of the deployments."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import numpy as np
import polars as pl

from toolkit.synthetic.chance import lognormal, stream
from toolkit.synthetic.frames import schema_of
from toolkit.synthetic.things import Rollout, World

__all__ = ["SERIES", "telemetry"]

SERIES = "errors"
STEP = 60
BEFORE, AFTER = timedelta(minutes=15), timedelta(minutes=125)
# The incumbent rule of the simulated team: canary more than this above the baseline, that many minutes in a row.
LIMIT, IN_A_ROW = 0.05, 3


def telemetry(world: World, share: float) -> pl.DataFrame:
    """A series a watched deployment and arm: bad and total per minute. Sets when the incumbent criterion was met, where it is watched."""
    tables = [_series(rollout, place, world) for place, rollout in enumerate(world.rollouts) if _watched(rollout, world, share)]
    empty = pl.DataFrame(schema=schema_of("sample"))
    return pl.concat([empty, *tables]).sort("service", "series", "deployment", "variant", "at")


def _watched(rollout: Rollout, world: World, share: float) -> bool:
    """Critical services are watched most, internal ones hardly."""
    more = {"critical": 1.5, "standard": 1.0, "internal": 0.25}[rollout.service.service_class]
    return (
        rollout.purpose in ("release", "hotfix", "reapply")
        and rollout.environment == "production"
        and stream(world.seed, rollout.id, "watched").random() < share * more
    )


def _series(rollout: Rollout, place: int, world: World) -> pl.DataFrame:
    chance, plain = np.random.default_rng([world.seed, place]), stream(world.seed, rollout.id, "telemetry")
    service = rollout.service
    first = (rollout.started - BEFORE).replace(second=0)
    # A canary that was taken away has no more samples.
    last = min(rollout.finished + AFTER, world.end, rollout.gone or world.end)
    minutes = np.arange(0, max(1, int((last - first).total_seconds() // STEP)))
    when = np.array([first + timedelta(seconds=STEP * int(minute)) for minute in minutes])
    # The day's level, and a few bad minutes that hit both arms: noise that a rule has to live with.
    level = service.errors * lognormal(plain, 1.0, 0.25)
    both = np.full(len(minutes), level)
    for _ in range(plain.choice((0, 0, 0, 1, 1, 2))):
        at, width = plain.randrange(len(minutes)), plain.randrange(1, 5)
        both[at : at + width] += plain.uniform(0.004, 0.04)
    cold = np.zeros(len(minutes))
    if plain.random() < 0.2:
        # Cold caches: the first minutes of a good version look bad.
        warm = int((rollout.started - first).total_seconds() // STEP)
        cold[warm : warm + plain.randrange(2, 6)] = plain.uniform(0.005, 0.05)
    for outage in world.outages:
        if outage.cause is None and service in outage.services and not outage.planned and outage.environment == rollout.environment:
            both += _between(when, outage.started, outage.recovered, world.end) * lognormal(plain, 0.05, 0.6)
    harm = _harm(rollout, plain, when, world.end)
    shape = 0.35 + 0.65 * np.array([max(0.05, 1 - ((at.hour + at.minute / 60 - 14) / 11) ** 2) for at in when])
    tables = []
    for variant, part, rates in (("baseline", 1 - service.canary, both), ("canary", service.canary, both + cold + harm)):
        total = chance.poisson(np.round(service.requests * part * shape, 3))
        # Rounded, so that another processor's last bit cannot change a draw.
        bad = chance.binomial(total, np.round(np.clip(rates, 0, 1), 6))
        seen = np.ones(len(when), bool) if variant == "baseline" else when >= rollout.started
        # Scrapes get lost.
        seen &= chance.random(len(when)) > 0.003
        tables.append(_frame(rollout, variant, when[seen], bad[seen], total[seen]))
        if variant == "canary":
            canary = np.where(seen, bad / np.maximum(total, 1), np.nan)
        else:
            baseline = np.where(seen, bad / np.maximum(total, 1), np.nan)
    if rollout.outage and rollout.outage.cause is rollout:
        rollout.outage.criterion_met = _first_met(when, canary - baseline, rollout)
    return pl.concat(tables)


def _between(when: np.ndarray, start: datetime, stop: datetime | None, end: datetime) -> np.ndarray:
    return ((when >= start) & (when < (stop or end))).astype(float)


def _harm(rollout: Rollout, plain: Random, when: np.ndarray, end: datetime) -> np.ndarray:
    """What the defect adds in the new version: from the moment it shows until it is over; one in seven is not an error at all."""
    if rollout.failure is None:
        return np.zeros(len(when))
    size = min(0.9, lognormal(plain, 0.07, 0.8)) if plain.random() > 0.14 else 0.0
    outage = rollout.outage
    start = outage.started if outage else rollout.started + (rollout.finished - rollout.started) * 0.4
    stop = outage.recovered if outage else None
    ramp = plain.uniform(0.5, 12)
    since = np.array([max(0.0, (at - start).total_seconds() / 60) for at in when])
    return size * np.minimum(1.0, since / ramp) * _between(when, start, stop, end)


def _first_met(when: np.ndarray, difference: np.ndarray, rollout: Rollout) -> datetime | None:
    run = 0
    for at, gap in zip(when, difference, strict=True):
        run = run + 1 if gap > LIMIT and at >= rollout.finished else 0
        if run >= IN_A_ROW:
            met: datetime = at
            return met
    return None


def _frame(rollout: Rollout, variant: str, when: np.ndarray, bad: np.ndarray, total: np.ndarray) -> pl.DataFrame:
    known = {"service": rollout.service.name, "series": SERIES, "variant": variant, "deployment": rollout.id}
    table = pl.DataFrame(
        {"at": pl.Series(list(when), dtype=pl.Datetime("us", "UTC")), "bad": bad.astype(float), "total": total.astype(float)}
    ).with_columns(
        source=pl.lit("sample"),
        step=pl.lit(float(STEP)),
        value=pl.lit(None, dtype=pl.Float64),
        **{name: pl.lit(value) for name, value in known.items()},
    )
    return table.select(pl.col(name).cast(dtype) for name, dtype in schema_of("sample").items())
