"""Processes that were started for a share of the work: how they follow their parent, and how it ends them.

What a command line and the ServerApp that it started tell each other lies in files that environment variables name.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

ERROR_FILE_VARIABLE = "COLLAB_ASD_ERROR_FILE"
"""Where it is looked for what was refused: ``flwr run`` ends with 0 all the same."""
OWN_KEYS_VARIABLE = "COLLAB_ASD_SERVER_KEYS"
"""Where the server of a deployment leaves keys of its own, as JSON: the run config goes to the clients."""
NODES_VARIABLE = "COLLAB_ASD_NODES"
"""Where that server keeps whose key each SuperNode has."""

KILL_SECONDS = 5.0
"""How long a killed process is waited for."""
TAIL = 30  # lines
POLL_SECONDS, SWEEPS = 0.05, 20
"""A process may start another one just before it ends: it is looked again until there is none."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised as Ctrl-C is, so that what was started is ended on the way out."""


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM within a ``with`` block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    with _handling((signal.SIGTERM,), stop):
        yield


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end a ``with`` block, and no further one disturb what it does on its way out."""

    def stop(number: int, frame: FrameType | None) -> None:
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_IGN)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    with _handling((signal.SIGINT, signal.SIGTERM), stop):
        yield


@contextmanager
def leaving_interrupts_here() -> Iterator[None]:
    """Let processes that start in a ``with`` block ignore Ctrl-C from their first moment: this one deals with it."""
    with _handling((signal.SIGINT,), signal.SIG_IGN):
        yield


@contextmanager
def _handling(numbers: Iterable[signal.Signals], handler: Handler) -> Iterator[None]:
    """Handle signals within a ``with`` block; outside of the main thread Python lets nobody do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)  # None: not set by Python


def run_streaming(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], on_line: Callable[[str], None]
) -> list[str]:
    """Run a program in a folder and hand on each line that it prints; return its last ones.

    The program is killed if this is interrupted.
    """
    tail: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                on_line(line.rstrip())
                tail = [*tail[1 - TAIL :], line.rstrip()]
        except BaseException:
            process.kill()
            raise
    return tail


def end_processes_with(variable: str, value: str, grace: float) -> None:
    """End all processes that have an environment variable of this value, and all that they have started.

    Environments are inherited: those whose parent is gone are found, too. This process and those that it comes from are
    left alone.

    Parameters
    ----------
    grace : float
        Seconds that they have to end by themselves after SIGTERM; 0: they are killed at once.
    """
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for _ in range(SWEEPS):
        marked = [process for process in psutil.process_iter() if _environment(process).get(variable) == value]
        found = [process for process in with_descendants(marked) if process.pid not in spared]
        end_processes(found, grace)
        if not found and not any(_is_beginning(child) for child in psutil.Process().children()):
            return
        time.sleep(POLL_SECONDS)


def end_processes(processes: Iterable[psutil.Process], grace: float) -> None:
    """End processes; `grace` as of `end_processes_with`."""
    left = list(processes)
    if grace:
        _signal(left, signal.SIGTERM)
        left = _outliving(left, grace)
    _signal(left, signal.SIGKILL)
    _outliving(left, KILL_SECONDS)


def _outliving(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes to end; return those that do not. One that only waits to be reaped has ended."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def with_descendants(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return processes and all that they have started, each once, parents first."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        found.setdefault(process.pid, process)
        try:
            found |= {child.pid: child for child in process.children(recursive=True) if child.pid not in found}
        except psutil.Error:
            continue  # gone
    return list(found.values())


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}  # another user's, or gone


def _is_beginning(process: psutil.Process) -> bool:
    """Whether a process is about to become another program: it has no environment then, for a moment."""
    return _lives(process) and not _environment(process)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue  # gone


def is_open(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def wait_until_open(host: str, port: int, process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process to listen; False if it ended, or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if is_open(host, port):
            return True
        time.sleep(0.1)
    return False


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, which it reaches as well, and die when the parent does, killed or not.

    Who starts the work again must not meet this process at it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
