"""Expressions that several metrics share: which deployments, attempts and incidents a number is about."""

from __future__ import annotations

import polars as pl

__all__ = [
    "DEPLOY_LEVEL",
    "NOT_A_CHANGE",
    "NO_REAL_ATTEMPT",
    "OF_INCIDENTS",
    "PENDING",
    "failed",
    "hotfixed",
    "one_of",
    "percent",
    "stopped_changes",
]


def one_of(column: str, *values: str) -> pl.Expr:
    """Whether the column holds one of the values; comparing beats a set of strings on a million rows."""
    found = pl.col(column) == values[0]
    for value in values[1:]:
        found |= pl.col(column) == value
    return found


def failed() -> pl.Expr:
    """Certain or likely evidence; null evidence is no failure."""
    return one_of("failed_final", "certain", "likely").fill_null(value=False)


def hotfixed() -> pl.Expr:
    """A certain or likely hotfix."""
    return one_of("hotfix", "certain", "likely").fill_null(value=False)


def _kind(name: str) -> pl.Expr:
    # A hotfix keeps its derived kind; it is a deployment of ours whatever that is.
    return (pl.col("kind") == name) & ~hotfixed()


# Deployments in rates: releases and hotfixes that ended and were not stopped; whether they failed is known once they matured.
NOT_A_CHANGE: dict[str, pl.Expr] = {
    "drill": pl.col("drill"),
    "rollback": _kind("rollback"),
    "redeploy": _kind("redeploy"),
    "reapply": _kind("reapply"),
    "out of order": _kind("out_of_order"),
    "unknown kind": _kind("unknown") | pl.col("kind").is_null(),
    "not ended": ~pl.col("ended"),
    "stopped before production": pl.col("stopped"),
}


def stopped_changes() -> pl.Expr:
    """Releases and hotfixes that a pipeline refused: shown beside the failures, none of them."""
    return pl.col("stopped") & ((pl.col("kind") == "release") | hotfixed())


NO_REAL_ATTEMPT: dict[str, pl.Expr] = {
    "drill": pl.col("drill") | (pl.col("outcome") == "drill"),
    "race": pl.col("race") | (pl.col("outcome") == "race"),
}

# Flag-offs have a number of their own, revert commits are code level, a database restore undoes no deployment.
DEPLOY_LEVEL: dict[str, pl.Expr] = {
    "revert commit": pl.col("code_level") | (pl.col("mechanism") == "revert_commit"),
    "flag-off": pl.col("mechanism") == "flag",
    "database restore": pl.col("mechanism") == "database",
}

PENDING: dict[str, pl.Expr] = {"verification still pending": pl.col("outcome") == "pending"}

OF_INCIDENTS: dict[str, pl.Expr] = {
    "planned maintenance": pl.col("planned"),
    "begun before coverage": pl.col("before_coverage"),
}


def percent(k: str, n: str) -> pl.Expr:
    """In remarks: k of n as text, one decimal."""
    return (pl.col(k) / pl.col(n) * 100).round(1).cast(pl.String)
