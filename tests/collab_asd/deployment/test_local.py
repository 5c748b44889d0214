"""A consortium of real processes on loopback, over TLS and with keys: one run, its scores, and nothing left behind."""

import json
import re
import subprocess
import sys

import psutil
import pytest

from collab_asd.federation.engines import _free_ports

pytestmark = pytest.mark.slow


def collab_asd(*arguments):
    command = [sys.executable, "-m", "collab_asd.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def left_over(folder):
    """Processes that have to do with a folder."""
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if str(folder) in command]


@pytest.fixture(scope="module")
def two_machines(machines, listing, tmp_path_factory):
    return listing(machines, tmp_path_factory.mktemp("two") / "two.csv", ("fan", "fan", "").__getitem__)


@pytest.fixture(scope="module")
def of_another_layout(machines, tmp_path_factory):
    """The same clips as folders of MVTec AD."""
    folder = tmp_path_factory.mktemp("mvtec")
    for path in sorted(machines.glob("fan/*/*.wav")):
        label, _, machine, _ = path.stem.split("_")
        place = folder / f"fan{machine}" / path.parent.name / {"normal": "good", "anomaly": "loose"}[label]
        if machine in ("00", "01"):
            place.mkdir(parents=True, exist_ok=True)
            (place / path.name).symlink_to(path)
    return folder


def make_consortium(folder, *options):
    port, *own = _free_ports(3)
    made = collab_asd("deploy", "init", folder, "--clients", 2, "--host", "127.0.0.1", "--port", port, *options)
    assert made.returncode == 0, made.stderr
    for client, own_port in enumerate(own):
        settings = folder / f"client-{client}" / "node.toml"
        settings.write_text(re.sub(r"(?m)^port = .*$", f"port = {own_port}", settings.read_text()))
    return folder


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    return make_consortium(tmp_path_factory.mktemp("local") / "consortium")


@pytest.fixture(scope="module")
def ran(consortium, two_machines):
    return collab_asd("deploy", "local", consortium, "--data", two_machines, "--set", "epochs=1", "--compare")


def test_deployment_gives_the_scores_of_the_simulation(ran):
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"the same scores \(.*\): 24 clips, 0 other decisions", ran.stdout)


def test_a_node_with_recordings_of_its_own_keeps_them(two_machines, tmp_path):
    folder = make_consortium(tmp_path / "consortium")
    settings = folder / "client-1" / "node.toml"
    settings.write_text(settings.read_text().replace('data-dir = ""', 'data-dir = "/plant/pumps"'))
    before = settings.read_text()
    refused = collab_asd("deploy", "local", folder, "--data", two_machines)
    assert refused.returncode == 2
    assert "client-1/node.toml: data-dir = '/plant/pumps'" in refused.stderr
    assert settings.read_text() == before
    assert not (folder / "client-0" / "recordings.csv").exists()


def test_recordings_of_a_layout_that_is_agreed_on_are_named(tmp_path):
    folder = make_consortium(tmp_path / "consortium", "--set", "layout=MVTec")
    refused = collab_asd("deploy", "local", folder)
    assert refused.returncode == 2
    assert "layout = MVTec is agreed on: name recordings of that layout with --data" in refused.stderr


def test_covariance_sharing_gives_the_scores_of_the_simulation(of_another_layout, tmp_path):
    settings = ("--set", "method=covariance-sharing", "--set", "layout=MVTec")
    folder = make_consortium(tmp_path / "consortium", "--encoder", "logmel", *settings)
    ran = collab_asd("deploy", "local", folder, "--data", of_another_layout, "--compare")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"the same scores \(.*\): 24 clips, 0 other decisions", ran.stdout)
    log = (folder / "client-0" / "state" / "log.txt").read_text()
    assert re.findall(r"Receiving: (\S+) message", log) == [
        *("query.hello", "train.variances", "train.scatter", "evaluate.score")
    ]


def test_figures_of_all_machines_are_printed(ran):
    rows = [line.split() for line in ran.stdout.splitlines()]
    shown = [row[0] for row in rows if row and re.fullmatch(r"fan/\d\d|mean", row[0])]
    assert shown == ["fan/00", "fan/01", "mean"]
    assert "INFO" not in ran.stderr


def test_nothing_is_left_running(ran, consortium):
    assert left_over(consortium) == []


def test_server_has_no_data_and_knows_no_scores(ran, consortium):
    (results,) = (consortium / "server" / "results").iterdir()
    assert {file.name for file in results.iterdir()} <= {"config.json", "summary.json", "server", ".lock"}
    assert json.loads((results / "summary.json").read_text())["bytes_by_phase"].keys() == {"0", "1"}


def test_the_algorithm_takes_four_exchanges(ran, consortium):
    """The greeting, and then each of these once, however many clips there are."""
    (results,) = (consortium / "server" / "results").iterdir()
    log = (consortium / "client-0" / "state" / "log.txt").read_text()
    assert re.findall(r"Receiving: (\S+) message", log) == [
        *("query.hello", "query.describe", "train.embeddings", "evaluate.score")
    ]
    phases = json.loads((results / "summary.json").read_text())["bytes_by_phase"]["0"]
    assert list(phases) == ["query.describe", "train.embeddings", "evaluate.score"]
