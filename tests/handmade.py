"""Facts by hand: builders with defaults, so that a test names only what matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import polars as pl

from toolkit.facts import facts_of
from toolkit.facts.practices import practice_facts

__all__ = [
    "HORIZON", "MONDAY", "at", "check", "deployment", "flag_change", "followup", "gate", "incident", "item", "minutes", "rollback",
    "service", "shipped", "verdict", "version", "workspace",
]  # fmt: skip

TIME = pl.Datetime("us", "UTC")
SPAN = pl.Duration("us")
# A Monday; the horizon is four whole weeks later.
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HORIZON = MONDAY + timedelta(weeks=4)

DEPLOYMENTS: dict[str, Any] = {
    **dict.fromkeys(["id", "source", "source_id", "service", "environment", "version", "kind", "kind_source", "status"], pl.String),
    **dict.fromkeys(
        ["hotfix", "hotfix_source", "hotfix_incident", "failed", "failed_final", "failed_source", "undone_by", "incident"], pl.String
    ),
    **dict.fromkeys(["production", "successful", "ended", "drill", "stopped", "matured", "provisional"], pl.Boolean),
    **dict.fromkeys(["started_at", "finished_at", "deployed_at", "recovered_at", "incident_started_at", "at"], TIME),
    "lead_time": SPAN,
    **dict.fromkeys(["changes_files", "changes_lines", "changes_review_minutes"], pl.Int64),
}
ROLLBACKS: dict[str, Any] = {
    **dict.fromkeys(["id", "service", "environment", "mechanism", "trigger", "status", "incident", "episode", "storm"], pl.String),
    **dict.fromkeys(["outcome", "outcome_source"], pl.String),
    **dict.fromkeys(["production", "drill", "race", "code_level", "regretted", "to_known_good"], pl.Boolean),
    **dict.fromkeys(["decided_at", "started_at", "completed_at", "reverted_committed_at", "at"], TIME),
    "episode_order": pl.Int64,
    "time_on_bad": SPAN,
}
INCIDENTS: dict[str, Any] = {
    **dict.fromkeys(
        ["id", "title", "severity", "status", "environment", "started_at_source", "detected_at_source", "detected_by"], pl.String
    ),
    **dict.fromkeys(["decided_at_source", "recovered_at_source", "censored_phase", "whole_source", "remedy"], pl.String),
    **dict.fromkeys(["cause_deployment", "cause_evidence", "cause_source"], pl.String),
    "services": pl.List(pl.String),
    **dict.fromkeys(["production", "planned", "open", "recovered_undecided", "before_coverage", "not_a_deployment"], pl.Boolean),
    **dict.fromkeys(["detected_at", "acknowledged_at", "decided_at", "recovered_at", "criterion_met_at", "at"], TIME),
    **dict.fromkeys(["detect", "decide", "act", "whole", "silent_minutes"], SPAN),
}
# The practices' facts have the columns that publishing gives them.
_PUBLISHED = {name: frame.schema for name, frame in practice_facts({}, facts_of({}, horizon=HORIZON), horizon=HORIZON).items()}
PRACTICES = {name: schema for name, schema in _PUBLISHED.items() if name not in ("readiness", "hotfixes", "rollbacks")}
_number = count(1)


def at(days: float = 1.0, **more: float) -> datetime:
    """So many days (hours=, minutes=) after the first Monday."""
    return MONDAY + timedelta(days=days, **more)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def deployment(**fields: Any) -> dict[str, Any]:
    """A successful, matured release of shop on the first Tuesday."""
    when = fields.pop("at", at())
    name = f"d{next(_number)}"
    given = {
        "id": name, "source": "ci", "source_id": name, "service": "shop", "environment": "production", "production": True,
        "kind": "release",
        "kind_source": "derived:new", "status": "succeeded", "started_at": when, "finished_at": when, "deployed_at": when, "at": when,
        "successful": True, "ended": True, "drill": False, "stopped": False, "matured": True, "provisional": False,
    }  # fmt: skip
    return given | ({"failed": fields["failed_final"]} if "failed_final" in fields else {}) | fields


def rollback(**fields: Any) -> dict[str, Any]:
    """An attempt by redeploying that succeeded, in an episode of its own."""
    when = fields.pop("at", at())
    name = f"r{next(_number)}"
    given = {
        "id": name, "service": "shop", "environment": "production", "production": True, "mechanism": "redeploy", "status": "completed",
        "started_at": when, "completed_at": when + minutes(5), "at": when, "drill": False, "race": False, "code_level": False,
        "episode": name, "episode_order": 1, "outcome": "succeeded", "outcome_source": "derived:recovered", "regretted": False,
    }  # fmt: skip
    return given | fields


def incident(**fields: Any) -> dict[str, Any]:
    """An incident of shop that was detected after 5, decided after 10 and over after 30 minutes more."""
    when = fields.pop("at", at())
    given = {
        "id": f"i{next(_number)}", "severity": "sev2", "services": ["shop"], "production": True, "planned": False, "open": False,
        "recovered_undecided": False, "before_coverage": False, "not_a_deployment": False, "detected_at": when + minutes(5), "at": when,
        "detect": minutes(5), "decide": minutes(10), "act": minutes(30), "whole": minutes(45), "remedy": "rollback",
    }  # fmt: skip
    return given | fields


def _of_shop(prefix: str, **fields: Any) -> dict[str, Any]:
    when = fields.pop("at", at())
    given = {"id": f"{prefix}{next(_number)}", "service": "shop", "environment": "production", "production": True, "at": when}
    return given | fields


def followup(**fields: Any) -> dict[str, Any]:
    """What followed an incident of shop that was over within the hour: nothing yet."""
    when = fields.get("at", at())
    over = {"services": ["shop"], "planned": False, "before_coverage": False, "open": False, "recovered_at": when + minutes(45)}
    row = _of_shop("i", **over, items=0, items_open=0, review_until=when + timedelta(days=8), service=None) | fields
    return {name: value for name, value in row.items() if name != "service"}


def item(**fields: Any) -> dict[str, Any]:
    """An action item of shop, asked for on the first Tuesday and due a week later."""
    when = fields.get("at", at())
    row = _of_shop("a", services=["shop"], kind="test", created=when, due=when + timedelta(days=7)) | fields
    return {"due_until": row["due"]} | {name: value for name, value in row.items() if name != "service"}


def version(**fields: Any) -> dict[str, Any]:
    """A version of shop with one digest."""
    return _of_shop("v", mutated=False) | fields


def shipped(**fields: Any) -> dict[str, Any]:
    """Where a release of shop came from: by digest, from a build in the registry, tried in staging, tested."""
    change = {"kind": "release", "successful": True, "ended": True, "drill": False, "stopped": False, "matured": True}
    supply = {"pinned": True, "named": True, "registered": True, "traceable": True, "staged": True, "promoted_unchanged": True}
    return _of_shop("d", **change, **supply, gates_since=MONDAY, passed=["unit"], tested=True) | fields


def check(**fields: Any) -> dict[str, Any]:
    """A unit gate that a matured release of shop had passed."""
    change = {"change": "release", "successful": True, "ended": True, "drill": False, "stopped": False, "matured": True}
    return _of_shop("c", **change, kind="unit", status="passed") | fields


def gate(**fields: Any) -> dict[str, Any]:
    """A run of a unit gate of shop that passed."""
    return _of_shop("g", kind="unit", status="passed") | fields


def verdict(**fields: Any) -> dict[str, Any]:
    """A judge's last word on a matured deployment of shop: proceed, and all was well."""
    said = {"decision": "proceed", "decided": True, "last": True, "overridden": False, "outcome": "quiet", "of_deployment": "d"}
    return _of_shop("v", **said, matured=True, drill=False, stopped=False) | fields


def service(name: str, **fields: Any) -> dict[str, Any]:
    """A service in production that a team answers for."""
    return _of_shop("s", owned=True) | {"service": name, "id": name, "environment": None} | fields


def flag_change(**fields: Any) -> dict[str, Any]:
    """A kill switch of shop that was turned off."""
    return _of_shop("f", flag="checkout", action="off", kill_switch=True) | fields


def workspace(
    *,
    deployments: list[dict[str, Any]] | None = None,
    rollbacks: list[dict[str, Any]] | None = None,
    incidents: list[dict[str, Any]] | None = None,
    owners: list[dict[str, Any]] | None = None,
    severities: list[str] | None = None,
    time_zone: str = "UTC",
    practices: dict[str, list[dict[str, Any]]] | None = None,
    **meta: Any,
) -> Any:
    """What measure() needs of a workspace: facts, meta, settings. practices: rows by the name of their fact."""
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in (PRACTICES if practices else ("flag_changes",))} | (practices or {})
    ships = pl.DataFrame(deployments or [], schema=DEPLOYMENTS)
    facts = {
        "deployments": ships,
        "rollbacks": pl.DataFrame(rollbacks or [], schema=ROLLBACKS),
        "incidents": pl.DataFrame(incidents or [], schema=INCIDENTS),
        "hotfixes": ships.filter(pl.col("hotfix").is_not_null()).with_columns(
            pl.lit(None, kind).alias(name) for name, kind in _PUBLISHED["hotfixes"].items() if name not in ships.columns
        ),
    }
    owned: dict[str, Any] = {"service": pl.String, "team": pl.String, "class": pl.String, "valid_from": TIME, "valid_to": TIME}
    records = (
        dict.fromkeys(("artifacts", "reviews", "incident_events", "merges"), pl.DataFrame(schema={"id": pl.String})) if practices else {}
    )
    made = {name: pl.DataFrame(rows, schema=PRACTICES[name]) for name, rows in told.items()}
    lazy = {name: frame.lazy() for name, frame in (facts | records | made).items()}
    return SimpleNamespace(
        facts=SimpleNamespace(**lazy, owners=pl.LazyFrame(owners or [], schema=owned)),
        meta={"horizon": HORIZON.isoformat(), "version": "v1"} | meta,
        settings=SimpleNamespace(severities=severities or [], time_zone=time_zone),
    )
