"""A repository may be anybody's: reading it runs nothing that it asks for, and nothing in it stops the rest from being read."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest import engine
from ingest.gitlog import Clone
from ingest.manifests import Manifest, by_key
from ingest.sources import git, gitops
from tests.repositories import Repository
from toolkit.errors import DataError
from toolkit.workspace import Workspace

FILES = "apps/{environment}/{service}.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "ops")
    repo.commit("01-05 10:00", {"apps/production/shop.yaml": "tag: v1\n"})
    return repo


def versions(repo: Repository, **options: Any) -> list[tuple[str, str]]:
    """Read by both sources; what gitops found."""
    list(git.read(None, path=str(repo.path)))
    pages = gitops.read(None, path=str(repo.path), files=FILES, **options)
    return [(row["service"], row["version"]) for page in pages for row in page.records["deployment"]]


# Settings of a repository that make git start a program of its choice, and a plain command that proves it for each.
PROGRAMS: dict[str, tuple[dict[str, str], list[str] | None]] = {
    "a file system monitor": ({"core.fsmonitor": "{touch}"}, ["status"]),
    "a program to verify signatures with": ({"gpg.program": "{touch}", "log.showSignature": "true"}, ["log", "-1"]),
    "a program to show differences with": ({"diff.external": "{touch}"}, ["log", "-1", "-p", "--ext-diff"]),
    "a driver for files": ({"diff.evil.command": "{touch}"}, ["diff", "--ext-diff", "HEAD~1", "HEAD"]),
    "a converter for files": ({"diff.evil.textconv": "{touch}"}, ["log", "-1", "-p"]),
    "a filter for files": ({"filter.evil.smudge": "{touch}", "filter.evil.clean": "{touch}"}, ["checkout", "HEAD~1", "--", "."]),
    "a pager": ({"core.pager": "{touch}", "pager.log": "{touch}"}, ["-p", "log", "-1"]),
    "another name for a command": ({"alias.rev-list": "!{touch}", "alias.evil": "!{touch}"}, ["evil"]),
    "hooks": ({"core.hooksPath": "{hooks}"}, ["checkout", "--detach"]),
    "an editor and a helper": ({"core.editor": "{touch}", "credential.helper": "!{touch}", "core.askPass": "{touch}"}, None),
    "a command for a trailer": ({"trailer.evil.command": "{touch}", "trailer.evil.cmd": "{touch}"}, None),
}


@pytest.mark.parametrize("trap", PROGRAMS)
def test_a_program_that_the_settings_name_is_not_started(repo: Repository, tmp_path: Path, trap: str) -> None:
    settings, proof = PROGRAMS[trap]
    repo.git("config", "user.signingkey", "x")
    repo.commit("01-05 11:00", {"apps/production/shop.yaml": "tag: v2\n", ".gitattributes": "* diff=evil filter=evil\n"})
    _sign_last_commit(repo)
    marker = tmp_path / "started"
    script = tmp_path / "touch.sh"
    script.write_text(f"#!/bin/sh\ntouch '{marker}'\ncat \"$@\" 2>/dev/null\nexit 0\n")
    script.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / hook).symlink_to(script)
        (repo.path / ".git/hooks" / hook).unlink(missing_ok=True)
        (repo.path / ".git/hooks" / hook).symlink_to(script)
    for name, value in settings.items():
        repo.git("config", name, value.format(touch=script, hooks=hooks))
    marker.unlink(missing_ok=True)
    assert versions(repo) == [("shop", "v1"), ("shop", "v2")]
    assert not marker.exists()
    # The trap is a real one: git without care walks into it.
    if proof is not None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm"}
        # A pager starts on a terminal only.
        master, terminal = os.openpty()
        subprocess.run(["git", *proof], cwd=repo.path, env=environment, stdout=terminal, stderr=terminal, check=False, timeout=30)
        os.close(terminal)
        os.close(master)
        assert marker.exists()


def _sign_last_commit(repo: Repository) -> None:
    """A signature that nobody made: it takes a program to tell."""
    text = repo.git("cat-file", "commit", "HEAD")
    head, message = text.split("\n\n", 1)
    signed = f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n{message}\n"
    sha = repo.git("hash-object", "-t", "commit", "-w", "--stdin", data=signed.encode())
    repo.git("update-ref", "refs/heads/main", sha)


def test_a_clone_that_lacks_contents_asks_nobody_for_them(repo: Repository, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    repo.git("config", "uploadpack.allowFilter", "true")
    part = tmp_path / "part"
    repo.git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{repo.path}", str(part))
    for name, value in {
        "remote.origin.uploadpack": f"touch {marker};",
        "remote.origin.url": f"ext::touch {marker}",
        "protocol.ext.allow": "always",
        "protocol.file.allow": "always",
        "core.sshCommand": f"touch {marker};",
    }.items():
        subprocess.run(["git", "-C", str(part), "config", name, value], check=True)
    with pytest.raises(DataError, match="lacks the contents|cannot read"):
        list(gitops.read(None, path=str(part), files=FILES))
    assert not marker.exists()
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(
        ["git", "-C", str(part), "cat-file", "-p", "HEAD:apps/production/shop.yaml"], env=environment, capture_output=True, check=False
    )
    assert marker.exists()


def test_what_the_caller_has_set_for_git_points_nowhere_else(repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Repository(tmp_path / "other")
    other.commit("01-05 10:00", {"apps/production/shop.yaml": "tag: wrong\n"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "nonsense")
    assert versions(repo) == [("shop", "v1")]


ODD_NAMES = [
    "new\nline",
    "tab\there",
    "\x1b[31mred",
    'quo"te',
    "back\\slash",
    "über",
    "sp ace",
    "-n",
    ":(glob)magic",
    "*",
    "$(touch started)",
    "\u202egnp.exe",
    "=HYPERLINK(1)",
    ":100644 100644 aaaa bbbb M",
]


def test_names_of_files_are_text_whatever_they_hold(repo: Repository) -> None:
    repo.commit("01-05 11:00", {f"apps/production/{name}.yaml": "tag: v1\n" for name in ODD_NAMES})
    assert sorted(service for service, _ in versions(repo)) == sorted([*ODD_NAMES, "shop"])


def test_bytes_that_are_no_text_become_signs_of_replacement(repo: Repository) -> None:
    (Path(os.fsdecode(bytes(repo.path) + b"/apps/production/\xff\xfe.yaml"))).write_bytes(b"tag: v\xff\n")
    sha = repo.commit("01-05 11:00", {}, "Subject")
    text = (
        repo.git("cat-file", "commit", sha).encode().replace(b"Subject", b'Revert "\xff\xfe"\x01').replace(b"Ann Example", b"A\xff\x1b[31m")
    )
    repo.git("update-ref", "refs/heads/main", repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", data=text + b"\n"))
    assert versions(repo) == [("shop", "v1"), ("��", "v�")]
    assert [row["reason"] for page in git.read(None, path=str(repo.path)) for row in page.records["rollback"]] == ['Revert "��"\x01']


def test_a_file_that_is_huge_or_no_text_holds_no_version(repo: Repository, tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
    )
    odd: dict[str, str | bytes] = {
        "huge": "tag: v2\n" + "x" * (30 << 20),
        "binary": bytes(range(256)) * 1000,
        "deep": "[" * 300_000,
        "deeper": "- " * 100_000,
        "maps": "{a: " * 100_000,
        "bomb": bomb + "tag: v2\n",
        "long": "tag: " + "v" * 100_000 + "\n",
        "itself": "a: &a [*a]\ntag: v2\n",
    }
    repo.commit("01-05 11:00", {f"apps/production/{name}.yaml": text for name, text in odd.items()})
    (tmp_path / "knowngood.toml").write_text(f'[sources.ops]\nkind = "gitops"\npath = "ops"\nfiles = "{FILES}"\nversion = "tag"\n')
    reports = engine.sync(Workspace(tmp_path))
    # A version of 100,000 letters is kept aside, with the reason.
    assert [(report.new, report.quarantined, report.error) for report in reports] == [(2, 1, None)]
    found = Workspace(tmp_path).ledger.read("deployments")
    assert sorted(zip(found["service"], found["version"], strict=True)) == [("itself", "v2"), ("shop", "v1")]


@pytest.mark.parametrize("path", ["$..tag", "$..*", "*.*.*.*.*.*.tag", "{service}.{service}.{service}.tag"])
def test_no_text_makes_a_search_take_long(path: str) -> None:
    wide = "x: &x {" + ", ".join(f"k{n}: {{tag: v}}" for n in range(300)) + "}\n" + "".join(f"y{n}: *x\n" for n in range(500))
    began = time.process_time()
    by_key(path)(Manifest(wide))
    assert time.process_time() - began < 5


def test_submodules_and_links_hold_no_version(repo: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    other.commit("01-05 10:00", {"apps": "tag: wrong\n"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "apps/production/module.yaml")
    (repo.path / "apps/production/link.yaml").symlink_to("tag: wrong")
    repo.commit("01-05 11:00", {"apps/production/cart.yaml": "tag: v1\n"})
    assert versions(repo) == [("shop", "v1"), ("cart", "v1")]


@pytest.mark.parametrize("clock", ["0", "99999999999999", "4102444800", "-5"])
def test_a_clock_that_is_wrong_sets_no_horizon(repo: Repository, tmp_path: Path, clock: str) -> None:
    sha = repo.commit("01-05 11:00", {"apps/production/shop.yaml": "tag: v2\n"})
    text = repo.git("cat-file", "commit", sha)
    head, message = text.split("\n\n", 1)
    lines = [f"committer X <x@example.org> {clock} +0000" if line.startswith("committer") else line for line in head.splitlines()]
    odd = "\n".join(lines) + f"\n\n{message}\n"
    repo.git("update-ref", "refs/heads/main", repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", data=odd.encode()))
    (tmp_path / "knowngood.toml").write_text(f'[sources.ops]\nkind = "gitops"\npath = "ops"\nfiles = "{FILES}"\n')
    (report,) = engine.sync(Workspace(tmp_path))
    assert (report.new, report.quarantined) == (1, 1)
    for end in Workspace(tmp_path).ledger.coverage()["end"]:
        assert end <= datetime.now(end.tzinfo)


def _broken(repo: Repository, how: str) -> None:
    if how == "objects":
        for file in (repo.path / ".git/objects").rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"\x1b[31mnonsense")
    elif how == "config":
        (repo.path / ".git/config").write_text("[core\n\x1b[31m")
    else:
        (repo.path / ".git/HEAD").write_text("ref: refs/heads/\x1b[31m\n")


@pytest.mark.parametrize("how", ["objects", "config", "head"])
def test_a_broken_repository_is_refused_in_words_that_steer_no_terminal(repo: Repository, how: str) -> None:
    _broken(repo, how)
    with pytest.raises(DataError) as error:
        versions(repo)
    assert error.value.message.isprintable()


def test_a_reader_that_stops_early_leaves_no_git_behind(repo: Repository) -> None:
    for minute in range(3):
        repo.commit(f"01-05 11:0{minute}", {"apps/production/shop.yaml": f"tag: v{minute}\n"})
    walk = Clone(repo.path).walk(["HEAD"], under=["apps"])
    next(walk)
    walk.close()
    before = _children()
    assert not [child for child in before if "git" in child]


def _children() -> list[str]:
    listed = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True, check=False).stdout
    return listed.split()
