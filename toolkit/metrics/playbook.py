"""Playbook: how far what was agreed is what is done. It is the playbook that is judged: a step that nobody takes may be a bad step."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Rate, metric
from toolkit.metrics.samples import OF_INCIDENTS, one_of

__all__ = ["step_adherence", "steps_late", "steps_out_of_order", "steps_skipped", "unwritten_actions"]

_NEEDS = ("incident_events",)
_STEPS = OF_INCIDENTS | {
    "not written in the playbook": pl.col("verdict") == "unwritten",
    "waived": pl.col("verdict") == "waived",
    "optional, and not taken": pl.col("verdict") == "not_taken",
    "not asked for in this severity": pl.col("verdict") == "not_asked",
    "time for it not over yet": pl.col("verdict") == "pending",
    "shown by nothing that anybody records": pl.col("verdict") == "unknown",
}
_SHOWN = ("waived", "shown by nothing that anybody records")


@metric(Rate, group="playbook", fact="conformance", title="Steps as agreed", better="up", excluded=_STEPS, needs=_NEEDS, shown=_SHOWN)
def step_adherence() -> pl.Expr:
    """Share of the steps that a playbook asked for which were done, in time and in order; of incidents with a timeline whose remedy has a
    playbook."""
    return pl.col("verdict") == "done"


@metric(Rate, group="playbook", fact="conformance", title="Steps skipped", better="down", excluded=_STEPS, needs=_NEEDS)
def steps_skipped() -> pl.Expr:
    """Share of the steps that a playbook asked for which nothing shows, though such things are recorded; a hotfix over its limits of files
    or lines counts here."""
    return pl.col("verdict") == "skipped"


@metric(Rate, group="playbook", fact="conformance", title="Steps late", better="down", excluded=_STEPS, needs=_NEEDS)
def steps_late() -> pl.Expr:
    """Share of the steps that a playbook asked for which were done in order, but after their time bound."""
    return pl.col("verdict") == "late"


@metric(Rate, group="playbook", fact="conformance", title="Steps out of order", better="down", excluded=_STEPS, needs=_NEEDS)
def steps_out_of_order() -> pl.Expr:
    """Share of the steps that a playbook asked for which were done, but find no place in its order: the fewest that must be left out for
    the others to stand in it."""
    return pl.col("verdict") == "out_of_order"


@metric(
    Rate,
    group="playbook",
    fact="conformance",
    title="Actions not in the playbook",
    better="down",
    excluded=OF_INCIDENTS
    | {"no action": ~one_of("verdict", "done", "late", "out_of_order", "unwritten"), "limit, not an action": pl.col("what").is_null()},
    needs=_NEEDS,
)
def unwritten_actions() -> pl.Expr:
    """Of what was done in incidents with a playbook: the share that no step of it asks for. It may be the playbook that is missing
    something."""
    return pl.col("verdict") == "unwritten"
