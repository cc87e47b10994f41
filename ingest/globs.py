"""Names of files and tags by pattern: globs that also say which service and environment a name is about."""

from __future__ import annotations

import re
from itertools import takewhile

from toolkit.errors import UsageError

__all__ = ["compiled", "folder_of"]

_SIGN = re.compile(r"\{(\w+)\}|\*\*/|\*\*|\*|\?")
_MEANT = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def compiled(pattern: str, option: str) -> re.Pattern[str]:
    """A glob with {service} and {environment}, or, beginning with ^, a regular expression with groups of these names.

    Search with it. Raises UsageError, naming the option.
    """
    if pattern.startswith("^"):
        try:
            return re.compile(pattern, re.DOTALL)
        except re.error as error:
            raise UsageError(f"{option}: {pattern!r} is no regular expression: {error}") from error
    text, last, seen = "", 0, set[str]()
    for sign in _SIGN.finditer(pattern):
        text += re.escape(pattern[last : sign.start()])
        last, name = sign.end(), sign[1]
        if name is None:
            text += _MEANT[sign[0]]
        elif name in ("service", "environment"):
            text += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        else:
            raise UsageError(
                f"{option}: {sign[0]} in {pattern!r} stands for nothing. There are {{service}} and {{environment}}, *, ** and ?."
            )
    return re.compile(rf"\A{text}{re.escape(pattern[last:])}\Z", re.DOTALL)


def folder_of(pattern: str) -> str:
    """The folder, or the file, that holds all that the pattern can match."""
    if pattern.startswith("^"):
        plain = re.match(r"\^((?:[\w -]+/(?![?*{]))*)", pattern)
        return plain[1].rstrip("/") or "." if plain and "|" not in pattern else "."
    return "/".join(takewhile(lambda part: not re.search(r"[*?{]", part), pattern.split("/"))) or "."
