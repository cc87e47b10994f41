"""The front matter of a Markdown file as plain text values, each with its line; nothing in it can do more than say something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Flaw", "Said", "front_matter"]

# A front matter is a form that a person fills in.
_LARGEST = 64 * 1024
_DEEPEST = 6
_FENCE = "---"


class Flaw(Exception):
    """What is wrong, on which line of the file, and what to write instead."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


@dataclass(frozen=True)
class Said:
    """A value and the line it begins on. `value`: text, a list of Said, or a dict of Said; None where nothing was written."""

    value: str | list[Said] | dict[str, Said] | None
    line: int


def front_matter(text: str) -> dict[str, Said]:
    """The mapping between the two lines of --- at the beginning. Raises Flaw.

    Scalars stay text, as they were written: no dates, numbers or booleans are guessed. Anchors, aliases and tags are refused, since a
    few lines of them can stand for a billion values or for a program.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        raise Flaw(1, "there is no front matter: begin the file with a line of --- (`knowngood reviews template INCIDENT` writes one)")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise Flaw(1, "the front matter does not end: close it with a line of ---")
    # The first line becomes empty, so that YAML counts as the file does.
    source = "\n".join(["", *lines[1:end]])
    if len(source) > _LARGEST:
        raise Flaw(1, f"the front matter is larger than {_LARGEST // 1024} KiB: keep the text below it")
    try:
        _check_events(source)
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Flaw(mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise Flaw(1, f"this is not YAML: {str(error).splitlines()[0]}") from None
    found = _said(node) if node is not None else Said({}, 1)
    if not isinstance(found.value, dict):
        raise Flaw(found.line, "write `name: value` lines")
    return found.value


def _check_events(source: str) -> None:
    """Walk what the parser meets before anything is built of it."""
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Flaw(line, "anchors (&) and aliases (*) are not read: write the value out, or in quotes if it is text")
        if getattr(event, "tag", None) is not None:
            raise Flaw(line, "tags (!) are not read: put the value in quotes if it is text")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise Flaw(line, "this nests too deep")


def _said(node: Any) -> Said:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        # ~ and null are words only where they are quoted.
        empty = node.style is None and node.value in ("", "~", "null", "Null", "NULL")
        return Said(None if empty else node.value, line)
    if isinstance(node, yaml.SequenceNode):
        return Said([_said(item) for item in node.value], line)
    found: dict[str, Said] = {}
    for key, value in node.value:
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise Flaw(at, "a name is needed before the colon")
        if key.value in found:
            raise Flaw(at, f"{key.value} stands here twice: keep one")
        said = _said(value)
        # An empty value's own mark is where the next thing begins.
        found[key.value] = Said(said.value, at if said.value is None or isinstance(said.value, str) else said.line)
    return Said(found, line)
