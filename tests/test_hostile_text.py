"""Whatever people and machines call things: it shows as text in a terminal, in JSON, in a spreadsheet and in events."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from toolkit.cli.entry import run
from toolkit.untrusted import visible
from toolkit.workspace import Workspace

HOSTILE = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31mred \x9b31m\x08\x08\x08",
    "bidi": "\u202egnp.exe\u202c \u2066a\u2069 \u200f\u061c",
    "hidden": "a\u200bb\u00adc\ufeffd\U000e0041",
    "lines": "first\nsecond\r\nthird\u2028fourth\x85fifth",
    "markup": "[bold]loud[/bold] [link=http://x]y[/link] *a* |b|",
    "equals": '=HYPERLINK("http://x","y")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3",
    "at": "@SUM(A1:A9)",
    "json": '"}], "x": [{"',
    "sql": "'; DROP TABLE incidents; --",
    "long": "x" * 10_000,
    "wide": "漢字 😀 e\u0301 ﷽",
}
SOURCE = "=漢" * 250
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two deployments and an incident for each text, which is its title, service, version, id, severity, actor and note."""
    folder = tmp_path_factory.mktemp("hostile")
    rows: dict[str, list[dict[str, Any]]] = {"deployment": [], "incident": [], "incident_event": [], "flag_change": [], "rollback": []}
    for number, text in enumerate(HOSTILE.values()):
        name, day = text[:400], f"2026-01-{number + 5:02}"
        for hour in (8, 10):
            rows["deployment"].append(
                {
                    "source_id": f"{name} {hour}", "service": name, "version": f"{name} {hour}", "actor": name, "labels": [name],
                    "finished_at": f"{day}T{hour:02}:00:00Z", "environment": "production",
                }
            )  # fmt: skip
        rows["incident"].append(
            {
                "source_id": name, "title": text, "services": [name], "severity": name, "declared_by": name, "root_cause": name,
                "started_at": f"{day}T10:05:00Z", "detected_at": f"{day}T10:06:00Z", "mitigated_at": f"{day}T10:30:00Z",
                "suspected_deployment": f"{name} 10",
            }
        )  # fmt: skip
        rows["incident_event"].append({"source_id": name, "incident": name, "type": "note", "at": f"{day}T10:10:00Z", "text": text})
        rows["flag_change"].append({"source_id": name, "flag": name, "service": name, "before": text, "at": f"{day}T10:15:00Z"})
        rows["rollback"].append(
            {"source_id": name, "service": name, "to_version": f"{name} 8", "reason": text, "completed_at": f"{day}T10:25:00Z"}
        )
    rows["incident"].append({"source_id": "\u202e", "services": HOSTILE["terminal"], "detected_at": HOSTILE["terminal"]})
    Workspace.init(folder, published_key=True)
    for record, found in rows.items():
        path = folder / f"{record} \u202e\x1b.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
        assert run(["load", str(path), "--as", record, "--source", SOURCE, "--no-publish", "--workspace", str(folder)]) in (0, 1)
    assert run(["publish", "--workspace", str(folder)]) == 0
    return folder


COMMANDS = [
    ["facts", "deployments"],
    ["facts", "rollbacks"],
    ["facts", "incidents"],
    ["facts", "hotfixes"],
    ["metrics", "time_to_recover", "--by", "service"],
    ["explain", "time_to_recover"],
    ["quarantine"],
    ["coverage"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_steers_a_terminal(command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([*command, "--workspace", str(folder)])
    out, err = capsys.readouterr()
    assert out
    for line in (out + err).split("\n"):
        assert visible(line) == line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_is_ascii_and_one_value(command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([*command, "--json", "--workspace", str(folder)])
    out = capsys.readouterr().out
    assert out.isascii()
    assert not any(ord(sign) < 32 and sign != "\n" for sign in out)
    json.loads(out)


def test_titles_come_out_as_they_went_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["facts", "incidents", "--json", "--workspace", str(folder)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["title"] for row in rows} == {text.strip() for text in HOSTILE.values()}


@pytest.mark.parametrize("kind", ["deployments", "rollbacks", "incidents", "hotfixes"])
def test_no_cell_of_a_csv_is_a_formula_and_none_is_lost(kind: str, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / f"{kind}.csv"
    assert run(["facts", kind, "--to", str(target), "--workspace", str(folder)]) == 0
    facts = getattr(Workspace(folder).facts, kind).collect()
    texts = [name for name, dtype in facts.schema.items() if dtype == pl.String]
    with target.open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(facts)
    for row, fact in zip(cells, facts.iter_rows(named=True), strict=True):
        for name in texts:
            assert row[name] in ((fact[name] or ""), f"'{fact[name]}")
            assert not row[name].startswith(FORMULA)


def test_events_carry_it_there_and_back(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    assert run(["events", "--to", str(file), "--workspace", str(folder)]) == 0
    assert file.read_text().isascii()
    other = Workspace.init(tmp_path / "other", published_key=True)
    assert run(["load", str(file), "--as", "cdevents", "--no-publish", "--workspace", str(other.root)]) == 0
    assert other.ledger.digest() == Workspace(folder).ledger.digest()


def test_an_error_that_repeats_what_was_said_steers_nothing_either(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["explain", "\x1b[2J"], ["facts", "deployments", "--to", "a\x1b.txt"], ["load", "\u202e", "--as", "incident"]):
        assert run([*command, "--workspace", str(folder)]) > 0
        assert all(visible(line) == line for line in capsys.readouterr().err.split("\n"))
