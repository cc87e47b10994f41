"""policy/playbooks/*.toml: the playbooks that a team agreed on; where it has none, those that come with the product."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from toolkit.errors import DataError
from toolkit.playbooks.playbook import Playbook

__all__ = ["FOLDER", "playbooks_of", "read", "shipped"]

FOLDER = "policy/playbooks"
_SAID = {"extra_forbidden": "nothing of that name belongs here: remove it, or correct its spelling", "missing": "missing: add it"}


def playbooks_of(root: Path) -> tuple[Playbook, ...]:
    """A workspace's playbooks by name; where it has no file, the shipped ones. Raises DataError naming file, line and fix."""
    paths = sorted((root / FOLDER).glob("*.toml"))
    if not paths:
        return shipped()
    found: dict[str, Path] = {}
    read_ones = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}. Save it as UTF-8 text.") from error
        one = read(text, str(path))
        if one.name in found:
            raise DataError(
                f"{path}, line {_line(text, ('name',))}: {found[one.name].name} is called {one.name!r} too: rename one of them."
            )
        found[one.name] = path
        read_ones.append(one)
    return tuple(sorted(read_ones, key=lambda one: one.name))


@lru_cache(maxsize=1)
def shipped() -> tuple[Playbook, ...]:
    """The playbooks that hold until a team writes its own: rollback and hotfix."""
    folder = files("toolkit.playbooks") / "shipped"
    texts = sorted((item.name, item.read_text(encoding="utf-8")) for item in folder.iterdir() if item.name.endswith(".toml"))
    return tuple(sorted((read(text, name) for name, text in texts), key=lambda one: one.name))


def read(text: str, source: str) -> Playbook:
    """One file. Raises DataError naming `source`, line and fix."""
    try:
        return Playbook.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"{source}: {error}. Put the TOML right there.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = tuple(part for part in first["loc"] if isinstance(part, (str, int)))
        said = _SAID.get(first["type"], first["msg"].removeprefix("Value error, "))
        named = ".".join(str(part + 1) if isinstance(part, int) else part for part in where)
        raise DataError(f"{source}, line {_line(text, where)}: {f'{named}: ' if named else ''}{said}.") from error


def _line(text: str, where: tuple[str | int, ...]) -> int:
    """The line of a key; of its table's header where the key itself is not there."""
    lines = text.splitlines()
    start, end = 0, len(lines)
    headers = [number for number, line in enumerate(lines) if re.match(r"\s*\[\[\s*step\s*\]\]", line)]
    if len(where) > 1 and where[0] == "step" and isinstance(where[1], int) and where[1] < len(headers):
        start = headers[where[1]]
        end = next((number for number in headers if number > start), end)
    for name in reversed([part for part in where if isinstance(part, str)]):
        for number in range(start, end):
            if re.match(rf"\s*(\[+\s*{re.escape(name)}\s*\]+|[\"']?{re.escape(name)}[\"']?\s*=)", lines[number]):
                return number + 1
    return start + 1
