"""Immutability: whether what runs is what was built, tried and named."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Rate, metric
from toolkit.metrics.samples import NOT_A_CHANGE

__all__ = ["digest_pinned_rate", "mutated_versions", "promoted_unchanged_rate", "traceable_rate"]

_NEEDS = ("artifacts",)


@metric(Rate, group="immutability", fact="versions", title="Versions with two digests", better="down", needs=_NEEDS)
def mutated_versions() -> pl.Expr:
    """Versions of a service that were seen with more than one digest, by the registry or in a deployment, of all versions seen with any.
    Names that move, such as latest, are no versions. A mutated one belongs to the moment at which its second digest appeared."""
    return pl.col("mutated")


@metric(
    Rate,
    group="immutability",
    fact="provenance",
    title="Deployed by digest",
    better="up",
    excluded=NOT_A_CHANGE,
    needs=_NEEDS,
    inferred=("kind",),
)
def digest_pinned_rate() -> pl.Expr:
    """Share of releases and hotfixes whose deployment names the digest of what it ships."""
    return pl.col("pinned")


@metric(
    Rate,
    group="immutability",
    fact="provenance",
    title="Promoted unchanged",
    better="up",
    excluded=NOT_A_CHANGE | {"not deployed elsewhere before": ~pl.col("staged")},
    unknown="a digest is not known",
    needs=_NEEDS,
    inferred=("kind",),
)
def promoted_unchanged_rate() -> pl.Expr:
    """Share of releases and hotfixes with the digest that the same version (else the same commit) had when it succeeded outside production
    before."""
    return pl.col("promoted_unchanged")


@metric(
    Rate,
    group="immutability",
    fact="provenance",
    title="Traceable to a commit",
    better="up",
    excluded=NOT_A_CHANGE,
    unknown="names neither digest, version nor commit",
    needs=_NEEDS,
    inferred=("kind",),
)
def traceable_rate() -> pl.Expr:
    """Share of releases and hotfixes whose build is in the registry with the commit it was built from: commit, artifact, deployment. A
    deployment that names another commit is not traceable."""
    return pl.col("traceable")
