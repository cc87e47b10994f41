"""What a criterion would have done to the deployments of the past."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import toolkit as kg
from tests.panels import START, deployments, samples
from toolkit.cli.agreed import agreed_findings
from toolkit.cli.entry import run
from toolkit.criteria import criterion_of
from toolkit.errors import DataError, UsageError
from toolkit.hindsight import Replay, judged
from toolkit.labels import LABELS
from toolkit.passage import passages
from toolkit.store.sample_files import samples_from
from toolkit.workspace import Workspace

ALERT = criterion_of({"name": "errors", "kind": "threshold", "limit": 0.1, "for": "1m", "min_events": 0})
QUIET, TROUBLE = [0.0] * 121, [0.0] * 10 + [0.5] * 111


def label(deployment: str, label: str, *, start: int | None = None) -> dict[str, object]:
    """A label; start: minutes to the incident's start."""
    given = {"deployment": deployment, "service": "shop", "deployed_at": START, "label": label, "reason": "said so", "matured": True}
    return dict.fromkeys(LABELS) | given | {"start": None if start is None else timedelta(minutes=start)}


def verdicts(*rows: dict[str, object], telemetry: dict[str, list[float]], cut: tuple[str, ...] = ()) -> dict[str, str]:
    labels = pl.DataFrame(list(rows), schema=LABELS)
    names = [str(row["deployment"]) for row in rows]
    starts = deployments(*names).with_columns(cut=pl.col("deployment").is_in(list(cut)))
    rows_of = pl.concat([samples(deployment=name, value=values) for name, values in telemetry.items()])
    found = judged(labels, passages(rows_of, starts, ALERT), ALERT)
    return dict(found.select("deployment", "verdict").rows())


def test_a_verdict_says_what_the_criterion_would_have_done() -> None:
    # Over the limit from minute 10 on, two evaluations in a row: it fires at 11.
    assert verdicts(
        label("bad-since-5", "bad", start=5),
        label("bad-since-30", "bad", start=30),
        label("bad-quiet", "bad", start=5),
        label("bad-unmeasured", "bad", start=5),
        label("good-loud", "good"),
        label("good-quiet", "good"),
        label("good-unmeasured", "good"),
        label("unknown-loud", "unknown"),
        label("unknown-quiet", "unknown"),
        telemetry={
            "bad-since-5": TROUBLE,
            "bad-since-30": TROUBLE,
            "bad-quiet": QUIET,
            "good-loud": TROUBLE,
            "good-quiet": QUIET,
            "unknown-loud": TROUBLE,
            "unknown-quiet": QUIET,
        },
    ) == {
        "bad-since-5": "caught",
        "bad-since-30": "early",
        "bad-quiet": "missed",
        "bad-unmeasured": "missed",
        "good-loud": "false_stop",
        "good-quiet": "quiet",
        "good-unmeasured": "no_telemetry",
        "unknown-loud": "unknown_fired",
        "unknown-quiet": "unknown_quiet",
    }


def test_what_somebody_stopped_early_is_not_identified_unless_it_fired_before() -> None:
    given = {"fired": TROUBLE[:30], "silent": QUIET[:30], "ended": QUIET[:30]}
    found = verdicts(
        label("fired", "bad", start=0), label("silent", "bad", start=0), label("ended", "good"), telemetry=given, cut=("silent",)
    )
    assert found == {"fired": "caught", "silent": "not_identified", "ended": "not_identified"}


def test_a_notebook_replays_by_name_on_every_access(told: Workspace) -> None:
    assert isinstance(kg.replay(told), Replay)
    # A submodule of that name would stand here now.
    assert callable(kg.replay)
    found = kg.replay(told, "canary errors", limit=0.01, n=2)
    assert found.rule == "Stopping at canary − baseline errors over 0.01 at 2 evaluations in a row"
    with pytest.raises(UsageError, match="There are: canary errors"):
        kg.replay(told, "latency")


def test_a_service_is_replayed_by_the_criterion_of_its_scope(told: Workspace, tmp_path: Path) -> None:
    mine = Workspace(shutil.copytree(told.root, tmp_path / "mine"))
    service, other, *_ = mine.telemetry.services()
    own = f'[[criterion]]\nname = "canary errors"\nkind = "canary"\nlimit = 0.001\nmin_events = 1\nservice = "{service}"\n'
    file = mine.root / "policy" / "criteria.toml"
    file.write_text(file.read_text().replace("[recalibration]", own + "[recalibration]"))
    found = kg.replay(mine, service=service)
    assert found.criterion.setting() == 0.001
    assert set(found.rows["service"]) == {service}
    assert kg.replay(mine, service=other).criterion.setting() == 0.05


def test_a_looser_limit_never_stops_more(told: Workspace) -> None:
    counts = [kg.replay(told, limit=limit).summary for limit in (0.002, 0.01, 0.5)]
    stops = [one["caught"] + one["early"] + one["false_stops"] + one["unknown_fired"] for one in counts]
    assert stops == sorted(stops, reverse=True)
    assert stops[0] > stops[-1]


def test_a_look_at_the_published_profiles_says_what_a_walk_over_the_ledger_says(told: Workspace) -> None:
    for limit, n in ((0.01, None), (0.05, 10), (0.003, 1)):
        published = kg.replay(told, limit=limit, n=n)
        walked = kg.replay(told, criterion_of(published.criterion.model_dump() | {"name": "another"}), limit=limit, n=n)
        assert published.rows.equals(walked.rows)
        assert published.summary == walked.summary


def test_the_sum_in_words_is_the_sum_of_the_rows(told: Workspace) -> None:
    found = kg.replay(told, limit=0.01)
    rows, summary = found.rows, found.summary
    assert summary["bad"] == len(rows.filter(pl.col("label") == "bad"))
    assert summary["bad"] == summary["caught"] + summary["early"] + summary["missed"] + summary["bad_not_identified"]
    assert f"caught {summary['caught']} of {summary['bad']} bad releases" in found.sentence
    assert f"stopped {summary['false_stops']} of {summary['good']} good ones" in found.sentence


def test_none_of_forty_six_is_at_most_four_point_nine_per_cent() -> None:
    rows = [label(f"d{place}", "good") for place in range(46)]
    labels = pl.DataFrame(rows, schema=LABELS)
    starts = deployments(*(str(row["deployment"]) for row in rows))
    seen = passages(pl.concat([samples(deployment=name, value=QUIET) for name in starts["deployment"]]), starts, ALERT)
    from toolkit.criteria.terms import Terms

    found = Replay(ALERT, judged(labels, seen, ALERT), seen.problems, Terms())
    assert "stopped 0 of 46 good ones (at most 4.9%)" in found.sentence


def test_the_command_replays_another_setting(told: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--workspace", str(told.root)]
    assert run(["replay", *where, "--limit", "0.01", "--for", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["criterion"]["limit"] == 0.01
    assert {row["n"] for row in answer["rows"] if row["telemetry"]} == {2}
    assert answer["sentence"].startswith("Stopping at canary − baseline errors over 0.01 at 2 evaluations in a row would have caught")
    assert run(["replay", *where]) == 0
    assert "for 2m would have caught" in " ".join(capsys.readouterr().out.split())
    assert run(["replay", *where, "--for", "soon"]) == 2
    assert "write 30s, 5m, 1h30m or 3d" in capsys.readouterr().err


def test_telemetry_of_a_file_is_judged_like_the_ledgers(told: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pl.concat([told.ledger.samples(service) for service in told.ledger.sampled()]).drop("source")
    rows.write_parquet(tmp_path / "telemetry.parquet")
    rows.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_ndjson(tmp_path / "telemetry.jsonl")
    with_ledger = kg.replay(told, limit=0.01)
    for name in ("telemetry.parquet", "telemetry.jsonl"):
        assert kg.replay(told, limit=0.01, samples=samples_from(tmp_path / name)).rows.equals(with_ledger.rows)
    rows.drop("service").write_parquet(tmp_path / "nameless.parquet")
    with pytest.raises(DataError, match="lacks service"):
        samples_from(tmp_path / "nameless.parquet")
    # Counters that were never differenced are named, counted and not used.
    running = rows.with_columns(pl.col("bad", "total").cum_sum().over("deployment", "variant"))
    found = kg.replay(told, samples=running)
    assert set(found.problems["rule"]) == {"cumulative_counter"}
    assert not found.rows["telemetry"].any()


def test_a_workspace_without_criteria_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from toolkit.publish import publish

    publish(Workspace.init(tmp_path))
    assert run(["replay", "--workspace", str(tmp_path)]) == 2
    assert "knowngood init --policy" in capsys.readouterr().err
    assert run(["init", str(tmp_path), "--policy"]) == 0
    assert (tmp_path / "policy" / "criteria.toml").is_file()
    assert Workspace(tmp_path).policy is not None


def test_the_doctor_reads_the_policy_and_the_telemetry(told: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = shutil.copytree(told.root, tmp_path / "mine")
    file = where / "policy" / "criteria.toml"

    agreed = file.read_text()
    papers = 'since = 2026-01-01\nadopted_by = "ana"\n'
    file.write_text(f'[[criterion]]\nname = "checks"\nkind = "failed_checks"\nlimit = 0.1\ncontroller = "argo_rollouts"\n{papers}')
    said = {row["what"]: row["why"] for row in agreed_findings(Workspace(where))}
    assert said["criterion: checks"].startswith("nan_passes: failureCondition alone lets NaN pass")
    file.write_text(agreed.replace("limit = 0.05", 'limit = "a lot"'))
    assert run(["doctor", "--json", "--workspace", str(where)]) == 1
    said = {row["what"]: row["why"] for row in json.loads(capsys.readouterr().out)["findings"]}
    assert "line 9: limit: Input should be a valid number" in said["policy"]
    # What was published stays readable, and the reader is told.
    assert run(["metrics", "change_failure_rate", "--json", "--workspace", str(where)]) == 0
    assert "line 9" in capsys.readouterr().err
