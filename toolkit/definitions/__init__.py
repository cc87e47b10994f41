"""Other tools' definitions of the same numbers, from the same records; and where they part from ours."""

from toolkit.definitions.catalogue import DEFINITIONS, OWN, definition_named
from toolkit.definitions.definition import Definition
from toolkit.definitions.differences import versus
from toolkit.definitions.measuring import measure, with_causes

__all__ = ["DEFINITIONS", "OWN", "Definition", "definition_named", "measure", "versus", "with_causes"]
