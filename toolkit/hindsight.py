"""What a criterion would have done to the deployments of the past: caught, missed, false stop, quiet, or not to be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from toolkit.criteria import Criterion
from toolkit.criteria.policy import FILE, Policy
from toolkit.criteria.spans import span
from toolkit.criteria.terms import Terms
from toolkit.errors import DataError, UsageError
from toolkit.facts.renamed import renamed
from toolkit.labels import LABELS, labels_of
from toolkit.passage import CANDIDATES, Passages, detections, passages
from toolkit.stats.proportions import clopper_pearson
from toolkit.watch import classes_of, looks_alike, of_facts, unwatched, walked, watches

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["Replay", "judged", "passages_of", "replay"]

ROWS = (
    "deployment", "service", "service_class", "deployed_at", "label", "reason", "telemetry", "verdict", "t", "fired_at", "start",
    "after_start", "n",
)  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A criterion at one setting over all deployments with a label.

    rows: deployment, service, service_class, deployed_at, label, reason, telemetry (whether there is any), verdict, t (from deployed_at
    to firing), fired_at, start (from deployed_at to the incident's start), after_start (from there to firing), n (evaluations in a row,
    or checks).
    verdict: of bad ones `caught`, `early` (it fired before the incident began: no catch) or `missed`; of good ones `false_stop` or
    `quiet`; of unknown ones `unknown_fired` or `unknown_quiet`; `not_identified` where it had not fired when the telemetry ended or
    somebody stopped the deployment; `no_telemetry` where there is none, which for a bad one is `missed`.
    problems: what was wrong with the telemetry, named and counted.
    """

    criterion: Criterion
    rows: pl.DataFrame
    problems: pl.DataFrame
    terms: Terms
    # Evaluations in a row, or checks, instead of the criterion's own.
    n: int | None = None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Counts; the median minutes from an incident's start to firing; the share of good ones stopped, with the bound that holds with
        probability 1 − δ; and the bounds if unknown ones were all good, or what is not identified had all fired."""
        count = dict(self.rows.group_by("verdict").len().iter_rows())
        n = {verdict: int(count.get(verdict, 0)) for verdict in VERDICTS}
        bad = self.rows.filter(pl.col("label") == "bad")
        open_end = self.rows.filter(pl.col("verdict") == "not_identified")["label"]
        open_bad, open_good = int((open_end == "bad").sum()), int((open_end == "good").sum())
        good = n["false_stop"] + n["quiet"]
        unknown = n["unknown_fired"] + n["unknown_quiet"]
        after = self.rows.filter(pl.col("verdict") == "caught")["after_start"].drop_nulls()
        minutes = after.median()
        return {
            "bad": len(bad),
            "caught": n["caught"],
            "early": n["early"],
            "missed": n["missed"],
            "bad_not_identified": open_bad,
            "minutes_to_catch": minutes / timedelta(minutes=1) if isinstance(minutes, timedelta) else None,
            "good": good,
            "false_stops": n["false_stop"],
            "false_stops_at_most": _at_most(n["false_stop"], good, self.terms.delta),
            "good_not_identified": open_good,
            "unknown": unknown,
            "unknown_fired": n["unknown_fired"],
            "false_stops_if_unknown_were_good": _at_most(n["false_stop"] + n["unknown_fired"], good + unknown, self.terms.delta),
            "false_stops_if_all_open_fired": _at_most(n["false_stop"] + open_good, good + open_good, self.terms.delta),
            "without_telemetry": len(self.rows.filter(~pl.col("telemetry"))),
            "bad_without_telemetry": len(bad.filter(~pl.col("telemetry"))),
        }

    @property
    def rule(self) -> str:
        """The criterion in words."""
        return in_words(self.criterion, self.n)

    @property
    def sentence(self) -> str:
        """One sentence in natural frequencies."""
        told = self.summary
        if not len(self.rows):
            return f"{self.rule}: no deployment has a label yet."
        when = f", in {told['minutes_to_catch']:.3g} min," if told["minutes_to_catch"] is not None else ""
        most = f" (at most {told['false_stops_at_most']:.1%})" if told["good"] else ""
        said = f"{self.rule} would have caught {told['caught']} of {told['bad']} bad releases{when} "
        said += f"and stopped {told['false_stops']} of {told['good']} good ones{most}."
        unseen = told["bad_without_telemetry"]
        return f"{said} {unseen} of the bad ones had no telemetry." if unseen else said


VERDICTS = ("caught", "early", "missed", "false_stop", "quiet", "unknown_fired", "unknown_quiet", "not_identified", "no_telemetry")


def _at_most(k: int, n: int, tail: float) -> float | None:
    """Upper end of the exact interval for k of n, beyond which lies `tail` of probability; null for none of none."""
    return float(clopper_pearson(k, n, tail=tail)[1]) if n else None


def in_words(criterion: Criterion, n: int | None = None) -> str:
    """A criterion as people say it; n instead of its own clock or count."""
    said = criterion.model_dump(mode="json", by_alias=True)
    limit = criterion.setting()
    held = f" for {said['for']}" if said.get("for", "0s") != "0s" else ""
    if n is not None:
        held, said["k"] = f" at {n} {criterion.counts}", n
    sense = "under" if said.get("below") else "over"
    match criterion.kind:
        case "canary" if said["mode"] == "mann_whitney":
            return f"Stopping when the judge gives the canary less than {limit:g}"
        case "canary":
            sign = "−" if said["mode"] == "difference" else "÷"
            return f"Stopping at canary {sign} baseline {criterion.series} {sense} {limit:g}{held}"
        case "failed_checks" | "consecutive":
            row = " in a row" if criterion.kind == "consecutive" else ""
            return f"Stopping at failing check {said['k']}{row} of {criterion.series} {sense} {limit:g}"
        case "burn_rate":
            return f"Stopping when the error budget of {float(said['slo']):.5g} burns at {limit:g} times its factors"
        case "anomaly":
            return f"Stopping at {criterion.series} {limit:g} standard deviations {sense} what came before"
        case "no_data":
            return f"Stopping when nothing is heard of {criterion.series} for {said['for']}"
        case "any_of" | "all_of":
            members = (" or " if criterion.kind == "any_of" else " and ").join(member["name"] for member in said["members"])
            return f"Stopping at {members}, limits times {limit:g}"
    return f"Stopping at {criterion.series} {sense} {limit:g}{held}"


def replay(
    workspace: Workspace,
    criterion: Criterion | str | None = None,
    *,
    limit: float | None = None,
    duration: str | timedelta | None = None,
    n: int | None = None,
    samples: pl.DataFrame | None = None,
    service: str | None = None,
) -> Replay:
    """What a criterion would have done to every deployment of the past.

    criterion: one, or the name of one of the policy; None: the first in force. limit, and duration or n (evaluations in a row, or checks),
    instead of its own. samples: instead of the ledger's; see toolkit.records.Sample. service: only this one's deployments.
    Raises UsageError where there is no such criterion.
    """
    policy, meta = workspace.policy, workspace.meta
    horizon = datetime.fromisoformat(meta["horizon"]) if meta.get("horizon") else None
    terms = policy.terms if policy is not None else Terms()
    chosen = criterion if isinstance(criterion, Criterion) else _chosen(workspace, policy, criterion, horizon, service)
    if n is not None and (n < 1 or not chosen.counts):
        raise UsageError(f"{chosen.name} is {chosen.kind}: {'say 1 or more.' if chosen.counts else 'it has no number beside its limit.'}")
    setting = _set(chosen, limit=limit, duration=duration)
    seen = passages_of(workspace, setting, numbers=(n,) if n is not None else (), samples=samples)
    labels = labels_of(workspace, watch=terms.horizon) if horizon is not None else pl.DataFrame(schema=LABELS)
    classes = pl.col("service_class") == chosen.service_class if chosen.service_class else pl.lit(value=True)
    only = pl.col("service") == (service or chosen.service) if service or chosen.service else pl.lit(value=True)
    return Replay(setting, judged(labels.filter(classes & only), seen, setting, n=n), seen.problems, terms, n)


def _chosen(workspace: Workspace, policy: Policy | None, name: str | None, horizon: datetime | None, service: str | None) -> Criterion:
    """The criterion of a name, else the first, in force at the horizon; for a service the one of its scope."""
    if policy is None or not policy.criteria:
        raise UsageError(f"There is no criterion to replay. Write one into {FILE}; `knowngood init --policy` begins it with an example.")
    if horizon is None:
        return policy.named(name) if name is not None else policy.criteria[0]
    classes = classes_of(workspace.facts.owners.collect(), horizon) if service is not None else {}
    current = policy.in_force(horizon.date(), service=service, service_class=classes.get(service or ""))
    named = [one for one in current if name is None or one.name == name]
    return named[0] if named else policy.named(name, horizon.date()) if name is not None else (current or policy.criteria)[0]


def _set(criterion: Criterion, *, limit: float | None, duration: str | timedelta | None) -> Criterion:
    setting = criterion if limit is None else criterion.at(limit=limit)
    if duration is None:
        return setting
    if "duration" not in type(criterion).model_fields:
        raise UsageError(f"{criterion.name} is {criterion.kind}, which has no clock: say a number of checks, or leave it out.")
    try:
        held = duration if isinstance(duration, timedelta) else span(duration)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    return setting.model_copy(update={"duration": held})


def passages_of(
    workspace: Workspace, criterion: Criterion, *, numbers: tuple[int, ...] = CANDIDATES, samples: pl.DataFrame | None = None
) -> Passages:
    """What a criterion sees of a workspace's deployments: in its ledger's telemetry, or in `samples`."""
    policy, meta = workspace.policy, workspace.meta
    if not meta.get("horizon"):
        raise DataError("There are no deployments to replay. Load some: `knowngood load FILE --as deployment`.")
    at = datetime.fromisoformat(meta["horizon"])
    watch = (policy.terms if policy is not None else Terms()).horizon
    if samples is None and (known := _published(workspace, criterion, numbers)) is not None:
        return known
    facts = workspace.facts.deployments.collect()
    deployments = watches(facts, horizon=at, watch=watch)
    elsewhere = unwatched(facts, deployments)
    if samples is not None:
        told = renamed({"sample": samples}, workspace.settings.renamed)["sample"]
        rows = of_facts(told, deployments, unwatched=elsewhere)
        return passages(rows, deployments, criterion, numbers=numbers, horizon=watch)
    classes = classes_of(workspace.facts.owners.collect(), at)
    return walked(workspace.telemetry, criterion, deployments, classes, numbers=numbers, horizon=watch, elsewhere=elsewhere)


def _published(workspace: Workspace, criterion: Criterion, numbers: tuple[int, ...]) -> Passages | None:
    """The same from the profiles that were published, where those are of this criterion and hold these numbers."""
    policy, meta = workspace.policy, workspace.meta
    if policy is None or policy.content() != meta["settings"].get("criteria"):
        return None
    day = datetime.fromisoformat(meta["horizon"]).date()
    named = [one for one in policy.in_force(day) if one.name == criterion.name]
    if len(named) != 1 or not looks_alike(named[0], criterion):
        return None
    mine = pl.col("criterion") == criterion.name
    watched = workspace.facts.watched.filter(mine).collect()
    needed = {(step, n) for step in watched["step"].unique() for n in criterion.numbers(numbers, step.total_seconds())}
    walked = {*policy.terms.candidates}
    if any(n not in {*walked, named[0].n(step.total_seconds())} for step, n in needed):
        return None
    series = {series for series, _ in criterion.arms()}
    problems = workspace.facts.telemetry.filter(pl.col("series").is_in(list(series))).collect()
    return Passages(workspace.facts.profiles.filter(mine).collect(), watched, problems)


def judged(labels: pl.DataFrame, seen: Passages, criterion: Criterion, *, n: int | None = None) -> pl.DataFrame:
    """The rows of a Replay: what the criterion as it is set would have done to each labelled deployment. n: instead of its own number."""
    watched = seen.watched.with_columns(n=pl.lit(n, pl.Int32) if n is not None else pl.col("in_force"))
    steps = {step: criterion.n(step.total_seconds()) for step in watched["step"].unique()}
    if n is None and steps:
        watched = watched.with_columns(n=pl.col("step").replace_strict(list(steps), list(steps.values()), return_dtype=pl.Int32))
    fired = detections(seen.profiles, criterion, [criterion.setting()]).select("deployment", "n", "t")
    told = watched.select("deployment", "n", "complete").join(fired, on=["deployment", "n"], how="left")
    rows = labels.join(told, on="deployment", how="left", maintain_order="left")
    silent, open_end = pl.col("complete").is_null(), ~pl.col("complete")
    bad, good, held = pl.col("label") == "bad", pl.col("label") == "good", pl.col("t").is_not_null()
    verdict = (
        pl.when(silent & bad)
        .then(pl.lit("missed"))
        .when(silent)
        .then(pl.lit("no_telemetry"))
        .when(held & bad & (pl.col("t") < pl.col("start")).fill_null(value=False))
        .then(pl.lit("early"))
        .when(held & bad)
        .then(pl.lit("caught"))
        .when(held & good)
        .then(pl.lit("false_stop"))
        .when(held)
        .then(pl.lit("unknown_fired"))
        .when(open_end)
        .then(pl.lit("not_identified"))
        .when(bad)
        .then(pl.lit("missed"))
        .when(good)
        .then(pl.lit("quiet"))
        .otherwise(pl.lit("unknown_quiet"))
    )
    return rows.with_columns(
        # A good one that nobody measured is not known to be good in the way that counts here.
        label=pl.when(silent & good).then(pl.lit("unknown")).otherwise("label"),
        reason=pl.when(silent & ~bad).then(pl.lit("no_telemetry")).otherwise("reason"),
        verdict=verdict,
        fired_at=pl.col("deployed_at") + pl.col("t"),
        after_start=pl.when(verdict == "caught").then(pl.col("t") - pl.col("start")),
        telemetry=~silent,
    ).select(*ROWS)
