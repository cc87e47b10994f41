"""Load, publish and measure at several sizes: seconds, peak memory, and the ratio to the read floor of the same run.

    python -m tests.benchmarks [--sizes 100000 1000000] [--out bench.json]

Each stage runs in a process of its own, so that its peak memory is its own. Machines differ and are shared: compare ratios within one run.
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

TARGETS = {1_000_000: {"load": 20.0, "publish + metrics": 3.0}}
LIMIT = 1.5  # GiB
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
    report["replay"] = replayed()
    return report


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
