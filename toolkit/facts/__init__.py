"""Facts: what the records mean once they are stitched. `facts_of` is the list of passes, in order."""

from toolkit.facts.observed import PRODUCTION
from toolkit.facts.stitch import facts_of

__all__ = ["PRODUCTION", "facts_of"]
