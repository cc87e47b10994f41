"""The app's table of contents: finds the workspace, says what is missing, and hands over to a page."""

from __future__ import annotations

import atexit
import gc
from pathlib import Path

import streamlit as st

from toolkit.errors import UsageError
from toolkit.ui import data
from toolkit.ui.state import scope_bar
from toolkit.untrusted import plain

__all__ = ["main"]

HERE = Path(__file__).parent


def main() -> None:
    """Draw the app; Streamlit calls this again for every interaction."""
    # A local file: a named icon would be fetched from elsewhere.
    st.set_page_config(page_title="Knowngood", page_icon=str(HERE / "icon.png"), layout="wide")
    # By absolute path: the app runs from wherever the workspace is. A folder named pages would be run past this file.
    page = st.navigation(
        [
            st.Page(HERE / "app_pages" / "overview.py", title="Overview", default=True),
            st.Page(HERE / "app_pages" / "incidents.py", title="Incidents"),
            st.Page(HERE / "app_pages" / "retrospective.py", title="Retrospective"),
            st.Page(HERE / "app_pages" / "thresholds.py", title="Thresholds"),
            st.Page(HERE / "app_pages" / "practices.py", title="Practices"),
        ],
        position="top",
    )
    try:
        whole = data.view()
    except Exception as error:  # noqa: BLE001  # whatever broke, the page says so and what to do
        missing(error)
        return
    if whole is None:
        unpublished()
        return
    scope_bar(whole)
    if data.overtaken(whole):
        st.badge(
            "Records, settings or rules have changed since these facts were computed: knowngood publish brings them up to date",
            color="orange",
        )
    page.run()
    settle()


@st.cache_resource
def settle() -> None:
    """Keep what the first page has imported out of the search for garbage, which Streamlit makes after every run: a tenth of a second."""
    gc.freeze()
    atexit.register(gc.unfreeze)


def missing(error: Exception) -> None:
    """No workspace, or one that cannot be read."""
    st.title("Knowngood")
    if isinstance(error, UsageError):
        st.error(plain(error.message.replace("`", "")), title="The workspace could not be opened")
        commands = (
            "knowngood init       # start a workspace in this folder\nknowngood doctor     # say what is wrong with the one that is here"
        )
    else:
        st.error(plain(f"{type(error).__name__}: {error}"), title="The published facts could not be read")
        commands = "knowngood doctor           # say what is wrong\nknowngood publish --force  # compute the facts anew from the ledger"
    st.markdown("In a terminal, in the folder of your workspace:")
    st.code(commands, language="sh")
    st.markdown("To look around first, with a synthetic team's history:")
    st.code("knowngood demo --serve", language="sh")


def unpublished() -> None:
    """A workspace without a warehouse: nothing was published yet."""
    st.title("Knowngood")
    st.info("This workspace has no facts yet: load or sync records, then publish.", title="Nothing published")
    st.code("knowngood load deployments.csv --as deployment\nknowngood publish", language="sh")
    st.markdown("Or load the sample, a synthetic team's history, in a workspace of its own:")
    st.code("knowngood demo --serve", language="sh")


if __name__ == "__main__":
    main()
