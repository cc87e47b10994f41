"""Commands that show: the app, and a demo with a synthetic team's history."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.options import Where, opened
from toolkit.cli.output import print_table, talk
from toolkit.cli.wording import METRIC_COLUMNS, metric_line
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["app", "demo"]

PORT = 8501
HEADLINES = (
    "time_to_detect",
    "time_to_decide",
    "time_to_act",
    "time_to_recover",
    "rollback_success_rate",
    "change_failure_rate",
    "deployment_frequency",
)
Port = Annotated[int | None, Parameter(help=f"Port on localhost; default: {PORT} or the next free one.")]


def app(*, port: Port = None, workspace: Where = None) -> int:
    """The app, on localhost."""
    from toolkit.publishing import catch_up

    place = opened(workspace)
    if catch_up(place):
        talk("Decisions were saved and never published: that is being done now.")
    return _serve(place, port)


def demo(
    *,
    folder: Annotated[Path, Parameter(name="--dir", help="Where to put the demo's own workspace.")] = Path(".demo"),
    serve: Annotated[bool, Parameter(negative="", help="Then start the app.")] = False,
    port: Port = None,
) -> int:
    """A look around: a synthetic team's history in a workspace of its own, and its headline numbers. Yours is not touched."""
    from ingest import engine
    from toolkit.criteria.policy import EXAMPLE, Policy
    from toolkit.metrics import measure
    from toolkit.publish import publish
    from toolkit.records import RECORDS
    from toolkit.synthetic import SAMPLE, file_name, synthesize, write
    from toolkit.workspace import Workspace

    mark = folder / ".knowngood" / "demo"
    if (folder / "knowngood.toml").exists() and not mark.exists():
        raise UsageError(f"{folder} is a workspace already, and no demo: name another folder with --dir.")
    place = Workspace.init(folder, published_key=True)
    mark.touch()
    talk("Simulating 18 months of twelve services …")
    write(synthesize(**SAMPLE), place.root / "sample")
    for record in RECORDS:
        path = place.root / "sample" / file_name(record)
        if path.exists():
            report = engine.load(place, path, record, source="sample", skip_known=True)
            talk(f"{path.name} is there already" if report.skipped else f"{report.read:,} rows of {path.name}")
    # The rule that the simulated team goes by.
    Policy(EXAMPLE).save(place.root)
    version = publish(place)
    talk(f"Published {version}.")
    rows = measure(place, *HEADLINES, window="26w")
    shown = [name for name in METRIC_COLUMNS if name not in ("by", "period")]
    lines = [metric_line(row) for row in rows.iter_rows(named=True) if row["metric"] in HEADLINES]
    title = f"The last 26 weeks of a synthetic team, up to {place.meta['horizon'][:10]}"
    print_table(shown, ([line[name] for name in shown] for line in lines), title=title, right=("value", "95 %", "n"))
    where = _shown_path(place.root)
    talk(f"Look further: `knowngood explain time_to_decide --workspace {where}`, or the app: `knowngood app --workspace {where}`")
    return _serve(place, port) if serve else 0


def _shown_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _serve(place: Workspace, port: int | None) -> int:
    """Hands this process over to the app, so that Ctrl-C and signals reach it."""
    main = find_spec("toolkit.ui.main")
    if main is None or main.origin is None:
        raise UsageError("This installation lacks the app (toolkit/ui). Install knowngood again.")
    chosen = port or next((number for number in range(PORT, PORT + 50) if _free(number)), PORT)
    sys.stdout.write(f"http://localhost:{chosen}\n")
    sys.stdout.flush()
    options = {
        "server.headless": "true",
        "server.address": "localhost",
        "server.port": str(chosen),
        # Nothing is sent anywhere, and nobody is asked for an address.
        "browser.gatherUsageStats": "false",
        "server.fileWatcherType": "none",
    }
    command = [sys.executable, "-m", "streamlit", "run", main.origin, *(f"--{name}={value}" for name, value in options.items())]
    os.execve(sys.executable, command, os.environ | {"KNOWNGOOD_WORKSPACE": str(place.root)})  # noqa: S606 (our own interpreter, no shell)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("localhost", port)) != 0
