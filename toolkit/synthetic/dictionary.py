"""data/README.md, written from the records: what the sample is, and what every column means."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from toolkit.records import RECORDS
from toolkit.synthetic.files import file_name
from toolkit.synthetic.frames import columns_of, schema_of

__all__ = ["readme"]

INTRODUCTION = """\
# The sample, and what its columns mean

**Everything in `data/sample` is synthetic.** No company, team, person or incident in it exists. It is one seeded simulation: twelve
services, eighteen months, up to 2026-07-01. Some titles and notes are hostile on purpose (markup, formulas, control characters): they show
that pages, sheets and terminals cope with untrusted text.

    make sample                                         # write it again: the same bytes
    python -m toolkit.synthetic --out elsewhere --seed 8  # another history

In a notebook, with the truth that no tool would know:

    from toolkit.synthetic import SAMPLE, synthesize
    history = synthesize(**SAMPLE)
    history.records["deployment"]     # what tools recorded: late, partly, sometimes wrongly
    history.truth["failures"]         # what really failed, and why

The truth has nine tables: `failures` (the deployments that were bad, and how that showed), `incidents` (true causes and true times),
`attempts` (which records belong to one attempt to restore, its `outcome` by the published rule on true times, and whether it `worked`) and
`hotfixes` (chains of them, and which worked); then `supply` (where each deployment came from and what it had passed), `merges`
(when each hotfix came back to the main branch), `verdicts`, `reviews` and `action_items`. Tests stitch the records and compare.

`make sample` also writes this page. The columns below are those of `toolkit/records.py`; a file with these column names loads without a
mapping: `knowngood load deployments.csv --as deployment`. Times are ISO 8601 with a zone, lists are JSON, an empty cell is not known.

Some practices around releases are there as well: builds in a registry (a few versions with two digests), gates from 2025-07 on, when the
commits of hotfixes were merged, what canary judges said, reviews and what they asked for.

The telemetry is one series, `errors`: failed and all requests a minute, of the new version (`canary`) and the old one (`baseline`), from
fifteen minutes before a deployment to two hours after it, or until it was taken back.
"""


def _kind(annotation: Any) -> str:
    """The type in words; a choice lists its words."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not types.NoneType))
    if origin is Literal:
        return "one of " + ", ".join(f"`{word}`" for word in get_args(annotation))
    if origin is list:
        return "list of texts"
    if hasattr(annotation, "__metadata__"):
        return _kind(get_args(annotation)[0])
    return {"datetime": "time", "int": "whole number", "float": "number", "bool": "true or false"}.get(annotation.__name__, "text")


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.get_default()
    return "" if default in (None, PydanticUndefined) else f"`{str(default).lower() if isinstance(default, bool) else default}` if empty"


def _section(record: str) -> str:
    what = (RECORDS[record].__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | {field.description} |"
        for name, field in columns_of(record).items()
        if name in schema_of(record)
    ]
    title = f"## `{record}`: sample/{file_name(record)}"
    return "\n".join([title, "", what, "", "| column | type | | meaning |", "|---|---|---|---|", *rows, ""])


def readme() -> str:
    """The whole page."""
    return INTRODUCTION + "\n" + "\n".join(_section(record) for record in RECORDS)
