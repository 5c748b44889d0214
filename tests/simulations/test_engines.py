"""The real `flwr run`, on a private SuperLink, and through the command that a user types."""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.processes import end_processes_with
from collab_asd.federation.engines import _free_ports, run_inprocess, run_ray, write_app

REPOSITORY = Path(__file__).resolve().parents[2]
IDLES = "import time; time.sleep(600)"


@pytest.fixture
def config(machines, tmp_path):
    """Separate caches, so that the engines agree by computing and not by reading."""
    values = {"data-dir": str(machines), "epochs": 1, "results-dir": str(tmp_path / "ray")}
    return RunConfig.from_mapping(values | {"cache-dir": str(tmp_path / "cache ray")})


def beside(config, name):
    path = Path(config.results_dir).parent
    return replace(config, results_dir=str(path / name), cache_dir=str(path / f"cache {name}"))


def processes_of(folder):
    """Processes that name a folder in their command line."""
    return [
        process for process in psutil.process_iter(["cmdline"]) if folder in " ".join(process.info["cmdline"] or [])
    ]


@pytest.mark.slow
def test_ray_and_in_process_give_the_same_file(config, tmp_path, monkeypatch):
    """With `random-conv`; with `logmel` in ``test_ray_cluster.py``."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines = []
    ray = run_ray(config, 3, lines.append)
    inprocess = run_inprocess(beside(config, "inprocess"), 3)
    assert (ray / "scores.csv").read_bytes() == (inprocess / "scores.csv").read_bytes()
    engines = [json.loads((folder / "summary.json").read_text())["engine"] for folder in (ray, inprocess)]
    assert engines == ["ray", "inprocess"]
    assert any("embedding sharing: 3 clients" in line for line in lines)
    for folder in (ray, inprocess):
        assert sorted(d.name for d in (folder / "detectors").iterdir()) == ["fan_id_00", "fan_id_01", "fan_id_02"]
    assert not processes_of(str(tmp_path))


@pytest.mark.slow
def test_what_the_server_refuses_reaches_the_user(config):
    with pytest.raises(InputError, match='--federation-config "num-supernodes=3"'):
        run_ray(config, 2, lambda line: None)
    assert not (Path(config.results_dir) / "summary.json").exists()


@pytest.mark.slow
def test_flwr_run_with_no_options_in_a_fresh_home(tmp_path):
    """What docs/running.md tells a Flower user to type; two SuperNodes, two synthetic machines."""
    ports = _free_ports(2)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "FLWR_HOME": str(tmp_path / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(ports[0]),
        "FLWR_LOCAL_CONTROL_API_PORT": str(ports[1]),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }
    another = subprocess.Popen([sys.executable, "-c", IDLES, "flower-superlink", "/elsewhere/local-superlink/state.db"])
    try:
        done = subprocess.run(
            ["flwr", "run", str(REPOSITORY), "--stream"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=500, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        started = processes_of(f"--port {ports[0]} ")
        (stops_it,) = re.findall(r"^pkill .*$", (REPOSITORY / "docs" / "running.md").read_text(), re.MULTILINE)
        subprocess.run(stops_it, shell=True, env=environment, check=True)
        _, left = psutil.wait_procs(started, 20)
        assert (len(started), left, another.poll()) == (1, [], None)
    finally:
        end_processes_with("FLWR_HOME", environment["FLWR_HOME"], 0.0)
        another.kill()
        another.wait()
    assert re.search(r"mean +\d\.\d{3} ", done.stdout), done.stdout[-3000:]
    metrics = done.stdout.split("ServerApp-side Evaluate Metrics:")[1]
    summaries = list((tmp_path / "data" / "collab-asd" / "results").glob("*/summary.json"))
    assert len(summaries) == 1, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads(summaries[0].read_text())
    assert (summary["engine"], summary["encoder"], len(summary["machines"])) == ("ray", "random-conv", 2)
    assert set(summary["bytes_up"]) == {"0", "1"}
    assert (summaries[0].parent / "report.html").exists()
    assert len(list((summaries[0].parent / "detectors").iterdir())) == 2
    for figure in ("auc", "pauc", "false_alarm_rate", "recall", *(f"auc/{m}" for m in summary["auc"]["by_id"])):
        assert re.search(rf"'{figure}': '\d\.\d+e[+-]\d\d'", metrics), metrics


def test_the_app_of_a_run_names_any_folder(tmp_path):
    config = RunConfig(data_dir="/data/機械 🎛 [old]", results_dir='/with "quotes"\\and\nlines')
    app = write_app(tmp_path / "app", config, "server:app", "client:app")
    written = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]["config"]
    assert written == config.to_mapping()
