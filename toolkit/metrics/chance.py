"""How many incidents would follow a deployment within an hour by chance alone."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from toolkit.metrics.reading import Published, rows_in_scope
from toolkit.metrics.scope import Scope

__all__ = ["links_by_chance"]

NEAR = timedelta(hours=1)


def links_by_chance(w: Published, scope: Scope) -> pl.DataFrame:
    """by_chance per `_by` and `_period`: each service's incidents that a link by time could explain, times the share of the window that
    lies within an hour after one of its deployments."""
    length = scope.end - scope.start
    if length <= timedelta(0):
        return pl.DataFrame(schema={"_period": pl.Int32, "by_chance": pl.Float64})
    keys = ["_by", "_period"] if scope.by else ["_period"]
    declared = (pl.col("cause_evidence") == "certain").fill_null(value=False)
    linkable = ~(pl.col("planned") | pl.col("before_coverage") | pl.col("not_a_deployment") | declared)
    columns = {"id", "planned", "before_coverage", "not_a_deployment", "cause_evidence"}
    # Under each of its services, in totals too: each service is one more chance to be near a deployment.
    incidents = rows_in_scope(w, "incidents", columns, scope, each_service=True).filter(linkable).select(*keys, "service").collect()
    if incidents.is_empty():
        return incidents.select(keys).with_columns(by_chance=pl.lit(0.0))
    moved = pl.col("successful") & (pl.col("kind") != "redeploy").fill_null(value=True) & ~pl.col("drill")
    touched = incidents["service"].unique().implode()
    times = rows_in_scope(w, "deployments", {"service", "kind", "successful", "drill"}, scope).filter(
        moved & pl.col("service").is_in(touched)
    )
    share = _share_near(times.select(pl.col("service").cast(pl.String), "at").collect(), scope)
    joined = incidents.lazy().with_columns(pl.col("service").cast(pl.String)).join(share.lazy(), on="service", how="left")
    return joined.group_by(keys).agg(by_chance=pl.col("share").fill_null(0.0).sum()).collect()


def _share_near(times: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """service, share: of the window, how much lies within an hour after one of the service's deployments."""
    import numpy as np

    # The warehouse keeps deployments by service and time; of several environments a service's are still to be merged.
    runs = times["service"].rle()
    names = runs.struct.field("value").unique(maintain_order=True)
    place = runs.struct.field("value").cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)
    service = np.repeat(place, runs.struct.field("len").to_numpy())
    second = (times["at"] - scope.start).dt.total_seconds().to_numpy()
    key = service * (int(second.max(initial=0)) + 1) + second
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        service, second = service[order], second[order]
    length = int((scope.end - scope.start).total_seconds())
    following = np.r_[second[1:], length]
    last = np.r_[service[1:] != service[:-1], True] if len(service) else np.zeros(0, bool)
    near = np.minimum(np.where(last, length, following[: len(second)]) - second, int(NEAR.total_seconds()))
    share = np.bincount(service, near, len(names)) / max(length, 1)
    return pl.DataFrame({"service": names, "share": share}, schema={"service": pl.String, "share": pl.Float64})
