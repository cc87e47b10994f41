"""What all tests share: a word for everything that could not run, and none of the author's settings."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from examples import LONGER
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from toolkit.workspace import Workspace

# What is imported is compiled once, not in each of the many processes that tests start, whatever the machine's own setting is.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""
sys.dont_write_bytecode = False

# Workers share the processors, and frames of a few rows gain nothing by threads (polars reads this when it is first imported). That the
# number of threads changes no table is for test_publish.py to say.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# A query over a few rows hands itself from thread to thread, which takes twice as long where they sit on different processors. So each
# worker keeps to one of them, and so does what it starts.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine[int(worker.removeprefix("gw")) % len(mine)]})

# What has been imported stays, and to look through it for garbage after every few hundred objects takes a tenth of the time.
gc.set_threshold(20_000, 20, 100)

# One does for a file of a few rows, too.
_connect = duckdb.connect


def _with_one_thread(*given: Any, config: Mapping[str, Any] = MappingProxyType({}), **more: Any) -> duckdb.DuckDBPyConnection:
    return _connect(*given, config={"threads": 1, **config}, **more)


duckdb.connect = _with_one_thread

# Databases wait for the disk at each write. No test pulls the plug, so that memory does as well.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 3 * 2**30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# A busy machine is no finding: what is slow is for `make bench` to say. And what fails every day is a change of ours: other examples are
# for whoever looks longer.
settings.register_profile("project", deadline=None, print_blob=True, derandomize=LONGER == 1)
settings.load_profile("project")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Debian's Chromium."""
    return _part("chromium", "chromium")


# Not for the session: while it runs, nothing else in this process can run an event loop.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[BrowserContext]:
    """A browser for all pages of a module: what one page has fetched and compiled, the next has at hand."""
    from browsing import QUIET
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield started.new_context()
        started.close()


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of Prometheus' own tool."""
    return _part("promtool", "prometheus")


@pytest.fixture(scope="session")
def prometheus() -> str:
    """Path of a real Prometheus server."""
    return _part("prometheus", "prometheus")


def _part(program: str, package: str) -> str:
    """Where a Debian package's program is; without one the test is skipped, or fails where KNOWNGOOD_NO_SKIPS names the package."""
    path = shutil.which(program, path=f"/usr/bin{os.pathsep}{os.environ.get('PATH', '')}")
    if path is not None:
        return path
    reason = f"no {program}: apt-get install {package}"
    if package in os.environ.get("KNOWNGOOD_NO_SKIPS", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def shared(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that the first worker to ask for it builds, and all of them read."""
    base = factory.getbasetemp()
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, draft = common / name, common / f"{name}.draft"
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(draft, ignore_errors=True)
            build(draft)
            draft.rename(folder)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the committed sample in it, published. Tests only read it."""

    def build(folder: Path) -> None:
        from ingest.engine import load
        from toolkit.publish import publish
        from toolkit.records import RECORDS
        from toolkit.synthetic import file_name
        from toolkit.workspace import Workspace

        workspace = Workspace.init(folder, published_key=True)
        # The telemetry is large, and no fact is made of it.
        for record in (record for record in RECORDS if record != "sample"):
            load(workspace, ROOT / "data" / "sample" / file_name(record), record, source="sample")
        publish(workspace)

    return _read_once(shared(tmp_path_factory, "demo", build))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Four services' four months with telemetry and a policy, published. Tests only read it."""
    from toolkit.workspace import Workspace

    def build(folder: Path) -> None:
        from ingest.engine import load
        from toolkit.criteria.policy import EXAMPLE, Policy
        from toolkit.publish import publish
        from toolkit.synthetic import file_name, synthesize, write

        workspace = Workspace.init(folder / "here", published_key=True)
        write(synthesize(seed=11, services=4, months=4, telemetry_share=0.6), folder)
        for record in ("deployment", "rollback", "incident", "owner", "sample"):
            load(workspace, folder / file_name(record), record, source="sample")
        Policy(EXAMPLE).save(workspace.root)
        publish(workspace)

    return Workspace(_read_once(shared(tmp_path_factory, "told", build) / "here"))


def _read_once(folder: Path) -> Path:
    from once import read_once

    from toolkit.workspace import Workspace

    read_once(Workspace(folder))
    return folder
