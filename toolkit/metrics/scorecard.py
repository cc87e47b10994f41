"""Practices, and the hotfixes that test them, as a scorecard: each number, its course, where it is worst, and what to do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from toolkit.metrics.change import compare
from toolkit.metrics.coverage import gaps_in
from toolkit.metrics.measurement import PRACTICES, measure
from toolkit.metrics.metric import METRICS, Kind, Metric
from toolkit.metrics.reading import published
from toolkit.metrics.scope import scope_of

__all__ = ["FEW", "SHOWN", "TO_DO", "scorecard"]

# What is fixed in haste shows what the practices hold.
SHOWN = ("hotfix", *PRACTICES)

# Fewer rows than this are no case against a service.
FEW = 5
WORST = 3
# What moves each number, where a team wants it moved.
TO_DO: dict[str, str] = {
    "hotfix_lead_time": "Rehearse the short way with a change of one line, from branch to production.",
    "hotfix_failure_rate": "Ask of each whether going back would have done, and the fix could have waited.",
    "hotfix_scope": "Fix what is broken; whatever else is in it waits for the next release.",
    "hotfix_scope_files": "What a hotfix need not touch, it can only break.",
    "hotfix_review_time": "Nothing by itself: read the quickest beside those that failed.",
    "skipped_gate_rate": "Make the gates quick enough for a hotfix, or agree which ones it may skip.",
    "hotfix_drift": "Make the merge back a step of the playbook, before the incident is closed.",
    "incident_repetition_rate": "Take the causes that came back; fix what they share, not the last symptom.",
    "review_rate": "Put the review in the calendar while the incident is still open.",
    "action_items_on_time": "Promise fewer items, each with an owner who has the time.",
    "action_items_by_kind": "Look at the mix: all process and nothing automated seldom lasts.",
    "fix_held_rate": "For those that came back, ask what the item was meant to change.",
    "mutated_versions": "Refuse a push to a version that exists.",
    "digest_pinned_rate": "Deploy by digest, and write it into the deployment's record.",
    "promoted_unchanged_rate": "Build once; promote the same bytes.",
    "traceable_rate": "Write the commit into the registry at build time.",
    "gate_pass_rate": "A gate that never refuses: drop it. One that refuses everything: repair it.",
    "untested_deployments": "Close the path around the gates, or name it and count it.",
    "rollback_tested_rate": "Rehearse one rollback a quarter and service, or test it in the pipeline.",
    "escaped_by_gate": "Take the last escapes and add the check that would have seen them.",
    "flag_off_share": "Where a flag restores faster than a rollback, put risky features behind one.",
    "flag_off_success_rate": "Try each kill switch outside of trouble.",
    "time_to_flag_off": "Let whoever is on call turn flags off without asking.",
    "kill_switch_coverage": "Give the services that break most a kill switch first.",
    "caught": "Judge by what users feel; see Thresholds for a better limit.",
    "missed": "Replay the misses at other limits on the page Thresholds.",
    "false_stop": "Raise what is needed before a stop, on the page Thresholds.",
    "quiet": "Nothing: good releases that nobody stopped.",
    "overridden": "Ask why people decided otherwise: the rule or the people may be right.",
    "step_adherence": "Change the playbook where nobody follows it, or train where it should be followed.",
    "steps_skipped": "Drop steps that recovery does not miss; make the others easier.",
    "steps_late": "Set bounds that can be met, and alarms before they pass.",
    "steps_out_of_order": "Ask whether the order matters; if not, take it out.",
    "unwritten_actions": "Write down what people do anyway, if it helps.",
    "time_to_first_update": "Let the tool draft the first word as soon as an incident is declared.",
    "update_gap": "Promise the time of the next word in each.",
    "customers_first_rate": "Take the incidents that customers reported, and add the alert that was missing.",
    "unowned_services": "Name a team, or retire the service.",
    "time_to_acknowledge": "Page a person and a second one; look at nights apart.",
}  # fmt: skip


def scorecard(w: Any, *, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """A row a number, in the order of groups: group, metric, title, better, definition; value, low, high, n, k, unit, note as measure()
    gives them (of waits for the next word the 90th percentile); course: values of the months that the window holds whole, unknown ones
    left out; before, verdict: against as long a time before; worst: up to three services with at least five rows, (name, value); to_do;
    gaps: (record, from, to) within the window that nobody watched.
    """
    w = published(w)
    scope = scope_of(w, start=start, end=end)
    metrics = [one for one in METRICS.values() if one.group in SHOWN and one.headline]
    metrics.sort(key=lambda one: SHOWN.index(one.group))
    names = [one.name for one in metrics]
    now = _by_name(measure(w, *names, start=start, end=end).filter(pl.col("by").is_null()))
    monthly = measure(w, *names, start=start, end=end, every="1mo").filter(pl.col("by").is_null())
    services = measure(w, *names, start=start, end=end, by="service").filter(pl.col("value").is_not_null(), pl.col("n") >= FEW)
    against = _by_name(compare(w, *names, start=start, end=end))
    rows = []
    for one in metrics:
        name = row_name(one)
        row = now[name]
        same = pl.col("metric") == name
        course = monthly.filter(same & ~pl.col("note").fill_null("").str.contains("partial"))["value"].drop_nulls().to_list()
        compared = against.get(one.name, {})
        about = {"group": one.group, "metric": one.name, "title": one.title, "better": one.better, "definition": one.definition}
        told = {key: row[key] for key in ("kind", "value", "low", "high", "n", "k", "censored", "unit", "note")}
        then = {"before": compared.get("before"), "verdict": compared.get("verdict")}
        gaps = gaps_in(w, one, scope).select("stream", "start", "end").rows()
        shown = {"course": course, "worst": _worst(services.filter(same), one), "to_do": TO_DO.get(one.name, ""), "gaps": gaps}
        rows.append(about | told | then | shown)
    return rows


def row_name(one: Metric) -> str:
    """The row of measure() that stands for a metric: of waits it is the long ones that people remember."""
    return f"{one.name}_p90" if one.name == "update_gap" else one.name


def _by_name(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in rows.iter_rows(named=True)}


def _worst(rows: pl.DataFrame, one: Metric) -> list[tuple[str, float]]:
    """Where it is worst; nowhere, if no way is better than the other or a service is none worse than the best."""
    if one.better is None or one.kind is Kind.COUNT or len(rows) < 2:
        return []
    ranked = rows.sort("value", "by", descending=[one.better == "down", False])
    best = ranked["value"][-1]
    return [(by, value) for by, value in ranked.select("by", "value").head(WORST).iter_rows() if value != best]
