"""All definitions by name."""

from __future__ import annotations

from toolkit.definitions.definition import Definition
from toolkit.definitions.devlake import DEVLAKE
from toolkit.definitions.fourkeys import FOURKEYS
from toolkit.definitions.gitlab import GITLAB
from toolkit.definitions.metrik import METRIK
from toolkit.definitions.middleware import MIDDLEWARE
from toolkit.definitions.rollbacks import DATADOG, SLEUTH, SWARMIA
from toolkit.errors import UsageError

__all__ = ["DEFINITIONS", "OWN", "definition_named"]

OWN = "knowngood"
DEFINITIONS: dict[str, Definition] = {
    found.name: found for found in (DEVLAKE, FOURKEYS, GITLAB, MIDDLEWARE, METRIK, DATADOG, SLEUTH, SWARMIA)
}


def definition_named(name: str) -> Definition:
    """Raises UsageError where there is none of that name."""
    if name not in DEFINITIONS:
        raise UsageError(f"No definition named {name!r} here. There are: {', '.join((OWN, *DEFINITIONS))}.")
    return DEFINITIONS[name]
