"""Facts: what the records mean once they are stitched. `facts_of` is the list of passes, in order."""

from toolkit.facts.observed import PRODUCTION, UNREAD
from toolkit.facts.overrides import OVERRIDES
from toolkit.facts.parted import Parted
from toolkit.facts.stitch import facts_of, stitched

__all__ = ["OVERRIDES", "PRODUCTION", "UNREAD", "Parted", "facts_of", "stitched"]
