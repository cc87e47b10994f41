"""Histories of millions of deployments in seconds, for benchmarks: no loop touches a row."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from toolkit.records import RECORDS
from toolkit.synthetic.frames import schema_of

__all__ = ["big"]

START = datetime(2024, 7, 1, tzinfo=UTC)
SPAN_SECONDS = 2 * 365 * 86400
PER_SERVICE = 2000
MICROSECONDS = 1_000_000


def big(n: int, seed: int = 1) -> dict[str, pl.DataFrame]:
    """n deployments over n/2000 services: 3 % bring back the version before, one in 100 has an incident. Keys and columns as in RECORDS."""
    rng = np.random.default_rng(seed)
    services = max(1, n // PER_SERVICE)
    service = np.sort(rng.integers(0, services, n))
    first = np.r_[True, service[1:] != service[:-1]] if n else np.zeros(0, bool)
    beginning = np.maximum.accumulate(np.where(first, np.arange(n), 0)) if n else np.zeros(0, int)
    place = np.arange(n) - beginning
    each = np.bincount(service, minlength=services)[service] if n else place
    # Never two in a row, nor before there is something to go back to.
    back = (rng.random(n) < 0.03) & (place >= 2)
    back[1:] &= ~back[:-1]
    built = np.cumsum(~back)
    number = built - built[beginning] + 1 - back if n else place
    started = (SPAN_SECONDS * (place + 0.7 * rng.random(n)) / np.maximum(each, 1)).astype(np.int64)
    before = np.r_[0, started[:-1]] if n else started
    finished = started + rng.integers(60, 900, n)
    # A rollback comes within the hour of what it undoes.
    started = np.where(back, before + 900 + rng.integers(60, 3600, n), started)
    finished = np.where(back, started + rng.integers(60, 900, n), finished)
    table = pl.DataFrame({"row": np.arange(n), "s": service, "v": number, "started": started, "finished": finished, "back": back})
    table = table.with_columns(
        service=pl.format("service-{}", pl.col("s").cast(pl.String).str.zfill(5)),
        started_at=_time("started"),
        finished_at=_time("finished"),
    )
    deployments = table.select(
        source=pl.lit("bulk"),
        source_id=pl.format("d{}", "row"),
        revised_at="finished_at",
        service="service",
        environment=pl.lit("production"),
        version=pl.format("v{}", "v"),
        artifact_digest=pl.format("sha256:{}{}", pl.col("s").cast(pl.String).str.zfill(32), pl.col("v").cast(pl.String).str.zfill(32)),
        status=pl.when(pl.lit(rng.random(n) < 0.02)).then(pl.lit("failed")).otherwise(pl.lit("succeeded")),
        started_at="started_at",
        finished_at="finished_at",
        committed_at=pl.when(~pl.col("back")).then(pl.col("started_at") - pl.duration(hours=20)),
    )
    tables = {"deployment": deployments, "incident": _incidents(table, rng)}
    return {record: _complete(record, tables.get(record)) for record in RECORDS}


def _time(seconds: str) -> pl.Expr:
    epoch = int(START.timestamp())
    return ((pl.col(seconds) + epoch) * MICROSECONDS).cast(pl.Datetime("us", "UTC"))


def _incidents(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Half of them before a rollback that ended them, half after any deployment."""
    n = table.height
    undone = np.r_[table["back"].to_numpy()[1:], False] if n else np.zeros(0, bool)
    hit = np.where(undone, rng.random(n) < 0.17, rng.random(n) < 0.005)
    found = table.with_columns(
        undone=pl.Series(undone),
        ended=pl.col("finished").shift(-1).fill_null(pl.col("finished")),
        seen=pl.Series(rng.integers(60, 500, n)),
        took=pl.Series(rng.integers(600, 9000, n)),
    ).filter(pl.Series(hit))
    found = found.with_columns(
        impact=pl.col("finished") + 30,
        detected=pl.col("finished") + 30 + pl.col("seen"),
        over=pl.when("undone").then(pl.col("ended") + 60).otherwise(pl.col("finished") + 30 + pl.col("seen") + pl.col("took")),
    )
    return found.select(
        source=pl.lit("bulk"),
        source_id=pl.format("i{}", "row"),
        revised_at=_time("over"),
        title=pl.lit("Errors after release"),
        severity=pl.lit("sev2"),
        services=pl.concat_list("service"),
        started_at=_time("impact"),
        detected_at=_time("detected"),
        decided_at=pl.when("undone").then(_time("detected") + pl.duration(seconds=60)),
        mitigated_at=_time("over"),
        resolved_at=_time("over") + pl.duration(minutes=30),
    )


def _complete(record: str, table: pl.DataFrame | None) -> pl.DataFrame:
    """All columns of the record, those not made null."""
    schema = schema_of(record)
    if table is None:
        return pl.DataFrame(schema=schema)
    return table.select(
        (pl.col(name).cast(dtype) if name in table.columns else pl.lit(None, dtype=dtype).alias(name)) for name, dtype in schema.items()
    )
