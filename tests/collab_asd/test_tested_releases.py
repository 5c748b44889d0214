"""A library that does not fit ends in one sentence: what is installed, and the command that mends it."""

import ast
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.core import releases as tested
from collab_asd.core.errors import InputError
from collab_asd.core.releases import TESTED, untested
from collab_asd.federation import flwr_compat

REPOSITORY = Path(__file__).resolve().parents[2]
PUBLIC = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}
USERS_OF_INTERNALS = {
    "benchmarks/strangers.py",  # forges what a node may send
    "collab_asd/federation/flwr_compat.py",
    "tests/collab_asd/deployment/test_gate.py",  # forges what a hostile SuperNode may send
    "tests/collab_asd/deployment/test_intrusions.py",
}
BROKEN = {
    "built for another CUDA": "raise RuntimeError('Detected different CUDA versions. Please install another.')",
    "without PyTorch's CUDA libraries": "raise OSError('libc10_cuda.so: cannot open shared object file')",
    "not there": "raise ModuleNotFoundError('No module named torchaudio', name='torchaudio')",
}


@pytest.fixture
def installed(monkeypatch):
    """Pretends that another release of a library is installed."""

    def pretend(**releases):
        monkeypatch.setattr(tested, "version", lambda name: releases.get(name) or version(name))

    return pretend


def test_bounds_are_those_that_the_package_declares():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    assert {name: declared[name] for name in TESTED} == {
        name: Requirement(name + s).specifier for name, s in TESTED.items()
    }


@pytest.mark.parametrize(
    ("release", "accepted"), [("1.40.2", False), ("1.41.0", True), ("1.42.7", True), ("1.43.0", False), ("2.0", False)]
)
def test_releases_within_the_bounds_are_tested(installed, release, accepted):
    installed(flwr=release)
    found = untested("flwr")
    assert (found == "") == accepted
    assert accepted or (release in found and "'flwr[simulation]>=1.41,<1.43'" in found)


def test_builds_for_a_processor_are_the_same_release(installed):
    installed(torch="2.14.1+cpu")
    assert untested("torch") == ""


def replace_torchaudio(folder, statement):
    package = folder / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text(statement)


@pytest.mark.parametrize("statement", BROKEN.values(), ids=BROKEN)
def test_torchaudio_that_cannot_be_imported_names_both_releases_and_the_command(tmp_path, monkeypatch, statement):
    replace_torchaudio(tmp_path, statement)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    monkeypatch.delitem(sys.modules, "collab_asd.core.torch_audio", raising=False)
    with pytest.raises(InputError) as refused:
        runpy.run_module("collab_asd.core.torch_audio")
    for words in (
        f"torch {version('torch')} ",
        f"torchaudio {version('torchaudio')} ",
        "pip install",
        "'torch>=2.11,<2.15'",
    ):
        assert words in str(refused.value)


@pytest.mark.slow
def test_command_ends_with_that_sentence(tmp_path, machines):
    replace_torchaudio(tmp_path, BROKEN["built for another CUDA"])
    out = tmp_path / "out"
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from collab_asd.cli.main import app; app()"
    command = [sys.executable, "-c", program, "run", "--data", str(machines), "--encoder", "logmel", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"error: torch {version('torch')} and torchaudio {version('torchaudio')} "
    )
    assert not out.exists()


def test_deployment_refuses_an_untested_flower(installed, tmp_path):
    installed(flwr="1.43.0")
    result = CliRunner().invoke(app, ["deploy", "init", str(tmp_path / "new"), "--clients", "2", "--host", "127.0.0.1"])
    assert result.exit_code == 2
    assert all(words in result.output for words in ("1.43.0", ">=1.41,<1.43", "pip install"))
    assert not (tmp_path / "new").exists()


def test_a_run_on_an_untested_flower_is_refused_and_leaves_nothing(installed, machines, tmp_path):
    installed(flwr="1.43.0")
    result = CliRunner().invoke(
        app, ["run", "--data", str(machines), "--encoder", "logmel", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert all(words in result.output for words in ("1.43.0", ">=1.41,<1.43", "pip install"))
    assert not list(tmp_path.iterdir())


def test_commands_that_need_no_flower_work_on_any(installed):
    installed(flwr="1.43.0")
    assert CliRunner().invoke(app, ["methods"]).exit_code == 0


@pytest.mark.parametrize("name", [name for names in flwr_compat.INTERNALS.values() for name in names])
def test_internals_of_flower_are_there(name):
    assert getattr(flwr_compat, name) is not None


@pytest.mark.parametrize("lost", ["module", "name"])
def test_flower_without_an_internal_is_refused_in_words(monkeypatch, machines, tmp_path, lost):
    monkeypatch.delitem(vars(flwr_compat), "TaskIdentity", raising=False)
    module = flwr_compat._MODULES["TaskIdentity"]
    monkeypatch.setitem(sys.modules, module, None if lost == "module" else ModuleType(module))
    result = CliRunner().invoke(
        app, ["run", "--data", str(machines), "--encoder", "logmel", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert all(words in result.output for words in (version("flwr"), f"{module}.TaskIdentity", "pip install"))
    assert not list(tmp_path.iterdir())


def imports_of_flower(path):
    """Modules of Flower that a file imports, those for type checkers alone included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in named if name.partition(".")[0] == "flwr")


def test_one_file_imports_internals_of_flower():
    folders = ("collab_asd", "baselines", "simulations", "benchmarks", "docs", "tests")
    files = {path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")}
    internal = {path: set(imports_of_flower(path)) - PUBLIC for path in files}
    assert {path.relative_to(REPOSITORY).as_posix() for path, names in internal.items() if names} == USERS_OF_INTERNALS
    assert internal[Path(flwr_compat.__file__)] == set(flwr_compat.INTERNALS)
