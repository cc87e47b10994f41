"""A slow, plain second implementation of the stitching, written from the definitions alone: where the engine differs, one is wrong."""

from __future__ import annotations

from datetime import datetime

from tests.oracle import tables
from tests.oracle.attempts import attempts, lineages
from tests.oracle.doubles import one_of_each
from tests.oracle.evidence import evidence_of, hotfixes
from tests.oracle.incidents import folded
from tests.oracle.links import flag_offs, link, say_hotfixes
from tests.oracle.observed import PRODUCTION, Records, Row, observed
from tests.oracle.outcomes import judge, say_regretted, storms
from tests.oracle.phases import phases

__all__ = ["stitch"]


def stitch(
    records: Records, horizon: datetime, *, production: tuple[str, ...] = PRODUCTION, coverage_start: datetime | None = None
) -> dict[str, list[Row]]:
    """Facts of the records as they stood at the horizon: deployments, rollbacks, incidents, evidence."""
    known = observed(one_of_each(records, horizon), horizon, production)
    say_hotfixes(known)
    lines = lineages(known)
    incidents = folded(known)
    made = attempts(known, lines, flag_offs(known, incidents))
    link(known, incidents, made)
    hotfixes(known, lines, incidents, made)
    evidence = evidence_of(known, lines, incidents, made)
    judge(known, lines, incidents, made, horizon)
    storms(made)
    standing = [row for row in evidence if not row["overruled"]]
    say_regretted(lines, made, standing, horizon)
    phases(known, lines, incidents, made, standing, horizon, coverage_start)
    return {
        "deployments": tables.deployment_rows(known, lines, made, evidence, horizon),
        "rollbacks": tables.rollback_rows(made),
        "incidents": tables.incident_rows(incidents, known["deployment"]),
        "evidence": tables.evidence_rows(evidence),
    }
