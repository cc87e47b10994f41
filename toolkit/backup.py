"""Take what people wrote to a file, and bring it back: the journal, the settings and the policy."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from toolkit.errors import DataError, KnowngoodError, UsageError
from toolkit.store.journal import Journal
from toolkit.workspace import FILE, Workspace

__all__ = ["Restored", "backup", "restore"]

_FORMAT = "knowngood backup 1"
_MANIFEST, _JOURNAL, _POLICY = "manifest.json", "journal.sqlite", "policy"
# More than any team writes; an archive that claims more is no backup.
_LARGEST = 2**30
_MOST = 10_000


@dataclass(frozen=True)
class Restored:
    """What restore did. entries: of the journal now; written, kept: files of the team, taken from the backup or left as they were;
    aside: folder with what was replaced, where something was."""

    entries: int
    written: list[str]
    kept: list[str]
    aside: Path | None


def backup(workspace: Workspace, path: Path) -> int:
    """Writes the journal, as of one moment, with knowngood.toml and policy/, to a new file at `path`. Returns the number of entries.

    People may write meanwhile. The key of pseudonyms is a secret and stays behind, like what can be loaded and computed again.
    Raises UsageError where the file exists.
    """
    if path.exists():
        raise UsageError(f"{path} is there already, and a backup replaces none: name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.state, prefix="backup-") as folder:
        copy = Journal(Path(folder) / _JOURNAL)
        entries, head = workspace.journal.copy_to(copy.path)
        about = {"format": _FORMAT, "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "entries": entries, "head": head}
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w+b") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr(_MANIFEST, json.dumps(about, indent=1))
                    if entries:
                        archive.write(copy.path, _JOURNAL)
                    for name, own in _papers(workspace.root):
                        archive.write(own, name)
                file.flush()
                os.fsync(file.fileno())
            # link, not rename: somebody else's backup of the same name stays.
            os.link(draft, path)
        except FileExistsError:
            raise UsageError(f"{path} is there already, and a backup replaces none: name another file.") from None
        finally:
            draft.unlink(missing_ok=True)
    return entries


def restore(root: Path, path: Path, *, force: bool = False) -> Restored:
    """Brings a backup back to the workspace at `root`, which is made where there is none.

    A journal that holds entries which the backup lacks is replaced only by `force`, and so are settings and policy that differ.
    What is replaced lies in a folder aside. Raises DataError for a file that is no backup, KnowngoodError for a journal that is ahead.
    """
    with _opened(path) as archive, tempfile.TemporaryDirectory(prefix="knowngood-restore-") as folder:
        names = _checked(archive, path)
        backed = Journal(Path(folder) / _JOURNAL)
        if _JOURNAL in names:
            _extract(archive, _JOURNAL, backed.path)
        _check_whole(archive, backed, path, force=force)
        papers = {name: archive.read(name) for name in names if name not in {_MANIFEST, _JOURNAL}}
        for name in papers:
            _stay_inside(root, root / name)
        root.mkdir(parents=True, exist_ok=True)
        aside = root / ".knowngood" / f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        # First what may be refused.
        journal = Workspace(root).journal
        if backed.path.exists():
            journal.replace_by(backed.path, aside=aside / _JOURNAL, force=force)
        written, kept = _write(root, papers, aside, force=force)
        place = Workspace.init(root)
    return Restored(place.journal.head()[0], written, kept, aside if aside.exists() else None)


def _papers(root: Path) -> Iterator[tuple[str, Path]]:
    """Name and place of the team's own files; links are not followed: they may lead anywhere."""
    if (root / FILE).is_file():
        yield FILE, root / FILE
    policy = root / _POLICY
    for own in sorted(policy.rglob("*")) if policy.is_dir() and not policy.is_symlink() else ():
        inside = not any(part.is_symlink() for part in (own, *own.parents) if part.is_relative_to(policy))
        if inside and own.is_file():
            yield own.relative_to(root).as_posix(), own


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no backup: {error}. `knowngood backup` writes one.") from error


def _checked(archive: zipfile.ZipFile, path: Path) -> list[str]:
    """The names in it, each one that a backup writes: nothing lands anywhere else."""
    items = archive.infolist()
    if len(items) > _MOST or sum(item.file_size for item in items) > _LARGEST:
        raise DataError(f"{path} is no backup: it would unpack to more than any backup holds.")
    names = [item.filename for item in items]
    for item in items:
        plain = item.external_attr >> 16 == 0 or stat.S_ISREG(item.external_attr >> 16) or stat.S_IFMT(item.external_attr >> 16) == 0
        if not plain or not _belongs(item.filename) or names.count(item.filename) > 1:
            raise DataError(f"{path} is no backup: {item.filename!r} does not belong in one.")
    try:
        told = json.loads(archive.read(_MANIFEST))
        found = told["format"]
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no backup: it has no manifest.") from error
    if found != _FORMAT:
        raise DataError(f"{path} says it is {str(found)[:40]!r}; this program reads {_FORMAT!r}. Upgrade knowngood to read it.")
    return names


def _belongs(name: str) -> bool:
    if name in {_MANIFEST, _JOURNAL, FILE}:
        return True
    parts = PurePosixPath(name).parts
    odd = "\\" in name or ":" in name or "\0" in name or any(part in {"", ".", ".."} for part in name.split("/"))
    return len(parts) > 1 and parts[0] == _POLICY and not odd


def _extract(archive: zipfile.ZipFile, name: str, to: Path) -> None:
    try:
        with archive.open(name) as source, to.open("wb") as target:
            shutil.copyfileobj(source, target)
    except zipfile.BadZipFile as error:
        raise DataError(f"{name} in the backup is damaged: {error}. Take another backup.") from error


def _check_whole(archive: zipfile.ZipFile, backed: Journal, path: Path, *, force: bool) -> None:
    """Its chain holds and ends where the manifest says."""
    told = json.loads(archive.read(_MANIFEST))
    head = [int(told.get("entries", -1)), str(told.get("head"))]
    problems = [problem.what for problem in backed.verify() if "head file" not in problem.what]
    if list(backed.head()) != head:
        problems.append("it does not end where its manifest says")
    if problems and not force:
        raise DataError(f"The journal in {path} is damaged ({problems[0]}). Take another backup, or --force to have it all the same.")


def _write(root: Path, papers: dict[str, bytes], aside: Path, *, force: bool) -> tuple[list[str], list[str]]:
    written, kept = [], []
    for name, content in papers.items():
        to = root / name
        if to.exists():
            if to.read_bytes() == content:
                continue
            if not force:
                kept.append(name)
                continue
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(to, aside / name)
        to.parent.mkdir(parents=True, exist_ok=True)
        draft = to.with_name(f".{to.name}.{os.getpid()}")
        draft.write_bytes(content)
        os.replace(draft, to)
        written.append(name)
    return written, kept


def _stay_inside(root: Path, to: Path) -> None:
    """A folder of the workspace that is a link would carry the file elsewhere."""
    if not to.parent.resolve().is_relative_to(root.resolve()):
        raise KnowngoodError(f"{to.parent} is a link that leads out of the workspace: nothing is written through it. Remove the link.")
