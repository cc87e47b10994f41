"""What is measured, one function a stage, each run in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.replay import replay

__all__ = ["STAGES", "measure_stage"]

# What the facts read of a deployment: reading these from Parquet is the floor that no stitching can go under.
FLOOR = [
    "source_id",
    "service",
    "environment",
    "version",
    "artifact_digest",
    "vcs_revision",
    "status",
    "started_at",
    "finished_at",
    "committed_at",
]
GROUPS = ("dora", "recovery", "rollback", "hotfix")


# What comes on top of a ledger: half of it is in there already.
MORE = 1_000_000


def generate(folder: Path, n: int) -> dict[str, Any]:
    import polars as pl

    from toolkit import synthetic

    tables = synthetic.big(n)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    half = tables["deployment"].head(min(n, MORE) // 2)
    more = pl.concat([half, half.with_columns(source_id=pl.format("new-{}", "source_id"))])
    more.write_parquet(folder / "more.parquet")
    more.reverse().write_parquet(folder / "again.parquet")
    return {}


def floor(folder: Path, n: int) -> dict[str, Any]:
    import polars as pl

    pl.read_parquet(folder / "deployment.parquet", columns=FLOOR)
    return {}


def stitch(folder: Path, n: int) -> dict[str, Any]:
    import polars as pl

    from toolkit.facts import facts_of

    records = {name: pl.read_parquet(folder / f"{name}.parquet") for name in ("deployment", "incident")}
    horizon = max(records["deployment"]["finished_at"].max(), records["incident"]["resolved_at"].max())  # type: ignore[type-var]
    began, spent = time.perf_counter(), time.process_time()
    facts_of(records, horizon=horizon)  # type: ignore[arg-type]
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - spent}


def load(folder: Path, n: int) -> dict[str, Any]:
    from ingest.engine import load as load_file
    from toolkit.workspace import Workspace

    workspace = Workspace.init(folder / "workspace")
    read = 0
    for name in ("deployment", "incident"):
        report = load_file(workspace, folder / f"{name}.parquet", name)
        read += report.read
    return {"rows": read}


def publish(folder: Path, n: int) -> dict[str, Any]:
    from toolkit.publish import publish as publish_now
    from toolkit.workspace import Workspace

    return {"version": publish_now(Workspace(folder / "workspace"), force=True)}


def metrics(folder: Path, n: int) -> dict[str, Any]:
    from toolkit.metrics import measure
    from toolkit.metrics.metric import METRICS
    from toolkit.workspace import Workspace

    # All four groups in one question, as `knowngood metrics` asks: what they share of a fact is read once.
    names = [metric.name for metric in METRICS.values() if metric.headline and metric.group in GROUPS]
    return {"rows": len(measure(Workspace(folder / "workspace"), *names))}


def cells(folder: Path, n: int) -> dict[str, Any]:
    """The rate of every service in every week: reading and counting, and the intervals alone."""
    from toolkit.metrics.measurement import measure
    from toolkit.metrics.metric import METRICS
    from toolkit.metrics.reading import published
    from toolkit.metrics.scope import scope_of
    from toolkit.metrics.tally import tally
    from toolkit.stats.clusters import rate_intervals
    from toolkit.workspace import Workspace

    w = published(Workspace(folder / "workspace"))
    rate = METRICS["change_failure_rate"]
    rows = len(measure(w, rate.name, by="service", every="1w", window="104w"))
    sums = tally(w, rate.fact, [rate], scope_of(w, by="service", every="1w", window="104w"))
    began = time.perf_counter()
    rate_intervals(*sums.clusters(rate), cells=sums.cells)
    return {"rows": rows, "intervals_seconds": time.perf_counter() - began}


def half_new(folder: Path, n: int) -> dict[str, Any]:
    return _loaded(folder, "more", new=min(n, MORE) // 2)


def unchanged(folder: Path, n: int) -> dict[str, Any]:
    """The same rows in another file: nothing to skip by its name or its bytes."""
    return _loaded(folder, "again", new=0)


def _loaded(folder: Path, file: str, *, new: int) -> dict[str, Any]:
    from ingest.engine import load as load_file
    from toolkit.workspace import Workspace

    report = load_file(Workspace(folder / "workspace"), folder / f"{file}.parquet", "deployment")
    assert report.new == new, f"{report.new} new rows instead of {new}"
    return {"rows": report.read}


STAGES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "generate": generate,
    "floor": floor,
    "stitch": stitch,
    "load": load,
    "publish": publish,
    "metrics": metrics,
    "service × week": cells,
    "half new": half_new,
    "unchanged": unchanged,
}
# Measured once, whatever the size of everything else.
ALONE = {"replay": replay}


def _child(stage: str, folder: Path, n: int, answer: Any) -> None:
    # Imports are not the stage's work.
    import duckdb  # noqa: F401
    import polars as pl  # noqa: F401
    import pyarrow as pa  # noqa: F401
    import scipy.stats  # noqa: F401

    import toolkit.metrics
    import toolkit.publish  # noqa: F401

    began, spent = time.perf_counter(), time.process_time()
    extra = (STAGES | ALONE)[stage](folder, n)
    took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - spent}
    answer.send({**took, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, **extra})


def measure_stage(stage: str, folder: Path, n: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(stage, folder, n, send))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{stage} at {n:,} ended with {process.exitcode}")
    result: dict[str, Any] = receive.recv()
    return result
