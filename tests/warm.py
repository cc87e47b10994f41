"""Processes to be killed: forked from one that has imported all that a load and a publish need."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

__all__ = ["WARM", "started"]

# It has neither opened a database nor started a thread, so that its children start as a program does, only at once.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["ingest.engine", "toolkit.workspace", "tests.test_crash", "tests.test_warehouse"])


def started(target: Any, *args: Any) -> BaseProcess:
    """A process that runs `target` and nothing else: a child runs our main module first, and that of a page's test is the whole app."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        child = WARM.Process(target=target, args=args)
        child.start()
    finally:
        sys.modules["__main__"] = main
    return child
