"""Commands around reviews: the form that a team fills in."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import App, Parameter

__all__ = ["reviews"]

# A JSON string is one in YAML too, whatever the id holds.
_FORM = """\
---
incident: {incident}
# planned, draft, held, published
state: planned
# A day, or a time such as 2026-05-31T14:00Z.
held_at:
published_at:
# Tags, such as [connection-pool, missing-alert].
root_causes: []
action_items: []
#  - title: Alert on a full connection pool
#    kind: monitoring    # prevent, detect, mitigate, process; automation, test, runbook, monitoring
#    owner: ann
#    created: 2026-05-20
#    due: 2026-06-14
#    closed:
---

# What happened

# What helped, and what was in the way

# What we change
"""

reviews = App(name="reviews", help="Retrospectives as Markdown files in a folder of the team's own.", help_format="plaintext")


@reviews.command
def template(incident: Annotated[str, Parameter(help="The incident's id.")]) -> int:
    """Print the form of a review, to be kept in the folder that a source `reviews` names: … > reviews/2026-05-checkout.md"""
    sys.stdout.write(_FORM.format(incident=json.dumps(incident)))
    return 0
