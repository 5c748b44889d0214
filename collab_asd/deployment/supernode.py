"""``python -m collab_asd.deployment.supernode``: Flower's SuperNode, with the installed ClientApp and no other.

Takes the arguments of ``flower-supernode``, and ``--exchange-file``: a file that is touched whenever the server has
answered. Its executor is a child that is ready before the server hears of this SuperNode. It ends when either of the
two can go on no longer, and leaves it to `collab_asd.deployment.processes.supervise` to start both again: a SuperNode
that is connected is one that works.
"""

from __future__ import annotations

import argparse
import functools
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from collab_asd.deployment.logs import note, protect_logs
from collab_asd.deployment.processes import settle

OURS = "--isolation", "--host", "--superexec-auth-secret-file", "--ssl-certfile", "--trusted-entities"
DEFAULT_PORT = 9094
READY_SECONDS, SILENT_SECONDS = 180.0, 60.0
"""How long an executor may take to start, and from one sign of life to the next."""
LEAVE_SECONDS = 5.0
EXECUTOR_LOST = 70
"""Exit code."""


def main() -> NoReturn:
    """Start the executor and run ``flower-supernode`` for as long as it lives."""
    if fixed := [argument for argument in sys.argv[1:] if argument.split("=")[0] in OURS]:
        sys.exit(f"{fixed[0]}: is set by this program; leave it out")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--exchange-file", type=Path)
    ours, flowers = parser.parse_known_args()
    settle()
    protect_logs()
    secret = secrets.token_bytes(32)
    executor = Executor(f"127.0.0.1:{ours.port}", secret)
    if problem := executor.wait(READY_SECONDS):
        executor.end()
        note(f"this node cannot work: its executor {problem}")
        sys.exit(1)
    if ours.exchange_file is not None:
        note_exchanges(ours.exchange_file)
    threading.Thread(target=_end_with, args=(executor,), daemon=True).start()
    _run([*flowers, "--port", str(ours.port)], secret, executor)


def _run(arguments: list[str], secret: bytes, executor: Executor) -> NoReturn:
    from collab_asd.federation import flwr_compat

    isolation = ["--isolation", "process", "--host", "127.0.0.1", "--superexec-auth-secret-file", _pipe_with(secret)]
    sys.argv = ["flower-supernode", *arguments, *isolation]
    code: object = 1
    try:
        flwr_compat.flower_supernode()
        note("the SuperNode has lost its server for good")
    except SystemExit as end:
        code = end.code
    except BaseException:
        note(traceback.format_exc())
    executor.end()
    os._exit(code if isinstance(code, int) else 0)  # a thread of Flower's would hold the process


def _pipe_with(secret: bytes) -> str:
    """Return a path that can be read once: the secret is in no file."""
    reading, writing = os.pipe()
    os.write(writing, secret)
    os.close(writing)
    return f"/dev/fd/{reading}"


def note_exchanges(file: Path) -> None:
    """Touch a file whenever the server has let this SuperNode in, or has taken a heartbeat of it."""
    from collab_asd.federation import flwr_compat

    client: Any = flwr_compat.FleetHttpClient
    for name in ("ActivateNode", "SendNodeHeartbeat"):
        setattr(client, name, _noted(getattr(client, name), file))


def _noted(ask: Callable[..., Any], file: Path) -> Callable[..., Any]:
    @functools.wraps(ask)
    def noted(*arguments: Any) -> Any:
        answer = ask(*arguments)
        if getattr(answer, "success", True):
            file.touch()
        return answer

    return noted


class Executor:
    """The process that carries out tasks, and its signs of life.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of the SuperNode on this machine.
    secret : bytes
        What the executor asks for tasks by. It goes through a pipe, at whose end the executor ends, too.
    """

    def __init__(self, address: str, secret: bytes) -> None:
        self._signs, theirs = os.pipe()
        command = [sys.executable, "-m", "collab_asd.deployment.executor", address, str(theirs)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs])
        os.close(theirs)
        assert self._process.stdin is not None
        self._process.stdin.write(secret)
        self._process.stdin.flush()

    def wait(self, seconds: float) -> str:
        """Wait for a sign of life; in words what is the matter if there is none, else empty."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._signs, selectors.EVENT_READ)
            if not selector.select(seconds):
                return f"has given no sign of life for {seconds:.0f} s"
        return "" if os.read(self._signs, 4096) else f"ended with code {self._process.wait()}"

    def end(self) -> None:
        """Kill it; a task that it has begun ends with it."""
        self._process.kill()


def _end_with(executor: Executor) -> None:
    """End this process in an orderly way, so that the server hears of it, when its executor does no longer work."""
    while not (problem := executor.wait(SILENT_SECONDS)):
        pass
    note(f"this node cannot work: its executor {problem}; both start again")
    executor.end()
    threading.Timer(LEAVE_SECONDS, os._exit, (EXECUTOR_LOST,)).start()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
