"""Synthetic history: seeded, of any size, with its own known truth; for the sample, the tests and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TypedDict

import polars as pl

from toolkit.synthetic import practices, recording
from toolkit.synthetic.aftermath import retrospectives
from toolkit.synthetic.bulk import big
from toolkit.synthetic.faithful import faithful
from toolkit.synthetic.files import file_name, write
from toolkit.synthetic.frames import frame
from toolkit.synthetic.judged import judgements
from toolkit.synthetic.merging import landings
from toolkit.synthetic.practised import practised
from toolkit.synthetic.rhythm import months_before
from toolkit.synthetic.supply import supply_of
from toolkit.synthetic.telemetry import telemetry
from toolkit.synthetic.timeline import incident_events
from toolkit.synthetic.truth import truth_of
from toolkit.synthetic.world import simulate

__all__ = ["SAMPLE", "History", "big", "file_name", "synthesize", "write"]

SOURCE = "sample"
END = datetime(2026, 7, 1, tzinfo=UTC)


class Arguments(TypedDict):
    """Arguments of `synthesize`."""

    seed: int
    services: int
    months: int
    deployments_per_service_week: float
    telemetry_share: float
    end: datetime


# The committed sample is this one call.
SAMPLE: Arguments = {
    "seed": 7,
    "services": 12,
    "months": 18,
    "deployments_per_service_week": 2.6,
    "telemetry_share": 0.3,
    "end": END,
}


@dataclass(frozen=True)
class History:
    """What tools recorded (`records`, by the names of RECORDS) and what truly happened (`truth`)."""

    records: dict[str, pl.DataFrame]
    truth: dict[str, pl.DataFrame]
    # What a loader may declare as covered: from when to when everything that was recorded is here.
    covers: tuple[datetime, datetime]


def synthesize(
    *,
    seed: int = 7,
    services: int = 12,
    months: int = 18,
    deployments_per_service_week: float = 2.6,
    telemetry_share: float = 0.3,
    end: datetime = END,
    perfect: bool = False,
) -> History:
    """Simulate `months` of releases, trouble and recoveries up to `end`. telemetry_share in [0, 1]. perfect: tools lose nothing of what
    is stitched, nobody is wrong, and the truth has the rows of the core metrics too. Equal arguments give equal frames."""
    if services < 1 or months < 1:
        raise ValueError(f"At least one service and one month are needed, not {services} and {months}.")
    end = end.astimezone(UTC)
    start = months_before(end, months)
    world = simulate(seed=seed, services=services, start=start, end=end, weekly=deployments_per_service_week)
    # First, as it settles when the criterion in force was met.
    samples = telemetry(world, telemetry_share)
    supply, judged, looked_back = supply_of(world), list(judgements(world)), list(retrospectives(world))
    landed = list(landings(world))
    deployments = chain(recording.deployments(world), practices.rehearsed(supply, world))
    records = {
        "deployment": frame("deployment", deployments, source=SOURCE),
        "rollback": frame("rollback", recording.rollbacks(world), source=SOURCE),
        "incident": frame("incident", recording.incidents(world), source=SOURCE),
        "incident_event": frame("incident_event", incident_events(world), source=SOURCE),
        "flag_change": frame("flag_change", recording.flag_changes(world), source=SOURCE),
        "owner": frame("owner", recording.owners(world), source=SOURCE),
        "artifact": frame("artifact", practices.artifacts(supply, world), source=SOURCE),
        "gate": frame("gate", practices.gates(supply, world), source=SOURCE),
        "merge": frame("merge", practices.merges(landed, world), source=SOURCE),
        "verdict": frame("verdict", practices.verdicts(judged, world), source=SOURCE),
        "review": frame("review", practices.reviews(looked_back, world), source=SOURCE),
        "action_item": frame("action_item", practices.action_items(looked_back, world), source=SOURCE),
        "sample": samples,
    }
    practices_truth = practised(world, records, supply=supply, judged=judged, looked_back=looked_back, landed=landed)
    if perfect:
        records |= {name: frame(name, rows, source=SOURCE) for name, rows in faithful(world).items()}
    return History(records, truth_of(world, counted=perfect) | practices_truth, (start, end))
