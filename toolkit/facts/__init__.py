"""Facts: what the records mean once they are stitched. `facts_of` is the list of passes, in order."""

from toolkit.facts.observed import PRODUCTION, UNREAD
from toolkit.facts.stitch import facts_of

__all__ = ["PRODUCTION", "UNREAD", "facts_of"]
