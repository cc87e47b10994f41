"""Facts: what the records mean once they are stitched. `facts_of` is the list of passes, in order."""

from toolkit.facts.observed import PRODUCTION, UNREAD
from toolkit.facts.overrides import OVERRIDES
from toolkit.facts.stitch import facts_of

__all__ = ["OVERRIDES", "PRODUCTION", "UNREAD", "facts_of"]
