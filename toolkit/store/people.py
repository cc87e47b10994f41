"""People as pseudonyms: the same person stays the same, and nobody can be looked up without the key."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path
from typing import Literal

from toolkit.store.connect import literal

__all__ = ["PEOPLE", "PUBLISHED_KEY", "WHETHER", "People", "key_at"]

# Fields that hold a person. No digest looks at them.
PEOPLE = ("actor", "declared_by", "overridden_by", "owner")
# … but of these it matters that somebody is named: a verdict that a person overrode is another verdict.
WHETHER = ("overridden_by",)
# The sample is the same on every machine, so its key is no secret.
PUBLISHED_KEY = b"knowngood sample: this key is published"
_PSEUDONYM = r"person-[0-9a-f]{16}"
_BLOCK = 64


class People:
    """How names of people are written down: as pseudonyms (HMAC-SHA256), or kept where the team decided so."""

    def __init__(self, how: Literal["hash", "keep"], key: bytes = b"") -> None:
        if how == "hash" and not key:
            raise ValueError("a key is needed to hash people")
        self.how, self._key = how, hashlib.sha256(key).digest() if len(key) > _BLOCK else key

    def __repr__(self) -> str:
        return f"People({self.how!r})"

    def pseudonym(self, person: str) -> str:
        """One name. A pseudonym stays as it is, so quarantined rows can be retried."""
        if self.how == "keep" or re.fullmatch(_PSEUDONYM, person):
            return person
        return "person-" + hmac.new(self._key, person.encode(), "sha256").hexdigest()[:16]

    def sql(self, text: str) -> str:
        """The same as an SQL expression over `text`; needs `variables()` to have been set."""
        if self.how == "keep":
            return text
        inner = f"unhex(sha256(getvariable('people_inner') || encode({text})))"
        outer = f"sha256(getvariable('people_outer') || {inner})"
        kept = f"{text} IS NULL OR regexp_full_match({text}, {literal(_PSEUDONYM)})"
        return f"CASE WHEN {kept} THEN {text} ELSE 'person-' || left({outer}, 16) END"

    def variables(self) -> list[tuple[str, bytes]]:
        """What `sql` refers to: set as variables, so that the key is in no statement and no error message."""
        padded = self._key.ljust(_BLOCK, b"\0")
        return [("people_inner", bytes(b ^ 0x36 for b in padded)), ("people_outer", bytes(b ^ 0x5C for b in padded))]


def key_at(path: Path, fresh: bytes | None = None) -> bytes:
    """The key in the file at `path`, readable by its owner only; where there is none it is made, of `fresh` or of chance."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, fresh or os.urandom(32))
    finally:
        os.close(handle)
    try:
        # link, not rename: of two processes that both make a key, the first one's stays.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes()
