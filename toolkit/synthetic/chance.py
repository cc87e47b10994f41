"""Seeded chance: a stream of its own for every thing, so that nothing disturbs anything else."""

from __future__ import annotations

from random import Random

__all__ = ["lognormal", "stream"]


def stream(seed: int, *key: str) -> Random:
    """The stream of random numbers that belongs to this key: the same in every process and on every machine."""
    # Text seeds go through SHA-512, never through hash(). This is a simulation: it keeps no secret.
    return Random("/".join((str(seed), *key)))  # noqa: S311


def lognormal(rng: Random, median: float, sigma: float) -> float:
    """A draw whose median is `median`; sigma is that of the logarithm."""
    return median * rng.lognormvariate(0.0, sigma)
