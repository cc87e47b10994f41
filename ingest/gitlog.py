"""Read a clone's history through git, which is told to run nothing that the clone asks for."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

from toolkit.errors import DataError

__all__ = ["Change", "Clone", "Commit", "Tag"]

# Only plumbing is called, which reads neither attributes nor drivers; all the same, what could start a program is named here.
_OPTIONS = [
    "--no-pager", "--literal-pathspecs", "-c", "core.quotePath=false", "-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null",
    "-c", "core.pager=cat", "-c", "diff.external=", "-c", "log.showSignature=false", "-c", "gpg.program=false",
    "-c", "protocol.allow=never", "-c", "submodule.recurse=false", "-c", "safe.directory=*", "-c", "core.bigFileThreshold=1m",
    "-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=64m", "-c", "core.deltaBaseCacheLimit=32m",
]  # fmt: skip
# Nothing of the caller's: inside a hook of another repository GIT_DIR and its like are set.
_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # A clone that lacks objects may name a remote to bring them, and a program to ask it with.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "LC_ALL": "C",
}
# Of the commit behind an annotated tag; empty where it is something else.
_TAGGED = ("if:equals=commit)%(*objecttype)%(then)%(*objectname)%(end", "taggerdate:unix", "*committerdate:unix")
# Longer than any path or message of use. What follows is dropped: no single one fills the memory.
_LONGEST = 1 << 16
_BLOCK = 1 << 18
# git keeps every commit that it has shown: after so many another one goes on.
_AT_ONCE = 5_000
# Requests that a pipe holds while the answers wait in the other.
_ASKED = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    """One file in one commit: the names of its contents before and after, None where there is no such file."""

    path: str
    before: str | None
    after: str | None

    @property
    def contents(self) -> list[str]:
        """The names of those that there are."""
        return [name for name in (self.before, self.after) if name is not None]


@dataclass(frozen=True)
class Commit:
    """`at`: when it came to be. `fields`: what was asked for, as text. `changes`: against its first parent."""

    sha: str
    at: datetime
    fields: tuple[str, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Tag:
    """A name for a commit. `at`: when it was tagged; of one that is not annotated, when the commit came to be."""

    name: str
    commit: str
    at: datetime
    annotated: bool


class Clone:
    """The repository at `path` or above it, bare or with a work tree. Raises DataError. Needs git 2.31 or newer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git_dir = _git_dir(path)

    def __repr__(self) -> str:
        return f"Clone({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The name of its folder."""
        folder = self._git_dir.parent if self._git_dir.name == ".git" else self._git_dir
        return folder.name.removesuffix(".git") or "repository"

    @property
    def is_shallow(self) -> bool:
        """Whether its history was cut off."""
        return self.ask("rev-parse", "--is-shallow-repository") == "true"

    def tip(self, branch: str | None = None) -> str:
        """The last commit of a branch, or of HEAD. Raises DataError where there is none."""
        found = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch or 'HEAD'}^{{commit}}")
        if not found:
            lacking = f"no branch {branch!r}" if branch else "no commit at HEAD"
            raise DataError(f'{self.path} has {lacking}. Name the branch to read, as in branch = "main" or branch = "origin/main".')
        return found

    def is_before(self, sha: str, tip: str) -> bool:
        """Whether `tip` grew out of `sha`. No where the clone does not know `sha` any more."""
        return self.ask("merge-base", "--is-ancestor", sha, tip) is not None

    def time_of(self, sha: str) -> datetime:
        """When the commit came to be."""
        return _moment((self.ask("rev-list", "--max-count=1", "--timestamp", sha) or "").split(" ")[0])

    def tags(self) -> list[Tag]:
        """The tags of commits, by name."""
        form = "%00".join(f"%({one})" for one in ("refname:strip=2", "objecttype", "objectname", "committerdate:unix", *_TAGGED))
        found = []
        with self._running(["for-each-ref", f"--format={form}%00", "refs/tags"], stdout=tempfile.TemporaryFile()) as git:
            pieces = map(_text, _pieces(git.finished()))
            for name, kind, sha, at, *tagged in zip(*[pieces] * 7, strict=False):
                if kind == "tag" and tagged[0]:
                    found.append(Tag(name.removeprefix("\n"), tagged[0], _moment(tagged[1] or tagged[2]), annotated=True))
                elif kind == "commit":
                    found.append(Tag(name.removeprefix("\n"), sha, _moment(at), annotated=False))
        return found

    def branches(self) -> dict[str, str]:
        """The last commit of each branch, by name; those of remotes without the remote's. Of two that differ the local one."""
        found: dict[str, str] = {}
        listing = ["for-each-ref", "--format=%(refname)%00%(objectname)%00", "refs/heads", "refs/remotes"]
        with self._running(listing, stdout=tempfile.TemporaryFile()) as git:
            pieces = map(_text, _pieces(git.finished()))
            for ref, sha in zip(*[pieces] * 2, strict=False):
                where, _, name = ref.removeprefix("\n").removeprefix("refs/").partition("/")
                found.setdefault(name if where == "heads" else name.partition("/")[2], sha)
        return found

    def ask(self, *args: str) -> str | None:
        """What a command with a short answer says; None where it says no."""
        with tempfile.TemporaryFile() as out:
            ended = self._start(args, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL).wait()
            out.seek(0)
            return out.read(_BLOCK).decode("utf-8", "replace").strip() if ended == 0 else None

    def walk(
        self,
        tips: Sequence[str],
        *,
        since: str | None = None,
        first_parent: bool = True,
        fields: Sequence[str] = (),
        under: Sequence[str] | None = None,
    ) -> Iterator[Commit]:
        """Commits after `since` up to the tips, oldest first, in memory that does not grow with their number.

        fields: git's placeholders (%an, %s, …), each cut at 64 KiB. under: the files and folders whose changes are wanted; commits that
        change nothing there are left out. Without it every commit comes, and none with its changes.
        """
        form = "--format=%H%x00%ct" + "".join(f"%x00{field}" for field in fields)
        which = ["--first-parent"] if first_parent else []
        if under is None:
            what = ["--always", "-s", form]
        else:
            # In a shallow clone the first commit has lost its parents; that all files began with it is not true.
            root = [] if self.is_shallow else ["--root"]
            what = [*root, "--diff-merges=first-parent", "-r", "--raw", "--no-abbrev", "--no-renames", form, "--", *under]
        listing = ["rev-list", "--reverse", *which, *tips, *([f"^{since}"] if since else [])]
        ahead: deque[_Running] = deque()
        with self._running(listing, stdout=tempfile.TemporaryFile()) as listed:
            shas = listed.finished()
            try:
                while (some := b"".join(islice(shas, _AT_ONCE))) or ahead:
                    if some:
                        ahead.append(self._begun(["diff-tree", "--stdin", "-z", *what], some))
                    # git works on the next ones while these are taken in.
                    if len(ahead) == 1 and some:
                        continue
                    with ahead.popleft() as git:
                        yield from _commits(_pieces(git.finished()), len(fields))
            finally:
                for git in ahead:
                    git.stop()

    def contents(self, shas: Iterable[str], *, at_most: int) -> Iterator[tuple[str, bytes | None]]:
        """Files by the names of their contents, once each; None for one of more than `at_most` bytes.

        Raises DataError where the clone lacks one.
        """
        wanted = list(dict.fromkeys(shas))
        asking = {"stdin": subprocess.PIPE}
        with self._running(["cat-file", "--batch-check"], **asking) as sizes, self._running(["cat-file", "--batch"], **asking) as texts:
            for first in range(0, len(wanted), _ASKED):
                some = wanted[first : first + _ASKED]
                small = []
                for sha, size in zip(some, self._sizes(sizes, some), strict=True):
                    if size > at_most:
                        yield sha, None
                    else:
                        small.append(sha)
                for sha, size in zip(small, self._sizes(texts, small), strict=True):
                    yield sha, texts.stdout.read(size + 1)[:-1]
            for git in (sizes, texts):
                git.stdin.close()

    def _sizes(self, git: Any, shas: list[str]) -> Iterator[int]:
        git.stdin.write("".join(f"{sha}\n" for sha in shas).encode())
        git.stdin.flush()
        for sha in shas:
            told = git.stdout.readline().split()
            if len(told) != 3:
                raise DataError(f"{self.path} lacks the contents {sha[:12]} of a file. Clone it again whole, without --filter.")
            yield int(told[2])

    def _begun(self, args: Sequence[str], asked: bytes) -> _Running:
        with tempfile.TemporaryFile() as given:
            given.write(asked)
            given.seek(0)
            return self._running(args, stdin=given, stdout=tempfile.TemporaryFile())

    def _running(self, args: Sequence[str], *, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.PIPE) -> _Running:
        said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by _Running)
        return _Running(self.path, self._start(args, stdin=stdin, stdout=stdout, stderr=said), stdout, said)

    def _start(self, args: Sequence[str], **pipes: Any) -> subprocess.Popen[bytes]:
        # No shell, and what comes from a clone or a setting never stands where an option could.
        command = ["git", f"--git-dir={self._git_dir}", *_OPTIONS, *args]
        try:
            return subprocess.Popen(command, cwd=self._git_dir, env=_ENVIRONMENT, **pipes)  # noqa: S603
        except FileNotFoundError:
            raise DataError("There is no git here. Install git 2.31 or newer to read clones.") from None


class _Running:
    """git at work, until the end of the block at the latest."""

    def __init__(self, path: Path, git: subprocess.Popen[bytes], out: Any, said: IO[bytes]) -> None:
        self._path, self._git, self._out, self._said = path, git, out, said
        self.stdin: Any = git.stdin
        self.stdout: Any = git.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finished()
        finally:
            self.stop()

    def finished(self) -> IO[bytes]:
        """What it wrote to a file, once it is done. Raises DataError with its last word where it did not end well."""
        if ended := self._git.wait():
            self._said.seek(0)
            raise DataError(f"git cannot read {self._path}: {_last_line(self._said.read(_LONGEST)) or f'exit code {ended}'}")
        if self._out != subprocess.PIPE:
            self._out.seek(0)
        return self._out

    def stop(self) -> None:
        """At once, and without a word."""
        self._git.kill()
        self._git.wait()
        for file in (self._git.stdin, self._git.stdout, self._said, self._out):
            if file is not None and file != subprocess.PIPE:
                file.close()


def _git_dir(path: Path) -> Path:
    """Found by looking, not by asking git: its own search refuses what other users own, and may end in another repository."""
    start = path.resolve()
    for folder in (start, *start.parents):
        inner = folder / ".git"
        if inner.is_file():
            # A linked work tree or a submodule says where its repository is.
            with inner.open(encoding="utf-8", errors="surrogateescape") as file:
                inner = folder / file.read(_LONGEST).removeprefix("gitdir:").strip()
        for place in (inner, folder):
            if (place / "HEAD").is_file() and ((place / "objects").is_dir() or (place / "commondir").is_file()):
                return place.resolve()
    raise DataError(f"There is no git repository at {path}. Clone it first, and name the clone's folder.")


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands between NULs."""
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
        rest = rest[:_LONGEST]


def _commits(pieces: Iterator[bytes], fields: int) -> Iterator[Commit]:
    """The output of diff-tree -z: sha, time and fields; then for each file its modes and names, and its path."""
    head: list[str] = []
    changes: list[Change] = []
    for piece in pieces:
        told = piece.removeprefix(b"\n")
        if told.startswith(b":"):
            old_mode, new_mode, before, after, _ = told[1:].split(b" ", 4)
            path = _text(next(pieces, b""))
            changes.append(Change(path, _file(old_mode, before), _file(new_mode, after)))
            continue
        if head:
            yield _commit(head, changes)
        changes = []
        head = [_text(told), *(_text(next(pieces, b"")) for _ in range(fields + 1))]
    if head:
        yield _commit(head, changes)


def _commit(head: list[str], changes: list[Change]) -> Commit:
    return Commit(head[0], _moment(head[1]), tuple(head[2:]), tuple(changes))


def _file(mode: bytes, sha: bytes) -> str | None:
    """Plain files only: a link's text is a path, and a submodule's contents are elsewhere."""
    return sha.decode() if mode.startswith(b"100") else None


def _text(piece: bytes) -> str:
    return piece[:_LONGEST].decode("utf-8", "replace")


def _moment(seconds: str) -> datetime:
    """A time that is none, or beyond the calendar, is 1970: no record takes it, and quarantine says why."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH


def _last_line(said: bytes) -> str:
    """git repeats names from the clone in what it says: nothing of them may steer a terminal."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return "".join(letter if letter.isprintable() else "?" for letter in lines[-1])[:300] if lines else ""
