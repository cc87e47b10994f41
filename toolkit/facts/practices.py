"""The facts around releases and incidents: supply, verdicts, flags, what followed, who answers. Run after the core passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from toolkit.facts.communication import communications, update_gaps
from toolkit.facts.conformance import Waivers, conformance, timelines
from toolkit.facts.doubles import filled
from toolkit.facts.followups import action_items, followups
from toolkit.facts.mainline import with_merges
from toolkit.facts.observed import PRODUCTION, typed
from toolkit.facts.ownership import services
from toolkit.facts.parted import Parted
from toolkit.facts.provenance import supply_facts
from toolkit.facts.readiness import migrations, readiness
from toolkit.facts.reverted import with_reverted
from toolkit.facts.switches import flag_changes
from toolkit.facts.verdicts import verdicts
from toolkit.playbooks import Playbook, shipped

__all__ = ["SAID_MORE_OF", "practice_facts"]

# Core facts to which practices add columns.
SAID_MORE_OF = frozenset({"hotfixes", "rollbacks"})


def practice_facts(
    records: Mapping[str, pl.DataFrame],
    tables: Mapping[str, Any],
    *,
    horizon: datetime,
    production: Sequence[str] = PRODUCTION,
    zone: str = "UTC",
    playbooks: Sequence[Playbook] | None = None,
    waivers: Waivers | None = None,
) -> dict[str, pl.DataFrame]:
    """What `facts_of` made of the same records, and the records of practices → their facts.

    records: by record name; any may be missing. `migration` may hold those deployments that say something of migrations.
    tables: deployments whole or parted. zone: the workspace's, in which working days begin. playbooks: default, those that come with
    the product. waivers: by incident, the steps taken out of its playbook.
    Returns versions, gates, checks, provenance, verdicts, flag_changes, action_items, followups, communications, update_gaps, conformance,
    services, readiness; and hotfixes, with when each came back to the main branch, and rollbacks, with when what
    a revert commit took back was made. The order of the input rows changes nothing.
    """
    incidents, rollbacks, deployments = tables["incidents"], tables["rollbacks"], Parted.of(tables["deployments"])
    doubles = tables["doubles"]
    if len(doubles):
        # Of a deployment that two sources told of, what only one of them knew is known.
        once = filled(typed("deployment", records["deployment"]), doubles)
        records = {**records, "migration": migrations(records), "deployment": once}
    items = action_items(records, incidents, horizon=horizon)
    lines = timelines(records, incidents, horizon=horizon)
    made = supply_facts(records, deployments, rollbacks, horizon=horizon, production=production)
    made |= {"followups": followups(records, incidents, items, horizon=horizon, zone=zone)}
    made |= {"hotfixes": with_merges(tables["hotfixes"], records, horizon=horizon)}
    book = shipped() if playbooks is None else playbooks
    return {
        **made,
        "rollbacks": with_reverted(rollbacks, records),
        "verdicts": verdicts(records, deployments, doubles, horizon=horizon, production=production),
        "flag_changes": flag_changes(records, incidents, rollbacks, horizon=horizon, production=production),
        "action_items": items,
        "communications": communications(lines, incidents),
        "update_gaps": update_gaps(lines, incidents, horizon=horizon),
        "conformance": conformance(records, {**tables, **made}, lines, book, horizon=horizon, waivers=waivers or {}),
        "services": services(records, deployments.dense, horizon=horizon),
        "readiness": readiness(records, deployments, rollbacks, horizon=horizon),
    }
