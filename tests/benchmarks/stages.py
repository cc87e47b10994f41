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


def generate(folder: Path, n: int) -> dict[str, Any]:
    from toolkit import synthetic

    for name, frame in synthetic.big(n).items():
        frame.write_parquet(folder / f"{name}.parquet")
    return {}


def floor(folder: Path, n: int) -> dict[str, Any]:
    import polars as pl

    pl.read_parquet(folder / "deployment.parquet", columns=FLOOR)
    return {}


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


STAGES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "generate": generate,
    "floor": floor,
    "load": load,
    "publish": publish,
    "metrics": metrics,
}
# Measured once, whatever the size of everything else.
ALONE = {"replay": replay}


def _child(stage: str, folder: Path, n: int, answer: Any) -> None:
    # Imports are not the stage's work.
    import duckdb  # noqa: F401
    import polars as pl  # noqa: F401
    import scipy.stats  # noqa: F401

    import toolkit.metrics
    import toolkit.publish  # noqa: F401

    began = time.perf_counter()
    extra = (STAGES | ALONE)[stage](folder, n)
    seconds = time.perf_counter() - began
    answer.send({"seconds": seconds, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, **extra})


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
