"""When the commits of a history reached its main line: merged there, brought there as a copy, or not at all."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ingest.gitlog import Change, Clone, Commit
from ingest.reverts import Message, number_of, peeled, plain
from toolkit.errors import DataError

__all__ = ["PICKED", "PICKED_NUMBER", "Arrival", "History", "arrivals"]

How = Literal["merged", "cherry_pick", "same_change", "nothing_new", "not_found"]

PICKED = re.compile(r"\(cherry picked from commit ([0-9a-f]{7,64})\)")
PICKED_NUMBER = re.compile(r"\([^()]*cherry[ -]?pick(?:ed)?[^()#]*#(\d+)[^()]*\)", re.IGNORECASE)
# Of a commit that changes more, whether another one does the same is not asked: a reformatting, a vendored library, an attack.
_MOST_FILES = 50
_LARGEST = 1 << 17
_AT_ONCE = 25
# Words that more commits share ("Fix typo") tell of none.
_NAMESAKES = 3

# What a commit does: of each file the lines that it adds and takes away and how often, wherever they stand.
Doing = frozenset[tuple[str, frozenset[tuple[bytes, int]]]]


@dataclass(frozen=True)
class Arrival:
    """A commit on the main line since `at`; None: not there. `name`: what it is called there, if not by its own name. `by`: the commit
    that brought it."""

    sha: str
    at: datetime | None
    how: How
    name: str | None = None
    by: str | None = None


@dataclass
class History:
    """Commits by their names, oldest first, with what is needed to tell where they went. authored: seconds, which copies keep."""

    messages: dict[str, Message] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    authored: dict[str, int] = field(default_factory=dict)

    def add(self, message: Message, parents: list[str], authored: str) -> None:
        """One commit more."""
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
        """Those that are no merges."""
        return [sha for sha in shas if len(self.parents[sha]) < 2]

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


def arrivals(clone: Clone, history: History, came: Mapping[str, str], changes: Mapping[str, Sequence[str]]) -> Iterator[Arrival]:
    """When each of these commits reached the main line.

    came: of every commit on the main line the one that brought it. changes: commit → the commits whose changes it ships. It has arrived
    when it came itself, or once all of them were there, by themselves or as copies, if that was earlier: a release branch may be merged
    long after its fixes were picked from the main line. Nothing is said where that cannot be told.
    """
    # What was made on the line itself can have come no earlier.
    asked = {one for ships in changes.values() for one in ships if came.get(one) != one}
    named = _named(history, asked, came)
    alike, untold = _alike(clone, history, asked - named.keys(), came)
    found_alike = {*alike.values()}
    for sha, ships in changes.items():
        own = [(history.messages[came[sha]].at, sha)] if sha in came else []
        copies = [_first(history, came, {one, named.get(one), alike.get(one)}) for one in ships]
        there = [one for one in copies if one is not None]
        # By its last change; where it ships none, when its branch left.
        whole = [max(there)] if there and len(there) == len(copies) else []
        if not own and not whole:
            if all(copy is not None or one not in untold for one, copy in zip(ships, copies, strict=True)):
                yield Arrival(sha, None, "not_found")
            continue
        at, name = min([*own, *whole], key=lambda one: one[0])
        if name == sha:
            yield Arrival(sha, at, "merged", by=came[sha])
        else:
            how: How = "nothing_new" if name in ships else "same_change" if name in found_alike else "cherry_pick"
            yield Arrival(sha, at, how, name, came[name])


def _first(history: History, came: Mapping[str, str], names: Collection[str | None]) -> tuple[datetime, str] | None:
    """The one of these that was on the main line first, and when."""
    return min(((history.messages[came[one]].at, one) for one in names if one is not None and one in came), default=None)


def _named(history: History, asked: Collection[str], came: Mapping[str, str]) -> dict[str, str]:
    """The copies on the main line that are told to be some: one names the other, by its name or the number of its merge request; or
    their words are the same with the same number at the end."""
    found: dict[str, str] = {}
    numbered: dict[str, str] = {}
    worded: dict[str, str] = {}
    # In the order in which they came: the first of several is meant.
    for sha in came if asked else ():
        message = history.messages[sha]
        if number := number_of(message.subject):
            numbered.setdefault(number, sha)
            worded.setdefault(message.subject.strip(), sha)
        for named in PICKED.findall(message.body) if "(cherry picked from commit " in message.body else ():
            if named in asked:
                found.setdefault(named, sha)
    for sha in asked:
        message = history.messages[sha]
        if original := next((one for one in PICKED.findall(message.body) if one in came), None):
            found[sha] = original
        elif (picked := PICKED_NUMBER.search(message.subject)) and picked[1] in numbered:
            found.setdefault(sha, numbered[picked[1]])
        elif same := next((worded[one] for one in peeled(message.subject) if one in worded), None):
            found.setdefault(sha, same)
    return found


def _alike(clone: Clone, history: History, asked: Collection[str], came: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """The copies on the main line that do the same, among those of the same words or written at the same second, which picking keeps;
    and the commits of which that cannot be told."""
    times = {history.authored[sha] for sha in asked}
    words = {sha: plain(history.messages[sha].subject) for sha in asked}
    timed: dict[int, list[str]] = defaultdict(list)
    worded: dict[str, list[str]] = defaultdict(list)
    for sha in came if asked else ():
        if history.authored[sha] in times:
            timed[history.authored[sha]].append(sha)
        worded[plain(history.messages[sha].subject)].append(sha)
    few = {said: shas for said, shas in worded.items() if len(shas) <= _NAMESAKES}
    pairs = {sha: {*timed[history.authored[sha]], *few.get(words[sha], ())} - {sha} for sha in sorted(asked)}
    pairs = {sha: others for sha, others in pairs.items() if others}
    try:
        found, unknown = _compared(clone, pairs)
    except DataError:
        # A clone without contents, which is one way to clone.
        return {}, set(pairs)
    first = {sha: min(others, key=lambda one: (history.messages[came[one]].at, one)) for sha, others in found.items()}
    return first, {sha for sha, others in pairs.items() if sha not in found and unknown & {sha, *others}}


def _compared(clone: Clone, pairs: Mapping[str, Collection[str]]) -> tuple[dict[str, list[str]], set[str]]:
    """Of each commit those others that do the same; and the commits that could not be compared."""
    shas = sorted({sha for one, others in pairs.items() for sha in (one, *others)})
    walked = clone.walk(["--no-walk=unsorted", *shas], under=()) if shas else ()
    commits = {one.sha: one for one in walked if len(one.changes) <= _MOST_FILES}
    paths = {sha: [change.path for change in one.changes] for sha, one in commits.items()}
    near = {sha: [other for other in others if sha in paths and paths[sha] == paths.get(other)] for sha, others in pairs.items()}
    # From the same contents to the same: then no contents are needed.
    found = {sha: same for sha, others in near.items() if (same := [one for one in others if commits[one].changes == commits[sha].changes])}
    near = {sha: others for sha, others in near.items() if others and sha not in found}
    unknown = set(shas) - commits.keys()
    # Most that differ do so in the first file.
    for files in (1, _MOST_FILES):
        does = _doings(clone, [commits[sha] for sha in sorted({one for sha, others in near.items() for one in (sha, *others)})], files)
        unknown |= {sha for sha, doing in does.items() if doing is None}
        near = {sha: [one for one in others if does[one] is not None and does[one] == does[sha]] for sha, others in near.items()}
    return found | {sha: others for sha, others in near.items() if others}, unknown


def _doings(clone: Clone, commits: Sequence[Commit], files: int) -> dict[str, Doing | None]:
    """What the commits do to the first of their files; None where one is too large to be compared, or they only move lines."""
    found: dict[str, Doing | None] = {}
    for first in range(0, len(commits), _AT_ONCE):
        some = commits[first : first + _AT_ONCE]
        texts = dict(clone.contents((name for one in some for change in one.changes[:files] for name in change.contents), at_most=_LARGEST))
        found |= {one.sha: _doing(one.changes[:files], texts) for one in some}
    return found


def _doing(changes: Sequence[Change], texts: Mapping[str, bytes | None]) -> Doing | None:
    files = []
    for change in changes:
        before, after = (b"" if name is None else texts[name] for name in (change.before, change.after))
        if before is None or after is None:
            return None
        had, has = Counter(before.splitlines()), Counter(after.splitlines())
        files.append((change.path, frozenset((line, has[line] - had[line]) for line, _ in had.items() ^ has.items())))
    return frozenset(files) if any(lines for _, lines in files) else None
