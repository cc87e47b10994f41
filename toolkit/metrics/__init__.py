"""Metrics over facts: METRICS lists them, measure() puts a number and an interval on them, explain() shows the rows."""

from toolkit.metrics import dora, hotfix, recovery, rollback
from toolkit.metrics.change import compare, with_shrunk_rates
from toolkit.metrics.explanation import Explanation, explain
from toolkit.metrics.measurement import measure
from toolkit.metrics.metric import METRICS, Count, Duration, Kind, Metric, Rate, metric

__all__ = [
    "METRICS",
    "Count",
    "Duration",
    "Explanation",
    "Kind",
    "Metric",
    "Rate",
    "compare",
    "dora",
    "explain",
    "hotfix",
    "measure",
    "metric",
    "recovery",
    "rollback",
    "with_shrunk_rates",
]
