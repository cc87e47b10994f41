"""What followed an incident: whether it came back, whether it was reviewed in time, and what became of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from toolkit.facts.phases import normalised
from toolkit.facts.told import named_incident, told, until

__all__ = ["REVIEWED_WITHIN", "action_items", "followups"]

# Working days, Monday to Friday, after the day of recovery.
REVIEWED_WITHIN = 5
_INSTANT = timedelta(microseconds=1)
_DAY = timedelta(days=1)


def action_items(records: Mapping[str, pl.DataFrame], incidents: pl.DataFrame, *, horizon: datetime) -> pl.DataFrame:
    """What reviews asked for by the horizon: of_incident is the fact's id (through the review where the item names none), due_until (the
    end of the day where `due` is a date), at (created, else due, else closed)."""
    items = until(told("action_item", records), horizon, "created_at", "closed_at")
    reviews = told("review", records)
    items = items.with_row_index("row").with_columns(moment=pl.coalesce("created_at", "closed_at", "due_at"))
    through = _reviews_named(items, reviews)
    refs = items.join(through, on="row", how="left", maintain_order="left")
    named = named_incident(refs.select("row", "source", "moment", ref=pl.coalesce("incident", "of_review")), incidents, records)
    places = incidents.select("services", "environment", "production", "severity", "planned", "before_coverage", of_incident="id")
    found = items.join(named.rename({"incident": "of_incident"}), on="row", how="left", maintain_order="left")
    found = found.join(places, on="of_incident", how="left", maintain_order="left")
    due = pl.col("due_at")
    midnight = due.dt.time() == pl.time(0, 0, 0)
    return (
        found.with_columns(
            due_until=pl.when(midnight).then(due + _DAY).otherwise(due),
            services=pl.col("services").fill_null([]),
            **{name: pl.col(name).fill_null(value=name == "production") for name in ("production", "planned", "before_coverage")},
            at=pl.coalesce("created_at", "due_at", "closed_at"),
        )
        .filter((pl.col("at") <= horizon).fill_null(value=True))
        .rename({"created_at": "created", "due_at": "due", "closed_at": "closed"})
        .select(_ITEM)
        .sort("at", "id", nulls_last=True)
    )


_ITEM = [
    "id", "source", "source_id", "incident", "of_incident", "review", "title", "kind", "services", "environment", "production",
    "severity", "planned", "before_coverage", "created", "due", "due_until", "closed", "at",
]  # fmt: skip


def _reviews_named(items: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """row, of_review: the incident that the item's review names."""
    from toolkit.facts.observed import resolve

    known = reviews.with_row_index("of")
    found = resolve(items.select("row", "source", ref="review").drop_nulls("ref"), known.select("source", "source_id", "of"), "of")
    return found.drop_nulls("of").join(known.select("of", of_review="incident"), on="of").select("row", "of_review")


def followups(
    records: Mapping[str, pl.DataFrame], incidents: pl.DataFrame, items: pl.DataFrame, *, horizon: datetime, zone: str
) -> pl.DataFrame:
    """A row an incident: next_repeat (after recovery) and came_back (after the last item was closed), each with its time; review,
    review_published_at, review_until (until then it counts as in time); items, items_open, last_closed_at."""
    reviewed = _reviewed(records, incidents, horizon)
    real = items.drop_nulls("of_incident")
    done = real.group_by("of_incident").agg(
        items=pl.len().cast(pl.Int64), items_open=pl.col("closed").is_null().sum().cast(pl.Int64), last_closed_at=pl.col("closed").max()
    )
    rows = incidents.join(reviewed, left_on="id", right_on="incident", how="left", maintain_order="left")
    rows = rows.join(done, left_on="id", right_on="of_incident", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("items", "items_open").fill_null(0), review_until=_review_until(zone))
    keys = _cause_keys(incidents)
    again = _next_repeat(rows.select("id", "link_time", since="recovered_at"), keys, "next_repeat")
    after = _next_repeat(rows.select("id", "link_time", since="last_closed_at"), keys, "came_back")
    rows = rows.join(again, on="id", how="left", maintain_order="left").join(after, on="id", how="left", maintain_order="left")
    return rows.select(_FOLLOWUP)


_FOLLOWUP = [
    "id", "title", "severity", "services", "environment", "production", "planned", "before_coverage", "open", "recovered_at",
    "repeat_of", "next_repeat", "next_repeat_at", "review", "review_state", "review_published_at", "review_until", "items", "items_open",
    "last_closed_at", "came_back", "came_back_at", "at",
]  # fmt: skip


def _reviewed(records: Mapping[str, pl.DataFrame], incidents: pl.DataFrame, horizon: datetime) -> pl.DataFrame:
    """incident, review, review_state, review_published_at: the review of it that was published first."""
    beyond = (pl.coalesce("published_at", "held_at") > horizon).fill_null(value=False)
    reviews = told("review", records).with_columns(state=pl.when(~beyond).then("state"))
    reviews = until(reviews, horizon, "published_at", "held_at").with_row_index("row")
    moment = pl.coalesce("published_at", "held_at").fill_null(horizon)
    named = named_incident(reviews.select("row", "source", ref="incident", moment=moment), incidents, records)
    return (
        named.join(reviews.drop("incident"), on="row")
        .sort("published_at", pl.col("state") != "published", "id", nulls_last=True)
        .unique("incident", keep="first", maintain_order=True)
        .select("incident", review="id", review_state="state", review_published_at="published_at")
    )


def _review_until(zone: str) -> pl.Expr:
    """The end of the fifth working day after the day of recovery, in the workspace's zone."""
    day = pl.col("recovered_at").dt.convert_time_zone(zone).dt.date()
    last = day.dt.add_business_days(REVIEWED_WITHIN, roll="backward")
    following = last.dt.offset_by("1d").cast(pl.Datetime("us"))
    # Where the clocks change at midnight, the day begins an hour later.
    local = [
        begin.dt.replace_time_zone(zone, non_existent="null", ambiguous="earliest") for begin in (following, following.dt.offset_by("1h"))
    ]
    return pl.coalesce(local).dt.convert_time_zone("UTC")


def _cause_keys(incidents: pl.DataFrame) -> pl.DataFrame:
    """id, link_time, service, production, key: by what a repeat is known (root-cause tag, alert or criterion, normalised title)."""
    real = incidents.filter(~pl.col("planned") & pl.col("link_time").is_not_null())
    titles = pl.DataFrame({"title": real["title"].drop_nulls().unique()}, schema={"title": pl.String})
    titles = titles.with_columns(normal=normalised(pl.col("title")))
    real = real.join(titles, on="title", how="left", maintain_order="left")
    named = (("root:", "root_cause"), ("alert:", "alert"), ("title:", "normal"))
    keys = [
        real.select("id", "link_time", "services", "production", key=pl.format(kind + "{}", name)).drop_nulls("key") for kind, name in named
    ]
    return pl.concat(keys).explode("services").drop_nulls("services").rename({"services": "service"}).unique()


def _next_repeat(subjects: pl.DataFrame, keys: pl.DataFrame, name: str) -> pl.DataFrame:
    """id, `name`, `name`_at: the first incident of a shared service with an equal cause key that begins at or after `since`."""
    # Never itself: an incident of no length begins when it is over.
    asked = subjects.drop_nulls("since").with_columns(moment=pl.max_horizontal("since", pl.col("link_time") + _INSTANT))
    asked = asked.join(keys.select("id", "service", "key", "production"), on="id").sort("moment")
    later = keys.sort("link_time", "id").unique(["service", "key", "production", "link_time"], keep="first", maintain_order=True)
    later = later.select("service", "key", "production", moment="link_time", found="id", found_at="link_time").sort("moment")
    pairs = asked.join_asof(later, on="moment", by=["service", "key", "production"], strategy="forward", check_sortedness=False).drop_nulls(
        "found"
    )
    first = pairs.sort("found_at", "found").unique("id", keep="first", maintain_order=True)
    return first.select("id", pl.col("found").alias(name), pl.col("found_at").alias(f"{name}_at"))
