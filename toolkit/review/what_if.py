"""When criteria first held on the deployments behind an incident, and what other limits would have done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import Policy
from toolkit.hindsight import in_words
from toolkit.labels import labels_of
from toolkit.passage import detections, peaks
from toolkit.review.case import Findings
from toolkit.thresholds import Scoped, curve, scoped
from toolkit.watch import classes_of

__all__ = ["HELD", "OTHERS", "WhatIf", "what_if_of"]

# Suspects of an incident whose cause nobody knows, the nearest first.
MOST_SUSPECTS = 5
SPAN, TIME = pl.Duration("us"), pl.Datetime("us", "UTC")
HELD = {
    "deployment": pl.String(), "criterion": pl.String(), "rule": pl.String(), "met_at": TIME, "before": SPAN, "says": pl.String(),
}  # fmt: skip
OTHERS = {
    "deployment": pl.String(), "criterion": pl.String(), "scope": pl.String(), "setting": pl.String(), "limit": pl.Float64(),
    "n": pl.Int32(), "fired_at": TIME, "verdict": pl.String(), "saved": SPAN, "false_stops": pl.Int64(), "good": pl.Int64(),
    "stopped": pl.List(pl.String()),
}  # fmt: skip
State = Literal["told", "no policy", "no cause", "no telemetry"]


@dataclass(frozen=True)
class WhatIf:
    """What stopping rules knew of an incident, and when.

    state: `told`, or why nothing is: `no policy`, `no cause`, `no telemetry` (then `held` still says which criteria were in force).
    says: in one sentence.
    held: deployment, criterion, rule (in words), met_at (first time it held, null where it did not or nobody knows), before (from there
    to the decision; negative where people were first), says: of each criterion in force at the deployment's time.
    others: deployment, criterion, scope (class or service it is for), setting, limit, n, fired_at, verdict, saved (until the decision;
    zero where it fires later or never, null where that cannot be told), false_stops of good, stopped (the good releases by name, oldest
    first): of the criteria in force where the data end.
    approximate: why the replay of a criterion is not exact, by its name.
    """

    state: State
    says: str
    held: pl.DataFrame
    others: pl.DataFrame
    approximate: Mapping[str, str] = field(default_factory=dict)


def what_if_of(published: Any, found: Findings) -> WhatIf:
    """What the criteria would have done about an incident. published: whatever has the facts and meta of the same warehouse.

    The cause counts, else up to five suspects, the nearest first. Limits tried, each with the number that is in force: half, in force
    and double; the loosest that would still have fired before the decision (`just in time`); the strictest that would have stopped no
    more good releases than the one in force (`at no cost`)."""
    policy = Policy.published(published.meta)
    held, others = pl.DataFrame(schema=HELD), pl.DataFrame(schema=OTHERS)
    if policy is None or not policy.criteria:
        return WhatIf("no policy", "No criterion was in force when these facts were published.", held, others)
    row = found.incident
    suspects = _suspects(found)
    if row["not_a_deployment"] or not len(suspects):
        why = "the cause is no deployment" if row["not_a_deployment"] else "no deployment is its cause or suspected to be"
        return WhatIf("no cause", f"Criteria watch deployments, and {why}.", held, others)
    classes = classes_of(published.facts.owners.collect(), found.horizon)
    held = _held(published.facts, policy, found, suspects, classes)
    others = _others(published, policy, found, suspects, classes)
    if not len(others):
        names = ", ".join(suspects["id"])
        return WhatIf("no telemetry", f"{_first(row)} There is no telemetry of {names} that a criterion in force reads.", held, others)
    tried, day = set(others["criterion"]), found.horizon.date()
    approximate = {one.name: one.approximate for one in policy.in_force(day) if one.name in tried and one.approximate}
    return WhatIf("told", _first(row), held, others, approximate)


def _suspects(found: Findings) -> pl.DataFrame:
    rows = found.candidates
    return rows.filter("counted") if rows["counted"].any() else rows.filter("candidate").head(MOST_SUSPECTS)


def _first(row: Mapping[str, Any]) -> str:
    """When a criterion in force first held, what says so, and how long before the decision that was."""
    met, decided = row["criterion_met_at"], row["decided_at"]
    if met is None:
        return "No criterion in force is known to have held before it was over."
    rests = "a source says so" if row["criterion_met_at_source"] == "declared" else "derived from the telemetry"
    said = f"A criterion in force first held at {met:%H:%M:%S} UTC on {met:%-d %B %Y} ({rests})"
    return f"{said}; nobody says when it was decided." if decided is None else f"{said}, {_against(decided - met)}."


def _against(before: timedelta) -> str:
    minutes = abs(before) / timedelta(minutes=1)
    spoken = f"{minutes:.0f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"
    return f"{spoken} before the decision" if before > timedelta(0) else f"{spoken} after the decision" if before else "with the decision"


def _held(facts: Any, policy: Policy, found: Findings, suspects: pl.DataFrame, classes: Mapping[str, str]) -> pl.DataFrame:
    """Each criterion that was in force on the day of a suspect, with when it first held there."""
    mine = pl.col("deployment").is_in(suspects["id"].implode())
    met = {(one["deployment"], one["criterion"]): one["met_at"] for one in facts.criteria_met.filter(mine).collect().to_dicts()}
    watched = {(one["deployment"], one["criterion"]): one["complete"] for one in facts.watched.filter(mine).collect().to_dicts()}
    current = {one.name for one in policy.in_force(found.horizon.date())}
    decided, over = found.incident["decided_at"], found.incident["recovered_at"]
    rows = []
    for one in suspects.filter(pl.col("deployed_at").is_not_null()).to_dicts():
        day, service = one["deployed_at"].date(), one["service"]
        for criterion in policy.in_force(day, service=service, service_class=classes.get(service)):
            at, complete = (known.get((one["id"], criterion.name)) for known in (met, watched))
            before = None if at is None or decided is None else decided - at
            if at is not None:
                after = over is not None and at > over
                says = "it held, after the incident was over" if after else "it held" if before is None else f"it held {_against(before)}"
            elif complete is None:
                # What is no longer in force leaves its first passage only.
                says = "no telemetry that it reads" if criterion.name in current else "not known: it is no longer in force"
            else:
                says = "it never held" if complete else "it had not held when its telemetry ended"
            rows.append((one["id"], criterion.name, in_words(criterion), at, before, says))
    return pl.DataFrame(rows, schema=HELD, orient="row")


def _others(published: Any, policy: Policy, found: Findings, suspects: pl.DataFrame, classes: Mapping[str, str]) -> pl.DataFrame:
    mine = pl.col("deployment").is_in(suspects["id"].implode())
    watched = published.facts.watched.filter(mine).collect()
    if not len(watched):
        return pl.DataFrame(schema=OTHERS)
    labels = labels_of(published, watch=policy.terms.horizon)
    rows: list[pl.DataFrame] = []
    for one in suspects.filter(pl.col("id").is_in(watched["deployment"].implode())).to_dicts():
        service = one["service"]
        for criterion in policy.in_force(found.horizon.date(), service=service, service_class=classes.get(service)):
            own = watched.filter(pl.col("deployment") == one["id"], pl.col("criterion") == criterion.name)
            if len(own):
                seen = scoped(published.facts, labels, criterion)
                rows += _tried(found.incident, one, own.row(0, named=True), criterion, seen)
    return pl.concat([pl.DataFrame(schema=OTHERS), *rows])


def _tried(
    row: Mapping[str, Any], suspect: Mapping[str, Any], watched: Mapping[str, Any], criterion: Criterion, seen: Scoped
) -> Iterator[pl.DataFrame]:
    """A row for each setting of one criterion on one deployment, from the strictest to the loosest."""
    n, id, deployed = watched["in_force"], suspect["id"], suspect["deployed_at"]
    profile = seen.passages.profiles.filter(pl.col("n") == n)
    named = dict(_settings(row, criterion, profile.filter(pl.col("deployment") == id), seen, n, deployed))
    limits = sorted(set(named.values()), key=criterion.bound)
    fires = detections(profile, criterion, limits, n=n)
    own = dict(fires.filter(pl.col("deployment") == id).select("limit", "t").iter_rows())
    good = seen.labels.filter(pl.col("label") == "good").select("deployment", "deployed_at")
    stopped = fires.join(good, on="deployment").sort("deployed_at", "deployment").group_by("limit").agg("deployment")
    names = dict(stopped.iter_rows())
    for told in sorted(curve(seen.labels, seen.passages, criterion, n, limits).to_dicts(), key=lambda one: criterion.bound(one["limit"])):
        limit = told["limit"]
        at = deployed + own[limit] if limit in own else None
        verdict, saved = _verdict(row, at, complete=watched["complete"])
        setting = ", ".join(name for name, value in named.items() if value == limit)
        cells = (
            id, criterion.name, criterion.service or criterion.service_class, setting, limit, n, at, verdict, saved, told["false_stops"],
            told["good"], names.get(limit, []),
        )  # fmt: skip
        yield pl.DataFrame([cells], schema=OTHERS, orient="row")


def _settings(
    row: Mapping[str, Any], criterion: Criterion, own: pl.DataFrame, seen: Scoped, n: int, deployed: datetime
) -> Iterator[tuple[str, float]]:
    current = criterion.setting()
    yield from (("half", current / 2), ("in force", current), ("double", current * 2))
    if (late := _just_in_time(row, criterion, own, deployed)) is not None:
        yield "just in time", late
    good = seen.labels.filter(pl.col("label") == "good").select("deployment")
    highest = peaks(seen.passages.profiles, seen.passages.watched.join(good, on="deployment", how="semi"), n)["peak"].sort(descending=True)
    allowed = int((highest > criterion.bound(current)).sum())
    if allowed < len(highest) and math.isfinite(peak := highest[allowed]):
        # A little over the first good release that is to pass.
        limit = criterion.limit_of(_rounded(peak, up=True))
        if criterion.bound(limit) < criterion.bound(current):
            yield "at no cost", limit


def _just_in_time(row: Mapping[str, Any], criterion: Criterion, own: pl.DataFrame, deployed: datetime) -> float | None:
    """The loosest limit that fires before the decision and not before the impact; null where there is none."""
    decided, started = row["decided_at"], row["started_at"]
    if decided is None:
        return None
    until = own.filter(deployed + pl.col("t") < decided).sort("t")
    if not len(until) or (started is not None and deployed + until["t"][-1] < started):
        return None
    last, under = until["value"][-1], until["value"][-2] if len(until) > 1 else -math.inf
    if not math.isfinite(last):
        return None
    # Over the record before, so that it is this one that fires.
    return criterion.limit_of(max(_rounded(last, up=False), under))


def _rounded(value: float, *, up: bool) -> float:
    """The next number of three digits that is over the value, or under it."""
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 1e-3
    steps = math.floor(value / unit) + 1 if up else math.ceil(value / unit) - 1
    return float(f"{steps * unit:.12g}")


def _verdict(row: Mapping[str, Any], at: datetime | None, *, complete: bool) -> tuple[str, timedelta | None]:
    """What firing at a moment would have meant, and what it would have saved."""
    started, decided, over = row["started_at"], row["decided_at"], row["recovered_at"]
    saved = None if decided is None else timedelta(0)
    if at is None:
        return ("never", saved) if complete else ("not before its telemetry ended", None)
    if started is not None and at < started:
        return "before the impact, which is no catch", None
    if decided is not None and at < decided:
        return "before the decision", decided - at
    if over is not None and at > over:
        return "after it was over", saved
    return ("no decision is known" if decided is None else "after the decision"), saved
