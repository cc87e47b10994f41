"""Load, publish and measure at several sizes: seconds, peak memory, and the ratio to the read floor of the same run.

    python -m tests.benchmarks [--sizes 100000 1000000] [--out bench.json]

Each stage runs in a process of its own, so that its peak memory is its own. Machines differ and are shared: compare ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
TARGETS = {1_000_000: {"load": 20.0, "publish + metrics": 3.0}}
LIMIT = 1.5  # GiB


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
    from toolkit.workspace import Workspace

    workspace = Workspace(folder / "workspace")
    return {"rows": sum(len(measure(workspace, group=group)) for group in GROUPS)}


STAGES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "generate": generate,
    "floor": floor,
    "load": load,
    "publish": publish,
    "metrics": metrics,
}


def _child(stage: str, folder: Path, n: int, answer: Any) -> None:
    # Imports are not the stage's work.
    import duckdb  # noqa: F401
    import polars  # noqa: F401

    import toolkit.metrics
    import toolkit.publish  # noqa: F401

    began = time.perf_counter()
    extra = STAGES[stage](folder, n)
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


def run(sizes: list[int]) -> dict[str, Any]:
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    report: dict[str, Any] = {"machine": machine, "sizes": {}}
    print(f"{machine['cores']} cores, {machine['machine']}, Python {machine['python']}")
    for n in sizes:
        folder = Path(tempfile.mkdtemp(prefix="knowngood-bench-"))
        try:
            stages = {stage: measure_stage(stage, folder, n) for stage in STAGES}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        base = stages["floor"]["seconds"]
        stages["publish + metrics"] = {
            "seconds": stages["publish"]["seconds"] + stages["metrics"]["seconds"],
            "peak_gib": max(stages["publish"]["peak_gib"], stages["metrics"]["peak_gib"]),
        }
        print(f"\n{n:,} deployments{'':12} seconds   × floor   peak GiB")
        for stage, figures in stages.items():
            figures["ratio"] = figures["seconds"] / base
            target = TARGETS.get(n, {}).get(stage)
            note = "" if target is None else f"   target {target:g} s: {'met' if figures['seconds'] <= target else 'MISSED'}"
            if target is not None and figures["peak_gib"] > LIMIT:
                note += f"   over {LIMIT} GiB"
            print(f"  {stage:<24} {figures['seconds']:8.2f} {figures['ratio']:9.1f} {figures['peak_gib']:10.2f}{note}")
        report["sizes"][str(n)] = stages
    return report


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--out", type=Path, default=Path("bench.json"))
    chosen = options.parse_args()
    report = run(chosen.sizes)
    chosen.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten to {chosen.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
