"""Commands over what is kept: write it as events, understand it anew."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from toolkit.cli.options import Json, Publish, Where, opened
from toolkit.cli.output import print_json, print_table, talk

__all__ = ["events", "remap"]

FINDINGS = 1


def events(
    *,
    to: Annotated[Path, Parameter(name="--to", help="The file to write: one event a line.")],
    workspace: Where = None,
) -> int:
    """Write all records as CDEvents v0.5.1, the interchange format for delivery events. `load FILE --as cdevents` reads them back."""
    import json
    import os

    from ingest.cdevents.writing import events_of

    place = opened(workspace)
    draft = to.with_name(f"{to.name}.{os.getpid()}")
    count = 0
    try:
        with draft.open("w", encoding="utf-8") as file:
            for event in events_of(place.ledger.read):
                file.write(json.dumps(event) + "\n")
                count += 1
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)
    talk(f"{count:,} events in {to}")
    return 0


def remap(
    *kinds: Annotated[str, Parameter(help="Kinds of sources, such as cdevents; none: all whose words are kept.")],
    check: Annotated[bool, Parameter(negative="", help="Only say what would change. Exit code 1 where anything would.")] = False,
    publish: Publish = True,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Make records anew from what sources said, as it is kept; no source is asked again. For after an upgrade that reads more of it."""
    from ingest.remap import remap as remade
    from toolkit.publish import publish as publish_facts

    place = opened(workspace)
    found = remade(place, kinds, apply=not check)
    rows = [{"source": kind, "record": record, **asdict(result)} for (kind, record), result in found.items()]
    differs = any(result.changed or result.new or result.gone for result in found.values())
    if as_json:
        print_json(rows)
    elif rows:
        shown = ["source", "record", "unchanged", "changed", "new", "gone", "refused"]
        told = ([*(row[name] for name in shown), ", ".join(f"{name} {n:,}" for name, n in row["fields"].items())] for row in rows)
        print_table([*shown, "fields that differ"], told, right=shown[2:])
    else:
        talk("No source has said anything that could be read again.")
    if differs and not check and publish:
        talk(f"Published {publish_facts(place)}.")
    return FINDINGS if differs and check else 0
