"""Other criteria in force for the same services: any of them stops a deployment, so that the cap is on what all of them stop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.criteria import Criterion
from toolkit.hindsight import judged, passages_of
from toolkit.recalibration.cases import Label
from toolkit.recalibration.examination import Share, share
from toolkit.recalibration.question import Question
from toolkit.watch import classes_of

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["Others", "others_of", "stopped_elsewhere"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Others:
    """The other criteria that stop deployments of the unit, as they are set. each: by name, the good deployments learnt from that it
    stops; training, test: those that any of them stops. admissible_alone: whether a limit would keep the cap if they were not there."""

    each: dict[str, Share]
    training: Share
    test: Share
    admissible_alone: bool


def stopped_elsewhere(workspace: Workspace, criterion: Criterion, labels: pl.DataFrame, at: datetime | None) -> dict[str, Flags]:
    """By name of each other criterion that is in force at a moment and stops deployments: which of the labelled ones it would have
    stopped, in their order. Nothing for a criterion that itself only pauses.

    A deployment without telemetry that it reads counts as not stopped. The same name for a narrower scope is the same criterion.
    """
    found: dict[str, Flags] = {}
    if criterion.action != "revert" or at is None:
        return found
    for other, services in _concerned(workspace, criterion, labels["service"].unique().sort().to_list(), at):
        mine = labels.filter(pl.col("service").is_in(services))
        fired = judged(mine, passages_of(workspace, other, numbers=()), other).filter(pl.col("t").is_not_null())["deployment"]
        stopped = labels["deployment"].is_in(fired.implode()).to_numpy()
        found[other.name] = found.get(other.name, np.zeros(len(labels), bool)) | stopped
    return found


def _concerned(workspace: Workspace, criterion: Criterion, services: list[str], at: datetime) -> Iterator[tuple[Criterion, list[str]]]:
    """The others, each with the services for which it holds."""
    policy = workspace.policy
    if policy is None:
        return
    classes = classes_of(workspace.facts.owners.collect(), at)
    for one in policy.in_force(at.date()):
        if one.name == criterion.name or one.action != "revert":
            continue
        mine = [name for name in services if one in policy.in_force(at.date(), service=name, service_class=classes.get(name))]
        if mine:
            yield one, mine


def others_of(question: Question) -> Others | None:
    """What the others stop by themselves; None where there are none."""
    cases = question.cases
    if not cases.elsewhere:
        return None
    good = (cases.label == Label.GOOD) & cases.seen

    def of(stopped: Flags, within: Flags) -> Share:
        return share(int((good & within & stopped).sum()), int((good & within).sum()))

    return Others(
        {name: of(stopped, question.training) for name, stopped in sorted(cases.elsewhere.items())},
        of(cases.stopped_anyway, question.training),
        of(cases.stopped_anyway, question.test),
        question.alone.chooser.choose() is not None,
    )
