"""Samples by the name that a service has now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from toolkit.facts.renamed import renamed
from toolkit.store.ledger import Ledger

__all__ = ["Telemetry"]


@dataclass(frozen=True)
class Telemetry:
    """A ledger's samples. names: old name → new one, of services that were renamed."""

    ledger: Ledger
    names: Mapping[str, str]

    def services(self) -> list[str]:
        """Services that have samples, by their present names."""
        return sorted(self._present())

    def samples(self, service: str, series: list[str] | None = None) -> pl.DataFrame:
        """One service's samples, also those told under an old name; all series, or those named. See Ledger.samples."""
        told = self._present().get(service, [service])
        frames = [self.ledger.samples(name, series) for name in told]
        if told == [service]:
            return frames[0]
        joined = pl.concat(frames).with_columns(service=pl.lit(service))
        return joined.sort("deployment", "series", "variant", "at", "source")

    def _present(self) -> dict[str, list[str]]:
        told = pl.DataFrame({"service": self.ledger.sampled()}, schema={"service": pl.String})
        now = renamed({"sample": told}, self.names)["sample"]["service"]
        found: dict[str, list[str]] = {}
        for old, new in zip(told["service"], now, strict=True):
            found.setdefault(new, []).append(old)
        return found
