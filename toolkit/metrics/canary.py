"""Canary: what its judge said, against what became of the deployment."""

from __future__ import annotations

import polars as pl

from toolkit.metrics.metric import Rate, metric
from toolkit.metrics.samples import failed

__all__ = ["caught", "false_stop", "missed", "overridden", "quiet"]

_NEEDS = ("verdicts",)
_JUDGED = {
    "did not decide": ~pl.col("decided"),
    "deployment not known": pl.col("of_deployment").is_null(),
    "a later verdict followed": ~pl.col("last"),
    "drill": pl.col("drill").fill_null(value=False),
    "not yet matured": ~pl.col("matured"),
}
_UNTOUCHED = _JUDGED | {"overridden": pl.col("overridden")}
_BAD = _UNTOUCHED | {"stopped before production": pl.col("outcome").is_null(), "did not fail": ~failed()}
_GOOD = _UNTOUCHED | {"stopped before production": pl.col("outcome").is_null(), "failed": failed()}
_SHOWN = ("not yet matured",)


@metric(Rate, group="canary", fact="verdicts", title="Caught", better="up", excluded=_BAD, needs=_NEEDS, shown=_SHOWN)
def caught() -> pl.Expr:
    """Of judged deployments that failed, certain or likely: those that the judge asked to stop (its last word was revert or pause). To be
    taken back because of it is evidence, too, unless the artifact came back unchanged and ran a day."""
    return pl.col("outcome") == "caught"


@metric(Rate, group="canary", fact="verdicts", title="Missed", better="down", excluded=_BAD, needs=_NEEDS, shown=_SHOWN)
def missed() -> pl.Expr:
    """Of judged deployments that failed, certain or likely: those that the judge let proceed."""
    return pl.col("outcome") == "missed"


@metric(Rate, group="canary", fact="verdicts", title="False stops", better="down", excluded=_GOOD, needs=_NEEDS, shown=_SHOWN)
def false_stop() -> pl.Expr:
    """Of judged deployments that did not fail: those that the judge asked to stop. What never reached production is in neither: whether it
    would have failed nobody knows."""
    return pl.col("outcome") == "false_stop"


@metric(Rate, group="canary", fact="verdicts", title="Rightly quiet", better="up", excluded=_GOOD, needs=_NEEDS, shown=_SHOWN)
def quiet() -> pl.Expr:
    """Of judged deployments that did not fail: those that the judge let proceed."""
    return pl.col("outcome") == "quiet"


@metric(Rate, group="canary", fact="verdicts", title="Overridden", better=None, excluded=_JUDGED, needs=_NEEDS, shown=_SHOWN)
def overridden() -> pl.Expr:
    """Share of the judge's last words on matured deployments that a person decided against. These are in none of the other four."""
    return pl.col("overridden")
