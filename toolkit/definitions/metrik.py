"""Metrik (Thoughtworks): a failed pipeline is a failure, whatever happened in production."""

from __future__ import annotations

import polars as pl

from toolkit.definitions.definition import Definition, History, Part, mean, nothing

__all__ = ["METRIK"]


def ran() -> pl.Expr:
    """Runs that failed or succeeded; cancelled ones are neither."""
    return pl.col("successful") | (pl.col("status") == "failed")


def failed(history: History) -> Part:
    """Failed runs."""
    rows = history.deployments.filter(pl.col("status") == "failed")
    return Part("deployments", rows.with_columns(at="deployed_at", deployment="id"))


def recovery(history: History) -> Part:
    """From the end of the first of some failed runs to the end of the next that succeeded, by the end of the latter."""
    line = ["service", "environment"]
    runs = history.deployments.filter(ran()).drop_nulls("deployed_at").sort(*line, "deployed_at", "id")
    runs = runs.with_columns(bad=pl.col("status") == "failed").with_columns(
        after_bad=pl.col("bad").shift(1).over(line).fill_null(value=False)
    )
    first = pl.col("bad") & ~pl.col("after_bad")
    runs = runs.with_columns(begun=pl.when(first).then("deployed_at"), deployment=pl.when(first).then("id"))
    # A success right after failures carries the beginning of their stretch.
    runs = runs.with_columns(pl.col("begun", "deployment").forward_fill().over(line)).filter(~pl.col("bad") & pl.col("after_bad"))
    minutes = (pl.col("deployed_at") - pl.col("begun")).dt.total_microseconds() / 60e6
    return Part("deployments", runs.with_columns(minutes=minutes, ended="deployed_at", at="deployed_at"))


METRIK = Definition(
    name="metrik",
    link=nothing,
    failed=failed,
    denominator=ran,
    recovery=recovery,
    summary=mean,
    rate="failed runs ÷ (failed + succeeded)",
    spans="mean of first failed end → next success end",
    blames="its pipeline failed",
    left_out="neither failed nor succeeded",
    needs=("deployments",),
)
