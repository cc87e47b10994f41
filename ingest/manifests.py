"""Find values in a manifest: by YAML key, by JSONPath, or by a pattern in its text. The manifest is anybody's text, so all is bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from toolkit.errors import UsageError

__all__ = ["Found", "Manifest", "Reading", "by_key", "by_pattern", "first_of"]

# More than any manifest of use holds: nested deeper, or unfolding to more by its aliases, it is read as holding nothing.
_DEEPEST = 100
_MOST = 100_000
# libyaml where PyYAML was built with it: ten times as fast.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_SERVICE = "{service}"


@dataclass(frozen=True)
class Found:
    """A value, and the service that its place names, if it names one."""

    value: str
    service: str | None = None


class Manifest:
    """A text, and what it holds as YAML or JSON, read once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def documents(self) -> list[Any]:
        """Its documents, all scalars as text. What cannot be read, a template say, holds nothing."""
        builder = _Builder()
        try:
            for event in yaml.parse(self.text, Loader=_LOADER):
                builder.take(event)
        except (yaml.YAMLError, _TooMuch, ValueError):
            return []
        return builder.roots


Reading = Callable[[Manifest], list[Found]]


def by_key(path: str) -> Reading:
    """`path`: keys joined by dots, as image.tag; beginning with $, a JSONPath (RFC 9535).

    In a list, an item goes by its `name`, as in Kubernetes. * stands for every key or item, {service} for one that names the service.
    """
    if path.startswith("$"):
        return _by_jsonpath(path)
    steps = path.split(".")
    if not all(steps):
        raise UsageError(f"version: {path!r} has an empty part. Write keys joined by dots, as image.tag.")
    return lambda manifest: [found for document in manifest.documents for found in _walk(document, steps)]


def by_pattern(pattern: str) -> Reading:
    """`pattern`: a regular expression over the text, ^ and $ at the ends of lines. Its group `version`, or else its first, is the value,
    its group `service` the service.
    """
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise UsageError(f"pattern: {pattern!r} is no regular expression: {error}") from error
    if not compiled.groups:
        raise UsageError(f"pattern: {pattern!r} has no group. Put what is the version in parentheses.")
    group: str | int = "version" if "version" in compiled.groupindex else 1
    named = "service" in compiled.groupindex

    def read(manifest: Manifest) -> list[Found]:
        return [Found(one[group], one["service"] if named else None) for one in compiled.finditer(manifest.text) if one[group]]

    return read


def first_of(paths: list[str]) -> Reading:
    """What the first of several paths finds that finds anything."""
    readings = [by_key(path) for path in paths]
    return lambda manifest: next((found for reading in readings if (found := reading(manifest))), [])


def _by_jsonpath(path: str) -> Reading:
    import jsonpath

    try:
        compiled = jsonpath.compile(path)
    except jsonpath.JSONPathError as error:
        raise UsageError(f"version: {path!r} is no JSONPath: {str(error).splitlines()[0]}") from error
    return lambda manifest: [
        Found(value) for document in manifest.documents for value in compiled.findall(document) if isinstance(value, str) and value
    ]


def _walk(node: Any, steps: list[str], service: str | None = None) -> Iterator[Found]:
    if not steps:
        if isinstance(node, str) and node:
            yield Found(node, service)
        return
    step, rest = steps[0], steps[1:]
    for name, child in _children(node):
        if step in ("*", _SERVICE) or step == name:
            yield from _walk(child, rest, name if step == _SERVICE else service)


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, list):
        for place, item in enumerate(node):
            name = item.get("name") if isinstance(item, dict) else None
            yield name if isinstance(name, str) else str(place), item
    elif isinstance(node, dict):
        merged = node.get("<<")
        for base in merged if isinstance(merged, list) else [merged]:
            if isinstance(base, dict):
                yield from ((name, child) for name, child in base.items() if name not in node)
        yield from ((name, child) for name, child in node.items() if name != "<<")


@dataclass
class _Open:
    """A list or mapping that is being read."""

    node: Any
    anchor: str | None
    size: int = 1
    key: str | None = None


@dataclass
class _Builder:
    """Documents from YAML events, without recursion: a text that nests deeply enough ends a recursive reader with the whole process."""

    roots: list[Any] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    size: int = 0

    def take(self, event: yaml.Event) -> None:
        """One event. Raises _TooMuch."""
        match event:
            case yaml.DocumentStartEvent():
                self.anchors = {}
            case yaml.ScalarEvent():
                # Text as it stands: a version 1.10 is not the number 1.1.
                self._put(event.value, 1, event.anchor)
            case yaml.AliasEvent():
                self._put(*self.anchors.get(event.anchor or "", (None, 1)), None)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self.stack.append(_Open([] if isinstance(event, yaml.SequenceStartEvent) else {}, event.anchor))
                if len(self.stack) > _DEEPEST:
                    raise _TooMuch
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = self.stack.pop()
                self._put(done.node, done.size, done.anchor)

    def _put(self, node: Any, size: int, anchor: str | None) -> None:
        # An anchor counts once it is complete, so nothing can hold itself.
        if anchor is not None:
            self.anchors[anchor] = (node, size)
        if not self.stack:
            self.roots.append(node)
            return
        into = self.stack[-1]
        into.size += size
        if into.size > _MOST:
            raise _TooMuch
        if isinstance(into.node, list):
            into.node.append(node)
        elif into.key is None:
            into.key = node if isinstance(node, str) else "?"
        else:
            into.node[into.key], into.key = node, None


class _TooMuch(Exception):
    """No manifest of use is like this."""
