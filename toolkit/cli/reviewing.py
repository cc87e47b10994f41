"""The command that prints a retrospective."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from toolkit.cli.options import Json, Where, opened, say_if_stale
from toolkit.cli.output import print_json, talk
from toolkit.errors import UsageError

__all__ = ["review"]


def review(
    incident: Annotated[str, Parameter(help="Id of the incident; `knowngood facts incidents` lists them.")],
    *,
    as_json: Json = False,
    to: Annotated[Path | None, Parameter(name="--to", help="Write a .md file instead.")] = None,
    workspace: Where = None,
) -> int:
    """One incident's retrospective: phases, timeline, candidate causes, what if, corrections, action items, notes, sign-off, history.

    What if: when each criterion in force first held, and what other thresholds would have done.
    In Markdown, the same as the app's download. Text of others is escaped in it: it links, styles, fetches and runs nothing.
    """
    from toolkit.review import as_markdown, as_object, case_of, what_if_of

    if to is not None and to.suffix != ".md":
        raise UsageError(f"{to} is no .md file.")
    place = opened(workspace)
    say_if_stale(place)
    meta = place.meta
    case = case_of(place.facts, meta, place.journal.entries(), incident)
    told = as_object(case, meta, what_if_of(place, case.found))
    if as_json:
        print_json(told)
    elif to is not None:
        to.write_text(as_markdown(told), encoding="utf-8")
        talk(f"The retrospective of {incident} in {to}")
    else:
        sys.stdout.write(as_markdown(told))
    return 0
