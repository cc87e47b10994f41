"""A retrospective as people hold one, in a real browser: from the worst week to a signed document."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import polars as pl
import pytest
from browsing import ANSWERED, opened, quiet, serving
from playwright.sync_api import BrowserContext, Page

from toolkit.metrics import measure
from toolkit.workspace import Workspace

pytestmark = pytest.mark.browser

TABLE = '[data-testid="stDataFrame"]'


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


def settled(page: Page) -> None:
    """Wait until the app has answered what was last typed or clicked: a run that begins redraws what one is about to click."""
    page.wait_for_timeout(200)
    page.wait_for_selector(ANSWERED, timeout=60_000)


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


def test_the_worst_week_is_opened_corrected_seen_to_move_signed_and_downloaded(
    place: Workspace, browser: BrowserContext, tmp_path: Path
) -> None:
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
