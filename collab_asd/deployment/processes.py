"""Flower's processes: their environment, how they are started, kept running, and stopped with all they started."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import psutil

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.processes import end_processes, with_descendants
from collab_asd.core.processes import is_open as is_open
from collab_asd.core.processes import wait_until_open as wait_until_open
from collab_asd.deployment.settings import AGREEMENT, NodeSettings, ServerSettings
from collab_asd.federation.agreement import Agreement

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",  # else every start is reported to Flower's maker
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def settle() -> None:
    """Set what Flower reads from the environment, before any of it is imported."""
    os.environ.update(QUIET, PATH=program_path())


def program_path() -> str:
    """Where programs are looked for: first beside this Python, whether or not its environment is active."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of linux/prctl.h
STATE = "state"
STOP_SECONDS = 5.0
ONLY_OWNER_MASK = 0o077
REPLY_OF_PAGE, REPLY_MEGABYTES = 1.1, 64
"""A reply holds a page of embeddings and little else; one that is larger is refused."""


def environment(folder: Path) -> dict[str, str]:
    """Return what Flower's commands of one party need, apart from all others on this machine."""
    return os.environ | QUIET | {"PATH": program_path(), "FLWR_HOME": str(folder / STATE / "flwr")}


def superlink_command(server: ServerSettings) -> list[str]:
    """Return what starts the SuperLink, behind its gate.

    Raises
    ------
    InputError
        The agreement cannot be read.
    """
    folder = server.folder
    agreed = Agreement.load(str(folder / AGREEMENT)).config or RunConfig()
    largest_reply = str(round(REPLY_OF_PAGE * agreed.page_megabytes + REPLY_MEGABYTES))
    certificates = ["--ssl-ca-certfile", str(folder / "ca.crt"), "--ssl-certfile", str(folder / "server.crt")]
    return [
        *(sys.executable, "-m", "collab_asd.deployment.superlink", "--largest-reply-megabytes", largest_reply),
        *("--nodes", str(folder / "nodes"), "--registered", str(nodes_file(server))),
        *(*certificates, "--ssl-keyfile", str(folder / "server.key"), "--enable-supernode-auth"),
        *("--host", server.listen, "--port", str(server.port), "--database", str(folder / STATE / "superlink.db")),
    ]


def nodes_file(server: ServerSettings) -> Path:
    """Return where a server writes down whose key each SuperNode has."""
    return server.folder / STATE / "nodes.json"


def supernode_command(node: NodeSettings) -> list[str]:
    """Return what starts a SuperNode, for the ClientApp that is installed."""
    folder = node.folder
    return [
        *(sys.executable, "-m", "collab_asd.deployment.supernode"),
        *("--root-certificates", str(folder / "ca.crt"), "--superlink", node.superlink),
        *("--auth-supernode-private-key", str(folder / "node.key"), "--port", str(node.port)),
        *("--node-config", node.node_config(), "--exchange-file", str(exchange_file(node))),
    ]


def exchange_file(node: NodeSettings) -> Path:
    """Return the file that a SuperNode touches when its server has answered."""
    return node.folder / STATE / "exchange"


def start(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, in an empty folder: Flower imports what lies in its working directory.

    What it writes, embeddings and scores among it, other users of the machine cannot read.
    On Linux it is asked to end when the thread that started it does, were it killed.
    """
    empty = folder / STATE / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        command, cwd=empty, env=dict(variables), stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.STDOUT if output else None, start_new_session=True, umask=ONLY_OWNER_MASK,
        preexec_fn=_end_with_parent,
    )  # fmt: skip


def _end_with_parent() -> None:
    """Run between fork and exec: tells the kernel to send SIGTERM here when the parent is gone."""
    if _LIBC is not None:
        _LIBC.prctl(_SIGNAL_OF_PARENTS_DEATH, signal.SIGTERM)


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Stop processes, and all that they started; what they have left behind in their sessions, too."""
    sessions = {process.pid for process in processes}
    members = [other for other in psutil.process_iter() if _session(other.pid) in sessions]
    end_processes(with_descendants(members), STOP_SECONDS)
    for process in processes:
        process.wait(STOP_SECONDS)  # the system may still be ending its threads


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None  # gone, or another user's


def require_free(port: int, what: str) -> None:
    """Refuse a port that another process listens on.

    Raises
    ------
    InputError
        Says which, and what to do.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"{what}: port {port} is in use or forbidden ({error.strerror}): this folder's own process may be "
                "running already; else choose another port"
            ) from error


logger = logging.getLogger(__name__)
FIRST_WAIT, GROWTH, LONGEST_WAIT = 4.0, 1.5, 30.0
SOUND_SECONDS = 300.0
"""A process that lived so long was well: the next wait is the first again."""
TICK_SECONDS = 5.0


def supervise(
    what: str,
    begin: Callable[[], subprocess.Popen[bytes]],
    tick: Callable[[], str | None] | None = None,
    hint: str = "",
) -> NoReturn:
    """Start a process, and again whenever it ends or is ill; on Ctrl-C (`stopped_by_signals`) the process is stopped.

    A SuperNode that was killed is refused for about 40 s when it comes back, since its SuperLink still holds it for
    connected: trying again is all that it takes.

    Parameters
    ----------
    what : str
        Its name in the log.
    begin : callable
        Starts it; may wait before it does.
    tick : callable, optional
        Called every few seconds while it runs. In words why it must start again, though it runs; else nothing.
    hint : str
        What may be the matter when it ends.
    """
    wait = FIRST_WAIT
    while True:
        process, started = begin(), time.monotonic()
        try:
            end = _watch(process, tick)
        finally:
            stop(process)
        wait = FIRST_WAIT if time.monotonic() - started > SOUND_SECONDS else wait
        logger.warning("%s %s; another is started in %.0f s%s", what, end, wait, hint)
        time.sleep(wait)
        wait = min(GROWTH * wait, LONGEST_WAIT)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """End a ``with`` block, or a function, quietly on SIGTERM and on Ctrl-C: what runs until it is stopped is done."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        logger.info("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(process: subprocess.Popen[bytes], tick: Callable[[], str | None] | None) -> str:
    """Wait until a process ends or is ill; says which."""
    while True:
        try:
            return f"ended with code {process.wait(TICK_SECONDS)}"
        except subprocess.TimeoutExpired:
            if tick is not None and (illness := tick()):
                return illness
