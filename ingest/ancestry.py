"""The commits of a history: which line they are on, and with which commit of it they came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ingest.reverts import Message

__all__ = ["History"]


@dataclass
class History:
    """Commits by their names, oldest first, with what is needed to tell where they went. authored: seconds, which copies keep."""

    messages: dict[str, Message] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    authored: dict[str, int] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)

    def add(self, message: Message, parents: list[str], authored: str, tree: str) -> None:
        """One commit more. tree: the name of all that is in it."""
        self.trees[message.sha] = tree
        self.messages[message.sha] = message
        self.parents[message.sha] = parents
        self.authored[message.sha] = int(authored) if authored.isdigit() else 0

    def line(self, tip: str) -> list[str]:
        """The branch itself, newest first, without what was merged into it."""
        found: dict[str, None] = {}
        while tip not in found and tip in self.parents:
            found[tip] = None
            tip = (self.parents[tip] or [""])[0]
        return list(found)

    def came(self, tip: str) -> dict[str, str]:
        """Of every commit that the tip grew out of: the one of the branch itself with which it was there."""
        with_it: dict[str, str] = {}
        for arriving in reversed(self.line(tip)):
            with_it[arriving] = arriving
            waiting = list(self.parents[arriving][1:])
            while waiting:
                sha = waiting.pop()
                if sha not in with_it and sha in self.parents:
                    with_it[sha] = arriving
                    waiting.extend(self.parents[sha])
        return with_it

    def since(self, sha: str, stop: Callable[[str], bool]) -> list[str]:
        """The commit and what it grew out of, before any at which to stop."""
        found, waiting = {sha: None}, [sha]
        while waiting:
            new = [one for one in self.parents[waiting.pop()] if one not in found and one in self.parents and not stop(one)]
            found |= dict.fromkeys(new)
            waiting += new
        return list(found)

    def changing(self, shas: Iterable[str]) -> list[str]:
        """Those that change anything, and are no merges."""
        return [
            sha
            for sha in shas
            if not (parents := self.parents[sha]) or (len(parents) == 1 and self.trees[sha] != self.trees.get(parents[0]))
        ]

    def fork(self, sha: str, came: Mapping[str, str]) -> list[str]:
        """Where the commit's branch left the main line; nothing where it never was on it."""
        while came.get(sha) != sha and self.parents.get(sha):
            sha = self.parents[sha][0]
        return [sha] if sha in came else []

    def merged_in(self, merge: str, came: Mapping[str, str]) -> list[str]:
        """What came with a merge that was not on its first parent's branch before. came: as of `came`."""
        first, *others = self.parents[merge]
        before: dict[str, None] = {}
        while first in self.parents and first not in before and came.get(first) == came.get(merge):
            before[first] = None
            first = (self.parents[first] or [""])[0]

        def there(one: str) -> bool:
            return one in before or came.get(one) != came.get(merge)

        return list(
            dict.fromkeys(one for other in others if other in self.parents and not there(other) for one in self.since(other, there))
        )
