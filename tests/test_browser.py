"""The app in a real browser: it draws, it fetches nothing from elsewhere, it complains of nothing, and its view is its address."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import polars as pl
import pytest
from browsing import Opened, opened, quiet, serving
from playwright.sync_api import BrowserContext, Page

from toolkit.publish import publish
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
def overview(server: str, browser: BrowserContext) -> Iterator[Opened]:
    """The first page, to look at."""
    with opened(browser, server) as seen:
        yield seen


def background(page: Page) -> tuple[int, ...]:
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor")
    return tuple(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


def drawn_quietly(seen: Opened) -> None:
    quiet(seen)
    assert seen.page.locator('[data-testid="stMetric"]').count() == 6
    assert seen.page.locator('[data-testid="stVegaLiteChart"]').count() >= 2
    assert seen.page.locator('[data-testid="stException"]').count() == 0


def test_the_overview_draws_quietly_in_both_themes(server: str, browser: BrowserContext, overview: Opened) -> None:
    drawn_quietly(overview)
    with opened(browser, server, scheme="dark") as dark:
        drawn_quietly(dark)
        assert sum(background(dark.page)) < 200 <= sum(background(overview.page))


def test_no_card_cuts_its_name_or_its_number(overview: Opened) -> None:
    cut = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth + 1).map(n => n.innerText)"
    assert overview.page.locator('[data-testid="stMetricValue"] *, [data-testid="stMetricLabel"] *').evaluate_all(cut) == []


def test_every_chart_and_table_has_a_name_for_those_who_do_not_see_it(overview: Opened) -> None:
    charts = overview.page.locator('[data-testid="stVegaLiteChart"], [data-testid="stDataFrame"]')
    named = "nodes => nodes.filter(n => !(n.closest('[aria-label]') || n.querySelector('[aria-label]'))).length"
    assert charts.count() >= 3
    assert charts.evaluate_all(named) == 0


def test_a_number_opens_to_its_rows(overview: Opened) -> None:
    overview.page.click(".st-key-why_change_failure_rate button")
    dialog = overview.page.locator('[role="dialog"]')
    dialog.get_by_text("rows counted").wait_for(timeout=60_000)
    assert " of " in dialog.locator("code").first.inner_text()
    # Closed again: others look at this page, too.
    overview.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden", timeout=60_000)
    quiet(overview)


def test_what_is_chosen_and_clicked_stands_in_the_address_and_comes_back_from_it(server: str, browser: BrowserContext) -> None:
    with opened(browser, server) as seen:
        before = seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts()
        seen.page.get_by_role("radio", name="4w").or_(seen.page.get_by_role("button", name="4w", exact=True)).first.click()
        seen.page.wait_for_url("**window=4w**", timeout=60_000)
        seen.page.wait_for_timeout(1_500)
        between = seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts()
        assert between != before
        point = seen.page.locator(
            '.st-key-by_service_change_failure_rate path[aria-roledescription="point"][aria-label*="service: search"]'
        )
        point.scroll_into_view_if_needed()
        point.click()
        seen.page.wait_for_url("**services=search**", timeout=60_000)
        seen.page.wait_for_timeout(1_500)
        after = seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts()
        assert after != between
        sent = seen.page.url
        quiet(seen)
    assert "window=4w" in sent
    with opened(browser, sent) as seen:
        assert seen.page.locator('[data-testid="stMetricValue"]').all_inner_texts() == after
        quiet(seen)


def test_the_practices_draw_quietly_in_both_themes(server: str, browser: BrowserContext) -> None:
    question, ninth = "text=Could we roll this back now?", '[data-testid="stDataFrame"] >> nth=8'
    with opened(browser, f"{server}/practices", until=question, drawn=ninth) as seen:
        light = sum(background(seen.page))
        # Whoever goes over to the dark meanwhile sees it at once.
        seen.page.emulate_media(color_scheme="dark")
        seen.page.wait_for_timeout(1_000)
        assert sum(background(seen.page)) < 200 <= light
        assert seen.page.locator(ninth).count() == 1
        quiet(seen)


OF_CHECKOUT = """
[[criterion]]
name = "canary errors"
service = "checkout"
kind = "canary"
series = "errors"
mode = "difference"
limit = 0.04
for = "2m"
since = 2025-01-01
"""


@pytest.fixture(scope="module")
def watched(told: Workspace, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    """The app on a team with telemetry, where one service has a criterion of its own."""
    folder = tmp_path_factory.mktemp("watched")
    place = Workspace(shutil.copytree(told.root, folder / "site"))
    policy = place.root / "policy" / "criteria.toml"
    policy.write_text(policy.read_text() + OF_CHECKOUT)
    publish(place)
    with serving(place.root, folder / "log") as address:
        yield place, address
    assert "Traceback" not in (folder / "log").read_text()


def arrived(page: Page, path: str, asked: dict[str, list[str]]) -> None:
    """At a page with all this in its address: the scope goes along."""

    def there(address: str) -> bool:
        parts = urlsplit(address)
        return parts.path == path and asked.items() <= parse_qs(parts.query).items()

    page.wait_for_url(there, timeout=60_000)


def test_from_an_incident_of_the_overview_to_the_limit_that_would_have_been_in_time(
    watched: tuple[Workspace, str], browser: BrowserContext
) -> None:
    place, address = watched
    id, scope = "INC-1010", {"services": ["checkout"], "severity": ["sev2", "sev3"]}
    shown = place.facts.incidents.filter(pl.col("services").list.contains("checkout"), pl.col("severity").is_in(scope["severity"]))
    row = shown.sort("at", "id", descending=True).collect()["id"].to_list().index(id)
    with opened(browser, f"{address}/?{urlencode(scope, doseq=True)}") as seen:
        page = seen.page
        # Its row, below the head of the table.
        page.locator(".st-key-incidents_in_scope canvas").first.click(position={"x": 330, "y": 35 * (row + 1) + 17}, force=True)
        arrived(page, "/retrospective", scope | {"incident": [id]})
        page.get_by_role("tab", name="What if").click()
        limit = page.get_by_role("link", name="Try ").first
        said = limit.inner_text().removeprefix("Try ")
        limit.click()
        arrived(page, "/thresholds", scope | {"criterion": ["canary errors · checkout"]})
        page.get_by_text("would have caught").first.wait_for(timeout=60_000)
        sent = page.url
        quiet(seen)
    # Whoever is sent that address sees the same, and nothing is asked for that is not there; nor on the page of incidents.
    with opened(browser, sent) as seen:
        assert seen.page.get_by_role("slider").first.get_attribute("aria-valuetext") == said
        quiet(seen)
    with opened(browser, f"{address}/incidents", drawn='[data-testid="stDataFrame"]') as seen:
        quiet(seen)
