"""The synthetic history: plausible, the same every time, and honest about what is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ingest.engine import load
from toolkit.facts import facts_of
from toolkit.records import RECORDS
from toolkit.synthetic import SAMPLE, History, big, file_name, synthesize, write
from toolkit.synthetic.dictionary import readme
from toolkit.synthetic.frames import columns_of, schema_of
from toolkit.workspace import Workspace

ROOT = Path(__file__).parents[1]
MINUTE = 60 * 1_000_000


@pytest.fixture(scope="module")
def sample() -> History:
    return synthesize(**SAMPLE)


@pytest.fixture(scope="module")
def small() -> History:
    return synthesize(seed=3, services=5, months=4)


@pytest.fixture(scope="module")
def large() -> History:
    """Enough rows that a rate is near the rate it was made with."""
    return synthesize(seed=11, services=18, months=24, telemetry_share=0.0)


def minutes(later: str, earlier: str) -> pl.Expr:
    return (pl.col(later) - pl.col(earlier)).dt.total_microseconds() / MINUTE


def releases(history: History) -> pl.DataFrame:
    """Deployments to production that shipped something new."""
    return history.records["deployment"].filter(pl.col("environment") == "production", pl.col("changes_files").is_not_null())


def at_deploy_level(history: History) -> pl.DataFrame:
    return history.truth["attempts"].filter(
        pl.col("mechanism").is_in(["redeploy", "gitops", "traffic"]), pl.col("outcome").is_in(["succeeded", "failed", "ineffective"])
    )


# The same every time


def test_equal_arguments_give_equal_frames() -> None:
    one, two = synthesize(seed=5, services=4, months=3), synthesize(seed=5, services=4, months=3)
    for name, table in one.records.items():
        assert table.equals(two.records[name])
    for name, table in one.truth.items():
        assert table.equals(two.truth[name])


def test_another_seed_gives_another_history() -> None:
    one, two = (synthesize(seed=seed, services=2, months=2, telemetry_share=0.0) for seed in (1, 2))
    assert not one.records["deployment"].equals(two.records["deployment"])


def test_bytes_do_not_hang_on_the_hash_seed_or_the_zone(tmp_path: Path) -> None:
    code = "import sys; from toolkit.synthetic import *; write(synthesize(seed=2, services=4, months=2), sys.argv[1])"
    for place, (hash_seed, zone) in enumerate((("1", "UTC"), ("2", "Asia/Tokyo"))):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": zone, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / str(place))], check=True, env=environment)
    names = {path.name for path in (tmp_path / "0").iterdir()}
    assert names == {path.name for path in (tmp_path / "1").iterdir()}
    for record in [record for record in RECORDS if file_name(record) in names]:
        assert (tmp_path / "0" / file_name(record)).read_bytes() == (tmp_path / "1" / file_name(record)).read_bytes()


def test_a_service_lives_the_same_life_whoever_lives_beside_it() -> None:
    few, more = (synthesize(seed=4, services=n, months=3, telemetry_share=0.0) for n in (2, 3))
    of = [history.records["deployment"].filter(pl.col("service") == "checkout").select("started_at", "version") for history in (few, more)]
    until = pl.col("started_at") < datetime(2026, 6, 1, tzinfo=UTC)
    assert of[0].filter(until).equals(of[1].filter(until))


def test_the_committed_sample_is_one_call(sample: History, tmp_path: Path) -> None:
    for path in write(sample, tmp_path):
        committed = ROOT / "data" / "sample" / path.name
        if path.suffix == ".csv":
            assert path.read_bytes() == committed.read_bytes(), f"{path.name} differs: run `make sample`"
        else:
            # Another version of the writer may lay the same rows out in other bytes.
            assert pl.read_parquet(path).equals(pl.read_parquet(committed)), f"{path.name} differs: run `make sample`"


def test_the_committed_sample_is_small_and_complete(sample: History) -> None:
    folder = ROOT / "data" / "sample"
    assert {path.name for path in folder.iterdir()} == {file_name(record) for record, rows in sample.records.items() if len(rows)}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 5_000_000


def test_the_dictionary_is_written_from_the_records() -> None:
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert page == readme()
    assert "synthetic" in page
    for record in RECORDS:
        for name, field in columns_of(record).items():
            assert f"| `{name}` |" in page
            assert field.description in page


# Records as sources would give them


def test_columns_are_those_of_the_records(sample: History) -> None:
    assert list(sample.records) == list(RECORDS)
    for record, table in sample.records.items():
        assert dict(table.schema) == schema_of(record)


@pytest.mark.parametrize("record", [record for record in RECORDS if record != "sample"])
def test_every_row_is_a_valid_record(sample: History, record: str) -> None:
    for row in sample.records[record].drop("source").iter_rows(named=True):
        known = {name: value for name, value in row.items() if value is not None}
        RECORDS[record].model_validate(known, context={"now": SAMPLE["end"]})


def test_ids_are_unique_and_nothing_happens_after_the_end(sample: History) -> None:
    for table in sample.records.values():
        if "source_id" in table.columns:
            assert table["source_id"].is_unique().all()
        for name, dtype in table.schema.items():
            # When something is due lies ahead: nothing has happened yet.
            if isinstance(dtype, pl.Datetime) and name != "due" and table[name].drop_nulls().len():
                assert table[name].max() <= SAMPLE["end"]
    key = ["service", "series", "variant", "deployment", "at"]
    assert sample.records["sample"].select(key).is_duplicated().sum() == 0


def test_every_stamp_is_a_whole_second_as_the_files_write_it(sample: History) -> None:
    for table in sample.records.values():
        stamps = table.select(pl.selectors.datetime().dt.microsecond().max())
        assert all(most in (0, None) for most in stamps.row(0))


def test_files_hold_the_frames(sample: History, tmp_path: Path) -> None:
    write(sample, tmp_path)
    cells = pl.read_csv(tmp_path / "incidents.csv", infer_schema=False)
    incidents = sample.records["incident"]
    assert cells["title"].to_list() == incidents["title"].to_list()
    assert [json.loads(cell) for cell in cells["services"]] == incidents["services"].to_list()
    started = [datetime.fromisoformat(cell) if cell else None for cell in cells["started_at"]]
    assert started == incidents["started_at"].to_list()
    assert "source" not in cells.columns


def test_files_load_without_a_mapping_and_come_back_the_same(sample: History, demo: Path, tmp_path: Path) -> None:
    telemetry = load(Workspace.init(tmp_path / "workspace"), ROOT / "data" / "sample" / file_name("sample"), "sample")
    assert (telemetry.new, telemetry.quarantined) == (sample.records["sample"].height, 0)
    # The others were loaded so for all tests.
    ledger = Workspace(demo).ledger
    assert ledger.quarantine().is_empty()
    for record in [record for record, rows in sample.records.items() if len(rows) and record != "sample"]:
        assert ledger.read(RECORDS[record].table, ["source_id"]).height == sample.records[record].height, record
    for record in ("deployment", "incident", "incident_event", "flag_change", "rollback"):
        # People become pseudonyms on the way in.
        wanted = sample.records[record].drop("source", "actor", "declared_by", strict=False).sort("source_id")
        stored = ledger.read(RECORDS[record].table).sort("source_id")
        assert stored.select(wanted.columns).equals(wanted), record


def test_stamps_are_missing_and_contradictory_for_some(sample: History) -> None:
    incidents = sample.records["incident"]
    for stamp in ("started_at", "detected_at", "acknowledged_at", "decided_at", "mitigated_at"):
        assert 0.02 < incidents[stamp].is_null().mean() < 0.65, stamp
    assert incidents.filter(pl.col("decided_at") < pl.col("detected_at")).height >= 2
    assert incidents.filter(pl.col("mitigated_at") < pl.col("detected_at")).height >= 1
    deployments = sample.records["deployment"]
    assert deployments.filter(pl.col("finished_at") < pl.col("started_at")).height >= 1
    assert deployments["artifact_digest"].is_null().any()
    assert "latest" in deployments["version"].to_list()


def test_titles_try_to_hurt(sample: History) -> None:
    titles = " ".join(sample.records["incident"]["title"])
    for text in ("<script>", "=cmd()", "\u202e", "=HYPERLINK"):
        assert text in titles
    assert sample.records["incident"]["title"].str.len_chars().max() > 300


def test_staging_is_apart(sample: History) -> None:
    deployments, incidents = sample.records["deployment"], sample.records["incident"]
    assert 0.05 < (deployments["environment"] == "staging").mean() < 0.3
    staged = incidents.filter(pl.col("environment") == "staging")
    assert staged.height >= 1
    assert staged["suspected_deployment"].is_null().all()


def test_telemetry_watches_both_arms_around_a_share(sample: History) -> None:
    samples = sample.records["sample"]
    watched = samples["deployment"].n_unique()
    assert 0.2 < watched / releases(sample).height < 0.4
    assert set(samples["variant"]) == {"baseline", "canary"}
    assert (samples["bad"] <= samples["total"]).all()
    bad = samples.join(sample.truth["failures"].select("deployment"), on="deployment", how="semi")
    good = samples.join(sample.truth["failures"].select("deployment"), on="deployment", how="anti")
    share = [
        table.filter(pl.col("variant") == "canary").select(pl.col("bad").sum() / pl.col("total").sum()).item() for table in (bad, good)
    ]
    assert share[0] > 5 * share[1]


# What is true


def test_every_declared_thing_exists(sample: History) -> None:
    deployments, incidents = set(sample.records["deployment"]["source_id"]), set(sample.records["incident"]["source_id"])
    known = deployments | set(sample.records["rollback"]["source_id"]) | set(sample.records["flag_change"]["source_id"])
    assert set(sample.records["incident"]["suspected_deployment"].drop_nulls()) <= deployments
    assert set(sample.records["incident"]["fixed_by"].drop_nulls()) <= known
    assert set(sample.records["incident"]["duplicate_of"].drop_nulls()) <= incidents
    assert set(sample.records["deployment"]["fixes_incident"].drop_nulls()) <= incidents
    assert set(sample.records["rollback"]["incident"].drop_nulls()) <= incidents
    assert set(sample.records["incident_event"]["incident"]) <= incidents
    assert set(sample.truth["failures"]["deployment"]) <= deployments
    assert set(sample.truth["incidents"]["incident"]) == incidents
    for part in sample.truth["attempts"]["parts"].explode(empty_as_null=False):
        record, _, source_id = part.partition(":")
        assert source_id in set(sample.records[record]["source_id"])


def test_most_declared_causes_are_true_and_a_few_are_not(large: History) -> None:
    declared = large.records["incident"].select("source_id", "suspected_deployment").drop_nulls()
    told = declared.join(large.truth["incidents"], left_on="source_id", right_on="incident")
    right = told.select((pl.col("suspected_deployment") == pl.col("cause")).mean()).item()
    assert 0.9 < right < 1.0
    not_one = large.records["incident"].filter(pl.col("cause") == "not_a_deployment")
    truth = not_one.select("source_id").join(large.truth["incidents"], left_on="source_id", right_on="incident")
    assert truth["cause"].is_null().all()


def test_a_cause_comes_before_its_incident_and_on_its_service(sample: History) -> None:
    deployments = sample.records["deployment"].select("source_id", "service", "queued_at")
    caused = sample.truth["incidents"].drop_nulls("cause").join(deployments, left_on="cause", right_on="source_id")
    assert caused.height > 100
    assert (caused["queued_at"] < caused["started"]).all()
    assert caused.select(pl.col("service").is_in(pl.col("services"))).to_series().all()


def test_failures_and_incidents_agree(sample: History) -> None:
    failures = sample.truth["failures"].filter(pl.col("why") == "incident")
    caused = sample.truth["incidents"].filter(pl.col("storm").is_null()).drop_nulls("cause").select("incident", "cause")
    assert failures.join(caused, left_on=["incident", "deployment"], right_on=["incident", "cause"], how="anti").height == 0
    assert caused.join(failures, left_on=["incident", "cause"], right_on=["incident", "deployment"], how="anti").height == 0


def test_true_times_are_in_order(sample: History) -> None:
    incidents = sample.truth["incidents"].filter(~pl.col("planned") & pl.col("duplicate_of").is_null())
    for earlier, later in (("started", "detected"), ("detected", "acknowledged"), ("detected", "decided"), ("decided", "recovered")):
        assert incidents.filter(pl.col(later) < pl.col(earlier)).height == 0, (earlier, later)


def test_a_storm_rolls_back_three_services_within_half_an_hour(sample: History) -> None:
    storms = sample.truth["attempts"].drop_nulls("storm").group_by("storm")
    each = storms.agg(pl.col("service").n_unique(), width=pl.col("started").max() - pl.col("started").min())
    assert each.height >= 2
    assert (each["service"] >= 3).all()
    assert (each["width"] < timedelta(minutes=30)).all()


def test_races_come_within_ten_minutes_and_say_no_reason(sample: History) -> None:
    races = (
        sample.truth["attempts"]
        .filter("race")
        .join(sample.records["deployment"].select("source_id", "finished_at"), left_on="undoes", right_on="source_id")
    )
    assert races.height >= 3
    assert (races["trigger"] == "auto").all()
    assert races.drop_nulls("finished_at").select((minutes("started", "finished_at") < 10).all()).item()
    assert races["incident"].is_null().all()


def test_a_mistaken_rollback_is_no_failure_and_the_artifact_comes_back(sample: History) -> None:
    mistaken = sample.truth["attempts"].filter("mistaken")
    deployments = sample.records["deployment"].filter(pl.col("environment") == "production")
    assert mistaken.height >= 5
    back = 0
    for row in mistaken.iter_rows(named=True):
        undone = deployments.filter(pl.col("source_id") == row["undoes"]).fill_null("none")
        again = deployments.filter(
            pl.col("service") == row["service"], pl.col("vcs_revision") == undone["vcs_revision"][0], pl.col("queued_at") > row["started"]
        )
        back += again.height > 0
    assert back / mistaken.height > 0.6


def test_it_holds_one_of_everything(sample: History) -> None:
    attempts, incidents, hotfixes = sample.truth["attempts"], sample.truth["incidents"], sample.truth["hotfixes"]
    assert set(attempts["outcome"]) == {"drill", "race", "pending", "failed", "ineffective", "succeeded"}
    assert set(attempts["mechanism"]) == {"redeploy", "gitops", "traffic", "flag", "revert_commit"}
    assert incidents["open"].sum() >= 2
    assert incidents["reopened"].sum() >= 3
    assert incidents["planned"].sum() >= 3
    assert incidents["duplicate_of"].drop_nulls().len() >= 3
    assert incidents["late_ticket"].sum() >= 3
    assert incidents["forgotten"].sum() >= 1
    assert hotfixes["place"].max() >= 2
    assert {"in_progress", "succeeded", "failed", "cancelled", "superseded"} <= set(sample.records["deployment"]["status"])
    assert set(sample.records["owner"]["class"]) == {"critical", "standard", "internal"}


def test_practices_go_well_and_badly(sample: History) -> None:
    artifacts, gates, verdicts, reviews, items = (sample.records[name] for name in ("artifact", "gate", "verdict", "review", "action_item"))
    assert 0.85 < artifacts["signed_at"].is_not_null().mean() < 0.97
    assert artifacts.group_by("service", "version").agg(pl.col("digest").n_unique()).filter(pl.col("digest") > 1).height >= 10
    assert set(gates["kind"]) == {"unit", "integration", "end_to_end", "contract", "resilience", "chaos", "rollback", "acceptance"}
    assert {"passed", "failed", "skipped", "cancelled"} <= set(gates["status"])
    assert set(verdicts["decision"]) == {"proceed", "pause", "revert", "inconclusive", "error"}
    assert verdicts["overridden_by"].drop_nulls().len() >= 5
    assert verdicts["deployment"].is_null().any()
    assert {"published", "held", "draft"} == set(reviews["state"])
    assert items["closed"].is_null().any()
    assert (items["closed"] > items["due"]).any()
    assert items["incident"].is_null().any()


def test_a_share_of_releases_was_built_again_between_staging_and_production(sample: History) -> None:
    deployments = sample.records["deployment"].drop_nulls("artifact_digest")
    staged = deployments.filter(pl.col("environment") == "staging").select("service", "version", staged="artifact_digest")
    pairs = deployments.filter(pl.col("environment") == "production").join(staged, on=["service", "version"])
    assert 0 < (pairs["staged"] != pairs["artifact_digest"]).mean() < 0.1


# Stitched, the records tell most of the truth, and never all of it


@pytest.fixture(scope="module")
def facts(large: History) -> dict[str, pl.DataFrame]:
    return facts_of(large.records, horizon=SAMPLE["end"])


def attempts_matched(history: History, facts: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Each true attempt beside the stitched one that holds any of its parts."""
    stitched = facts["rollbacks"].select("parts", found="outcome", stitched_storm="storm").explode("parts", empty_as_null=True)
    true = history.truth["attempts"].explode("parts", empty_as_null=True).filter(pl.col("mechanism") != "revert_commit")
    return true.join(stitched, on="parts", how="left").sort("found", nulls_last=True).unique("attempt", keep="first")


def test_stitching_finds_the_attempts_and_most_of_their_outcomes(large: History, facts: dict[str, pl.DataFrame]) -> None:
    matched = attempts_matched(large, facts)
    assert matched["found"].is_null().mean() < 0.05
    judged = matched.drop_nulls("found")
    assert 0.85 < (judged["found"] == judged["outcome"]).mean() < 1
    drills = judged.filter("drill")
    assert (drills["found"] == "drill").all()
    assert judged.drop_nulls("storm")["stitched_storm"].is_not_null().mean() > 0.9


def test_stitching_finds_most_failures_and_blames_few_others(large: History, facts: dict[str, pl.DataFrame]) -> None:
    blamed = facts["deployments"].filter("production", pl.col("failed_final").is_in(["certain", "likely"]))["id"]
    failed = large.truth["failures"]["deployment"]
    both = blamed.is_in(failed.implode()).sum()
    assert 0.8 < both / failed.len() < 1
    assert 0.8 < both / blamed.len() < 1


def test_stitched_minutes_are_near_the_true_ones(large: History, facts: dict[str, pl.DataFrame]) -> None:
    true = large.truth["incidents"].select(id="incident", true=minutes("recovered", "started"))
    both = facts["incidents"].filter(~pl.col("planned"), ~pl.col("open"), pl.col("started_at_source") == "declared").join(true, on="id")
    off = both.select((pl.col("whole").dt.total_microseconds() / MINUTE / pl.col("true")).log().abs())["whole"].drop_nulls()
    assert both.height > 300
    assert off.median() < 0.01
    assert (off > 0.1).mean() < 0.2


# Plausible


def test_rates_are_those_of_a_working_organisation(large: History) -> None:
    shipped = releases(large).height
    attempts = at_deploy_level(large)
    assert 0.09 < large.truth["failures"].height / shipped < 0.15
    assert 0.035 < attempts["undoes"].n_unique() / shipped < 0.08
    assert 0.74 < (attempts["outcome"] == "succeeded").mean() < 0.88


def test_the_minutes_are_those_of_people(large: History) -> None:
    incidents = large.truth["incidents"].filter(~pl.col("planned") & pl.col("duplicate_of").is_null())
    assert 5 < incidents.select(minutes("detected", "started").median()).item() < 15
    assert 10 < incidents.select(minutes("decided", "detected").median()).item() < 20
    assert 5 < incidents.select(minutes("recovered", "decided").median()).item() < 20


def test_internal_services_fail_more_than_critical_ones(large: History) -> None:
    classes = large.records["owner"].unique("service", keep="last").select("service", "class")
    shipped = releases(large).join(classes, on="service").group_by("class").len()
    failed = large.truth["failures"].join(classes, on="service").group_by("class").len()
    rate = dict(shipped.join(failed, on="class").select("class", pl.col("len_right") / pl.col("len")).iter_rows())
    assert rate["critical"] < rate["internal"]


def test_people_ship_on_working_days(large: History) -> None:
    at = releases(large)["queued_at"]
    assert (at.dt.weekday() >= 6).mean() < 0.06
    assert at.dt.hour().is_between(7, 20).mean() > 0.9
    quiet = at.filter((at.dt.month() == 12) & (at.dt.day() >= 20)).len() / 2
    assert quiet < at.len() / 730 * 12 * 0.6


# Any size


def test_a_history_may_be_tiny() -> None:
    history = synthesize(seed=1, services=1, months=1, telemetry_share=1.0)
    assert history.records["deployment"]["service"].unique().to_list() == ["checkout"]
    assert history.records["deployment"]["started_at"].min() >= datetime(2026, 6, 1, tzinfo=UTC)


def test_nobody_asks_for_nothing() -> None:
    with pytest.raises(ValueError, match="At least one service"):
        synthesize(services=0)


def test_more_services_than_names_are_numbered() -> None:
    history = synthesize(seed=1, services=20, months=1, telemetry_share=0.0)
    assert {"checkout", "checkout-2", "search-2"} <= set(history.records["deployment"]["service"])


def test_big_has_the_shape_that_benchmarks_need() -> None:
    began = time.perf_counter()
    records = big(200_000)
    assert time.perf_counter() - began < 20
    deployments, incidents = records["deployment"], records["incident"]
    assert list(records) == list(RECORDS)
    assert all(dict(table.schema) == schema_of(record) for record, table in records.items())
    assert deployments.height == 200_000
    assert deployments["service"].n_unique() == 100
    assert deployments["source_id"].is_unique().all()
    assert 0.007 < incidents.height / deployments.height < 0.013
    assert incidents.filter(pl.col("mitigated_at") < pl.col("started_at")).height == 0


def test_big_rolls_back_to_the_version_before() -> None:
    deployments = big(20_000)["deployment"].sort("service", "started_at")
    assert deployments.filter(pl.col("finished_at") < pl.col("started_at")).height == 0
    number = pl.col("version").str.slice(1).cast(pl.Int64)
    step = deployments.select("service", step=number - number.shift().over("service")).drop_nulls()["step"]
    back = (step == -1).mean()
    assert 0.025 < back < 0.035
    # A rollback to the one before, the next release, or the first release after a rollback: nothing else.
    assert set(step) == {-1, 1, 2}


def test_big_is_the_same_every_time() -> None:
    one, two, other = big(5_000, seed=1), big(5_000, seed=1), big(5_000, seed=2)
    assert one["deployment"].equals(two["deployment"])
    assert one["incident"].equals(two["incident"])
    assert not one["deployment"].equals(other["deployment"])


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_big_may_be_small(n: int) -> None:
    assert big(n)["deployment"].height == n
