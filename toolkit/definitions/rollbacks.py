"""Three tools that take a rollback for the sign of a failure, and differ in which release they hold it against."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from toolkit.definitions.definition import Definition, History, Part, median, span, with_place

__all__ = ["DATADOG", "SLEUTH", "SWARMIA"]

Blamed = Callable[[], pl.Expr]


def _between(history: History) -> pl.LazyFrame:
    """incident (the rollback), ended, deployment, begun, place, number: the successful deployments between the one restored and the
    rollback, in order. Redeploys and rollbacks among them ship nothing, so nothing is held against them."""
    line = history.deployments.select("id", "kind", "restores", "successful", "deployed_at").with_row_index("row").collect()
    ships = line.filter("successful", ~pl.col("kind").is_in(["rollback", "redeploy"]).fill_null(value=False))
    back = line.filter("successful", pl.col("kind") == "rollback").join(line.select(restores="id", since="row"), on="restores")
    # Facts stand in the order of the lineage: what lies between two rows of it happened between them.
    low, high = ships["row"].search_sorted(back["since"], side="right"), ships["row"].search_sorted(back["row"], side="left")
    rows = back.select(incident="id", ended="deployed_at").with_columns(low=low, high=high).filter(pl.col("low") < pl.col("high"))
    rows = rows.with_columns(at=pl.int_ranges("low", "high"), place=pl.int_ranges(0, pl.col("high") - pl.col("low")))
    rows = rows.with_columns(number=pl.col("at").list.len()).explode("at", "place")
    shipped = ships.select(deployment="id", begun="deployed_at").select(pl.all().gather(rows["at"]))
    return rows.drop("low", "high", "at").hstack(shipped).lazy()


def _definition(name: str, which: str, blamed: Blamed) -> Definition:
    def link(history: History) -> pl.LazyFrame:
        """incident: here the rollback."""
        return _between(history).filter(blamed()).select("incident", "deployment")

    def first(history: History) -> pl.LazyFrame:
        rows = _between(history).filter(blamed()).sort("ended", "incident")
        return rows.unique("deployment", keep="first", maintain_order=True)

    def failed(history: History) -> Part:
        """Releases held responsible, each once."""
        rows = first(history).select("deployment", id="deployment", at="begun")
        return Part("deployments", with_place(rows, history, "deployments"))

    def recovery(history: History) -> Part:
        """From the deployment of the release held responsible to that of the first rollback."""
        rows = first(history).select("deployment", *span("begun", "ended"), id="deployment", at="begun")
        return Part("deployments", with_place(rows, history, "deployments"))

    return Definition(
        name=name,
        link=link,
        failed=failed,
        denominator=lambda: pl.col("successful"),
        recovery=recovery,
        summary=median,
        rate=f"{which} ÷ all deployments",
        spans="median of deployment → rollback",
        blames=f"rollback {{}} blames {which}",
        left_out="only successful deployments count",
        needs=("deployments",),
    )


DATADOG = _definition("datadog-rollback", "the first release after the restored one", lambda: pl.col("place") == 0)
SLEUTH = _definition("sleuth-rollback", "every release between", lambda: pl.lit(value=True))
SWARMIA = _definition("swarmia-rollback", "the latest release", lambda: pl.col("place") == pl.col("number") - 1)
