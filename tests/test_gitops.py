"""Source gitops: what a repository of versions says about deployments, on repositories built here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest import engine, pages
from ingest.report import RunReport
from ingest.sources import gitops
from tests.repositories import Repository, at
from toolkit.errors import KnowngoodError
from toolkit.metrics import measure
from toolkit.publish import publish
from toolkit.workspace import Workspace

BOT = "shop-ci[bot] <ci@example.org>"


class Site:
    """A workspace whose one source reads the repository beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = Repository(root / "ops")
        Workspace.init(root, published_key=True)
        self.reads(files='"apps/{environment}/{service}.yaml"')

    def reads(self, **options: str) -> None:
        """Write the settings; values are TOML."""
        lines = [f"{name} = {value}" for name, value in {"kind": '"gitops"', "path": '"ops"', **options}.items()]
        (self.root / "knowngood.toml").write_text("[sources.ops]\n" + "\n".join(lines) + "\n")

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    def sync(self) -> list[RunReport]:
        return engine.sync(self.workspace)

    def synced(self) -> list[RunReport]:
        reports = self.sync()
        assert [report.error for report in reports if report.error] == []
        return reports

    def deployments(self, *columns: str) -> list[Any]:
        rows = self.workspace.ledger.read("deployments").sort("finished_at", "service", "environment")
        found = rows.select(columns or ("service", "environment", "version")).rows()
        return [row[0] for row in found] if len(columns) == 1 else found

    def coverage(self) -> list[tuple[str, Any, Any, bool]]:
        return self.workspace.ledger.coverage().select("stream", "start", "end", "gap").rows()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "ops")


def found(repo: Repository, *fields: str, files: str | list[str] = "apps/{environment}/{service}.yaml", **options: Any) -> list[Any]:
    """What the source says of deployments, without a workspace."""
    rows = [row for page in gitops.read(None, path=str(repo.path), files=files, **options) for row in page.records["deployment"]]
    return [tuple(row[field] for field in fields) if len(fields) > 1 else row[fields[0]] for row in rows]


def tag(version: str) -> str:
    return f"image:\n  tag: {version}\n"


def test_each_merge_that_changes_a_version_is_a_deployment(site: Site) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1"), "apps/staging/shop.yaml": tag("v1")})
    site.repo.commit("01-05 11:00", {"apps/staging/shop.yaml": tag("v2"), "README": "words"})
    site.repo.commit("01-05 12:00", {"apps/production/shop.yaml": tag("v1") + "replicas: 3\n"})
    bad = site.repo.commit("01-05 13:00", {"apps/production/shop.yaml": tag("v2")})
    site.repo.commit("01-05 13:20", {"apps/production/shop.yaml": tag("v1")})
    site.synced()
    assert site.deployments("finished_at", "service", "environment", "version") == [
        (at("01-05 10:00"), "shop", "production", "v1"),
        (at("01-05 10:00"), "shop", "staging", "v1"),
        (at("01-05 11:00"), "shop", "staging", "v2"),
        (at("01-05 13:00"), "shop", "production", "v2"),
        (at("01-05 13:20"), "shop", "production", "v1"),
    ]
    publish(site.workspace)
    (rollback,) = site.workspace.facts.rollbacks.collect().iter_rows(named=True)
    assert rollback["undoes"] == f"production/shop@{bad[:12]}"
    assert rollback["time_on_bad"].total_seconds() == 20 * 60


def test_the_time_of_the_merge_is_when_it_was_finished_and_no_commit_time(site: Site) -> None:
    site.repo.commit("01-05 09:00", {"apps/production/shop.yaml": tag("v1")})
    site.repo.git("switch", "--quiet", "--create", "bump")
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v2")})
    site.repo.git("switch", "--quiet", "main")
    merged = site.repo.merge("01-06 15:00", "bump")
    site.synced()
    columns = ("finished_at", "started_at", "committed_at", "inferred_by", "evidence")
    assert site.deployments(*columns)[1] == (
        at("01-06 15:00"), None, None, "derived:gitops_merge", [merged, "apps/production/shop.yaml"],
    )  # fmt: skip


def test_what_a_branch_tried_out_before_its_merge_was_never_deployed(repo: Repository) -> None:
    repo.commit("01-05 09:00", {"apps/production/shop.yaml": tag("v1")})
    repo.git("switch", "--quiet", "--create", "bump")
    for minute, version in enumerate(("v3", "v2", "v3", "v2")):
        repo.commit(f"01-05 10:0{minute}", {"apps/production/shop.yaml": tag(version)})
    repo.git("switch", "--quiet", "main")
    repo.merge("01-05 11:00", "bump")
    assert found(repo, "version") == ["v1", "v2"]


def test_a_squashed_and_a_rebased_change_count_once_as_well(repo: Repository) -> None:
    repo.commit("01-05 09:00", {"apps/production/shop.yaml": tag("v1")})
    repo.git("switch", "--quiet", "--create", "bump")
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v2")})
    repo.git("switch", "--quiet", "main")
    repo.git("cherry-pick", "bump", when=at("01-05 11:00"))
    assert found(repo, "version", "finished_at") == [("v1", at("01-05 09:00")), ("v2", at("01-05 11:00"))]


LAYOUTS = {
    "Helm values": "image:\n  repository: ghcr.io/acme/shop\n  tag: v7\n",
    "kustomize": "kind: Kustomization\nimages:\n- name: shop\n  newName: ghcr.io/acme/shop\n  newTag: v7\n",
    "Flux HelmRelease": "kind: HelmRelease\nspec:\n  chart:\n    spec:\n      chart: shop\n      version: v7\n",
    "Flux values": "kind: HelmRelease\nspec:\n  values:\n    image: {tag: v7}\n",
    "a Deployment": "spec:\n  template:\n    spec:\n      containers:\n      - name: shop\n        image: ghcr.io/acme/shop:v7\n",
    "a key": "image_tag: v7\nautomatic_deploys_enabled: true\n",
    "several documents": "kind: Service\n---\nimage: ghcr.io:443/acme/shop:v7\n",
    "an anchor": "default: &default\n  tag: v7\nimage:\n  <<: *default\n  pullPolicy: Always\n",
    "JSON": '{"image": {"tag": "v7"}}',
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_usual_places_of_a_version_are_known(repo: Repository, layout: str) -> None:
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": LAYOUTS[layout]})
    assert found(repo, "service", "environment", "version") == [("shop", "production", "v7")]


ONE_FILE = """\
apps:
  shop: {image: {tag: v1}}
  cart: {image: {tag: v2}}
images:
  - name: mail
    newTag: v3
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"version": "apps.{service}.image.tag"}, [("cart", "v2"), ("shop", "v1")]),
        ({"version": "images.mail.newTag", "service": "post"}, [("post", "v3")]),
        ({"version": "images.{service}.newTag"}, [("mail", "v3")]),
        ({"version": "$.apps.cart.image.tag"}, [("ops", "v2")]),
        ({"version": """$.images[?@.name == "mail"].newTag"""}, [("ops", "v3")]),
        ({"version": ["nowhere.tag", "apps.shop.image.tag"]}, [("ops", "v1")]),
        ({"pattern": "newTag: *(.+)$"}, [("ops", "v3")]),
        ({"pattern": "(?P<service>\\w+): .*tag: (?P<version>v\\d)"}, [("cart", "v2"), ("shop", "v1")]),
        # Whatever of them changes, the service runs something else.
        ({"version": "apps.*.image.tag"}, [("ops", "v1,v2")]),
    ],
)
def test_a_version_is_found_by_key_jsonpath_or_pattern(repo: Repository, options: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    repo.commit("01-05 10:00", {"all.yaml": ONE_FILE})
    assert sorted(found(repo, "service", "version", files="all.yaml", **options)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("apps/{environment}/{service}.yaml", [("cart", "staging"), ("shop", "production")]),
        ("apps/production/*.yaml", [("ops", "production")]),
        (["apps/production/{service}.yaml", "deep/**/{environment}.yaml"], [("ops", "live"), ("shop", "production")]),
        ("^apps/(?P<environment>prod)uction/(?P<service>.+)[.]yaml$", [("shop", "prod")]),
        (r"^(?P<service>cart|shop)-values/(?P<environment>\w+)", [("cart", "eu")]),
        ("{service}-values/{environment}.yaml", [("cart", "eu")]),
    ],
)
def test_the_path_says_service_and_environment(repo: Repository, files: str | list[str], expected: list[tuple[str, str]]) -> None:
    paths = ["apps/production/shop.yaml", "apps/staging/cart.yaml", "deep/er/live.yaml", "cart-values/eu.yaml"]
    repo.commit("01-05 10:00", {path: tag("v1") for path in paths})
    assert sorted(found(repo, "service", "environment", files=files)) == expected


def test_a_version_is_text_and_never_a_number(repo: Repository) -> None:
    for minute, version in enumerate(("1.1", "1.10", "0123", "1e3", "2026-01-01", "yes")):
        repo.commit(f"01-05 10:0{minute}", {"apps/production/shop.yaml": tag(version)})
    assert found(repo, "version") == ["1.1", "1.10", "0123", "1e3", "2026-01-01", "yes"]


def test_an_image_names_its_digest_and_its_tag(repo: Repository) -> None:
    digest, revision = "sha256:" + "a" * 64, "b" * 40
    images = [f"acme/shop:v1@{digest}", f"localhost:5000/shop@{digest}", digest, revision, "localhost:5000/shop:v2"]
    for minute, image in enumerate(images):
        repo.commit(f"01-05 10:0{minute}", {"apps/production/shop.yaml": f'image: "{image}"\n'})
    assert found(repo, "version", "artifact_digest", "vcs_revision") == [
        ("v1", digest, None),
        (None, digest, None),
        (None, digest, None),
        (revision, None, revision),
        ("v2", None, None),
    ]


def test_floating_tags_identify_nothing(site: Site) -> None:
    for minute, version in enumerate(("v1", "latest", "v1", "stable", "main")):
        site.repo.commit(f"01-05 10:0{minute}", {"apps/production/shop.yaml": tag(version)})
    site.synced()
    publish(site.workspace)
    facts = site.workspace.facts
    assert facts.deployments.collect()["kind"].to_list() == ["release", "unknown", "unknown", "unknown", "unknown"]
    assert facts.rollbacks.collect().is_empty()


def test_a_file_that_moves_or_goes_deploys_nothing(repo: Repository) -> None:
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1"), "apps/production/cart.yaml": tag("v1")})
    repo.commit("01-05 11:00", {"apps/production/shop.yaml": None, "new/production/shop/values.yaml": tag("v1")})
    repo.commit("01-05 12:00", {"apps/production/cart.yaml": None})
    assert sorted(
        found(repo, "service", "finished_at", files=["apps/{environment}/{service}.yaml", "new/{environment}/{service}/values.yaml"])
    ) == [("cart", at("01-05 10:00")), ("shop", at("01-05 10:00"))]


def test_a_file_that_cannot_be_read_holds_no_version_and_stops_no_other(repo: Repository) -> None:
    broken = "{{ if .Values.x }}\nimage: [\n{{ end }}\n"
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1"), "apps/production/cart.yaml": broken})
    assert found(repo, "service") == ["shop"]


def test_two_machines_that_disagree_are_a_race_and_no_rollback(site: Site) -> None:
    site.reads(files='"apps/{environment}/{service}.yaml"', bots='["[bot]"]')
    for when, version in (("01-05 10:00", "v1"), ("01-06 10:00", "v2"), ("01-06 10:02", "v1"), ("01-06 10:03", "v3")):
        site.repo.commit(when, {"apps/production/shop.yaml": tag(version)}, by=BOT)
    site.synced()
    publish(site.workspace)
    rollbacks = site.workspace.facts.rollbacks.collect()
    assert rollbacks.select("started_at", "trigger", "race").rows() == [(at("01-06 10:02"), "auto", True)]


def test_who_is_a_program_is_said_by_a_part_of_its_name(site: Site) -> None:
    people = {"v1": BOT, "v2": "Ann <ann@example.org>", "v3": "GOV CI <gov-ci@example.org>"}
    for hour, (version, author) in enumerate(people.items()):
        site.repo.commit(f"01-05 1{hour}:00", {"apps/production/shop.yaml": tag(version)}, by=author)
    site.synced()
    assert site.deployments("trigger") == ["auto", None, None]
    site.reads(files='"apps/{environment}/{service}.yaml"', bots='["[bot]", "GOV-CI@"]')
    site.synced()
    assert site.deployments("trigger") == ["auto", "manual", "auto"]
    assert all(actor.startswith("person-") for actor in site.deployments("actor"))


def test_a_freeze_is_a_switch_turned_off_beside_the_version(site: Site) -> None:
    site.reads(files='"apps/{environment}/{service}"', version='"image_tag"', switch='"automatic_deploys_enabled"')
    for when, text in {
        "01-05 10:00": "image_tag: v1\n",
        "01-05 11:00": "image_tag: v1\nautomatic_deploys_enabled: true\n",
        "01-05 12:00": "image_tag: v0\nautomatic_deploys_enabled: false\n",
        "01-06 12:00": "image_tag: v2\nautomatic_deploys_enabled: true\n",
    }.items():
        site.repo.commit(when, {"apps/production/shop": text})
    site.synced()
    assert site.deployments("version") == ["v1", "v0", "v2"]
    changes = site.workspace.ledger.read("flag_changes").sort("at")
    assert changes.select("at", "service", "flag", "action", "before", "after", "kill_switch").rows() == [
        (at("01-05 12:00"), "shop", "automatic_deploys_enabled", "off", "true", "false", False),
        (at("01-06 12:00"), "shop", "automatic_deploys_enabled", "on", "false", "true", False),
    ]
    publish(site.workspace)
    # It keeps machines out; it gets nobody back.
    assert site.workspace.facts.rollbacks.collect().is_empty()


def test_a_second_sync_brings_what_is_new_and_only_that(site: Site) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    assert [(report.record, report.new) for report in site.synced()] == [("deployment", 1)]
    site.repo.commit("01-05 11:00", {"apps/production/shop.yaml": tag("v2")})
    assert [(report.record, report.read, report.new) for report in site.synced()] == [("deployment", 1, 1)]
    before = site.workspace.ledger.digest()
    assert [report.skipped for report in site.synced()] == [True]
    assert site.workspace.ledger.digest() == before


def test_a_sync_that_is_killed_goes_on_where_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in range(6):
        site.repo.commit(f"01-05 10:0{minute}", {"apps/production/shop.yaml": tag(f"v{minute}")})
    monkeypatch.setattr(gitops, "COMMITS_A_PAGE", 1)
    monkeypatch.setattr(pages, "FLUSH_ROWS", 2)
    flushed: list[int] = []
    flush = pages._flush

    def dying(*args: Any) -> None:
        flush(*args)
        flushed.append(1)
        if len(flushed) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pages, "_flush", dying)
    with pytest.raises(KeyboardInterrupt):
        site.sync()
    assert site.deployments("version") == ["v0", "v1", "v2", "v3"]
    assert [report.read for report in site.synced()] == [2]
    assert site.deployments("version") == [f"v{minute}" for minute in range(6)]


def test_history_that_was_pushed_over_is_read_again_and_leaves_a_gap(site: Site) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    kept = site.repo.commit("01-06 10:00", {"apps/production/shop.yaml": tag("v2")})
    site.repo.commit("01-07 10:00", {"apps/production/shop.yaml": tag("v3")})
    site.synced()
    site.repo.git("reset", "--quiet", "--hard", kept)
    site.repo.commit("01-08 10:00", {"apps/production/shop.yaml": tag("v4")})
    site.synced()
    assert site.deployments("version") == ["v1", "v2", "v3", "v4"]
    assert site.coverage() == [
        ("deployments", at("01-05 10:00"), at("01-08 10:00"), False),
        ("deployments", at("01-06 10:00"), at("01-07 10:00"), True),
    ]
    assert [report.skipped for report in site.synced()] == [True]


def test_over_such_a_gap_a_number_is_unknown_and_not_small(site: Site) -> None:
    kept = site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    site.repo.commit("01-06 10:00", {"apps/production/shop.yaml": tag("v2")})
    site.repo.commit("01-07 10:00", {"apps/production/shop.yaml": tag("v3")})
    site.synced()
    site.repo.git("reset", "--quiet", "--hard", kept)
    site.repo.commit("01-20 10:00", {"apps/production/shop.yaml": tag("v4")})
    site.synced()
    publish(site.workspace)
    weeks = measure(site.workspace, "deployment_frequency", every="1w").select("value", "note").rows()
    assert weeks[0][0] is None
    assert weeks[-1][0] is not None


def test_a_branch_that_was_set_back_leaves_a_gap_though_nothing_is_new(site: Site) -> None:
    kept = site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    site.repo.commit("01-06 10:00", {"apps/production/shop.yaml": tag("v2")})
    site.synced()
    site.repo.git("reset", "--quiet", "--hard", kept)
    assert [report.skipped for report in site.synced()] == [True]
    assert [row for row in site.coverage() if row[3] and row[0] == "deployments"] == [
        ("deployments", at("01-05 10:00"), at("01-06 10:00"), True)
    ]


def test_a_history_that_was_replaced_as_a_whole_is_a_gap_as_a_whole(site: Site, tmp_path: Path) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    site.repo.commit("01-06 10:00", {"apps/production/shop.yaml": tag("v2")})
    site.synced()
    (tmp_path / "ops").rename(tmp_path / "old")
    again = Repository(tmp_path / "ops")
    again.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1"), "more": "said"})
    again.commit("01-09 10:00", {"apps/production/shop.yaml": tag("v5")})
    site.synced()
    assert "v5" in site.deployments("version")
    assert [row[1:] for row in site.coverage() if row[0] == "deployments"] == [
        (at("01-05 10:00"), at("01-09 10:00"), False),
        (at("01-05 10:00"), at("01-06 10:00"), True),
    ]


def test_covered_is_from_the_first_version_to_the_last_commit_of_any_kind(site: Site) -> None:
    site.repo.commit("01-01 10:00", {"README": "words"})
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    site.repo.commit("01-09 10:00", {"README": "other words"})
    site.synced()
    assert site.coverage() == [("deployments", at("01-05 10:00"), at("01-09 10:00"), False)]


def test_a_kind_of_which_nothing_came_is_covered_all_the_same_where_it_was_looked_for(site: Site) -> None:
    site.reads(files='"apps/{environment}/{service}.yaml"', switch='"automatic"')
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    site.synced()
    # Later syncs that bring one kind only move both: the horizon is where the last stream ends.
    site.repo.commit("01-10 10:00", {"apps/production/shop.yaml": tag("v2")})
    site.synced()
    assert {row[2] for row in site.coverage()} == {at("01-10 10:00")}


def test_a_shallow_clone_begins_where_it_was_cut(repo: Repository, tmp_path: Path) -> None:
    for day in (5, 6, 7):
        repo.commit(f"01-0{day} 10:00", {"apps/production/shop.yaml": tag(f"v{day}"), "apps/production/cart.yaml": tag("v1")})
    cut = Repository(tmp_path / "cut")
    cut.git("fetch", "--quiet", "--depth=2", f"file://{repo.path}", "main:main", "--update-head-ok")
    # That every file came with the commit at the cut is not true.
    assert found(cut, "service", "version") == [("shop", "v7")]


def test_a_source_that_was_of_another_kind_begins_anew(repo: Repository) -> None:
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    pages = gitops.read({"files": {}}, path=str(repo.path), files="apps/{environment}/{service}.yaml")
    assert [row["version"] for page in pages for row in page.records["deployment"]] == ["v1"]


def test_options_that_changed_read_everything_anew(site: Site) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": "image:\n  tag: v1\nchart: c1\n"})
    site.synced()
    site.reads(files='"apps/{environment}/{service}.yaml"', version='"chart"')
    assert [(report.read, report.changed) for report in site.synced()] == [(1, 1)]
    assert site.deployments("version") == ["c1"]
    assert not any(row[3] for row in site.coverage())


def test_another_branch_can_be_read(repo: Repository) -> None:
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    repo.git("switch", "--quiet", "--create", "env/production")
    repo.commit("01-05 11:00", {"apps/production/shop.yaml": tag("v2")})
    repo.git("switch", "--quiet", "main")
    assert found(repo, "version", branch="env/production") == ["v1", "v2"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"files": "elsewhere/{service}.yaml"}, "matches elsewhere/{service}.yaml"),
        ({"version": "chart.version"}, "1 files in"),
        ({"files": "apps/{team}.yaml"}, "{team}"),
        ({"files": "^apps/("}, "no regular expression"),
        ({"pattern": "tag"}, "has no group"),
        ({"pattern": "("}, "no regular expression"),
        ({"version": "$.["}, "no JSONPath"),
        ({"version": "a..b"}, "empty part"),
        ({"version": "a", "pattern": "(a)"}, "Keep one"),
        ({"branch": "trunk"}, "no branch 'trunk'"),
        ({"branch": "--all"}, "no branch '--all'"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(repo: Repository, options: dict[str, Any], said: str) -> None:
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    with pytest.raises(KnowngoodError) as error:
        found(repo, "version", **options)
    assert said in error.value.message


def test_settings_that_are_no_option_are_named_and_stop_no_other_source(site: Site) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")})
    for options, said in (
        ({"file": '"apps/**"'}, "[sources.ops]"),
        ({}, "files"),
        ({"files": '"x"', "path": '"nowhere"'}, "no git repository"),
    ):
        site.reads(**options)
        (report,) = site.sync()
        assert said in report.error
        assert report.exit_code in (2, 3)


def test_a_version_becomes_a_record_without_a_repository() -> None:
    item = {
        "commit": "c" * 40,
        "at": at("01-05 10:00"),
        "path": "a",
        "service": "shop",
        "environment": "prod",
        "value": "v1",
        "trigger": None,
    }
    assert gitops.to_deployment(item)["source_id"] == "prod/shop@cccccccccccc"


def test_raw_keeps_the_line_and_no_name(site: Site) -> None:
    site.repo.commit("01-05 10:00", {"apps/production/shop.yaml": tag("v1")}, by="Ann Example <ann@example.org>")
    (page, _) = gitops.read(None, root=site.root, path="ops", files="apps/{environment}/{service}.yaml")
    (item,) = page.raw
    assert item["value"] == "v1"
    assert "Ann" not in str(page.raw)
    assert page.records["deployment"][0]["actor"] == "Ann Example <ann@example.org>"
