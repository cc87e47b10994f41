"""The review of one incident: what happened, what may have caused it, what people said, and who stands by it."""

from toolkit.review.case import Case, Findings, case_of, differences, findings_of, reviewed
from toolkit.review.report import as_markdown, as_object
from toolkit.review.said import STATES, Item, Said, State
from toolkit.review.what_if import WhatIf, what_if_of

__all__ = [
    "STATES",
    "Case",
    "Findings",
    "Item",
    "Said",
    "State",
    "WhatIf",
    "as_markdown",
    "as_object",
    "case_of",
    "differences",
    "findings_of",
    "reviewed",
    "what_if_of",
]
