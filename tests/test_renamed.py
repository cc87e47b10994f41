"""A service that was renamed has one history."""

from __future__ import annotations

from pathlib import Path

from tests.builders import HORIZON, deployment, frames, history, incident
from toolkit.cli.entry import run
from toolkit.facts import facts_of
from toolkit.facts.renamed import renamed
from toolkit.workspace import Workspace

NAMES = {"pay": "payments", "payments": "billing"}


def test_going_back_across_the_renaming_is_a_rollback() -> None:
    rows = [
        deployment("v1", "08:00", service="pay"),
        deployment("v2", "09:00", service="payments"),
        deployment("v1", "10:00", service="billing"),
    ]
    records = frames(history(*rows))
    kinds = facts_of(renamed(records, NAMES), horizon=HORIZON)["deployments"]
    assert kinds.select("service", "kind").rows() == [("billing", "release"), ("billing", "release"), ("billing", "rollback")]
    apart = facts_of(records, horizon=HORIZON)["deployments"]
    assert set(apart["kind"]) == {"release"}


def test_an_incident_that_names_both_names_touches_one_service() -> None:
    ticket = incident("09:10", "09:40", services=["pay", "cart", "billing"])
    records = renamed(frames(history(deployment("v1", "09:00", service="billing"), ticket)), NAMES)
    facts = facts_of(records, horizon=HORIZON)
    assert facts["incidents"]["services"].to_list() == [["billing", "cart"]]
    assert facts["incidents"]["cause_deployment"].to_list() == ["v1 09:00"]


def test_a_name_on_no_list_stays() -> None:
    records = frames(history(deployment("v1", "09:00", service="cart")))
    assert renamed(records, NAMES)["deployment"]["service"].to_list() == ["cart"]
    assert renamed(records, {}) == records


def test_the_settings_say_it_and_publishing_follows(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path)]) == 0
    (tmp_path / "d.csv").write_text(
        "source_id,service,version,finished_at\na,pay,v1,2026-01-05T08:00:00Z\nb,payments,v2,2026-01-06T08:00:00Z\n"
    )
    assert run(["load", str(tmp_path / "d.csv"), "--as", "deployment", "--workspace", str(tmp_path)]) == 0
    before = Workspace(tmp_path)
    assert before.facts.deployments.collect()["service"].to_list() == ["pay", "payments"]
    (tmp_path / "knowngood.toml").write_text('[renamed]\npay = "payments"\n')
    assert run(["publish", "--workspace", str(tmp_path)]) == 0
    after = Workspace(tmp_path)
    assert after.facts.deployments.collect()["service"].to_list() == ["payments", "payments"]
