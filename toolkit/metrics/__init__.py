"""Metrics over facts: METRICS lists them, measure() gives number and interval, explain() shows the rows, compare() looks back."""

# Importing a group registers its metrics.
from toolkit.metrics import (  # noqa: F401
    canary,
    communication,
    dora,
    flags,
    gates,
    hotfix,
    immutability,
    learning,
    ownership,
    playbook,
    recovery,
    rollback,
)
from toolkit.metrics.change import compare, with_shrunk_rates
from toolkit.metrics.explanation import Explanation, explain
from toolkit.metrics.measurement import measure
from toolkit.metrics.metric import METRICS, Count, Duration, Kind, Metric, Rate, Within

__all__ = [
    "METRICS",
    "Count",
    "Duration",
    "Explanation",
    "Kind",
    "Metric",
    "Rate",
    "Within",
    "compare",
    "explain",
    "measure",
    "with_shrunk_rates",
]
