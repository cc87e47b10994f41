"""Everything at rest: the ledger, the warehouse, and all SQL."""

from __future__ import annotations

from toolkit.store.connect import connect
from toolkit.store.ledger import Ledger

__all__ = ["Ledger", "connect"]
