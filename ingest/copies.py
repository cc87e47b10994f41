"""Which commits of the main line are copies of others: named so, alike, or several in one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from ingest.ancestry import History
from ingest.gitlog import Change, Clone, Commit
from ingest.reverts import number_of, peeled, plain
from toolkit.errors import DataError

__all__ = ["PICKED", "PICKED_NUMBER", "SQUASHED", "alike", "named", "squashed"]

PICKED = re.compile(r"\(cherry picked from commit ([0-9a-f]{7,64})\)")
PICKED_NUMBER = re.compile(r"\([^()]*cherry[ -]?pick(?:ed)?[^()#]*#(\d+)[^()]*\)", re.IGNORECASE)
# Of a commit that changes more, whether another one does the same is not asked: a reformatting, a vendored library, an attack.
_MOST_FILES = 20
_LARGEST = 1 << 17
_AT_ONCE = 50
# So many commits of a branch, brought to the line as one so soon after the last of them.
SQUASHED, _SOON = range(2, 21), timedelta(days=30)
# Words that more commits share ("Fix typo"), or a second in which more were made (an import), tell of none.
_NAMESAKES = 3

# What a commit does: of each file the lines that it adds and takes away and how often, wherever they stand.
Doing = frozenset[tuple[str, frozenset[tuple[bytes, int]]]]


def named(history: History, asked: Collection[str], came: Mapping[str, str]) -> dict[str, str]:
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
        for other in PICKED.findall(message.body) if "(cherry picked from commit " in message.body else ():
            if other in asked:
                found.setdefault(other, sha)
    for sha in asked:
        message = history.messages[sha]
        if original := next((one for one in PICKED.findall(message.body) if one in came), None):
            found[sha] = original
        elif (picked := PICKED_NUMBER.search(message.subject)) and picked[1] in numbered:
            found.setdefault(sha, numbered[picked[1]])
        elif same := next((worded[one] for one in peeled(message.subject) if one in worded), None):
            found.setdefault(sha, same)
    return found


def alike(clone: Clone, history: History, asked: Collection[str], came: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
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
    pairs: dict[str, set[str]] = {}
    for sha in sorted(asked):
        namesakes = (timed.get(history.authored[sha], ()), worded.get(words[sha], ()))
        if others := {one for some in namesakes if len(some) <= _NAMESAKES for one in some} - {sha}:
            pairs[sha] = others
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
    commits = _walked(clone, shas)
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


def squashed(
    clone: Clone, history: History, came: Mapping[str, str], lacking: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], set[str]]:
    """The commit of the line that does what a few changes do together, soon after the last of them; and those of which none can be told."""
    line = [history.messages[sha] for sha in came if came[sha] == sha] if lacking else []
    last = {sha: max(history.messages[one].at for one in ships) for sha, ships in lacking.items()}
    soon = {sha: {one.sha for one in line if at <= one.at <= at + _SOON} for sha, at in last.items()}
    try:
        commits = _walked(clone, {one for sha in last for one in (*lacking[sha], *soon[sha])})
        paths = {sha: {change.path for change in one.changes} for sha, one in commits.items()}
        unsure = {sha for sha in last if not commits.keys() >= set(lacking[sha])}
        within = {sha: set().union(*(paths[one] for one in lacking[sha])) for sha in last.keys() - unsure}
        near = {sha: [one for one in soon[sha] if paths.get(one) and paths[one] <= files] for sha, files in within.items()}
        near = {sha: others for sha, others in near.items() if others}
        does = _doings(clone, [commits[one] for one in sorted({one for sha in near for one in (*lacking[sha], *near[sha])})], _MOST_FILES)
    except DataError:
        return {}, set(last)
    found: dict[str, str] = {}
    for sha, others in sorted(near.items()):
        parts = [does[one] for one in lacking[sha]]
        together = _together([part for part in parts if part is not None])
        same = [one for one in others if (doing := does[one]) is not None and _together([doing]) == together]
        if None in parts:
            unsure.add(sha)
        elif same:
            found[sha] = min(same, key=lambda one: (history.messages[one].at, one))
    return found, unsure


def _together(doings: Iterable[Doing]) -> Doing:
    sums: dict[str, Counter[bytes]] = defaultdict(Counter)
    for path, lines in (part for doing in doings for part in doing):
        for line, times in lines:
            sums[path][line] += times
    left = {path: frozenset((line, times) for line, times in lines.items() if times) for path, lines in sums.items()}
    return frozenset((path, lines) for path, lines in left.items() if lines)


def _walked(clone: Clone, shas: Collection[str]) -> dict[str, Commit]:
    """These commits with what they change, but for those that change too much."""
    walked = clone.walk(["--no-walk=unsorted", *sorted(shas)], under=()) if shas else ()
    return {one.sha: one for one in walked if len(one.changes) <= _MOST_FILES}


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
