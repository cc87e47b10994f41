"""Criteria: when a deployment should be stopped. One file a kind; policy.py reads and writes the team's file."""

from toolkit.criteria.criterion import Criterion, evaluations
from toolkit.criteria.kinds import KINDS, criterion_of

__all__ = ["KINDS", "Criterion", "criterion_of", "evaluations"]
