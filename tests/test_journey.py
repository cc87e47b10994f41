"""A retrospective as people hold one, in a real browser: from the worst week to a signed document."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from browsing import QUIET, Opened, opened, serving
from playwright.sync_api import Browser, Page, sync_playwright

from toolkit.metrics import measure
from toolkit.store import warehouse
from toolkit.workspace import Workspace

pytestmark = pytest.mark.browser

TABLE = '[data-testid="stDataFrame"]'


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def place(demo: Path, tmp_path: Path) -> Workspace:
    """The sample, to write in."""
    shutil.copytree(demo, tmp_path / "site")
    return Workspace(tmp_path / "site")


def wrong_cause(place: Workspace) -> tuple[str, str, str, str]:
    """In the week with most minutes: an incident that names a deployment as its cause, and was ended by undoing another. Its id, the two,
    its service."""
    found = place.facts.incidents.filter(pl.col("production") & ~pl.col("planned")).collect()
    recent = found.filter(pl.col("at") > found["at"].max() - pl.duration(weeks=26)).with_columns(week=pl.col("at").dt.truncate("1w"))
    worst = recent.group_by("week").agg(pl.col("whole").sum()).sort("whole").tail(1)
    undone = place.facts.rollbacks.select("undoes", attempt="id").collect()
    rows = recent.join(worst, on="week", how="semi").filter(pl.col("cause_source") == "declared").explode("attempts")
    rows = rows.join(undone, left_on="attempts", right_on="attempt").filter(pl.col("undoes") != pl.col("cause_deployment"))
    return rows.select("id", "cause_deployment", "undoes", pl.col("services").list.first()).row(0)


def quiet(seen: Opened) -> None:
    """Nothing asked for elsewhere, nothing complained of; Streamlit itself probes for two files beside a page that was opened directly."""
    assert seen.abroad() == []
    assert [error for error in seen.errors if "404" not in error] == []
    assert len(seen.errors) <= 2


def settled(page: Page) -> None:
    """Wait until the app has answered what was last typed or clicked: a run that begins redraws what one is about to click."""
    page.wait_for_timeout(200)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=60_000)


def fill(page: Page, label: str, text: str) -> None:
    field = page.get_by_role("textbox", name=label, exact=True).locator("visible=true")
    field.fill(text)
    field.press("Tab")
    settled(page)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def save(page: Page, label: str, says: str) -> None:
    page.get_by_role("button", name=label, exact=True).click()
    page.get_by_text(says).wait_for(timeout=60_000)
    settled(page)


def test_the_worst_week_is_opened_corrected_seen_to_move_signed_and_downloaded(place: Workspace, browser: Browser, tmp_path: Path) -> None:
    id, named, undone, service = wrong_cause(place)
    before = measure(place, "change_failure_rate", window="26w", service=service).row(0, named=True)
    with serving(place.root, tmp_path / "log") as address, opened(browser, f"{address}/?services={service}") as seen:
        page = seen.page
        # Find it, and open it with a click on its row; the scope goes along in the address.
        page.get_by_role("link", name="Incidents").click()
        page.wait_for_url(f"**/incidents?services={service}", timeout=60_000)
        settled(page)
        fill(page, "Search", id)
        page.get_by_text("too few to sum up").wait_for(timeout=60_000)
        page.locator(f"{TABLE} canvas").first.click(position={"x": 330, "y": 55}, force=True)
        page.wait_for_url(f"**/retrospective?**incident={id}**services={service}**", timeout=60_000)
        page.get_by_text(f"The cause is {named}, certain").wait_for(timeout=60_000)
        # Correct its cause.
        settled(page)
        fill(page, "Your name", "Ann")
        choose(page, "The cause was", undone)
        fill(page, "Why", "the rollback that ended it took this one back")
        clicked = time.monotonic()
        save(page, "Correct the cause", "The cause is corrected.")
        saved = time.monotonic() - clicked
        assert [entry.body["value"]["id"] for entry in place.journal.entries()] == [undone]
        # The numbers follow by themselves.
        page.get_by_text("What your correction moved").wait_for(timeout=120_000)
        page.get_by_text(f"The cause is {undone}, certain").wait_for(timeout=60_000)
        after = measure(place, "change_failure_rate", window="26w", service=service).row(0, named=True)
        assert after["k"] == before["k"] - 1
        # Two sign; the one who corrected something can be the first only.
        page.get_by_role("tab", name="Sign-off").click()
        save(page, "Sign as prepared", "Your signature is kept.")
        save(page, "Sign as checked", "You signed this already")
        fill(page, "Your name", "Bob")
        save(page, "Sign as checked", "Signed off: nothing here changes")
        assert page.get_by_role("button", name="Correct the cause").count() == 0
        # Take it home.
        with page.expect_download(timeout=60_000) as download:
            page.get_by_role("button", name="Download as Markdown").click()
        report = Path(download.value.path()).read_text()
        assert download.value.suggested_filename == f"{id}.md"
        assert f"| Cause | {undone} (certain) |" in report
        assert "| Review | signed off |" in report
        assert re.search(rf"\| Ann \(unverified\) \| cause \| {named} \| {undone} \| the rollback that ended it", report)
        assert "checked by Bob (unverified)" in report
        # On by keyboard; what is typed into a field is typed.
        page.keyboard.press("n")
        page.wait_for_function(f"!location.search.includes('{id}')", timeout=60_000)
        quiet(seen)
    # Saving waits for no publish: this is a round trip of the page, on a busy machine too.
    assert saved < 10
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_hostile_text_shows_as_text_and_fetches_nothing(place: Workspace, browser: Browser, tmp_path: Path) -> None:
    # A documentation address: nobody answers there.
    picture = '<img src="http://198.51.100.7/x.png" onerror="console.error(1)"> ![y](http://198.51.100.7/y.png) \u202e' + "z" * 10_000
    diagram = '```mermaid\nflowchart TD\nA@{ img: "http://198.51.100.7/m.png" }\n```\n:red[x]{background="url(http://198.51.100.7/d.png)"}'
    tables = {name: warehouse.read(place.warehouse, name) for name in warehouse.tables(place.warehouse)}
    tables["incidents"] = tables["incidents"].with_columns(title=pl.lit(picture), severity=pl.lit(picture[:60]))
    tables["incident_events"] = tables["incident_events"].with_columns(text=pl.lit(picture[:9_000]))
    warehouse.write(place.state, "hostile", tables, warehouse.meta(place.warehouse))
    about = "incident:sample/INC-1330"
    place.journal.append("note", about, {"text": f"{picture[:5_000]}\n\n{diagram}"}, author=picture[:150])
    place.journal.append("action_item", about, {"title": picture[:5_000], "owner": picture[:400]}, author=picture[:150])
    with (
        serving(place.root, tmp_path / "log") as address,
        opened(browser, f"{address}/retrospective?incident=INC-1330", scheme="dark") as seen,
    ):
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
