"""`python -m toolkit.synthetic --out data/sample` writes the sample, and its dictionary beside it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from toolkit.synthetic import SAMPLE, synthesize, write
from toolkit.synthetic.dictionary import readme


def main() -> None:
    """Write the sample; say what was written."""
    parser = argparse.ArgumentParser(prog="python -m toolkit.synthetic", description="Write the synthetic sample.")
    parser.add_argument("folder", type=Path, nargs="?", help="where to (data/sample)")
    parser.add_argument("--out", type=Path, default=Path("data/sample"), help="the same, by name")
    parser.add_argument("--seed", type=int, default=SAMPLE["seed"], help="another seed gives another history")
    options = parser.parse_args()
    folder = options.folder or options.out
    for path in write(synthesize(**SAMPLE | {"seed": options.seed}), folder):
        sys.stdout.write(f"{path}  {path.stat().st_size / 1000:,.0f} kB\n")
    # Only the committed sample has its dictionary above it: no other README is ours to write.
    if folder.resolve().parts[-2:] == ("data", "sample") and options.seed == SAMPLE["seed"]:
        (folder.parent / "README.md").write_text(readme(), encoding="utf-8")


main()
