"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.criteria import Criterion
from toolkit.errors import DataError
from toolkit.exports import argo_rollouts, flagger, openslo, prometheus, sloth
from toolkit.exports.terms import Export, Imported, Queries

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True)
class Format:
    """write: a criterion, for a service or class, with its queries and the seconds between evaluations. read: the criteria of a file."""

    title: str
    write: Callable[[Criterion, Queries, float], Export]
    reader: Callable[[str], list[Imported]]

    def read(self, text: str) -> list[Imported]:
        """The criteria of a file, each with exactly the tool's semantics. Raises DataError that says what is wrong with it."""
        try:
            return self.reader(text)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, IndexError) as error:
            # A file of others may hold anything anywhere: what a field cannot be, it is not.
            raise DataError(f"This is no {self.title} as that tool would take it ({error}). Check it with the tool's own means.") from error


FORMATS: dict[str, Format] = {
    "prometheus": Format("Prometheus rule file", prometheus.write, prometheus.read),
    "argo-rollouts": Format("Argo Rollouts AnalysisTemplate", argo_rollouts.write, argo_rollouts.read),
    "flagger": Format("Flagger MetricTemplate and Canary analysis", flagger.write, flagger.read),
    "openslo": Format("OpenSLO v1", openslo.write, openslo.read),
    "sloth": Format("Sloth", sloth.write, sloth.read),
}
