"""Every notebook runs from top to bottom, as a user would run it, and shows what it promises."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from collab_asd.cli.main import app

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def execute(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    return notebook


def outputs(notebook, kind):
    return [o["data"][kind] for cell in notebook.cells for o in cell.get("outputs", []) if kind in o.get("data", {})]


def printed(notebook):
    return "".join(o["text"] for cell in notebook.cells for o in cell.get("outputs", []) if "text" in o)


@pytest.mark.slow
def test_quickstart(tmp_path, monkeypatch):
    notebook = execute("00_quickstart.ipynb", tmp_path, monkeypatch)
    assert len(notebook.cells) == 10
    (report,) = tmp_path.glob("results/quickstart-*/sharing/report.html")
    assert report.stat().st_size > 100_000
    assert len(outputs(notebook, "image/png")) == 1  # the explained alarm
    tables = [text for text in outputs(notebook, "text/plain") if "machine" in text]
    assert len(tables) == 2


@pytest.fixture
def comparison(larger_machines, cache, tmp_path):
    """Run a small comparison, and return its folder."""

    def compare(lines):
        (tmp_path / "small.toml").write_text(f'name = "small"\nencoders = ["logmel"]\nseeds = [0, 1]\n{lines}')
        fixed = ["--data", larger_machines, "--out", tmp_path / "small", "--set", f"cache-dir={cache}"]
        fast = ["--set", "epochs=1", "--set", "rounds=1"]
        result = CliRunner().invoke(app, [str(a) for a in ("compare", tmp_path / "small.toml", *fixed, *fast)])
        assert result.exit_code == 0, result.output
        return tmp_path / "small"

    return compare


@pytest.mark.slow
def test_comparison_per_machine(comparison, tmp_path, monkeypatch):
    folder = comparison('methods = ["embedding-sharing", "local-mahalanobis"]\nscorers = ["knn"]')
    monkeypatch.setenv("COMPARISON", str(folder))
    notebook = execute("01_per_id_auc.ipynb", tmp_path, monkeypatch)
    assert len(notebook.cells) <= 10
    assert len(outputs(notebook, "image/png")) == 4  # bars, curves, scores, spectrograms
    assert "3 machines" in printed(notebook)
    assert re.search(r"worst machine: fan/0[012]$", printed(notebook), re.MULTILINE)


@pytest.mark.slow
def test_comparison_over_partitions(comparison, tmp_path, monkeypatch):
    methods = 'methods = ["embedding-sharing", "fedavg"]\nscorers = ["knn"]'
    folder = comparison(f'{methods}\npartitions = ["iid", "dirichlet-5"]\n[settings]\nclients = 2')
    monkeypatch.setenv("COMPARISON", str(folder))
    notebook = execute("02_non_iid.ipynb", tmp_path, monkeypatch)
    assert len(notebook.cells) <= 10
    assert len(outputs(notebook, "image/png")) == 5  # who holds what, AUC, by machine at both ends, ID accuracy
    assert "2 partitions" in printed(notebook)


@pytest.mark.slow
def test_comparison_over_recordings(comparison, tmp_path, monkeypatch):
    methods = 'methods = ["covariance-sharing", "local-mahalanobis"]\nscorers = ["fusion"]'
    monkeypatch.setenv("COMPARISON", str(comparison(f'{methods}\npartitions = ["clips-5", "clips-10"]')))
    notebook = execute("04_how_many_recordings.ipynb", tmp_path, monkeypatch)
    assert len(notebook.cells) <= 10
    assert len(outputs(notebook, "image/png")) == 1
    assert "3 machines; 2 numbers of normal recordings" in printed(notebook)


@pytest.mark.slow
def test_audits_side_by_side(larger_machines, many_machines, cache, tmp_path, monkeypatch):
    where = ["--data", larger_machines, "--set", f"cache-dir={cache}", "--encoder", "logmel"]
    for name, settings in {"sharing": ["epochs=1"], "split": ["rounds=1"]}.items():
        method = ["--method", "splitfed"] if name == "split" else []
        fixed = [part for s in (*settings, "record-view=true", "report=false") for part in ("--set", s)]
        folder = tmp_path / "audits" / name
        for call in (
            ["run", *where, *method, *fixed, "--out", folder],
            ["audit", folder, "--data", many_machines, "--quick"],
        ):
            result = CliRunner().invoke(app, [*map(str, call), "-q"])
            assert result.exit_code == 0, result.output
    monkeypatch.setenv("AUDITS", str(tmp_path / "audits"))
    notebook = execute("03_privacy.ipynb", tmp_path, monkeypatch)
    assert len(notebook.cells) <= 10
    assert len(outputs(notebook, "image/png")) == 4  # retrieval, membership, speech, spectrograms
    assert "split: method splitfed, encoder logmel" in printed(notebook)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_committed_as_executed(path):
    """From top to bottom, without log lines, and without a path, which would be one of somebody's machine."""
    notebook = nbformat.read(path, as_version=4)
    executed = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert executed == list(range(1, len(executed) + 1))
    assert not [o for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    shown = [printed(notebook), *outputs(notebook, "text/plain"), *outputs(notebook, "text/html")]
    assert not re.search(r"(?<![\w.])/\w+/", re.sub(r"base64,[\w+/=]*", "", "".join(shown)))
    assert path.stat().st_size < 800_000


@pytest.mark.parametrize(
    "name", ["01_per_id_auc.ipynb", "02_non_iid.ipynb", "03_privacy.ipynb", "04_how_many_recordings.ipynb"]
)
def test_notebooks_on_recordings_are_committed_with_figures_alone(name):
    """A recording as sound would be one of the data's."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    kinds = {kind for cell in notebook.cells for o in cell.get("outputs", []) for kind in o.get("data", {})}
    assert kinds == {"image/png", "text/plain"}
