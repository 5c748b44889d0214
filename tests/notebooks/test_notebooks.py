"""Every notebook runs from top to bottom, as a user would run it, and shows what it promises."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def execute(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    return notebook


def outputs(notebook, kind):
    return [o["data"][kind] for cell in notebook.cells for o in cell.get("outputs", []) if kind in o.get("data", {})]


@pytest.mark.slow
def test_quickstart(tmp_path, monkeypatch):
    notebook = execute("00_quickstart.ipynb", tmp_path, monkeypatch)
    assert len(notebook.cells) == 10
    (report,) = tmp_path.glob("collab-asd-quickstart-*/sharing/report.html")
    assert report.stat().st_size > 100_000
    assert len(outputs(notebook, "image/png")) == 1  # the explained alarm
    tables = [text for text in outputs(notebook, "text/plain") if "machine" in text]
    assert len(tables) == 2


def test_notebooks_are_committed_without_outputs():
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")], path.name
