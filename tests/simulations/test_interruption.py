"""Ctrl-C and SIGTERM: exit codes, and that nothing of a command goes on without it."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from collab_asd.federation.engines import _free_ports

pytestmark = pytest.mark.slow
MARK = "COLLAB_ASD_TEST_MARK"
LEFT_SECONDS, START_SECONDS, EXIT_SECONDS = 10, 240, 60
ENDLESS = ("--encoder", "logmel", "--method", "fedavg", "--set", "rounds=100000", "--set", "report=false")


def family(mark):
    """All processes of a command: those that inherited the mark, and what one of these has started."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        except (psutil.Error, OSError):
            continue
    return list(found.values())


@pytest.fixture
def interrupt(tmp_path):
    """Starts a command, waits for a line of its output, and sends signals to its process group, as a terminal does."""

    def run(arguments, line, signals=(signal.SIGINT,)):
        mark, output = str(tmp_path), tmp_path / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "collab_asd.cli.main", *map(str, arguments)],
                env=os.environ | {MARK: mark}, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while not re.search(line, output.read_text(errors="replace")):
                assert process.poll() is None, output.read_text(errors="replace")
                assert time.monotonic() < deadline, output.read_text(errors="replace")
                time.sleep(0.1)
            started = [one for one in family(mark) if one.pid != process.pid]
            for number in signals:
                os.killpg(process.pid, number)
                time.sleep(0.1)
            code = process.wait(EXIT_SECONDS)
            _, left = psutil.wait_procs(started, LEFT_SECONDS)
            left = [one for one in (*left, *family(mark)) if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
            return code, started, left, output.read_text(errors="replace")
        finally:
            for one in family(mark):
                one.kill()
            process.wait()

    return run


@pytest.mark.parametrize(
    ("signals", "code"), [((signal.SIGINT, signal.SIGINT), 130), ((signal.SIGTERM,), 143)], ids=["twice", "terminated"]
)
def test_nothing_of_a_run_on_ray_is_left(interrupt, machines, cache, tmp_path, signals, code):
    out = tmp_path / "out"
    places = ["--data", machines, "--out", out, "--set", f"cache-dir={cache}"]
    exit_code, started, left, output = interrupt(["run", "--engine", "ray", *places, *ENDLESS], r"rounds: \d", signals)
    names = " ".join(process.name() for process in started if process.is_running()) if left else ""
    assert (exit_code, left) == (code, []), names
    assert len(started) > 5, "Flower and Ray were at work"
    assert "Traceback" not in output
    assert not (out / "summary.json").exists()


def test_nothing_of_a_run_that_just_starts_ray_is_left(interrupt, machines, cache, tmp_path):
    places = ["--data", machines, "--out", tmp_path / "out", "--set", f"cache-dir={cache}"]
    code, _, left, output = interrupt(["run", "--engine", "ray", *places, *ENDLESS], "starting Flower and Ray")
    assert (code, left) == (130, [])
    assert "Traceback" not in output


def test_nothing_of_a_comparison_is_left(interrupt, machines, cache, tmp_path):
    experiment = tmp_path / "endless.toml"
    experiment.write_text(
        'name = "endless"\nmethods = ["fedavg"]\nencoders = ["logmel"]\nscorers = ["fusion"]\nseeds = [0, 1]\n'
    )
    fixed = ["--data", machines, "--out", tmp_path / "out", "--set", f"cache-dir={cache}", "--set", "rounds=100000"]
    code, started, left, output = interrupt(["compare", experiment, *fixed, "--jobs", "2"], "begun: .*-1")
    assert (code, left) == (130, [])
    assert started
    assert "Traceback" not in output
    assert not list((tmp_path / "out").rglob("summary.json"))


def test_nothing_of_a_local_consortium_is_left(interrupt, machines, listing, tmp_path):
    consortium, (port, *own) = tmp_path / "consortium", _free_ports(3)
    made = ["deploy", "init", consortium, "--clients", "2", "--host", "127.0.0.1", "--port", port]
    subprocess.run(
        [sys.executable, "-m", "collab_asd.cli.main", *map(str, made)], check=True, stdout=subprocess.DEVNULL
    )
    for client, own_port in enumerate(own):
        settings = consortium / f"client-{client}" / "node.toml"
        settings.write_text(re.sub(r"(?m)^port = .*$", f"port = {own_port}", settings.read_text()))
    two = listing(machines, tmp_path / "two.csv", ("fan", "fan", "").__getitem__)
    code, started, left, output = interrupt(
        ["deploy", "local", consortium, "--data", two, "--set", "epochs=100000"], "pages of embeddings"
    )
    assert (code, left) == (130, [])
    assert len(started) > 5, "a server and two nodes were at work"
    assert "Traceback" not in output
    assert not list(consortium.rglob("summary.json"))
