"""What tools wrote down of the practices around releases: builds, gates, merges, verdicts, reviews, action items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from toolkit.synthetic.aftermath import Retrospective
from toolkit.synthetic.chance import stream
from toolkit.synthetic.judged import Judgement
from toolkit.synthetic.merging import Landing
from toolkit.synthetic.recording import start_is_lost
from toolkit.synthetic.supply import Build, Check, Rehearsal, Supply
from toolkit.synthetic.things import World

__all__ = ["action_items", "artifacts", "gates", "merges", "rehearsed", "reviews", "verdicts"]

Row = dict[str, Any]


def _revised(end: datetime, *times: datetime | None) -> datetime:
    return min(end, max(at for at in times if at is not None) + timedelta(minutes=1))


def artifacts(supply: Supply, world: World) -> Iterator[Row]:
    """One row a build that the registry knows."""
    for build in supply.builds:
        if build.recorded:
            yield _artifact(build, world.end, stream(world.seed, build.digest, "artifact record"))


def _artifact(build: Build, end: datetime, rng: Random) -> Row:
    artifact = build.artifact
    again = "" if build.digest == artifact.digest else "-again"
    return {
        "source_id": f"{artifact.service.name}-{artifact.version}{again}",
        "revised_at": _revised(end, build.built, build.signed),
        "service": artifact.service.name,
        "version": artifact.version,
        "digest": build.digest,
        "revision": artifact.revision if rng.random() < 0.97 else None,
        "built_at": build.built,
        "signed_at": build.signed,
    }


def rehearsed(supply: Supply, world: World) -> Iterator[Row]:
    """Deployments to staging, as rows of deployments."""
    for rehearsal in supply.rehearsals:
        yield _rehearsal(rehearsal, world.end)


def _rehearsal(rehearsal: Rehearsal, end: datetime) -> Row:
    rollout = rehearsal.rollout
    return {
        "source_id": f"{rollout.id}-staging",
        "revised_at": _revised(end, rehearsal.finished),
        "service": rollout.service.name,
        "environment": "staging",
        "version": rollout.artifact.version,
        "artifact_digest": rehearsal.digest,
        "status": "succeeded",
        "strategy": "rolling",
        "trigger": "auto",
        "started_at": rehearsal.started,
        "finished_at": rehearsal.finished,
    }


def gates(supply: Supply, world: World) -> Iterator[Row]:
    """Early gates name the commit, late ones the digest, exercises the version that ran."""
    for number, check in enumerate(supply.checks):
        yield _gate(check, number + 1, world.end)


def _gate(check: Check, number: int, end: datetime) -> Row:
    artifact = check.artifact
    named: Row = {"version": artifact.version}
    if check.kind in ("unit", "integration"):
        named = {"revision": artifact.revision}
    elif check.kind in ("end_to_end", "contract", "acceptance"):
        named = {"digest": artifact.digest}
    return {
        "source_id": f"GATE-{number:05d}",
        "revised_at": _revised(end, check.finished if check.status != "in_progress" else check.started),
        "service": check.service.name,
        "environment": check.environment,
        **named,
        "kind": check.kind,
        "status": check.status,
        "started_at": check.started,
        "finished_at": check.finished if check.status != "in_progress" else None,
    }


def merges(landed: Iterable[Landing], world: World) -> Iterator[Row]:
    """What comparing the branches brought; some tools abbreviate commits."""
    for landing in landed:
        if landing.told:
            yield _merge(landing, world.end, stream(world.seed, landing.rollout.id, "merge record"))


def _merge(landing: Landing, end: datetime, rng: Random) -> Row:
    artifact, service = landing.rollout.artifact, landing.rollout.service.name
    request = f"https://git.example.org/{service}/merge_requests/{artifact.number}{artifact.patch:02d}"
    return {
        "source_id": f"{service}-{artifact.revision[:12]}",
        "revised_at": _revised(end, landing.landed or landing.looked),
        "observed_at": None if landing.landed else landing.looked,
        "service": service if rng.random() < 0.8 else None,
        "revision": artifact.revision[:12] if rng.random() < 0.2 else artifact.revision,
        "branch": artifact.branch,
        "merged_at": landing.landed,
        "merged_as": landing.name,
        "url": request if landing.landed and artifact.branch != "main" else None,
    }


def verdicts(judged: Iterable[Judgement], world: World) -> Iterator[Row]:
    """Every word; one in sixteen, during the rollout, does not say which deployment it is about."""
    for number, word in enumerate(judged):
        yield _verdict(word, number + 1, world.seed, stream(world.seed, f"{word.rollout.id}/{word.at.isoformat()}", "verdict record"))


def _in_sight(word: Judgement, seed: int) -> bool:
    """Whether the log shows the rollout as under way when the judge spoke: then nobody needs to be told which one is meant."""
    return word.at <= word.rollout.finished and not start_is_lost(word.rollout, seed)


def _verdict(word: Judgement, number: int, seed: int, rng: Random) -> Row:
    score = {"proceed": (88, 100), "pause": (60, 85), "revert": (5, 60), "inconclusive": (40, 75), "error": (0, 1)}[word.decision]
    service = word.rollout.service
    return {
        "source_id": f"VERDICT-{number:04d}",
        "revised_at": word.at,
        "deployment": None if rng.random() < 0.06 and _in_sight(word, seed) else word.rollout.id,
        "service": service.name,
        "environment": "production",
        "tool": "canary-judge",
        "criterion": rng.choice(("error-share", "latency-p99")),
        "decision": word.decision,
        "score": float(rng.randrange(*score)),
        "checks": rng.randrange(4, 20),
        "at": word.at,
        "overridden_by": f"p-{service.team.lower()}-{rng.randrange(1, 6)}" if word.overridden else None,
    }


def reviews(looked_back: Iterable[Retrospective], world: World) -> Iterator[Row]:
    """One row a review, however far it came."""
    for review in looked_back:
        rng = stream(world.seed, review.outage.id, "review record")
        at = review.published or review.held
        yield {
            "source_id": f"REVIEW-{review.outage.id}",
            "revised_at": _revised(world.end, at),
            "incident": review.outage.id,
            "url": f"https://wiki.example.org/reviews/{review.outage.id.lower()}",
            "state": "published" if review.published else rng.choice(("draft", "held")),
            "held_at": review.held if rng.random() < 0.85 else None,
            "published_at": review.published,
            "root_causes": [review.outage.tag] if review.published and rng.random() < 0.8 else None,
        }


def action_items(looked_back: Iterable[Retrospective], world: World) -> Iterator[Row]:
    """What was asked for; some only name the review."""
    for review in looked_back:
        for number, item in enumerate(review.items):
            rng = stream(world.seed, f"{review.outage.id}/{number}", "item record")
            yield {
                "source_id": f"ITEM-{review.outage.id}-{number + 1}",
                "revised_at": _revised(world.end, item.created, item.closed),
                "incident": review.outage.id if rng.random() < 0.85 else None,
                "review": f"REVIEW-{review.outage.id}",
                "title": item.title,
                "kind": item.kind,
                "owner": item.owner,
                "created": item.created,
                "due": item.due,
                "closed": item.closed,
            }
