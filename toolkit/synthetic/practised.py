"""What is true of the practices, counted by plain loops over what the simulation did and what its tools wrote down of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from toolkit.synthetic.aftermath import Retrospective
from toolkit.synthetic.judged import Judgement
from toolkit.synthetic.merging import Landing
from toolkit.synthetic.supply import Supply
from toolkit.synthetic.things import World

__all__ = ["practised"]

Row = Mapping[str, Any]
TIME = pl.Datetime("us", "UTC")
SUPPLY: dict[str, Any] = {
    "deployment": pl.String,
    "pinned": pl.Boolean,
    "traceable": pl.Boolean,
    "staged": pl.Boolean,
    "promoted_unchanged": pl.Boolean,
    "passed": pl.List(pl.String),
    "rollback_tested": TIME,
}
VERDICTS: dict[str, Any] = {
    "verdict": pl.String,
    "deployment": pl.String,
    "decision": pl.String,
    "overridden": pl.Boolean,
    "last": pl.Boolean,
}
MERGES: dict[str, Any] = {"deployment": pl.String, "named": pl.Boolean, "told": pl.Boolean, "merged": TIME, "looked": TIME}
REVIEWS: dict[str, Any] = {"incident": pl.String, "fate": pl.String, "published": TIME}
ITEMS: dict[str, Any] = {"item": pl.String, "incident": pl.String, "kind": pl.String, "due": TIME, "closed": TIME}


def practised(
    world: World,
    records: Mapping[str, pl.DataFrame],
    *,
    supply: Supply,
    judged: Sequence[Judgement],
    looked_back: Sequence[Retrospective],
    landed: Sequence[Landing],
) -> dict[str, pl.DataFrame]:
    """supply (a row a deployment to production: passed is null where it names nothing, or before gates of its service are told of),
    merges (a row a hotfix: named, whether its record or the registry names the commit; told, whether anybody followed that), verdicts,
    reviews, action_items."""
    return {
        "supply": _table(_supply(world, records, supply), SUPPLY),
        "merges": _table(_merges(records, landed), MERGES),
        "verdicts": _table(
            (
                {"verdict": f"VERDICT-{number + 1:04d}", "deployment": word.rollout.id, "decision": word.decision,
                 "overridden": word.overridden, "last": word.last and word.decision not in ("inconclusive", "error")}
                for number, word in enumerate(judged)
            ),
            VERDICTS,
        ),
        "reviews": _table(({"incident": one.outage.id, "fate": one.fate, "published": one.published} for one in looked_back), REVIEWS),
        "action_items": _table(
            (
                {"item": f"ITEM-{one.outage.id}-{number + 1}", "incident": one.outage.id}
                | {name: getattr(item, name) for name in ("kind", "due", "closed")}
                for one in looked_back
                for number, item in enumerate(one.items)
            ),
            ITEMS,
        ),
    }  # fmt: skip


def _table(rows: Iterable[Row], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([tuple(row[name] for name in schema) for row in rows], schema=schema, orient="row")


Names = tuple[str | None, str | None, str | None]


class _Registry:
    """The registry's rows of a service, by each of their names."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.by: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            for key, name in (("digest", row["digest"]), ("version", row["version"]), ("revision", row["revision"])):
                if name is not None:
                    self.by.setdefault((key, name), []).append(row)

    def build(self, digest: str | None, version: str | None, revision: str | None) -> Row | None:
        """What is meant: by digest; without one by a version, else a commit, that was built once."""
        if digest is not None:
            return next(iter(self.by.get(("digest", digest), [])), None)
        for key, name in (("version", version), ("revision", revision)):
            fits = self.by.get((key, name), []) if name else []
            if len({row["digest"] for row in fits}) == 1:
                return fits[0]
        return None

    def names(self, digest: str | None, version: str | None, revision: str | None) -> Names:
        """With what the registry adds."""
        build = self.build(digest, version, revision) or {}
        return digest or build.get("digest"), version or build.get("version"), revision or build.get("revision")


def _supply(world: World, records: Mapping[str, pl.DataFrame], supply: Supply) -> Iterable[Row]:
    for service in world.services:
        registry, deployments, gates = (_of(records[name], service.name) for name in ("artifact", "deployment", "gate"))
        known = _Registry(registry)
        runs = [(known.names(row["digest"], row["version"], row["revision"]), row) for row in gates]
        proofs = _proofs(world, supply, service.name)
        told = min((row["started_at"] for row in gates), default=None)
        staged = [row for row in deployments if row["environment"] != "production" and row["status"] in ("succeeded", "superseded")]
        for row in deployments:
            start = row["started_at"] or row["finished_at"]
            if row["environment"] != "production" or start is None:
                continue
            own = (row["artifact_digest"], _fixed(row["version"]), row["vcs_revision"])
            before = [one for one in staged if (one["finished_at"] or one["started_at"]) <= start and _same_release(own, one)]
            yield {
                "deployment": row["source_id"],
                "pinned": own[0] is not None,
                "traceable": _traceable(own[2], known.build(*own)) if any(own) else None,
                "staged": bool(before),
                "promoted_unchanged": _unchanged(own[0], [one["artifact_digest"] for one in before]),
                "passed": _passed(known.names(*own), runs, start) if any(own) and told and told <= start else None,
                "rollback_tested": max((at for at in proofs if at <= start), default=None),
            }


def _merges(records: Mapping[str, pl.DataFrame], landed: Sequence[Landing]) -> Iterable[Row]:
    rows = {row["source_id"]: row for row in records["deployment"].to_dicts()}
    known = {name: _Registry(_of(records["artifact"], name)) for name in {landing.rollout.service.name for landing in landed}}
    for landing in landed:
        row = rows[landing.rollout.id]
        names = known[row["service"]].names(row["artifact_digest"], _fixed(row["version"]), row["vcs_revision"])
        yield {
            "deployment": landing.rollout.id,
            "named": names[2] is not None,
            "told": landing.told,
            "merged": landing.landed,
            "looked": landing.looked,
        }


def _of(frame: pl.DataFrame, service: str) -> list[dict[str, Any]]:
    return frame.filter(pl.col("service") == service).to_dicts()


def _fixed(version: str | None) -> str | None:
    return None if version in ("latest", "main", "stable") else version


def _traceable(revision: str | None, build: Row | None) -> bool:
    return build is not None and build["revision"] is not None and revision in (None, build["revision"])


def _same_release(own: Names, other: Row) -> bool:
    version = _fixed(other["version"])
    if own[1] and version:
        return own[1] == version
    return own[2] is not None and own[2] == other["vcs_revision"]


def _unchanged(digest: str | None, before: Sequence[str | None]) -> bool | None:
    known = [one for one in before if one is not None]
    return None if digest is None or not known else digest in known


def _passed(own: Names, runs: Sequence[tuple[Names, Row]], start: datetime) -> list[str]:
    """Kinds of gates whose last run on the artifact, before it was deployed, had passed."""
    last: dict[str, tuple[datetime, str, str]] = {}
    for names, row in runs:
        at = row["finished_at"] or row["started_at"]
        if at <= start and _same_build(own, names):
            found = (at, row["source_id"], row["status"])
            last[row["kind"]] = max(last.get(row["kind"], found), found)
    return sorted(kind for kind, (_, _, status) in last.items() if status == "passed")


def _same_build(one: Names, other: Names) -> bool:
    """By the strongest name that both carry."""
    return next((mine == theirs for mine, theirs in zip(one, other, strict=True) if mine and theirs), False)


def _proofs(world: World, supply: Supply, service: str) -> list[datetime]:
    """When the way back was shown to work: rollback tests and drills."""
    runs = [check for check in supply.checks if check.service.name == service and check.kind == "rollback"]
    drills = [attempt.completed for attempt in world.attempts if attempt.drill and attempt.service.name == service]
    return [*(check.finished for check in runs if check.status == "passed"), *drills]
