import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from collab_asd.deployment import processes as supervision
from collab_asd.deployment.processes import stopped_by_signals, supervise

SLEEPS = "import time; time.sleep(60)"


def begin(code):
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def test_a_process_that_dies_is_started_again_later_each_time_until_stopped(monkeypatch, caplog):
    started, waits = [], []
    monkeypatch.setattr(supervision, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))

    def start():
        started.append(begin(SLEEPS if len(started) == 3 else "raise SystemExit(7)"))
        if len(started) == 4:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return started[-1]

    with stopped_by_signals():
        supervise("SuperNode", start)
    assert [process.returncode for process in started] == [7, 7, 7, -signal.SIGTERM]
    assert waits == [4.0, 6.0, 9.0]
    assert "SuperNode ended with code 7; another is started in 9 s" in caplog.text


def test_waits_end_somewhere_and_begin_anew_after_a_sound_life(monkeypatch):
    waits, clock = [], iter([0, 1] * 9 + [0, 301, 0, 1])
    monkeypatch.setattr(supervision, "_watch", lambda process, tick: "ended with code 1")
    monkeypatch.setattr(supervision, "time", SimpleNamespace(sleep=waits.append, monotonic=lambda: next(clock)))
    monkeypatch.setattr(supervision, "stop", lambda process: None)

    def start():
        if len(waits) == 11:
            raise KeyboardInterrupt
        return

    with stopped_by_signals():
        supervise("SuperNode", start)
    assert [round(wait) for wait in waits] == [4, 6, 9, 14, 20, 30, 30, 30, 30, 4, 6]


def test_a_process_that_is_ill_is_started_again_though_it_runs(monkeypatch, caplog):
    monkeypatch.setattr(supervision, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(supervision, "time", SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))
    started = []

    def start():
        if len(started) == 2:
            raise KeyboardInterrupt
        started.append(begin(SLEEPS))
        return started[-1]

    with stopped_by_signals():
        supervise("SuperNode", start, lambda: "is ill")
    assert [process.returncode for process in started] == [-signal.SIGTERM] * 2
    assert "SuperNode is ill; another is started in 4 s" in caplog.text


PARENT = """
import os, sys, time
from pathlib import Path
from collab_asd.deployment.processes import start
print(start([sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]), os.environ).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked in Linux's way")
def test_what_was_started_does_not_outlive_one_that_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    assert psutil.wait_procs([child], timeout=10)[1] == []
