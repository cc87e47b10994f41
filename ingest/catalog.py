"""Which sources there are: the modules of ingest/sources."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from ingest import sources
from toolkit.errors import UsageError

__all__ = ["source_named", "source_names"]


def source_names() -> list[str]:
    """Names of all sources, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(sources.__path__))


def source_named(name: str) -> Any:
    """The source's module. Raises UsageError naming those there are."""
    if name not in source_names():
        raise UsageError(f"No source is called {name!r}. There are: {', '.join(source_names())}. Set it as kind under [sources.NAME].")
    return importlib.import_module(f"ingest.sources.{name}")
