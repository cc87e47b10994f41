"""The app as Streamlit's AppTest runs it: where it begins, and what a page says in words."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

__all__ = ["MAIN", "AppTest", "said"]

MAIN = Path(__file__).resolve().parent.parent / "toolkit" / "ui" / "main.py"

# Each AppTest looks through all installed packages for components, which takes longer than our page, and never finds another answer.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


def said(app: AppTest) -> str:
    """All that the page says in words."""
    return "\n".join(
        str(part.value) for kind in ("title", "subheader", "markdown", "caption", "info", "error", "code") for part in app.get(kind)
    )
