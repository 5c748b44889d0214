"""What is handed out, and whether it runs without a checkout: the wheel, Flower's bundle, the locked releases."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import collab_asd
from collab_asd.core.releases import TESTED
from collab_asd.federation.engines import _free_ports, _wait_until_open

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = {r.name: r for r in map(Requirement, PROJECT["dependencies"])}
PACKAGES = {"baselines", "collab_asd", "simulations"}
PLANTED = ("node.key", "secret.json", "consortium/node.toml", "notes.md", "results/a/summary.json")
LARGEST_BUNDLE = 10 * 2**20
PIP_SETTINGS = ("PIP_CONSTRAINT", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL")


def bare():
    """The environment of a pip without settings of its own."""
    return {k: v for k, v in os.environ.items() if k not in PIP_SETTINGS} | {"PIP_CONFIG_FILE": os.devnull}


def pip(*arguments, env=None):
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--disable-pip-version-check"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def package_index():
    """Skips where no package index can be asked."""
    asked = pip("download", "--no-deps", "--quiet", "--dest", os.devnull, "packaging==0", "--retries", "0", env=bare())
    if "from versions: none" in asked.stderr:
        pytest.skip("no package index answers: nothing can be resolved or built")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of this checkout, in which somebody has left a key, settings and results."""
    copy = tmp_path_factory.mktemp("work") / "checkout"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", "results", "dist", "build"
    )
    shutil.copytree(REPOSITORY, copy, ignore=left_out)
    for name in PLANTED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("{}")
    return copy


@pytest.fixture(scope="module")
def wheel(checkout, package_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    built = pip("wheel", "--no-deps", "--wheel-dir", folder, checkout)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bundle(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    command = [sys.executable, "-m", "flwr.cli.app", "build", "--app", str(checkout)]
    environment = os.environ | {"FLWR_HOME": str(folder / "flwr"), "FLWR_DISABLE_UPDATE_CHECK": "1"}
    built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.fab"))
    assert found, built.stdout + built.stderr
    return found[0]


def names_in(archive):
    with zipfile.ZipFile(archive) as opened:
        return {PurePosixPath(name) for name in opened.namelist()}


def test_version_is_the_same_everywhere():
    assert collab_asd.__version__ == PROJECT["version"]


@pytest.mark.slow
def test_newest_releases_that_are_allowed_are_tested_ones(package_index, tmp_path):
    """As `pip install .` takes them on a machine without settings of its own: metadata only, nothing is installed."""
    report = tmp_path / "report.json"
    arguments = ["--dry-run", "--ignore-installed", "--quiet", "--report", report, REPOSITORY]
    resolved = pip("install", *arguments, env=bare())
    assert resolved.returncode == 0, resolved.stderr
    chosen = {
        p["metadata"]["name"].lower(): p["metadata"]["version"] for p in json.loads(report.read_text())["install"]
    }
    assert {"torch", "torchaudio", "flwr", "ray"} <= chosen.keys()
    for name, requirement in DEPENDENCIES.items():
        assert requirement.specifier.contains(chosen[name]), f"{name} {chosen[name]}"
    assert Version("2.11") <= Version(chosen["torch"]) < Version("2.15")
    assert Version(chosen["torchaudio"]).release[:2] == (2, 11)
    assert Version(chosen["flwr"]).release[:2] in {(1, 41), (1, 42)}
    assert set(TESTED) <= chosen.keys()


def test_locked_releases_fit_what_is_declared():
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.findall(r"^(\S+==.*?) \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
    locked = {}
    for line, _ in entries:
        requirement = Requirement(line)
        locked.setdefault(requirement.name, []).append(str(requirement.specifier).removeprefix("=="))
    for name, requirement in DEPENDENCIES.items():
        assert all(requirement.specifier.contains(release) for release in locked[name]), f"{name} {locked[name]}"


@pytest.mark.slow
def test_wheel_holds_the_packages_and_nothing_else(wheel):
    names = names_in(wheel)
    own = {name for name in names if name.parts[0] in PACKAGES}
    (metadata,) = {name.parts[0] for name in names - own}
    assert metadata == f"collab_asd-{PROJECT['version']}.dist-info"
    assert {name.suffix for name in own} == {".py", ".typed", ".j2", ".css", ".toml", ".md", ".csv"}
    for name in (
        "collab_asd/py.typed", "baselines/py.typed", "simulations/py.typed", "simulations/experiments/toycar.toml",
        "collab_asd/report/templates/report.html.j2", "collab_asd/report/templates/style.css",
        f"{metadata}/licenses/LICENSE", f"{metadata}/entry_points.txt",
    ):  # fmt: skip
        assert PurePosixPath(name) in names
    assert not [name for name in names if name.name.startswith(("test_", "conftest"))]
    assert not {PurePosixPath(name).name for name in PLANTED} & {name.name for name in own}


@pytest.mark.slow
def test_wheel_runs_outside_the_checkout(wheel, machines, tmp_path):
    """From wav to a drawn report, for which the templates must have come along."""
    libraries = tmp_path / "libraries"
    installed = pip("install", "--no-deps", "--no-index", "--quiet", "--target", libraries, wheel)
    assert installed.returncode == 0, installed.stderr
    environment = os.environ | {"PYTHONPATH": str(libraries)}

    def run(*command):
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    where = run(
        sys.executable, "-c", "import collab_asd, simulations; print(collab_asd.__file__, simulations.__file__)"
    )
    assert where.stdout.count(str(libraries)) == 2
    settings = ["--set", "epochs=1", "--set", f"cache-dir={tmp_path / 'cache'}"]
    done = run(
        sys.executable, libraries / "bin" / "collab-asd", "run", "--data", machines, "--encoder", "logmel",
        "--out", tmp_path / "out", *settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fan/02" in done.stdout
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_bundle_holds_the_code_alone_and_is_small_enough(bundle):
    names = names_in(bundle)
    assert {name.parts[0] for name in names} == PACKAGES | {".info", "LICENSE", "README.md", "pyproject.toml"}
    assert {name.suffix for name in names if name.parts[0] in PACKAGES} == {".py"}
    assert PurePosixPath("simulations/server_app.py") in names
    assert not [name for name in names if name.name.startswith(("test_", "conftest"))]
    assert bundle.stat().st_size < LARGEST_BUNDLE


@pytest.fixture(scope="module")
def python_with_libraries_only(tmp_path_factory):
    """A Python with all that the project needs, and without the project: as the one that Flower builds for a run."""
    home = tmp_path_factory.mktemp("python")
    venv.create(home, symlinks=True)
    libraries = home / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "collab_asd" not in entry.name:
            (libraries / entry.name).symlink_to(entry)
    (own,) = home.glob("lib/python*/site-packages")
    (own / "libraries.pth").write_text(f"{libraries}\n")
    python = home / "bin" / "python"
    for script in distribution("flwr").entry_points:
        module, _, function = script.value.partition(":")
        program = home / "bin" / script.name
        program.write_text(f"#!{python}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        program.chmod(0o755)
    found = subprocess.run([python, "-I", "-c", "import collab_asd"], capture_output=True, cwd=home, check=False)
    assert b"ModuleNotFoundError" in found.stderr
    return python


@pytest.mark.slow
def test_bundle_runs_where_the_project_is_not_installed(bundle, python_with_libraries_only, machines, tmp_path):
    app = tmp_path / "app"
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(app)
    port, control = _free_ports(2)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "PATH": f"{python_with_libraries_only.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FLWR_HOME": str(tmp_path / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(port),
        "FLWR_LOCAL_CONTROL_API_PORT": str(control),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    empty = tmp_path / "empty"
    empty.mkdir()
    listening = f"--port {port} --control-api-address 127.0.0.1:{control}"
    command = f"flower-superlink --insecure --simulation --isolation subprocess --host 127.0.0.1 {listening}".split()
    config = {
        "data-dir": str(machines),
        "encoder": "logmel",
        "results-dir": str(tmp_path / "out"),
        "cache-dir": str(tmp_path),
    }
    settings = " ".join(f"{key}='{value}'" for key, value in config.items()) + " epochs=1 report=false"
    arguments = ["--stream", "--run-config", settings, "--federation-config", "num-supernodes=3"]
    with (tmp_path / "superlink.log").open("wb") as log:
        superlink = subprocess.Popen(
            command, cwd=empty, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_open(port, superlink, tmp_path / "superlink.log")
        done = subprocess.run(
            ["flwr", "run", str(app), *arguments],
            cwd=empty, env=environment, capture_output=True, text=True, timeout=500, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        os.killpg(superlink.pid, signal.SIGTERM)
        superlink.wait(30)
    assert (tmp_path / "out" / "summary.json").exists(), done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["engine"], len(summary["machines"])) == ("ray", 3)
