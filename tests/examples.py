"""How many examples a property is tried on: few each time, and as many times more as KNOWNGOOD_LONGER says."""

from __future__ import annotations

import os
from random import Random

__all__ = ["FIRST", "LONGER", "examples"]

LONGER = int(os.environ.get("KNOWNGOOD_LONGER", "1"))
# Whoever looks longer looks at other histories each time; every day the same ones tell a change of ours from luck.
FIRST = 1_000_000 * Random().randrange(1_000) if LONGER > 1 else 0


def examples(few: int) -> int:
    """`few`, or a multiple of it."""
    return few * LONGER
