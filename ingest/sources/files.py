"""Source files: CSV, Parquet and JSON lines that something else writes into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.store.mapping import Mapping

__all__ = ["File", "matching", "read"]


@dataclass(frozen=True)
class File:
    """A file to load: as which record, and by which mapping."""

    path: Path
    record: str
    mapping: Mapping


def read(*, root: Path, path: str | list[str], record: str | None = None, map: str | None = None) -> Iterator[File]:
    """The files that `path` names: files or patterns such as "exports/*.parquet", relative to `root`, in the order of their names.

    `map`: a mapping file, relative to `root`. `record` may stand in the mapping instead. Raises UsageError where nothing is named.
    """
    mapping = Mapping.read(root / map) if map is not None else Mapping()
    kind = record or mapping.record
    if kind is None:
        raise UsageError('sources: say what the files hold: record = "deployment", "incident", … beside path, or in the mapping.')
    yield from (File(file, kind, mapping) for file in matching(root, path))


def matching(root: Path, path: str | list[str]) -> list[Path]:
    """The files of these names or patterns, relative to `root`, pattern by pattern. Raises UsageError where one matches none."""
    files: list[Path] = []
    for pattern in [path] if isinstance(path, str) else path:
        found = _found(root, pattern)
        if not found:
            raise UsageError(f"sources: no file matches {pattern!r} in {root}. Check path in knowngood.toml.")
        files += found
    return files


def _found(root: Path, pattern: str) -> list[Path]:
    plain = root / pattern
    if plain.is_file():
        return [plain]
    whole = Path(pattern)
    # glob() takes no absolute pattern
    base, relative = (Path(whole.anchor), str(whole.relative_to(whole.anchor))) if whole.is_absolute() else (root, pattern)
    return sorted(file for file in base.glob(relative) if file.is_file())
