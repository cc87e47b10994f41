"""The notebooks: each runs from top to bottom, in marimo and, exported, in Jupyter."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import altair as alt
import nbformat
import polars as pl
import pytest
from nbclient import NotebookClient

import toolkit as kg
from toolkit.workspace import Workspace

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))


@pytest.fixture(autouse=True)
def _in_the_demo(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWNGOOD_WORKSPACE", str(demo))


def shown(path: Path) -> list[Any]:
    """Runs a notebook as `python notebook.py` does. Returns what its cells show."""
    spec = importlib.util.spec_from_file_location(f"notebook_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outputs, _ = module.app.run()
    return [output for output in outputs if output is not None]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_every_frame_and_chart_has_something_to_show(path: Path) -> None:
    outputs = shown(path)
    frames = [output for output in outputs if isinstance(output, pl.DataFrame)]
    charts = [output.to_dict() for output in outputs if isinstance(output, alt.TopLevelMixin)]
    # Nothing of the sample is in quarantine, and that is said by an empty frame.
    assert sum(frame.is_empty() for frame in frames) <= (path.stem == "06_trust_the_data")
    assert len(frames) >= 2
    assert all(any(chart["datasets"].values()) for chart in charts)
    assert charts or path.stem == "06_trust_the_data"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_uses_public_names_only(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 100
    assert "import toolkit as kg" in text
    names = [node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    assert not [name for name in names if name.startswith("_")]


def test_marimo_has_nothing_to_complain_about(capsys: pytest.CaptureFixture[str]) -> None:
    (marimo,) = entry_points(group="console_scripts", name="marimo")
    with pytest.raises(SystemExit) as end:
        marimo.load()(["check", "--strict", *map(str, NOTEBOOKS)])
    assert (end.value.code, capsys.readouterr().out) == (0, "")


def test_the_tour_runs_in_jupyter_too(tmp_path: Path) -> None:
    """As `make notebooks` exports it."""
    target = tmp_path / "tour.ipynb"
    export = [sys.executable, "-m", "marimo", "-q", "export", "ipynb", FOLDER / "01_tour.py", "-o", target]
    subprocess.run(export, check=True, capture_output=True)
    book = nbformat.read(target, as_version=4)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    drawn = [output for output in outputs if "vegaEmbed" in output.get("data", {}).get("text/html", "")]
    tables = [output for output in outputs if "<table" in output.get("data", {}).get("text/html", "")]
    assert (len(drawn), len(tables)) == (3, 3)
    # Where Altair has the browser look for Vega, and how to do without, is said in the README. The other is the name of a schema.
    named = {host for output in drawn for host in re.findall(r'"https?://([^/"]+)', output["data"]["text/html"])}
    assert named == {"cdn.jsdelivr.net", "vega.github.io"}
    assert "Vega from cdn.jsdelivr.net" in (FOLDER.parent / "README.md").read_text()


def test_import_toolkit_as_kg_offers_the_notebooks_words_and_waits_for_no_frames(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys, toolkit as kg; print('polars' in sys.modules, sorted(kg.__all__))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("False")
    assert {"compare", "explain", "measure"} <= set(kg.__all__)
    assert "open" not in kg.__all__
    assert all(callable(getattr(kg, name)) for name in ("open", *kg.__all__))
    other = Workspace.init(tmp_path / "other")
    assert kg.open().root == demo
    assert kg.open(other.root).root == other.root
    monkeypatch.delenv("KNOWNGOOD_WORKSPACE")
    monkeypatch.chdir(other.root)
    assert kg.open().root == other.root
