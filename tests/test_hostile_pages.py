"""Hostile text in a real browser: it shows as text, fetches nothing and runs nothing, on every page that it can reach."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from browsing import opened, quiet, serving
from playwright.sync_api import BrowserContext

from toolkit.store import warehouse
from toolkit.workspace import Workspace

pytestmark = pytest.mark.browser

# A documentation address: nobody answers there.
PICTURE = '<img src="http://198.51.100.7/x.png" onerror="console.error(1)"> ![y](http://198.51.100.7/y.png) \u202e'
SERVICE = "![y](http://198.51.100.7/y.png)"
DIAGRAM = '```mermaid\nflowchart TD\nA@{ img: "http://198.51.100.7/m.png" }\n```\n:red[x]{background="url(http://198.51.100.7/d.png)"}'
LONG = PICTURE + "z" * 10_000


@pytest.fixture(scope="module")
def server(demo: Path, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on the sample, with such text wherever a source or a person has a say."""
    folder = tmp_path_factory.mktemp("hostile")
    place = Workspace(shutil.copytree(demo, folder / "site"))
    tables = {name: warehouse.read(place.warehouse, name) for name in warehouse.tables(place.warehouse)}
    renamed = pl.element().replace("search", SERVICE)
    # One of the two in no recent incident, so that a short window with it is empty and the page names the filter.
    severity = pl.when(pl.col("at") < datetime(2026, 1, 1, tzinfo=UTC)).then(pl.lit(SERVICE)).otherwise(pl.lit(PICTURE[:60]))
    for name, text in (("deployments", "version"), ("rollbacks", "reason")):
        tables[name] = tables[name].with_columns(pl.col("service").replace("search", SERVICE), pl.lit(PICTURE).alias(text))
    tables["incidents"] = tables["incidents"].with_columns(pl.col("services").list.eval(renamed), title=pl.lit(LONG), severity=severity)
    tables["incident_events"] = tables["incident_events"].with_columns(text=pl.lit(LONG[:9_000]))
    warehouse.write(place.state, "hostile", tables, warehouse.meta(place.warehouse))
    about = "incident:sample/INC-1330"
    place.journal.append("note", about, {"text": f"{LONG[:5_000]}\n\n{DIAGRAM}"}, author=LONG[:150])
    place.journal.append("action_item", about, {"title": LONG[:5_000], "owner": LONG[:400]}, author=LONG[:150])
    with serving(place.root, folder / "log") as address:
        yield address
    assert "Traceback" not in (folder / "log").read_text()


def test_on_the_overview_its_tooltips_its_rows_and_its_filters(server: str, browser: BrowserContext) -> None:
    with opened(browser, server) as seen:
        page = seen.page
        mark = page.locator('path[aria-roledescription="point"][aria-label*="Kind: incident"]').last
        mark.scroll_into_view_if_needed()
        mark.hover(force=True)
        page.locator("#vg-tooltip-element").get_by_text("<img src=").wait_for(timeout=60_000)
        page.click(".st-key-why_time_to_detect button")
        page.locator('[role="dialog"]').get_by_text("rows counted").wait_for(timeout=60_000)
        page.goto(f"{server}/?window=4w&services={quote(SERVICE)}&severity={quote(SERVICE)}")
        page.get_by_text("Nothing in this scope").wait_for(timeout=180_000)
        page.wait_for_timeout(1_000)
        quiet(seen)


def test_in_a_retrospective_its_timeline_notes_and_actions(server: str, browser: BrowserContext) -> None:
    with opened(browser, f"{server}/retrospective?incident=INC-1330", scheme="dark") as seen:
        page = seen.page
        assert page.get_by_role("heading", name="INC-1330: <img src=").count() == 1
        for tab in ("Actions", "Notes", "Sign-off", "History"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(300)
        page.get_by_role("tab", name="Notes").click()
        page.get_by_text("![y]").first.wait_for(timeout=60_000)
        mark = page.locator('path[aria-roledescription="point"]').first
        mark.scroll_into_view_if_needed()
        mark.hover(force=True)
        page.wait_for_timeout(500)
        assert page.locator('img[src*="198.51"], [style*="198.51"], .mermaid').count() == 0
        quiet(seen)
