"""Lay what reviewers decided over what sources said: the records stay, the facts follow the reviewer and say so."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from toolkit.facts.joins import at_rows
from toolkit.facts.observed import TIME

__all__ = ["LISTED", "OVERRIDES", "by_review", "concerned", "founded", "labelled", "laid_over", "listed", "overridden", "unfounded"]

# A decision each: `field` of the record (source, source_id) is `at` (a time), the record (to_source, to_id), or `word`.
OVERRIDES: dict[str, pl.DataType] = {
    **dict.fromkeys(("record", "source", "source_id", "field"), pl.String()),
    "at": TIME,
    **dict.fromkeys(("to_source", "to_id", "word"), pl.String()),
}
_KEY = ["source", "source_id"]
# The decisions as they are published.
LISTED = {
    **dict.fromkeys(("record", "id", *_KEY, "field", "value", "before"), pl.String()),
    **dict.fromkeys(("found", "applied"), pl.Boolean()),
}
_TIMES = ("started_at", "detected_at", "decided_at")


def overridden(frame: pl.DataFrame | None) -> pl.DataFrame:
    """The decisions with the columns of OVERRIDES, in an order of their own; none where there is no frame."""
    empty = pl.DataFrame(schema=OVERRIDES)
    return empty if frame is None or frame.is_empty() else pl.concat([empty, frame], how="diagonal").sort("record", *_KEY, "field")


def founded(decisions: pl.DataFrame, records: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The decisions that name no record, or one that is there: what names nothing decides nothing."""
    if decisions.is_empty():
        return decisions
    named = pl.concat(
        [
            records[record].select(to_source="source", to_id="source_id", field=pl.lit(field))
            for record, field in (("deployment", "cause"), ("incident", "duplicate_of"))
        ]
    )
    keys = ["field", "to_source", "to_id"]
    lost = decisions.filter(pl.col("to_id").is_not_null()).join(named, on=keys, how="anti")
    return decisions.join(lost, on=["record", *_KEY, *keys], how="anti", maintain_order="left")


def laid_over(incidents: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Incident records with what was decided in place of their times, cause and duplicate.

    Adds started_said, detected_said, decided_said, cause_said (whether a reviewer said it), recovered_said (when, as a reviewer has it),
    and suspected_source, duplicate_source: among whose records the ones that are named are to be found first.
    """

    def said(field: str) -> pl.Expr:
        return (pl.col("field") == field).any()

    def of(field: str, column: str) -> pl.Expr:
        return pl.col(column).filter(pl.col("field") == field).first()

    told = decisions.filter(pl.col("record") == "incident")
    wide = told.group_by(_KEY).agg(
        *(of(field, "at").alias(f"_{field}") for field in _TIMES),
        **{f"{field.removesuffix('_at')}_said": said(field) for field in (*_TIMES, "cause")},
        recovered_said=of("recovered_at", "at"),
        _cause=of("cause", "to_id"),
        _cause_source=of("cause", "to_source"),
        duplicate_said=said("duplicate_of"),
        _original=of("duplicate_of", "to_id"),
        _original_source=of("duplicate_of", "to_source"),
    )
    flags = [name for name in wide.columns if name.endswith("_said") and name != "recovered_said"]
    incidents = incidents.join(wide, on=_KEY, how="left", maintain_order="left").with_columns(pl.col(flags).fill_null(value=False))
    innocent = pl.col("cause_said") & pl.col("_cause").is_null()
    # A reviewer's deployment is the cause even where the source had said that it was none.
    classed = pl.when(~(pl.col("cause_said") & (pl.col("cause") == "not_a_deployment")).fill_null(value=False)).then("cause")
    return incidents.with_columns(
        *(pl.when(f"{field.removesuffix('_at')}_said").then(f"_{field}").otherwise(field).alias(field) for field in _TIMES),
        suspected_deployment=pl.when("cause_said").then("_cause").otherwise("suspected_deployment"),
        suspected_source=pl.coalesce("_cause_source", "source"),
        cause=pl.when(innocent).then(pl.lit("not_a_deployment")).otherwise(classed),
        duplicate_of=pl.when("duplicate_said").then("_original").otherwise("duplicate_of"),
        duplicate_source=pl.coalesce("_original_source", "source"),
    ).select(pl.exclude("^_.*$", "duplicate_said"))


def labelled(line: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Adds label: a reviewer's word on whether the deployment failed, certain or none; null where nobody said."""
    told = decisions.filter(pl.col("field") == "failed").select(*_KEY, label="word")
    if told.is_empty():
        return line.with_columns(label=pl.lit(None, pl.String))
    named = pl.col("source_id").is_in(told["source_id"].implode())
    shipped = line.lazy().filter(named, ~pl.col("entered")).select(*_KEY, "idx").collect()
    return at_rows(line, shipped.join(told, on=_KEY).select("idx", "label"))


def by_review(line: pl.DataFrame) -> pl.DataFrame:
    """Evidence rows of deployments that a reviewer says failed: from when they ran, since nobody says when it showed."""
    failed = line.lazy().filter(pl.col("label") == "certain").select("idx", at="deployed_at").collect()
    nothing = pl.lit(None, pl.Int64)
    return failed.select("idx", level=pl.lit("certain"), at="at", rule=pl.lit("override"), inc=nothing, attempt=nothing)


def concerned(records: Mapping[str, pl.DataFrame], decisions: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The records of all services that a decision is about: enough to say what the facts would be without it."""
    deployments, incidents = records["deployment"], records["incident"]
    of = {record: decisions.filter(pl.col("record") == record).select(_KEY) for record in ("deployment", "incident")}
    about = incidents.join(of["incident"], on=_KEY, how="semi")
    shipped = deployments.filter(pl.col("source_id").is_in(about["suspected_deployment"].implode()))
    shipped = pl.concat([shipped, deployments.join(of["deployment"], on=_KEY, how="semi")])
    services = pl.concat([about.select(service="services").explode("service"), shipped.select("service")])["service"].unique().implode()
    own = pl.col("service").is_in(services)
    return {
        **records,
        "deployment": deployments.filter(own),
        "rollback": records["rollback"].filter(own),
        "flag_change": records["flag_change"].filter(own | pl.col("service").is_null()),
        "incident": incidents.filter(pl.col("services").list.set_intersection(pl.lit(services.item().to_list())).list.len() > 0),
    }


def listed(
    decisions: pl.DataFrame, records: Mapping[str, pl.DataFrame], before: Mapping[str, pl.DataFrame], after: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """The decisions as they are published: record, id, source, source_id, field, value, before, found, applied.

    before: what the fact would be without any decision; found: whether there is such a record, and the one that the value names;
    applied: whether the fact follows. Times are ISO 8601, records are named by their ids. records: with ids; before, after: the facts
    without decisions, and with them.
    """
    kinds = ("deployment", "incident")
    keys = pl.concat([records[kind].select(*_KEY, "id", record=pl.lit(kind)).join(decisions, on=_KEY, how="semi") for kind in kinds])
    rows = decisions.join(keys, on=["record", *_KEY], how="left", maintain_order="left")
    target = pl.when(pl.col("field") == "cause").then(pl.lit("deployment")).otherwise(pl.lit("incident"))
    to = pl.concat([records[kind].select(to_source="source", to_id="source_id", to="id", target=pl.lit(kind)) for kind in kinds])
    named = to.join(decisions, on=["to_source", "to_id"], how="semi")
    rows = rows.with_columns(target=target).join(named, on=["target", "to_source", "to_id"], how="left", maintain_order="left")
    on = ["record", *_KEY, "field"]
    rows = rows.join(_as_it_was(before), on=on, how="left", maintain_order="left")
    rows = rows.join(_followed(after).with_columns(applied=True), on=on, how="left", maintain_order="left")
    found = pl.col("id").is_not_null() & (pl.col("to").is_not_null() | pl.col("to_id").is_null())
    return rows.select(
        "record",
        "id",
        *_KEY,
        "field",
        value=pl.coalesce(_written("at"), "to", pl.format("{}/{}", "to_source", "to_id"), "word"),
        before="before",
        found=found,
        applied=found & (pl.col("applied").fill_null(value=False) | (pl.col("field") == "duplicate_of")),
    )


def _first_parts(incidents: pl.DataFrame) -> pl.DataFrame:
    """Of an incident that came back as a new one, decisions are about the first."""
    return incidents.filter(~pl.col("id").str.contains(r"#\d+$") | (pl.col("id") == pl.col("source_id")))


def _followed(after: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """record, source, source_id, field of the facts that follow a reviewer. A recovery may be that of an earlier stretch than the last:
    there it is enough that the incident is not folded into another."""
    incidents = _first_parts(after["incidents"])
    sources = {field: pl.col(f"{field}_source") == "override" for field in (*_TIMES, "cause")}
    sources["recovered_at"] = pl.lit(value=True)
    rows = [incidents.filter(says).select(*_KEY, record=pl.lit("incident"), field=pl.lit(field)) for field, says in sources.items()]
    labelled = after["deployments"].filter(pl.col("failed_source") == "override")
    return pl.concat([*rows, labelled.select(*_KEY, record=pl.lit("deployment"), field=pl.lit("failed"))])


def _as_it_was(before: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """record, source, source_id, field, before."""
    incidents = _first_parts(before["incidents"])
    innocent = pl.when("not_a_deployment").then(pl.lit("not_a_deployment"))
    values = {
        **{field: _written(field) for field in (*_TIMES, "recovered_at")},
        "cause": pl.coalesce(innocent, "cause_deployment"),
    }
    nothing = pl.DataFrame(schema=dict.fromkeys(["record", *_KEY, "field", "before"], pl.String()))
    rows = [incidents.select(*_KEY, record=pl.lit("incident"), field=pl.lit(field), before=value) for field, value in values.items()]
    rows.append(before["deployments"].select(*_KEY, record=pl.lit("deployment"), field=pl.lit("failed"), before="failed_final"))
    return pl.concat([nothing, *(row.select(nothing.columns) for row in rows)])


def _written(name: str) -> pl.Expr:
    return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")


def unfounded(decisions: pl.DataFrame) -> pl.DataFrame:
    """Health rows of published decisions about what is not there, and of those that no fact follows."""
    lost = decisions.filter(~pl.col("applied"))
    return lost.select(
        "record",
        id=pl.coalesce("id", pl.format("{}/{}", "source", "source_id")),
        rule=pl.when("found").then(pl.lit("override_without_effect")).otherwise(pl.lit("override_of_nothing")),
        text=pl.when("found")
        .then(
            pl.format(
                "its {} was overridden by {}, and nothing follows: it is folded into another, planned, in another environment, without "
                "a time, or beyond the horizon",
                "field",
                "value",
            )
        )
        .when(pl.col("id").is_null())
        .then(pl.format("its {} was overridden, and there is no such {}", "field", "record"))
        .otherwise(pl.format("its {} was overridden by {}, which is not there", "field", "value")),
    )
