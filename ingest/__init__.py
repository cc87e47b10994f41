"""From outside systems into the ledger: one file per source, one engine for all."""
