"""Gates: what changes had passed before they ran, and what came through all the same."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Rate, metric
from toolkit.metrics.samples import NOT_A_CHANGE, failed, hotfixed

__all__ = ["escaped_by_gate", "gate_pass_rate", "rollback_tested_rate", "untested_deployments"]

_NEEDS = ("gates",)
_TOLD = {"gates of its service were not told of yet": (pl.col("gates_since") > pl.col("at")) | pl.col("gates_since").is_null()}
# The kind of the change, where `kind` is that of the gate.
_NOT_A_CHANGE = {
    "drill": pl.col("drill"),
    "no release or hotfix": ~((pl.col("change") == "release") | hotfixed()).fill_null(value=False),
    "not ended": ~pl.col("ended"),
    "stopped before production": pl.col("stopped"),
}


@metric(
    Rate,
    group="gates",
    fact="gates",
    title="Gates passed",
    better="up",
    excluded={reason: pl.col("status") == status for reason, status in {
        "skipped": "skipped", "cancelled": "cancelled", "still running": "in_progress",
    }.items()},
    needs=_NEEDS,
    split="kind",
    shown=("skipped",),
)  # fmt: skip
def gate_pass_rate() -> pl.Expr:
    """Share of finished runs of gates that passed: in all, and by kind. A gate that never refuses and one that refuses everything are
    both worth a look."""
    return pl.col("status") == "passed"


@metric(
    Rate,
    group="gates",
    fact="provenance",
    title="Untested deployments",
    better="down",
    excluded=NOT_A_CHANGE | _TOLD,
    unknown="names neither digest, version nor commit",
    needs=_NEEDS,
    inferred=("kind",),
)
def untested_deployments() -> pl.Expr:
    """Releases and hotfixes that went to production without a single gate that their artifact had passed before, of those since gates of
    their service are told of."""
    return ~pl.col("tested")


@metric(
    Rate,
    group="gates",
    fact="provenance",
    title="Shipped with a proven way back",
    better="up",
    excluded=NOT_A_CHANGE | _TOLD,
    needs=_NEEDS,
    inferred=("kind",),
)
def rollback_tested_rate() -> pl.Expr:
    """Share of releases and hotfixes that went out when a rollback test of their service, or a drill in that environment, had worked
    within the 90 days before."""
    return (pl.col("at") - pl.col("rollback_tested_at") <= pl.duration(days=90)).fill_null(value=False)


@metric(
    Rate,
    group="gates",
    fact="checks",
    title="Escaped through a gate",
    better="down",
    excluded=_NOT_A_CHANGE
    | {"not yet matured": ~pl.col("matured"), "gate not passed": (pl.col("status") != "passed").fill_null(value=True)},
    needs=_NEEDS,
    split="kind",
    inferred=("failed",),
    shown=("not yet matured",),
)
def escaped_by_gate() -> pl.Expr:
    """Of the gates that matured releases and hotfixes had passed: the share whose change failed in production all the same, certain or
    likely. In all, and by kind of gate; a change that passed three gates counts under each."""
    return failed()
