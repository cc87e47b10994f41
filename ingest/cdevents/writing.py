"""Records into events: what CDEvents has a word for in its words, and every record whole as a custom event."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

import polars as pl

from ingest.cdevents.envelope import OUR_VERSION, SPECVERSION, VERSIONS
from toolkit.records import RECORDS

__all__ = ["events_of", "to_cdevents"]

Row = dict[str, Any]
# An event of so many points stays well under the longest line that is read.
_POINTS = 1_000
_SERIES = ["source", "service", "series", "variant", "deployment"]
_MECHANISMS = ("redeploy", "gitops", "traffic")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "knowngood.cdeventsx.dev")


def events_of(read: Callable[[str], pl.DataFrame]) -> Iterator[dict[str, Any]]:
    """Events for all current records. `read` gives the rows of a record's table ("deployments", …).

    Equal records give equal events, with equal ids, in equal order: by kind, then by what they were revised at.
    """
    for record, model in RECORDS.items():
        frame = read(model.table)
        if record == "sample":
            yield from _sample_events(frame)
            continue
        seen: set[tuple[Any, ...]] = set()
        for row in frame.sort("revised_at", "source", "source_id").iter_rows(named=True):
            place = (row.get("service"), row.get("environment"))
            yield from to_cdevents(record, row, known=place in seen)
            if record == "deployment" and row["status"] in ("succeeded", "superseded"):
                seen.add(place)


def to_cdevents(record: str, row: Row, *, known: bool = True) -> list[dict[str, Any]]:
    """Events for one row of the ledger: those the standard has a word for, then the whole record as a custom event.

    `known`: the service ran there before, so a deployment upgrades it. Source and id of the record stand in the customData of the
    standard ones, since the standard keeps neither.
    """
    mark = {"knowngood": {"record": record, "source": row["source"], "source_id": row["source_id"]}}
    spoken = _STANDARD.get(record, _nothing)(row, known)
    events = [_event(row["source"], *one, mark=mark) for one in spoken]
    model = RECORDS[record]
    content = {"source": row["source"]}
    for name, field in model.model_fields.items():
        if row.get(name) is not None:
            content[field.alias or name] = _plain(row[name])
    kind = f"dev.cdeventsx.knowngood-{record.replace('_', '')}.recorded.{OUR_VERSION}"
    return [*events, _event(row["source"], kind, row["revised_at"], row["source_id"], content)]


def _event(source: str, kind: str, at: datetime, subject: str, content: Row, mark: Row | None = None) -> dict[str, Any]:
    version = VERSIONS[kind][0] if kind in VERSIONS else None
    body: dict[str, Any] = {
        "context": {
            "specversion": SPECVERSION,
            # A source is any name here and a URI reference there.
            "source": quote(source, safe="/:?#@!$&'*+,;=-._~"),
            "type": f"dev.cdevents.{kind}.{version}" if version else kind,
            "timestamp": _plain(at),
        },
        "subject": {"id": subject, "content": content},
        **({"customData": mark} if mark else {}),
    }
    body["context"]["id"] = str(uuid.uuid5(_NAMESPACE, json.dumps(body, sort_keys=True)))
    return body


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def _nothing(_row: Row, _known: bool) -> Iterator[tuple[str, datetime, str, Row]]:
    """The standard has no word for it."""
    return iter(())


def _deployment(row: Row, known: bool) -> Iterator[tuple[str, datetime, str, Row]]:
    """A deployment that succeeded, with an artifact to name; the standard knows no others."""
    purl = row["artifact_purl"] or _purl(row["service"], row["version"] or row["vcs_revision"], row["artifact_digest"])
    if row["status"] in ("succeeded", "superseded") and row["finished_at"] is not None and purl is not None:
        kind = "service.rolledback" if row["kind"] == "rollback" else "service.upgraded" if known else "service.deployed"
        yield kind, row["finished_at"], row["service"], {"environment": {"id": row["environment"]}, "artifactId": purl}


def _rollback(row: Row, _known: bool) -> Iterator[tuple[str, datetime, str, Row]]:
    """A rollback that was carried out and went back to something that has a name."""
    purl = _purl(row["service"], row["to_version"], row["to_digest"])
    done = row["completed_at"] is not None and row["outcome"] in (None, "succeeded") and not row["drill"]
    if done and row["mechanism"] in _MECHANISMS and purl is not None:
        yield "service.rolledback", row["completed_at"], row["service"], {"environment": {"id": row["environment"]}, "artifactId": purl}


def _incident(row: Row, _known: bool) -> Iterator[tuple[str, datetime, str, Row]]:
    """Detected and resolved, once for each service. Planned maintenance is no incident to anybody else either."""
    if (row["severity"] or "").lower() == "maintenance":
        return
    # The standard asks for an environment; none named means all of production.
    shared = {"environment": {"id": row["environment"] or "production"}, **({"description": row["title"]} if row["title"] else {})}
    for kind, at in (("incident.detected", row["detected_at"]), ("incident.resolved", row["resolved_at"])):
        for service in (row["services"] or [None]) if at is not None else ():
            yield kind, at, row["source_id"], {**shared, **({"service": {"id": service}} if service else {})}


def _artifact(row: Row, _known: bool) -> Iterator[tuple[str, datetime, str, Row]]:
    purl = _purl(row["service"], row["version"], row["artifact_digest"])
    if row["built_at"] is not None and row["vcs_revision"] is not None and purl is not None:
        yield "artifact.packaged", row["built_at"], purl, {"change": {"id": row["vcs_revision"]}}


def _merge(row: Row, _known: bool) -> Iterator[tuple[str, datetime, str, Row]]:
    """A commit that reached the main branch; of one that did not the standard says nothing."""
    if row["merged_at"] is not None:
        yield "change.merged", row["merged_at"], row["vcs_revision"], {}


def _purl(name: str, version: str | None, digest: str | None) -> str | None:
    """A package URL of the generic kind, whose checksum is the digest; none where nothing identifies the artifact."""
    if version is None and digest is None:
        return None
    parts = [f"pkg:generic/{quote(name, safe='')}"]
    parts += [f"@{quote(version, safe='')}"] if version is not None else []
    parts += [f"?checksum={quote(digest, safe=':')}"] if digest is not None else []
    return "".join(parts)


_STANDARD: dict[str, Callable[[Row, bool], Iterable[tuple[str, datetime, str, Row]]]] = {
    "deployment": _deployment,
    "rollback": _rollback,
    "incident": _incident,
    "artifact": _artifact,
    "merge": _merge,
}


def _sample_events(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Samples as custom events of up to a thousand points of one series each."""
    fields = [name for name in RECORDS["sample"].model_fields if name not in _SERIES]
    rows = frame.sort(*_SERIES, "at").select(*_SERIES, *fields, "revised_at").iter_rows(named=True)
    kind = f"dev.cdeventsx.knowngood-sample.recorded.{OUR_VERSION}"
    for series, group in groupby(rows, key=lambda row: tuple(row[name] for name in _SERIES)):
        points = list(group)
        for first in range(0, len(points), _POINTS):
            chunk = points[first : first + _POINTS]
            named = {name: value for name, value in zip(_SERIES, series, strict=True) if value is not None}
            listed = [{name: _plain(row[name]) for name in fields if _says(row[name])} for row in chunk]
            at = max(row["revised_at"] for row in chunk)
            yield _event(named["source"], kind, at, "/".join(str(part) for part in series[1:] if part), {**named, "points": listed})


def _says(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
