"""Parse the command line, run a command, and turn what went wrong into a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version

from cyclopts import App, CycloptsError

from toolkit.cli import (
    exchanging,
    gating,
    intake,
    journaling,
    judging,
    kept,
    latencies,
    numbers,
    playing,
    recalibrating,
    reviewing,
    showing,
    standing,
)
from toolkit.cli.output import talk
from toolkit.cli.reviews import reviews
from toolkit.errors import DataError, KnowngoodError, UsageError

__all__ = ["app", "main"]

_HELP = """\
Measures how a team gets back to known good: rollbacks, hotfixes and the minutes between.

Start with `knowngood init`, then `knowngood load FILE --as deployment`, then `knowngood metrics`. To look around first: `knowngood demo`.

With --json, stdout carries one JSON array or object and nothing else; everything said goes to stderr. Times are ISO 8601 in UTC, \
durations are numbers of minutes, rates lie between 0 and 1.

Exit codes: 0 all well, 1 findings, 2 usage, 3 invalid data, 75 busy (try again).
"""


def _version() -> str:
    try:
        return distribution_version("knowngood")
    except PackageNotFoundError:
        return "source"


app = App(name="knowngood", help=_HELP, help_format="plaintext", version=_version)
for command in (
    intake.init,
    intake.sync,
    intake.load,
    intake.publish,
    intake.quarantine,
    intake.coverage,
    kept.events,
    kept.remap,
    numbers.metrics,
    numbers.facts,
    numbers.explain,
    standing.readiness,
    playing.playbook,
    reviewing.review,
    judging.replay,
    latencies.latency,
    recalibrating.recalibrate,
    gating.gate,
    intake.doctor,
    journaling.backup,
    journaling.restore,
    showing.app,
    showing.demo,
):
    app.command(command)
app.command(journaling.journal)
app.command(reviews)
app.command(exchanging.export)
app.command(exchanging.take_over, name="import")
app.command(exchanging.criteria)


def main(tokens: Sequence[str] | None = None) -> None:
    """Entry point of `knowngood`: runs the command and exits with its code."""
    sys.exit(run(list(sys.argv[1:] if tokens is None else tokens)))


def run(tokens: list[str]) -> int:
    """Runs a command line; returns its exit code."""
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        talk(f"{error} Try `knowngood --help`.")
        return UsageError.exit_code
    except KnowngoodError as error:
        talk(error.message)
        return error.exit_code
    except KeyboardInterrupt:
        talk("Stopped.")
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        talk(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return DataError.exit_code
    return code if isinstance(code, int) else 0
