"""Processes to be killed: forked from one that has imported all that a load and a publish need."""

from __future__ import annotations

import multiprocessing

__all__ = ["WARM"]

# It has neither opened a database nor started a thread, so that its children start as a program does, only at once.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["ingest.engine", "toolkit.workspace", "tests.test_crash", "tests.test_warehouse"])
