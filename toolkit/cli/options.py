"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.output import talk
from toolkit.errors import Busy, DataError

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["End", "Json", "Publish", "Service", "Since", "Where", "Window", "opened", "say_if_stale"]

Where = Annotated[
    Path | None,
    Parameter(name="--workspace", env_var="KNOWNGOOD_WORKSPACE", help="Folder of the workspace; else this folder or the nearest above it."),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON value on stdout.")]
Publish = Annotated[bool, Parameter(name="--publish", help="Compute the facts anew afterwards.")]
Window = Annotated[str | None, Parameter(name="--window", help="26w, 90d, 6mo or 1y up to where the data end. Default: everything.")]
Since = Annotated[str | None, Parameter(name="--from", help="Start: 2026-03-31 or 2026-03-31T14:00Z.")]
End = Annotated[str | None, Parameter(name="--to", help="End, itself not included.")]
Service = Annotated[str | None, Parameter(name="--service", help="Only this service.")]


def opened(where: Path | None) -> Workspace:
    """The workspace that is meant. A folder that is named must be one itself."""
    from toolkit.workspace import Workspace

    return Workspace.find(where)


def say_if_stale(workspace: Workspace) -> None:
    """A word on stderr when publishing now would give other facts. Published facts are read all the same."""
    from toolkit.publish import is_current

    try:
        if not is_current(workspace):
            talk("Records, decisions, settings or rules have changed since the facts were published. Run `knowngood publish` to see it.")
    except Busy:
        # A sync is writing: it publishes when it is done.
        talk("Somebody is writing to the ledger; these are the facts as last published.")
    except DataError as error:
        # A policy that cannot be read says nothing of what was published by the one before.
        talk(error.message)
