"""Knowngood for notebooks: `import toolkit as kg`, open a workspace, measure it, explain a number."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.decision_latency import latency
    from toolkit.definitions import measure
    from toolkit.hindsight import replay
    from toolkit.metrics import compare, explain
    from toolkit.recalibration.units import recalibrate
    from toolkit.workspace import Workspace

# `open` stays out of `import *`: it would hide Python's own.
__all__ = ["compare", "explain", "latency", "measure", "recalibrate", "replay"]

HOMES = {
    "measure": "toolkit.definitions",
    "explain": "toolkit.metrics",
    "compare": "toolkit.metrics",
    "latency": "toolkit.decision_latency",
    "recalibrate": "toolkit.recalibration.units",
    "replay": "toolkit.hindsight",
}


def open(path: Path | str | None = None) -> Workspace:  # noqa: A001  # kg.open() is what the notebook says
    """The workspace in the folder named, else in KNOWNGOOD_WORKSPACE, else here or above; an error says how to start one."""
    import os

    from toolkit.workspace import Workspace

    return Workspace.find(path or os.environ.get("KNOWNGOOD_WORKSPACE"))


def __getattr__(name: str) -> Any:
    # Late, so that the command's --help waits for no frames.
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
