"""How firm a recommendation is, in words: what the other criteria take, which service and which labels it hangs on, and the two costs."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.recalibration.units import Unit

__all__ = ["firmness", "together"]

# Names beyond these are counted.
NAMED = 8
COSTS = {"harm": "users’ harm", "false_stop": "a false stop"}


def together(unit: Unit) -> str | None:
    """What is stopped by this criterion and the others in force for the same services, on which the cap is; None where there are none."""
    others, test = unit.found.others, unit.found.test
    if others is None:
        return None
    names = ", ".join(others.each)
    if test is None or test.together is None:
        own = unit.found.incumbent_training.together
        stopped = f"{own.k} of {own.n} good ones learnt from" if own is not None else "an unknown share"
        return f"Stopping deployments of the same services: {names}. With the limit in force {stopped}, {others.training.k} without it."
    alone, both = test.false_stops, test.together
    return (
        f"Stopping deployments of the same services: {names}. The cap is on all together: in the test this limit alone stops {alone.k} of"
        f" {alone.n} good ones, the others {others.test.k}, together {both.k} (at most {both.at_most:.1%})."
    )


def firmness(unit: Unit) -> Iterator[str]:
    """A sentence each; names are as they came."""
    yield from _left_out(unit)
    yield from _flips(unit)
    yield from _weighed(unit)


def _left_out(unit: Unit) -> Iterator[str]:
    rows = unit.guards.left_out
    changed = [row for row in rows if row.changed]
    if rows and not changed:
        yield f"Without any one of the {len(rows)} services, verdict and limit are the same."
    if changed:
        told = "; ".join(f"without {row.service} {row.verdict.word}, {_setting(unit, row.chosen)}" for row in changed[:NAMED])
        more = f"; and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        yield f"Leaving out {len(changed)} of the {len(rows)} services, one at a time, changes verdict or limit: {told}{more}."


def _flips(unit: Unit) -> Iterator[str]:
    found = unit.guards.flips
    if found.at_most is None or found.verdict is None:
        yield f"No way of taking good ones for bad or bad ones for good that was tried makes it anything but {unit.found.verdict.word}."
    else:
        names = ", ".join(found.deployments[:NAMED]) + (f" and {found.at_most - NAMED} more" if found.at_most > NAMED else "")
        enough = "One wrong label is enough" if found.at_most == 1 else f"{found.at_most} wrong labels are enough, and perhaps fewer,"
        yield f"{enough} to make it {found.verdict.word}: {found.how} ({names}). Look at what they were first."
    if found.bound is not None:
        yield f"The limit would no longer keep the cap for sure if {_labels(found.bound)} of those learnt from were wrong."
    if found.test is not None:
        yield f"The answer of the test about the cap would be another if {_labels(found.test)} in it were wrong."


def _weighed(unit: Unit) -> Iterator[str]:
    """A sentence for each cost: what is saved at half and at twice, and what would be chosen."""
    if not unit.guards.weighed and unit.terms.failed_requests_per_engineer_minute is None:
        yield "What would be saved at half or twice the costs cannot be said without an exchange rate."
    for cost, name in COSTS.items():
        half, twice = [row for row in unit.guards.weighed if row.cost == cost] or (None, None)
        if half is None or twice is None:
            continue
        saved, own = (
            " and ".join(f"{one * 100:,.0f}" for one in ends)
            for ends in ((half.saved, twice.saved), (half.incumbent_saved, twice.incumbent_saved))
        )
        others = [
            f"{_setting(unit, row.chosen)} would be chosen at {said}"
            for row, said in ((half, "half"), (twice, "twice"))
            if row.chosen != unit.found.chosen
        ]
        yield (
            f"Did {name} weigh half or twice as much, this limit would save {saved} engineer minutes per 100 deployments of the test,"
            f" the one in force {own}; {' and '.join(others) or 'the same limit would be chosen'}."
        )


def _labels(many: int) -> str:
    return "1 label" if many == 1 else f"{many} labels"


def _setting(unit: Unit, chosen: tuple[int, float] | None) -> str:
    if chosen is None:
        return "no limit"
    counted = unit.criterion.counts
    # "1 evaluations in a row" is nobody's English.
    often = "" if not counted else f" at one {counted.split()[0].removesuffix('s')}" if chosen[0] == 1 else f" at {chosen[0]} {counted}"
    return f"limit {chosen[1]:.4g}{often}"
