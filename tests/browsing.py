"""The app on a port of its own, and a page on it that remembers what went over the wire and what was complained of."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response

__all__ = ["ANSWERED", "OURS", "QUIET", "Opened", "opened", "quiet", "serving"]

MAIN = Path(__file__).resolve().parent.parent / "toolkit" / "ui" / "main.py"
# A browser of its own that calls nobody: what is left on the wire is ours.
QUIET = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OURS = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
# Opened at a page's own address, Streamlit's client does not know where the app begins: it asks for these two below the page first, and
# then where they are. Only a page of HTML that is not Streamlit's could tell it.
PROBE = re.compile(r"http://127\.0\.0\.1:\d+/\w+/_stcore/(health|host-config)")
DRAWN = "svg.marks"
ANSWERED = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@dataclass
class Opened:
    """A page, and what went over the wire and to the console while it was open."""

    page: Page
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def abroad(self) -> list[str]:
        """Addresses that were asked for and are not the app's own."""
        return [url for url in self.requests if not url.startswith(OURS)]


@contextmanager
def serving(workspace: Path, log: Path) -> Iterator[str]:
    """The app on a workspace; its address. Raises RuntimeError with the log where it does not come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true", "--server.fileWatcherType=none"]
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN), *options]
    environment = os.environ | {"KNOWNGOOD_WORKSPACE": str(workspace)}
    with log.open("w") as out, subprocess.Popen(command, cwd=workspace, env=environment, stdout=out, stderr=out) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextmanager
def opened(
    browser: BrowserContext,
    address: str,
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    height: int = 900,
    until: str = "text=Data through",
    drawn: str = DRAWN,
) -> Iterator[Opened]:
    """A page that has drawn its words and its charts."""
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    seen = Opened(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("websocket", lambda wire: seen.requests.append(wire.url))
    page.on("response", lambda answer: seen.refused.append(f"{answer.status} {answer.url}") if _refused(answer) else None)
    page.on("console", lambda message: seen.errors.append(message.text) if _complains(message) else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(until, timeout=180_000)
    # Charts are drawn after the words around them.
    page.wait_for_selector(drawn, timeout=120_000)
    page.wait_for_selector(ANSWERED, timeout=60_000)
    page.wait_for_timeout(500)
    try:
        yield seen
    finally:
        page.close()


def quiet(seen: Opened) -> None:
    """Nothing asked for elsewhere, nothing asked for that is not there, nothing complained of."""
    assert seen.requests
    assert seen.abroad() == []
    assert seen.refused == []
    assert seen.errors == []


def _refused(answer: Response) -> bool:
    return answer.status >= 400 and not PROBE.fullmatch(answer.url)


def _complains(message: ConsoleMessage) -> bool:
    return message.type == "error" and not PROBE.fullmatch(message.location["url"])


def _wait_for(health: str, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(health, timeout=2).read()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(log.read_text())
