"""Which environments there are, and whether anything runs in them: a tag or a merge is not yet deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

__all__ = ["CODE_LEVEL", "environments_of"]

# The label of a deployment that is one of code only, as a project's own repository tells it.
CODE_LEVEL = "code level"


def environments_of(records: Mapping[str, pl.DataFrame], tables: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """environment, production, deployed (any deployment at all), code_level, by name.

    code_level: all that is deployed there is of code, no team says that it is production, and no incident is ever in it: what failed
    there nobody could know. tables: deployments, rollbacks, incidents.
    """
    shipped, attempts = (tables[name].select("environment", "production").unique() for name in ("deployments", "rollbacks"))
    every = pl.concat([shipped, attempts]).drop_nulls().unique().sort("environment", "production")
    deployed, told = set(shipped["environment"]), records["deployment"]
    # An attempt that took no commit back was one at something running.
    elsewhere = set(tables["rollbacks"].filter(~pl.col("code_level"))["environment"]) | set(tables["incidents"]["environment"])
    code = set(every["environment"]) - elsewhere
    if "labels" in told.columns:
        of_code = told["labels"].list.contains(CODE_LEVEL).fill_null(value=False)
        code -= set(told.filter(~of_code)["environment"].unique())
    else:
        code -= deployed
    return [
        row | {"deployed": row["environment"] in deployed, "code_level": row["environment"] in code and not row["production"]}
        for row in every.to_dicts()
    ]
