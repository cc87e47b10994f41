"""Source prometheus: samples of series, by range queries; and, for the gate, those of the last minutes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.http import Site, Unreachable
from ingest.pages import Page
from toolkit.errors import UsageError

__all__ = ["Series", "read", "samples", "to_samples"]

# Prometheus refuses more than 11,000 points a series.
POINTS = 10_000
# What has just been scraped may still be coming in.
OVERLAP = timedelta(minutes=10)
FIRST = timedelta(days=30)


class Series(BaseModel):
    """One arm of a series: a query for its value, or one for bad and one for all events of a step. Each gives one series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    series: str = Field(min_length=1, max_length=500)
    service: str = Field(min_length=1, max_length=500)
    variant: str = Field("all", pattern="^(baseline|canary|all)$")
    value: str | None = None
    bad: str | None = None
    total: str | None = None

    @property
    def queries(self) -> dict[str, str]:
        """By field of a sample."""
        return {name: query for name, query in (("value", self.value), ("bad", self.bad), ("total", self.total)) if query}


def read(
    since: dict[str, Any] | None,
    *,
    url: str,
    series: list[dict[str, Any]],
    step: int = 60,
    token: str | None = None,
    start: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Page]:
    """Samples from where the last sync ended (at first: `start`, else 30 days) to now, a page for each stretch and series.

    url: of the server. series: see Series. step: seconds between samples. token: the environment variable that holds the bearer token.
    """
    asked = _series(series)
    end = until or datetime.now(UTC)
    begin = datetime.fromisoformat(since["until"]) - OVERLAP if since else (start or end - FIRST)
    site = Site(url, token=token)
    try:
        for first, last in _windows(begin, end, step):
            for one in asked:
                rows = to_samples(one, _asked(site, one, first, last, step), step)
                yield Page({"sample": rows}, rows, {"until": last.isoformat()}, covers=(first, last))
    finally:
        site.close()


def samples(
    service: str,
    start: datetime,
    end: datetime,
    *,
    url: str,
    series: list[dict[str, Any]],
    step: int = 60,
    token: str | None = None,
    **_: Any,
) -> list[dict[str, Any]]:
    """A service's samples of an interval. Raises Unreachable, and UsageError where no series of the service is named."""
    asked = [one for one in _series(series) if one.service == service]
    if not asked:
        raise UsageError(f"No series of {service} is named under [[sources.….series]].")
    site = Site(url, token=token)
    try:
        windows = list(_windows(start, end, step))
        return [row for one in asked for first, last in windows for row in to_samples(one, _asked(site, one, first, last, step), step)]
    finally:
        site.close()


def to_samples(series: Series, answers: dict[str, Any], step: int) -> list[dict[str, Any]]:
    """Samples from the answers to a series' queries, by field. Raises Unreachable for what is no matrix of one series."""
    points: dict[float, dict[str, float]] = {}
    for name, answer in answers.items():
        for at, value in _points(answer, series):
            points.setdefault(at, {})[name] = value
    common = {"service": series.service, "series": series.series, "variant": series.variant, "step": float(step)}
    return [common | {"at": datetime.fromtimestamp(at, UTC)} | values for at, values in sorted(points.items())]


def _points(answer: Any, series: Series) -> Iterator[tuple[float, float]]:
    try:
        if answer["status"] != "success":
            raise Unreachable(f"{series.series}: {str(answer.get('error', 'the query failed'))[:300]}")
        found = answer["data"]["result"]
        if answer["data"]["resultType"] != "matrix":
            raise Unreachable(f"{series.series}: the query gives no series over time.")
        if len(found) > 1:
            raise Unreachable(f"{series.series}: the query gives {len(found)} series: sum them into one.")
        for at, value in found[0]["values"] if found else ():
            number = float(value)
            # An infinite value is a division by nothing: no number to judge by, and NaN says so.
            yield float(at), number if math.isfinite(number) else math.nan
    except (KeyError, TypeError, ValueError, IndexError):
        raise Unreachable(f"{series.series}: the answer is not that of a Prometheus. Check url.") from None


def _asked(site: Site, series: Series, first: datetime, last: datetime, step: int) -> dict[str, Any]:
    return {
        name: site.json("/api/v1/query_range", {"query": query, "start": first.timestamp(), "end": last.timestamp(), "step": step})
        for name, query in series.queries.items()
    }


def _windows(start: datetime, end: datetime, step: int) -> Iterator[tuple[datetime, datetime]]:
    """Stretches of at most POINTS steps; each begins a step after the one before ended."""
    if step < 1:
        raise UsageError(f"step = {step}: a whole number of seconds is needed.")
    # On whole steps, so that the same moment is asked for whenever it is asked.
    at = datetime.fromtimestamp(math.ceil(start.timestamp() / step) * step, UTC)
    while at <= end:
        last = min(at + timedelta(seconds=step * (POINTS - 1)), end)
        yield at, last
        at = datetime.fromtimestamp((math.floor(last.timestamp() / step) + 1) * step, UTC)


def _series(given: list[dict[str, Any]]) -> list[Series]:
    try:
        found = [Series.model_validate(one) for one in given]
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"sources: series: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for one in found:
        if set(one.queries) not in ({"value"}, {"bad", "total"}):
            raise UsageError(f"sources: series {one.series}: name value, or bad and total.")
    return found
