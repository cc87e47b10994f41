"""The app in a real browser: it draws, it fetches nothing from elsewhere, it complains of nothing, and its view is its address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import polars as pl
import pytest
from browsing import OURS, QUIET, opened, serving
from playwright.sync_api import Browser, Page, sync_playwright

from toolkit.store import warehouse
from toolkit.workspace import Workspace

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(demo: Path, chromium: str) -> Iterator[str]:
    """The app on the sample."""
    log = demo.parent / "server.log"
    with serving(demo, log) as address:
        yield address
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


def background(page: Page) -> tuple[int, ...]:
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor")
    return tuple(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_overview_draws_quietly_in_both_themes(server: str, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    with opened(browser, server, scheme=scheme) as seen:
        assert seen.requests
        assert seen.abroad() == []
        assert seen.errors == []
        assert seen.page.locator('[data-testid="stMetric"]').count() == 6
        assert seen.page.locator('[data-testid="stVegaLiteChart"]').count() >= 2
        assert seen.page.locator('[data-testid="stException"]').count() == 0
        assert (sum(background(seen.page)) < 200) == (scheme == "dark")


def test_a_number_opens_to_its_rows(server: str, browser: Browser) -> None:
    with opened(browser, server) as seen:
        seen.page.click(".st-key-why_change_failure_rate button")
        dialog = seen.page.locator('[role="dialog"]')
        dialog.get_by_text("rows counted").wait_for(timeout=60_000)
        assert " of " in dialog.locator("code").first.inner_text()
        assert seen.errors == []
        assert seen.abroad() == []


def test_what_is_chosen_stands_in_the_address_and_comes_back_from_it(server: str, browser: Browser) -> None:
    with opened(browser, server) as seen:
        before = seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts()
        seen.page.get_by_role("radio", name="4w").or_(seen.page.get_by_role("button", name="4w", exact=True)).first.click()
        seen.page.wait_for_url("**window=4w**", timeout=60_000)
        seen.page.wait_for_timeout(1_500)
        after = seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts()
        assert after != before
        sent = seen.page.url
    with opened(browser, sent) as seen:
        assert seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts() == after


def test_no_card_cuts_its_name_or_its_number(server: str, browser: Browser) -> None:
    with opened(browser, server) as seen:
        cut = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth + 1).map(n => n.innerText)"
        assert seen.page.locator('[data-testid="stMetricValue"] *, [data-testid="stMetricLabel"] *').evaluate_all(cut) == []


def test_every_chart_and_table_has_a_name_for_those_who_do_not_see_it(server: str, browser: Browser) -> None:
    with opened(browser, server) as seen:
        charts = seen.page.locator('[data-testid="stVegaLiteChart"], [data-testid="stDataFrame"]')
        named = "nodes => nodes.filter(n => !(n.closest('[aria-label]') || n.querySelector('[aria-label]'))).length"
        assert charts.count() >= 3
        assert charts.evaluate_all(named) == 0


def test_a_click_on_a_service_filters_the_page_and_the_address(server: str, browser: Browser) -> None:
    with opened(browser, server) as seen:
        point = seen.page.locator(
            '.st-key-by_service_change_failure_rate path[aria-roledescription="point"][aria-label*="service: search"]'
        )
        point.scroll_into_view_if_needed()
        point.click()
        seen.page.wait_for_url("**services=search**", timeout=60_000)
        assert seen.errors == []


def test_text_from_sources_fetches_nothing_and_runs_nothing(demo: Path, browser: Browser, tmp_path: Path) -> None:
    # A documentation address: nobody answers there.
    picture, service = '<img src="http://198.51.100.7/x.png" onerror="console.error(1)">', "![y](http://198.51.100.7/y.png)"
    path = Workspace(demo).warehouse
    tables = {name: warehouse.read(path, name) for name in warehouse.tables(path)}
    renamed = pl.element().replace("search", service)
    # In no recent incident, so that a short window with this severity is empty and the page names the filter.
    severity = pl.when(pl.col("at") < datetime(2026, 1, 1, tzinfo=UTC)).then(pl.lit(service)).otherwise("severity")
    tables["deployments"] = tables["deployments"].with_columns(pl.col("service").replace("search", service), version=pl.lit(picture))
    tables["rollbacks"] = tables["rollbacks"].with_columns(pl.col("service").replace("search", service), reason=pl.lit(picture))
    tables["incidents"] = tables["incidents"].with_columns(pl.col("services").list.eval(renamed), title=pl.lit(picture), severity=severity)
    hostile = Workspace.init(tmp_path / "hostile")
    warehouse.write(hostile.state, "hostile", tables, warehouse.meta(path))
    with serving(hostile.root, tmp_path / "log") as address, opened(browser, address) as seen:
        mark = seen.page.locator('path[aria-roledescription="point"][aria-label*="Kind: incident"]').last
        mark.scroll_into_view_if_needed()
        mark.hover(force=True)
        seen.page.locator("#vg-tooltip-element").get_by_text("<img src=").wait_for(timeout=60_000)
        seen.page.click(".st-key-why_time_to_detect button")
        seen.page.locator('[role="dialog"]').get_by_text("rows counted").wait_for(timeout=60_000)
        seen.page.goto(f"{address}/?window=4w&services={quote(service)}&severity={quote(service)}")
        seen.page.get_by_text("Nothing in this scope").wait_for(timeout=180_000)
        seen.page.wait_for_timeout(1_000)
        assert seen.abroad() == []
        assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_practices_draw_quietly_in_both_themes(server: str, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    context = browser.new_context(color_scheme=scheme)
    page, abroad, errors = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: None if request.url.startswith(OURS) else abroad.append(request.url))
    # Under a sub-page Streamlit probes two addresses that are not there.
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" and "404" not in said.text else None)
    page.goto(f"{server}/practices")
    page.get_by_text("Could we roll this back now?").wait_for(timeout=180_000)
    page.locator('[data-testid="stDataFrame"]').nth(7).wait_for(state="attached", timeout=60_000)
    assert (sum(background(page)) < 200) == (scheme == "dark")
    assert (abroad, errors) == ([], [])
    context.close()
