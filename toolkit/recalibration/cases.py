"""Cases: deployments as a recalibration looks at them, one entry each, in the order in which they were deployed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Cases", "Label", "Rises"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Label(IntEnum):
    """What a deployment turned out to be. UNKNOWN: not judged, whatever the reason; IMMATURE: too young to be judged."""

    GOOD = 0
    BAD = 1
    UNKNOWN = 2
    IMMATURE = 3


@dataclass(frozen=True)
class Rises:
    """The profiles at one number n: `row` of the case, `t` in minutes since it was deployed, `value`; sorted by row and t, rising."""

    row: Ints
    t: Floats
    value: Floats

    def fires(self, bounds: Sequence[float] | Floats, rows: int) -> Floats:
        """When each bound is first exceeded, in minutes: rows × bounds, infinite where it never is."""
        bounds = np.asarray(bounds, float)
        order = np.argsort(bounds, kind="stable")
        found = np.full((rows, len(bounds)), np.inf)
        # A rise with code c exceeds the c lowest bounds; those that the row's rise before it did not, it is the first to exceed.
        code = np.searchsorted(bounds[order], self.value, side="left")
        before = np.r_[0, code[:-1]] if len(code) else code
        before = np.where(np.r_[True, self.row[1:] != self.row[:-1]] if len(code) else np.zeros(0, bool), 0, before)
        width = np.maximum(code - before, 0)
        last = np.cumsum(width)
        column = np.arange(int(last[-1]) if len(last) else 0) - np.repeat(last - width, width) + np.repeat(before, width)
        found[np.repeat(self.row, width), column] = np.repeat(self.t, width)
        back = np.empty(len(bounds), np.int64)
        back[order] = np.arange(len(bounds))
        return found[:, back]

    def peaks(self, rows: int) -> Floats:
        """The highest value of each row; −∞ where it has none."""
        highest = np.full(rows, -np.inf)
        np.maximum.at(highest, self.row, self.value)
        return highest

    def of(self, kept: Ints, rows: int) -> Rises:
        """The rises of these rows, which become 0, 1, …; each at most once."""
        place = np.full(rows, -1)
        place[kept] = np.arange(len(kept))
        here = place[self.row] >= 0
        row, t, value = place[self.row[here]], self.t[here], self.value[here]
        order = np.argsort(row, kind="stable")
        return Rises(row[order], t[order], value[order])


@dataclass(frozen=True)
class Cases:
    """One entry a deployment. Times of a case are minutes since it was deployed.

    day: when it was deployed, in days since any origin, ascending. service: an index into `services`. cluster: equal for what belongs
    together. seen: whether it has telemetry. complete: whether that reaches the end of the watch. stopped: whether it ended because the
    incumbent stopped it. onset: start of its incident, NaN where there is none. human: when people stopped it, NaN where nobody did.
    harm: what users had borne by each evaluation from 0 on, in units of harm; `step` minutes apart; all zero where nothing was.
    rises: profiles by number n. elsewhere: by name of each other criterion in force, the deployments that it stops as it is set.
    """

    deployment: list[str]
    services: list[str]
    day: Floats
    service: Ints
    cluster: Ints
    label: Ints
    seen: Flags
    complete: Flags
    stopped: Flags
    onset: Floats
    human: Floats
    harm: Floats
    step: float
    rises: dict[int, Rises] = field(repr=False)
    elsewhere: dict[str, Flags] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.deployment)

    @property
    def stopped_anyway(self) -> Flags:
        """Cases that any of the other criteria in force stops, whatever this one does."""
        return np.logical_or.reduce([np.zeros(len(self), bool), *self.elsewhere.values()])

    def digest(self) -> str:
        """One hash of all that a recalibration reads."""
        told = hashlib.sha256(json.dumps([self.deployment, self.services, self.step]).encode())
        columns = (
            self.day,
            self.service,
            self.cluster,
            self.label,
            self.seen,
            self.complete,
            self.stopped,
            self.onset,
            self.human,
            self.harm,
        )
        for column in columns:
            told.update(np.ascontiguousarray(column).tobytes())
        for n, rises in sorted(self.rises.items()):
            told.update(str(n).encode())
            for part in (rises.row, rises.t, rises.value):
                told.update(np.ascontiguousarray(part).tobytes())
        for name, stopped in sorted(self.elsewhere.items()):
            told.update(json.dumps(name).encode())
            told.update(stopped.tobytes())
        return told.hexdigest()

    def of(self, kept: Any) -> Cases:
        """The cases chosen by a mask or by positions, in that order."""
        kept = np.flatnonzero(kept) if np.asarray(kept).dtype == bool else np.asarray(kept, np.int64)
        alone = {"services", "step", "rises", "deployment", "elsewhere"}
        parts = {one.name: getattr(self, one.name)[kept] for one in fields(self) if one.name not in alone}
        rises = {n: rise.of(kept, len(self)) for n, rise in self.rises.items()}
        elsewhere = {name: stopped[kept] for name, stopped in self.elsewhere.items()}
        return replace(self, deployment=[self.deployment[place] for place in kept], rises=rises, elsewhere=elsewhere, **parts)

    def bounding(self, n: int) -> tuple[Ints, Floats]:
        """Rows that the bound on false stops is taken from, and their peaks: the good ones; of the unknown ones those with complete
        telemetry as they are, and those that the incumbent stopped as if they had gone over every limit. Dropping those would make any
        limit look safe, since the incumbent removes exactly the cases that tell. What another criterion stops is stopped under every limit
        of this one: the cap is on what all of them stop together."""
        peaks = self.rises[n].peaks(len(self))
        unknown = self.label == Label.UNKNOWN
        peaks = np.where((unknown & self.stopped & ~self.complete) | self.stopped_anyway, np.inf, peaks)
        kept = self.seen & ((self.label == Label.GOOD) | (unknown & (self.complete | self.stopped)))
        return np.flatnonzero(kept), peaks[kept]
