"""A small team's facts, made by hand: enough of every column for charts and pages, the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl

HORIZON = datetime(2026, 6, 29, 12, tzinfo=UTC)
SERVICES = ["payments", "checkout", "search", "catalog", "identity"]
TIME = pl.Datetime("us", "UTC")


def deployments(weeks: int = 30, seed: int = 1) -> pl.DataFrame:
    """Eight a week and service or so, one in twelve a hotfix, one in twenty a rollback."""
    random = Random(seed)
    rows = []
    for service in SERVICES:
        at = HORIZON - timedelta(weeks=weeks)
        while (at := at + timedelta(hours=random.expovariate(1 / 21))) < HORIZON:
            fate = random.random()
            rows.append(
                {
                    "id": f"{service}-{len(rows)}",
                    "source": "made",
                    "service": service,
                    "environment": "production",
                    "production": True,
                    "version": f"v{len(rows)}",
                    "kind": "rollback" if fate < 0.05 else "release",
                    "successful": True,
                    "hotfix": "certain" if 0.05 <= fate < 0.13 else None,
                    "at": at,
                }
            )
    return pl.DataFrame(rows, schema_overrides={"at": TIME, "hotfix": pl.String})


def rollbacks(weeks: int = 30) -> pl.DataFrame:
    """One attempt for each deployment of kind rollback."""
    return (
        deployments(weeks)
        .filter(pl.col("kind") == "rollback")
        .select(
            "id",
            "service",
            "environment",
            "production",
            "at",
            drill=pl.lit(False),
            reason=pl.lit("error rate"),
            outcome=pl.lit("succeeded"),
        )
    )


def incident(name: str = "i1", at: datetime = HORIZON - timedelta(days=3), **given: object) -> dict[str, object]:
    """One incident: noticed in 5 minutes, decided in 15, mended in 10, unless said otherwise."""
    detect, decide, act = (timedelta(minutes=m) for m in (5, 15, 10))
    row: dict[str, object] = {
        "id": name,
        "title": f"Errors {name}",
        "severity": "sev2",
        "services": ["payments"],
        "environment": "production",
        "production": True,
        "planned": False,
        "open": False,
        "at": at,
        "started_at": at,
        "detect": detect,
        "decide": decide,
        "act": act,
        "silent_minutes": None,
        "remedy": "rollback",
        "cause_deployment": "d1",
        "cause_evidence": "likely",
        "not_a_deployment": False,
    }
    row |= given
    row.setdefault(
        "whole",
        sum((row[p] for p in ("detect", "decide", "act")), timedelta()) if None not in (row["detect"], row["decide"], row["act"]) else None,
    )  # type: ignore[misc]
    return row


def incidents(*rows: dict[str, object]) -> pl.DataFrame:
    """A frame of incidents with its types, also when there are none."""
    spans = dict.fromkeys(("detect", "decide", "act", "whole", "silent_minutes"), pl.Duration("us"))
    types = {"at": TIME, "started_at": TIME, "services": pl.List(pl.String), "planned": pl.Boolean, "open": pl.Boolean, **spans}
    types |= {"not_a_deployment": pl.Boolean, "production": pl.Boolean}
    names = list(incident())
    return pl.DataFrame(list(rows), schema={name: types.get(name, pl.String) for name in names})


def many_incidents(n: int = 60, seed: int = 2) -> pl.DataFrame:
    """Incidents spread over thirty weeks with log-normal phases."""
    random = Random(seed)
    rows = []
    for i in range(n):
        spans = {p: timedelta(minutes=random.lognormvariate(mean, 0.8)) for p, mean in (("detect", 1.8), ("decide", 2.6), ("act", 2.2))}
        at = HORIZON - timedelta(weeks=30 * random.random())
        severity = random.choice(["sev1", "sev2", "sev3"])
        rows.append(incident(f"i{i}", at, services=random.sample(SERVICES, random.choice([1, 1, 1, 2])), severity=severity, **spans))
    return incidents(*rows)
