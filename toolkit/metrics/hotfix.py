"""Hotfixes: how fast they arrive, how often they fail, and what corners they cut."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Duration, Rate, metric
from toolkit.metrics.samples import failed

__all__ = [
    "hotfix_drift",
    "hotfix_failure_rate",
    "hotfix_lead_time",
    "hotfix_review_time",
    "hotfix_scope",
    "hotfix_scope_files",
    "skipped_gate_rate",
]

_SURE = {"drill": pl.col("drill"), "only possibly a hotfix": pl.col("hotfix") == "possible"}
_DEPLOYED = _SURE | {"not successful": ~pl.col("successful")}


@metric(
    Duration,
    group="hotfix",
    fact="hotfixes",
    title="Time to a hotfix",
    better="down",
    excluded=_DEPLOYED | {"no incident": pl.col("hotfix_incident").is_null()},
    unknown="detection not known",
    inferred=("hotfix",),
)
def hotfix_lead_time() -> pl.Expr:
    """From the detection of the incident to the deployment of the hotfix that answers it."""
    return pl.col("deployed_at") - pl.col("incident_detected_at")


@metric(
    Rate,
    group="hotfix",
    fact="hotfixes",
    title="Hotfixes that failed",
    better="down",
    excluded=_SURE | {"not ended": ~pl.col("ended"), "stopped before production": pl.col("stopped"), "not yet matured": ~pl.col("matured")},
    inferred=("hotfix", "failed"),
    shown=("not yet matured",),
)
def hotfix_failure_rate() -> pl.Expr:
    """Share of matured hotfixes, certain or likely, that failed themselves."""
    return failed()


@metric(
    Duration,
    group="hotfix",
    fact="hotfixes",
    title="Lines changed by a hotfix",
    at_code_level=True,
    better="down",
    unit="lines",
    excluded=_DEPLOYED,
    unknown="size not known",
    inferred=("hotfix",),
)
def hotfix_scope() -> pl.Expr:
    """Lines that a hotfix changes; hotfix_scope_files counts files."""
    return pl.col("changes_lines")


@metric(
    Duration,
    group="hotfix",
    fact="hotfixes",
    title="Files changed by a hotfix",
    at_code_level=True,
    better="down",
    unit="files",
    excluded=_DEPLOYED,
    unknown="size not known",
    inferred=("hotfix",),
)
def hotfix_scope_files() -> pl.Expr:
    """Files that a hotfix changes."""
    return pl.col("changes_files")


@metric(
    Duration,
    group="hotfix",
    fact="hotfixes",
    title="Review time of a hotfix",
    at_code_level=True,
    better=None,
    excluded=_DEPLOYED,
    unknown="time in review not known",
    inferred=("hotfix",),
)
def hotfix_review_time() -> pl.Expr:
    """Minutes that the changes of a hotfix spent in review. Neither long nor short is good by itself."""
    return pl.duration(minutes=pl.col("changes_review_minutes"))


@metric(
    Rate,
    group="hotfix",
    fact="hotfixes",
    title="Hotfixes that skipped a gate",
    better="down",
    excluded=_DEPLOYED,
    unknown="its gates, or those its service's releases pass, are not known",
    inferred=("hotfix",),
    needs=("gates",),
)
def skipped_gate_rate() -> pl.Expr:
    """Share of hotfixes that went to production past a gate that at least half of their service's releases had passed until then."""
    return pl.col("skipped").list.len() > 0


_WEEK = pl.col("deployed_at") + pl.duration(days=7)


@metric(
    Rate,
    group="hotfix",
    fact="hotfixes",
    title="Hotfixes not merged back",
    at_code_level=True,
    better="down",
    excluded=_DEPLOYED
    | {
        "not yet 7 days old": pl.col("horizon") < _WEEK,
        "its commit is not known": pl.col("revision").is_null(),
        "its change could not be compared": pl.col("merged_source").eq_missing("derived:not_compared") & pl.col("merged_at").is_null(),
        "nobody tells whether its commit was merged": pl.col("merged_at").is_null() & pl.col("unmerged_until").is_null(),
    },
    unknown="not merged when last looked at, within the 7 days",
    inferred=("hotfix", "merged"),
    shown=("not yet 7 days old",),
    needs=("merges",),
)
def hotfix_drift() -> pl.Expr:
    """Share of hotfixes, certain or likely, whose change is not in the main branch 7 days after their deployment. One that was made there
    has come back before it left."""
    late = pl.col("merged_at") > _WEEK
    return pl.when(pl.col("merged_at").is_not_null()).then(late).when(pl.col("unmerged_until") >= _WEEK).then(pl.lit(value=True))
