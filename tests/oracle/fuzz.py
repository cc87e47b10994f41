"""Looks for a history on which engine and oracle differ and prints the smallest it finds: python -m tests.oracle.fuzz --seconds 60."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any

from tests.builders import HORIZON, _row, frames
from tests.oracle import stitch
from tests.oracle.comparison import Difference, differences, told
from tests.oracle.hostile import hostile

Row = dict[str, Any]
History = dict[str, list[Row]]

__all__ = ["apart", "compared", "disagreeing", "drawn", "picture", "side_by_side", "smallest"]


def compared(records: History, tables: set[str] | None = None, columns: set[str] | None = None) -> list[Difference]:
    """What oracle and engine say differently about a history."""
    from toolkit.facts import facts_of

    try:
        engine = facts_of(frames(records), horizon=HORIZON)
    except Exception as error:  # noqa: BLE001  # a crash of any kind is a finding, and is made smaller like one
        return [Difference("crash", "", type(error).__name__, None, str(error).splitlines()[0])]
    return differences(stitch(records, HORIZON), engine, tables=tables, columns=columns)


def drawn(seed: int) -> History:
    """A seed's history, moved in time so that its horizon is the one that all share: then one call can stitch many."""
    records, horizon = hostile(Random(seed))
    by = HORIZON - horizon
    return {
        name: [{field: value + by if isinstance(value, datetime) else value for field, value in row.items()} for row in rows]
        for name, rows in records.items()
    }


def side_by_side(seeds: range) -> History:
    """The seeds' histories as one, each under names of its own."""
    together: History = {}
    for seed in seeds:
        for name, rows in apart(drawn(seed), f"{seed}.").items():
            together.setdefault(name, []).extend(rows)
    return together


def disagreeing(
    seeds: range, tables: set[str] | None = None, columns: set[str] | None = None, without: frozenset[str] | set[str] = frozenset()
) -> list[int]:
    """The seeds whose history is stitched differently, all of them in one call."""
    from toolkit.facts import facts_of

    together = side_by_side(seeds)
    try:
        engine = facts_of(frames(together), horizon=HORIZON)
    except Exception:  # noqa: BLE001  # one of them brings it down: each is tried alone
        return list(seeds)
    found = differences(stitch(together, HORIZON), engine, tables=tables, columns=columns)
    return sorted({int(d.id.split(":")[-1].split("/")[0].split(".")[0]) for d in found if d.column not in without})


def apart(records: History, prefix: str) -> History:
    """The same history under names of its own."""
    names = {"source", "source_id", "service", "incident", "fixes_incident", "suspected_deployment", "duplicate_of", "fixed_by"}
    names |= {"to_source", "to_id", "deployment"}
    made: History = {}
    for record, rows in records.items():
        made[record] = [
            row
            | {name: prefix + row[name] for name in names if row.get(name) is not None}
            | ({"services": [prefix + service for service in row["services"]]} if "services" in row else {})
            for row in rows
        ]
    return made


def smallest(records: History, tables: set[str] | None = None, columns: set[str] | None = None) -> History:
    """Takes rows and fields away as long as something of the same kind still differs."""
    wanted = {(d.table, d.column) for d in compared(records, tables, columns)}

    def fails(smaller: History) -> bool:
        return bool(wanted & {(d.table, d.column) for d in compared(smaller, tables, columns)})

    again = True
    while again:
        again = False
        for smaller in _fewer_rows(records):
            if fails(smaller):
                records, again = smaller, True
                break
    for name, index, field, value in [(n, i, f, v) for n, rows in records.items() for i, row in enumerate(rows) for f, v in row.items()]:
        default = _defaults(name).get(field)
        if name == "override" or (
            value == default
            or field in {"source", "source_id"}
            or (default is None and field in {"service", "services", "at", "type", "incident"})
        ):
            continue
        smaller = {n: [dict(row) for row in rows] for n, rows in records.items()}
        smaller[name][index][field] = default
        if fails(smaller):
            records = smaller
    return records


def _defaults(name: str) -> Row:
    return {} if name == "override" else _row(name, {})


def _fewer_rows(records: History) -> Iterator[History]:
    for name, rows in records.items():
        for index in range(len(rows)):
            yield records | {name: rows[:index] + rows[index + 1 :]}


def picture(records: History) -> str:
    """The history as one would write it on a whiteboard."""
    lines = []
    for name, rows in records.items():
        defaults = _defaults(name)
        for row in rows:
            said = [f"{field}={told(value)}" for field, value in row.items() if value != defaults.get(field) and field != "source_id"]
            lines.append(f"  {name:14} {row['source_id']:4} {' '.join(said)}")
    return "\n".join([*lines, f"  horizon        {told(HORIZON)}"])


def main() -> None:
    """Tries histories for a while and prints the smallest failing one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tables", default="")
    parser.add_argument("--columns", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--not", dest="without", default="", help="columns to leave out")
    parser.add_argument("--batch", type=int, default=50, help="histories that the engine stitches at once")
    parser.add_argument("--all", action="store_true", help="go on after the first and count by column")
    options = parser.parse_args()
    tables = set(filter(None, options.tables.split(","))) or None
    columns = set(filter(None, options.columns.split(","))) or None
    without = set(filter(None, options.without.split(",")))
    until = time.monotonic() + options.seconds
    tried, seed, counts = 0, options.seed, Counter[tuple[str, str]]()
    best: dict[tuple[str, str], tuple[int, int]] = {}
    while time.monotonic() < until and (options.all or not counts):
        seeds = range(seed, seed + options.batch)
        suspects = disagreeing(seeds, tables, columns, without) if options.batch > 1 else list(seeds)
        for suspect in suspects:
            records = drawn(suspect)
            size = sum(len(rows) for rows in records.values())
            for key in {(d.table, d.column) for d in compared(records, tables, columns) if d.column not in without}:
                counts[key] += 1
                best[key] = min(best.get(key, (99, 0)), (size, suspect))
        tried += len(seeds)
        seed += len(seeds)
    if not counts:
        print(f"{tried} histories, no difference")
        return
    for key, count in counts.most_common():
        print(f"{key[0]}.{key[1]}: {count} of {tried} histories, e.g. --seed {best[key][1]}")
    key = min(best, key=lambda key: best[key])
    records = drawn(best[key][1])
    focus = {d.column for d in compared(records, tables, columns)} - without if key[1] not in {"id", "row"} else None
    small = smallest(records, {key[0]}, focus)
    print(f"seed {best[key][1]}, made smaller:\n{picture(small)}")
    for d in compared(small, tables, columns):
        print(f"  {d.table:12} {d.id:14} {d.column:18} oracle {told(d.oracle):20} engine {told(d.engine)}")


if __name__ == "__main__":
    main()
