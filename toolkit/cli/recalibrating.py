"""The command that asks whether a threshold should move: recalibrate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from toolkit.cli.options import Json, Where, opened, say_if_stale
from toolkit.cli.output import print_json, talk

if TYPE_CHECKING:
    from toolkit.recalibration.units import Unit

__all__ = ["recalibrate"]


def recalibrate(
    *,
    criterion: Annotated[str | None, Parameter(help="Name of one in policy/criteria.toml; else all in force.")] = None,
    author: Annotated[str, Parameter(help="Who looks: the test that is used up is noted in the journal.")] = "knowngood",
    to: Annotated[Path | None, Parameter(help="Write the report to this Markdown file.")] = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Whether the limits in force should move, for each class of services: refuse, keep, shadow (run it dry) or adopt, and why.

    JSON: criterion, unit, verdict, reasons, sentence, asked, chosen and incumbent (number and limit), counts, gain, training and test,
    drift, services, test_digest; others (criteria in force for the same services, with which it keeps the cap together; a share's
    `together`), left_out (the answer without each service), flips (labels until the verdict is another), weighed (both costs at half and
    twice). Times are minutes, gains engineer minutes a deployment.
    """
    from toolkit.recalibration.report import report
    from toolkit.recalibration.units import recalibrate as recalibrated

    place = opened(workspace)
    say_if_stale(place)
    units = recalibrated(place, criterion, author=author)
    page = report(units)
    if to is not None:
        to.write_text(page, encoding="utf-8")
        talk(f"Written to {to}.")
    if as_json:
        print_json([_as_object(unit) for unit in units])
    elif to is None:
        print(page)
    return 0


def _as_object(unit: Unit) -> dict[str, Any]:
    from toolkit.recalibration.report import asked, sentence

    found, guards = unit.found, unit.guards
    told = asdict(found) | asdict(guards)
    told |= {
        "unit": unit.of,
        "verdict": found.verdict.word,
        "reasons": [{"code": reason.code, "at_most": reason.at_most.word, "says": reason.says} for reason in found.reasons],
        "sentence": sentence(unit, found.test, found.chosen) if found.test is not None and found.chosen is not None else None,
        "asked": asked(unit),
        "chosen": _setting(found.chosen),
        "incumbent": _setting(found.incumbent),
        "bounds": {str(n): bound for n, bound in found.bounds.items()},
        "left_out": [asdict(row) | {"verdict": row.verdict.word, "chosen": _setting(row.chosen)} for row in guards.left_out],
        "flips": asdict(guards.flips) | {"verdict": None if guards.flips.verdict is None else guards.flips.verdict.word},
        "weighed": [asdict(row) | {"chosen": _setting(row.chosen)} for row in guards.weighed],
    }
    return told


def _setting(found: tuple[int, float] | None) -> dict[str, Any] | None:
    return None if found is None else {"n": found[0], "limit": found[1]}
