"""Processes that this one starts, and how they end."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from collab_asd.core.processes import (
    Terminated,
    end_processes_with,
    interrupted_once,
    run_streaming,
    terminated_as_interrupted,
)

MARK = "COLLAB_ASD_TEST_MARK"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
# Starts a process in a session of its own, says which, and ends: nobody's child is left.
ORPHANS = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {DEAF!r}], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""


def lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def orphan(mark):
    done = subprocess.run([sys.executable, "-c", ORPHANS], env=os.environ | {MARK: mark}, stdout=subprocess.PIPE)
    return int(done.stdout)


@pytest.mark.parametrize("grace", [0.0, 0.2])
def test_all_with_a_mark_are_ended_wherever_they_are_and_no_others(grace):
    mine, other = orphan("mine"), orphan("other")
    try:
        end_processes_with(MARK, "mine", grace)
        assert (lives(mine), lives(other)) == (False, True)
    finally:
        os.kill(other, signal.SIGKILL)


def test_this_process_is_spared(monkeypatch):
    imported = "from collab_asd.core.processes import end_processes_with"
    code = f"{imported}; end_processes_with({MARK!r}, 'own', 0.0); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {MARK: "own"}, stdout=subprocess.PIPE)
    assert done.stdout.split() == [b"alive"]


def test_sigterm_is_raised_as_ctrl_c_is():
    with pytest.raises(Terminated), terminated_as_interrupted():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_who_cleans_up_is_not_interrupted_again(first):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    cleaned = []

    def work():
        try:
            signal.raise_signal(first)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(number)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), interrupted_once():
        work()
    assert cleaned == [True]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_lines_are_handed_on_and_the_last_are_kept(tmp_path):
    lines = []
    code = "import os; print(os.getcwd()); [print(i) for i in range(50)]"
    tail = run_streaming([sys.executable, "-c", code], tmp_path, os.environ, lines.append)
    assert lines == [str(tmp_path), *map(str, range(50))]
    assert tail == lines[-30:]


def test_a_program_whose_lines_are_not_wanted_any_more_is_ended(tmp_path):
    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_streaming([sys.executable, "-c", DEAF], tmp_path, os.environ | {MARK: "stream"}, stop)
    assert [p for p in psutil.Process().children() if lives(p.pid) and p.environ().get(MARK) == "stream"] == []
