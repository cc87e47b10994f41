"""Load, publish and measure at several sizes: seconds, peak memory, and the ratio to the read floor of the same run.

    python -m tests.benchmarks [--sizes 100000 1000000] [--out bench.json]

Each stage runs in a process of its own, so that its peak memory is its own. Machines differ and are shared: compare ratios within one run,
and where others work on the machine, the processor's seconds rather than the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.stages import STAGES, measure_stage

TARGETS = {
    500_000: {"load": 8.0},
    1_000_000: {"load": 20.0, "publish + metrics": 3.0, "half new": 3.0, "unchanged": 1.0},
    10_000_000: {"publish + metrics": 2.0, "half new": 3.0, "unchanged": 1.0},
}
LIMIT = 1.5  # GiB
VALIDATED = 500_000
# How many times as long as reading its columns from Parquet.
STITCHED = 3.0
INTERVALS = 0.3  # seconds
REPLAY = {
    "replay_1000": ("1,000 deployments, CPU seconds", 0.1),
    "replay_20000": ("20,000 deployments, CPU seconds", 2.0),
    "times_faster": ("times faster than a loop over the limits", 20.0),
}


def run(sizes: list[int]) -> dict[str, Any]:
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    report: dict[str, Any] = {"machine": machine, "sizes": {}}
    print(f"{machine['cores']} cores, {machine['machine']}, Python {machine['python']}")
    for n in sizes:
        stages = measured(n, list(STAGES))
        base = stages["floor"]["seconds"]
        both = [stages["publish"], stages["metrics"]]
        stages["publish + metrics"] = {name: sum(stage[name] for stage in both) for name in ("seconds", "cpu_seconds")}
        stages["publish + metrics"]["peak_gib"] = max(stage["peak_gib"] for stage in both)
        print(f"\n{n:,} deployments{'':12} seconds  processor   × floor   peak GiB")
        for stage, figures in stages.items():
            figures["ratio"] = figures["seconds"] / base
            seconds, spent, times, peak = (figures[name] for name in ("seconds", "cpu_seconds", "ratio", "peak_gib"))
            print(f"  {stage:<24} {seconds:8.2f} {spent:10.2f} {times:9.1f} {peak:10.2f}{judged(n, stage, figures)}")
        report["sizes"][str(n)] = stages
    report["validated"] = validated()
    report["replay"] = replayed()
    return report


def measured(n: int, stages: list[str]) -> dict[str, dict[str, Any]]:
    """The stages at one size, one after the other."""
    folder = Path(tempfile.mkdtemp(prefix="knowngood-bench-"))
    try:
        return {stage: measure_stage(stage, folder, n) for stage in stages}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judged(n: int, stage: str, figures: dict[str, Any]) -> str:
    """What a figure was to be, and whether it is."""
    if stage == "stitch":
        return f"   target {STITCHED:g} × floor: {'met' if figures['ratio'] <= STITCHED else 'MISSED'}"
    if stage == "service × week":
        alone = figures["intervals_seconds"]
        return f"   intervals alone {alone:.3f} s, target {INTERVALS:g} s: {'met' if alone <= INTERVALS else 'MISSED'}"
    target = TARGETS.get(n, {}).get(stage)
    if target is None:
        return ""
    over = f"   over {LIMIT} GiB" if figures["peak_gib"] > LIMIT else ""
    return f"   target {target:g} s: {'met' if figures['seconds'] <= target else 'MISSED'}{over}"


def validated() -> dict[str, Any]:
    """Half a million records, every row judged, into an empty ledger."""
    figures = measured(VALIDATED, ["generate", "load"])["load"]
    print(f"\nload of {VALIDATED:,} records, every row validated")
    print(f"  {figures['seconds']:.2f} s, {figures['peak_gib'] * 1024:.0f} MiB{judged(VALIDATED, 'load', figures)}, 350 MiB")
    return figures


def replayed() -> dict[str, Any]:
    """200 limits × 10 numbers in a row × 120 samples, whatever the size of everything else."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_stage("replay", Path(folder), 0)
    print("\nreplay of 200 limits × 10 numbers × 120 samples")
    for name, (what, target) in REPLAY.items():
        met = figures[name] >= target if name == "times_faster" else figures[name] <= target
        print(f"  {what:<44} {figures[name]:8.3f}   target {target:g}: {'met' if met else 'MISSED'}")
    return figures


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
