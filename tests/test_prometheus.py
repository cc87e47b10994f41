"""Samples from a real Prometheus and from servers that misbehave; the gate pauses on whatever it cannot get."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ingest.engine import sync
from ingest.http import Site, Unreachable
from ingest.sources.prometheus import Series, read, samples, to_samples
from toolkit.cli.entry import run
from toolkit.criteria.policy import Policy
from toolkit.errors import UsageError
from toolkit.workspace import Workspace

START = datetime(2026, 5, 4, 10, tzinfo=UTC)
POLICY = (
    '[[criterion]]\nname = "errors"\nkind = "canary"\nseries = "errors"\nlimit = 0.05\nfor = "2m"\nmin_events = 30\nsince = 2026-01-01\n'
)


@pytest.fixture(scope="module")
def server(prometheus: str, promtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with an hour of two arms: a hundred requests a minute, one of them bad, of the canary's twelve from minute 20 on."""
    folder = tmp_path_factory.mktemp("prometheus")
    lines = []
    for name, usual in (("bad", 1), ("total", 100)):
        lines.append(f"# TYPE {name} counter")
        for arm in ("baseline", "canary"):
            for minute in range(-5, 61):
                more = 11 * max(0, minute - 19) if (name, arm) == ("bad", "canary") else 0
                count = usual * (minute + 5) + more
                lines.append(f'{name}_total{{arm="{arm}"}} {count} {START.timestamp() + 60 * minute:.0f}')
    path = folder / "metrics.txt"
    path.write_text("\n".join([*lines, "# EOF", ""]))
    made = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=2400h", str(path), str(folder / "data")]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        prometheus, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait(f"http://127.0.0.1:{port}/-/ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wait(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{address} did not come up")


def arms(service: str = "shop") -> list[dict[str, str]]:
    queries = {name: f'sum(increase({name}_total{{arm="%s"}}[2m])) / 2' for name in ("bad", "total")}
    return [
        {"series": "errors", "service": service, "variant": arm} | {name: query % arm for name, query in queries.items()}
        for arm in ("baseline", "canary")
    ]


def test_a_real_prometheus_gives_samples_in_windows(server: str) -> None:
    rows = samples("shop", START, START + timedelta(minutes=30), url=server, series=arms())
    assert len(rows) == 2 * 31
    canary = {row["at"]: row for row in rows if row["variant"] == "canary"}
    assert canary[START + timedelta(minutes=10)]["bad"] == pytest.approx(1, abs=0.2)
    assert canary[START + timedelta(minutes=28)]["bad"] == pytest.approx(12, abs=0.5)
    assert canary[START + timedelta(minutes=28)]["total"] == pytest.approx(100, abs=5)


def test_a_source_reads_on_from_its_cursor_and_in_stretches_that_prometheus_allows(server: str) -> None:
    pages = list(read(None, url=server, series=arms(), step=1, start=START, until=START + timedelta(hours=3)))
    # Three hours at one a second are 10,801 points: two stretches, each with two arms.
    assert len(pages) == 4
    later = list(read(pages[-1].cursor, url=server, series=arms(), step=60, until=START + timedelta(hours=3, minutes=5)))
    assert later[0].covers is not None
    assert later[0].covers[0] == START + timedelta(hours=3, minutes=-10), "with an overlap for what came late"


def workspace(folder: Path, url: str, **more: Any) -> Workspace:
    place = Workspace.init(folder / "here")
    named = "".join("[[sources.prom.series]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in one.items()) for one in arms())
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    with (place.root / "knowngood.toml").open("a") as file:
        file.write(f'\n[sources.prom]\nkind = "prometheus"\nurl = "{url}"\n{extra}{named}')
    Policy(POLICY).save(place.root)
    return Workspace(place.root)


def gate(place: Workspace, minute: int, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    at = (START + timedelta(minutes=minute)).isoformat()
    asked = ["gate", "--service", "shop", "--deployment", "d1", "--since", START.isoformat(), "--at", at, "--live", "prom", "--json"]
    code = run([*asked, "--workspace", str(place.root)])
    return code, json.loads(capsys.readouterr().out)


def test_the_gate_asks_a_live_prometheus(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = workspace(tmp_path, server)
    code, told = gate(place, 15, capsys)
    assert (code, told["decision"]) == (0, "proceed")
    code, told = gate(place, 40, capsys)
    assert (code, told["decision"]) == (20, "revert")
    assert 20 < told["findings"][0]["t"] < 26
    code, told = gate(place, 110, capsys)
    assert told["decision"] in ("pause", "revert"), "it ended fifty minutes ago"
    assert code != 0


def test_a_sync_brings_samples_into_the_ledger(server: str, tmp_path: Path) -> None:
    place = workspace(tmp_path, server, start=START.isoformat(), until=(START + timedelta(minutes=20)).isoformat())
    reports = sync(place, ["prom"])
    assert all(report.error is None for report in reports)
    assert place.ledger.read("samples").height == 2 * 21
    assert sum(report.new for report in sync(place, ["prom"])) == 0


# Servers that misbehave


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives these answers in turn, the last one again and again; and the headers it was sent."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = answers[min(len(seen), len(answers) - 1)]
            seen.append(dict(self.headers))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


OK = (200, {}, b'{"status":"success","data":{"resultType":"matrix","result":[]}}')
BROKEN = {
    "redirect": (302, {"Location": "http://elsewhere.example/"}, b""),
    "no JSON": (200, {}, b'{"status":"succ'),
    "answers 400": (400, {}, b'{"status":"error","error":"parse error at char 3"}'),
    "not that of a Prometheus": (200, {}, b'{"hello":1}'),
    "2 series": (200, {}, b'{"status":"success","data":{"resultType":"matrix","result":[{"values":[]},{"values":[]}]}}'),
}


@pytest.mark.parametrize("what", BROKEN)
def test_whatever_goes_wrong_there_the_gate_pauses_and_says_it(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(BROKEN[what]) as (url, _):
        code, told = gate(workspace(tmp_path, url), 15, capsys)
    assert (code, told["decision"]) == (10, "pause")
    assert what in told["reasons"][0]


def test_nobody_there_and_nothing_there_pause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(OK) as (url, _):
        place = workspace(tmp_path, url)
        assert gate(place, 15, capsys)[0] == 10, "no samples"
    code, told = gate(place, 15, capsys)
    assert code == 10
    assert "cannot be reached" in told["reasons"][0]


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    with answering((429, {"Retry-After": "0"}, b""), (503, {}, b""), OK) as (url, seen):
        assert Site(url).json("/api/v1/query_range", {})["status"] == "success"
        assert len(seen) == 3


def test_the_token_comes_from_the_environment_and_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="PROM_TOKEN is not set"):
        Site("http://127.0.0.1:1", token="PROM_TOKEN")
    monkeypatch.setenv("PROM_TOKEN", "s3cret-of-ours")
    with answering((400, {}, b"{}")) as (url, seen):
        with pytest.raises(Unreachable) as error:
            Site(url, token="PROM_TOKEN").json("/x", {})
        assert seen[0]["Authorization"] == "Bearer s3cret-of-ours"
        assert "s3cret" not in str(error.value)
    with pytest.raises(UsageError, match="password"):
        Site("http://ada:s3cret@127.0.0.1:1")


def test_an_infinite_share_is_no_number() -> None:
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [{"values": [[0, "+Inf"], [60, "NaN"], [120, "0.5"]]}]}}
    rows = to_samples(Series(series="errors", service="shop", value="x"), {"value": answer}, 60)
    assert [row["value"] == row["value"] for row in rows] == [False, False, True]
