"""Which commits take back which: the reverts of a history, resolved to what they revert."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

__all__ = ["Message", "Revert", "number_of", "peeled", "plain", "reverts"]

How = Literal["trailer", "subject", "number"]

# "Revert …", also behind a tag in brackets or the word of a conventional commit: "fix: Revert …", "[release-2.53] revert: …".
_REVERT = re.compile(r"\s*(?:\[[^\]]*\]\s*)?(?:\w+(?:\([^)]*\))?!?:\s*)?revert(?:s|ed|ing)?\b\s*(:?)\s*(.*)", re.IGNORECASE | re.DOTALL)
_AGAIN = re.compile(
    r"\s*(?:\[[^\]]*\]\s*)?(?:\w+(?:\([^)]*\))?!?:\s*)?(?:revert\s*\"\s*revert|reapply)\b\s*(.*)", re.IGNORECASE | re.DOTALL
)
_TRAILER = re.compile(r"\breverts? commits? ([0-9a-f]{7,64})\b", re.IGNORECASE)
# What merging and cherry-picking add to the end of a subject: (#12), (cherry-pick #12 for 3.1).
_SUFFIX = re.compile(r"\s*\((?:#\d+|[^()]*cherry[ -]?pick[^()]*)\)\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"#(\d+)\b")


@dataclass(frozen=True)
class Message:
    """What a commit says."""

    sha: str
    at: datetime
    subject: str
    body: str = ""


@dataclass(frozen=True)
class Revert:
    """`undoes`: the commit that was taken back, where that could be told, and how. `again`: the same on other branches."""

    message: Message
    undoes: Message | None
    how: How | None
    again: tuple[str, ...] = ()


def reverts(messages: Iterable[Message]) -> list[Revert]:
    """The reverts among messages, in order of time. What was taken back, brought in again and taken back once more counts twice.

    A revert says so in its subject; a sentence in the body alone ("This reverts commit …") is often quoted history. A revert of a
    revert brings something back, and is none. The same revert on several branches is one, the first.
    """
    index = _Index()
    for message in messages:
        index.add(message)
    open_ones: dict[str, tuple[Revert, list[str]]] = {}
    done: list[tuple[Revert, list[str]]] = []
    for message in sorted(index.of_interest, key=lambda one: (one.at, one.sha)):
        if back := _AGAIN.fullmatch(message.subject):
            open_ones.pop(plain(_unquoted(back[1])), None)
            continue
        undoes, how = index.resolved(message)
        key = plain(undoes.subject) if undoes else plain(_quoted(message.subject) or message.subject)
        if key in open_ones and not (undoes and undoes.at > open_ones[key][0].message.at):
            open_ones[key][1].append(message.sha)
        else:
            open_ones[key] = (Revert(message, undoes, how), [])
            done.append(open_ones[key])
    return [Revert(one.message, one.undoes, one.how, tuple(again)) for one, again in done]


def plain(subject: str) -> str:
    """A subject without what was added to its end, its quotes and its case, so that copies of a commit are alike."""
    return " ".join([*peeled(subject)][-1].strip("\"' .").casefold().split())


def number_of(subject: str) -> str | None:
    """The number of the merge request that a subject ends with."""
    found = re.search(r"\(#(\d+)\)\s*$", subject)
    return found[1] if found else None


def _is_revert(message: Message) -> bool:
    said = _REVERT.fullmatch(message.subject)
    # "revert main.go" is an edit; a revert names a commit: by its subject, its number, or its sha in the body.
    return said is not None and bool(_quoted(message.subject) or _numbers(message.subject) or _TRAILER.search(message.body))


def _quoted(subject: str) -> str | None:
    said = _REVERT.fullmatch(subject)
    found = re.match(r"[\"'“](.*)[\"'”]", said[2], re.DOTALL) if said else None
    # "revert: feat: …" quotes without quotes.
    return found[1].strip() if found else [*peeled(said[2])][-1] if said and said[1] else None


def _numbers(subject: str) -> list[str]:
    """The numbers that a revert names; those at its end are its own and its copies'."""
    return _NUMBER.findall(_quoted(subject) or [*peeled(subject)][-1]) if _REVERT.fullmatch(subject) else []


def _unquoted(text: str) -> str:
    return text.replace('"', " ").strip()


def peeled(subject: str) -> Iterator[str]:
    """The subject as it is, and then with one suffix less each time."""
    yield subject.strip()
    while (less := _SUFFIX.sub("", subject)) != subject:
        subject = less
        yield subject.strip()


@dataclass
class _Index:
    """Commits by all that a revert may call them."""

    shas: list[str] = field(default_factory=list)
    by_sha: dict[str, Message] = field(default_factory=dict)
    by_subject: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    by_number: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    of_interest: list[Message] = field(default_factory=list)
    sorted: bool = False

    def add(self, message: Message) -> None:
        if _AGAIN.fullmatch(message.subject) or _is_revert(message):
            self.of_interest.append(message)
            return
        # Bodies are of use in reverts only, and most of the memory.
        kept = Message(message.sha, message.at, message.subject)
        self.by_sha[kept.sha] = kept
        self.shas.append(kept.sha)
        for subject in peeled(kept.subject):
            self.by_subject[subject].append(kept)
        if number := number_of(kept.subject):
            self.by_number[number].append(kept)

    def resolved(self, message: Message) -> tuple[Message | None, How | None]:
        """What the revert takes back: by the sha in its trailer, else by the subject that it quotes, else by a number that it names."""
        if (trailer := _TRAILER.search(message.body)) and (found := self._of_sha(trailer[1])):
            return found, "trailer"
        quoted = _quoted(message.subject)
        for subject in peeled(quoted) if quoted else ():
            if found := _latest(self.by_subject.get(subject, ()), message.at):
                return found, "subject"
        for number in reversed(_numbers(message.subject)):
            if found := _latest(self.by_number.get(number, ()), message.at):
                return found, "number"
        return None, None

    def _of_sha(self, prefix: str) -> Message | None:
        if not self.sorted:
            self.shas.sort()
            self.sorted = True
        place = bisect_left(self.shas, prefix.lower())
        found = [sha for sha in self.shas[place : place + 2] if sha.startswith(prefix.lower())]
        return self.by_sha[found[0]] if len(found) == 1 else None


def _latest(messages: Iterable[Message], before: datetime) -> Message | None:
    """A subject may come again; what was taken back is the last that had come."""
    return max((one for one in messages if one.at <= before), key=lambda one: (one.at, one.sha), default=None)
