"""`make pictures`: draw docs/*.png again, from the demo in .demo."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browsing import QUIET, opened, serving
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as logs, serving(ROOT / ".demo", Path(logs) / "log") as address, sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        browser = started.new_context()
        with opened(browser, address, height=1600) as seen:
            seen.page.screenshot(path=docs / "overview.png", clip={"x": 0, "y": 60, "width": 1280, "height": 1500})
        with opened(browser, address, height=1000) as seen:
            seen.page.click(".st-key-why_change_failure_rate button")
            seen.page.locator('[role="dialog"]').get_by_text("rows counted").wait_for()
            seen.page.wait_for_timeout(2_000)
            seen.page.screenshot(path=docs / "explained.png")
        with opened(browser, f"{address}/retrospective?incident=INC-1199", height=1150) as seen:
            seen.page.wait_for_timeout(1_000)
            seen.page.screenshot(path=docs / "retrospective.png", clip={"x": 0, "y": 175, "width": 1280, "height": 790})
        with opened(browser, f"{address}/thresholds", height=1150) as seen:
            seen.page.wait_for_timeout(1_000)
            seen.page.screenshot(path=docs / "thresholds.png", clip={"x": 0, "y": 175, "width": 1280, "height": 850})
        started.close()
    sys.stdout.write("".join(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:,.0f} kB\n" for path in sorted(docs.glob("*.png"))))


if __name__ == "__main__":
    main()
