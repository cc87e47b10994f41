"""The app as Streamlit's AppTest runs it: where it begins, and what a page says in words."""

from __future__ import annotations

import marshal
from functools import cache
from pathlib import Path
from typing import Any

from altair.utils import schemapi
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest, app_test, local_script_runner

__all__ = ["MAIN", "AppTest", "said"]

MAIN = Path(__file__).resolve().parent.parent / "toolkit" / "ui" / "main.py"

# Each AppTest looks through all installed packages for components, which takes longer than our page, and never finds another answer.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


# The pages are compiled once, as a server does for all whom it serves.
app_test.ScriptCache = local_script_runner.ScriptCache = cache(ScriptCache)  # type: ignore[misc, assignment]

# Altair holds each chart to its schema whenever it is drawn. The same words under the same schema are right or wrong as they were.
_faults, _known = schemapi._get_errors_from_spec, dict[Any, Any]()


def _faults_once(spec: Any, schema: dict[str, Any], rootschema: dict[str, Any] | None = None) -> Any:
    try:
        key = marshal.dumps(spec, 2), id(schema), id(rootschema)
    except ValueError:
        return _faults(spec, schema, rootschema)
    if key not in _known:
        # With the schemas, so that no other takes their place in memory.
        _known[key] = _faults(spec, schema, rootschema), schema, rootschema
    return _known[key][0]


schemapi._get_errors_from_spec = _faults_once


def said(app: AppTest) -> str:
    """All that the page says in words."""
    return "\n".join(
        str(part.value) for kind in ("title", "subheader", "markdown", "caption", "info", "error", "code") for part in app.get(kind)
    )
