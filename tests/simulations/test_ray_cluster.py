"""A run on a Ray cluster that is there already, of two nodes on this machine."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from collab_asd.config import RunConfig
from collab_asd.federation.engines import _free_ports, run_inprocess, run_ray

RAY = Path(sys.executable).parent / "ray"
START_SECONDS, STOP_SECONDS = 60, 20


@contextmanager
def node(folder, *arguments):
    """Keep a Ray node of one CPU running; all that it started is stopped, and nobody else's."""
    command = [RAY, "start", "--block", "--num-cpus=1", "--disable-usage-stats", *arguments]
    environment = os.environ | {"RAY_TMPDIR": folder}
    with (Path(folder) / "out.txt").open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        yield
    finally:
        stop(process)


def stop(process):
    """Ask a node to end, and then end what is left of it."""
    if process.poll() is None:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        for left in psutil.wait_procs(family, STOP_SECONDS)[1]:
            left.kill()
    process.wait()


@contextmanager
def two_nodes():
    """Keep a cluster of two nodes running; yields its address and the folder of its log files."""
    (port,) = _free_ports(1)
    address = f"127.0.0.1:{port}"
    # A short path: sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        head = ("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        with node(folder, *head):
            wait_for_nodes(address, 1)
            with node(folder, f"--address={address}"):
                wait_for_nodes(address, 2)
                yield address, Path(folder)


def wait_for_nodes(address, count):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        listed = subprocess.run([RAY, "status", f"--address={address}"], capture_output=True, text=True, check=False)
        if len(re.findall(r"^ 1 node_", listed.stdout, re.MULTILINE)) == count:
            return
        time.sleep(0.5)
    raise TimeoutError(f"{count} Ray nodes did not start: {listed.stdout}{listed.stderr}")


@pytest.mark.slow
def test_a_run_joins_a_cluster_of_two_nodes_and_scores_as_in_process(machines, tmp_path, monkeypatch):
    config = RunConfig(
        data_dir=str(machines), cache_dir=str(tmp_path / "cache"), results_dir=str(tmp_path / "ray"), encoder="logmel",
        epochs=1, report=False,
    )  # fmt: skip
    with two_nodes() as (address, folder):
        monkeypatch.setenv("RAY_ADDRESS", address)
        ray = run_ray(config, 3, print)
        # Each worker's own log file begins with its actor's name; what reaches the driver's output may come too late.
        logs = [log.read_text() for log in folder.glob("session_2*/logs/worker-*.out")]
    inprocess = run_inprocess(replace(config, results_dir=str(tmp_path / "inprocess")), 3)
    assert (ray / "scores.csv").read_bytes() == (inprocess / "scores.csv").read_bytes()
    actors = sum(":actor_name:ClientAppActor" in log for log in logs)
    assert actors == 2, "each node has one CPU, so two actors at work are on two nodes"
