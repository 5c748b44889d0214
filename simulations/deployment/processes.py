"""Flower's processes: how they are started, and stopped with all that they started."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from collab_asd.config import RunConfig
from collab_asd.errors import InputError
from collab_asd.federation.agreement import Agreement
from collab_asd.processes import end_processes, with_descendants
from simulations.deployment.environment import QUIET, program_path
from simulations.deployment.settings import AGREEMENT, NodeSettings, ServerSettings

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
        *(sys.executable, "-m", "simulations.deployment.superlink", "--largest-reply-megabytes", largest_reply),
        *(*certificates, "--ssl-keyfile", str(folder / "server.key"), "--enable-supernode-auth"),
        *("--host", server.listen, "--port", str(server.port), "--database", str(folder / STATE / "superlink.db")),
    ]


def supernode_command(node: NodeSettings) -> list[str]:
    """Return what starts a SuperNode, for the ClientApp that is installed."""
    folder = node.folder
    return [
        *(sys.executable, "-m", "simulations.deployment.supernode"),
        *("--root-certificates", str(folder / "ca.crt"), "--superlink", node.superlink),
        *("--auth-supernode-private-key", str(folder / "node.key"), "--port", str(node.port)),
        *("--node-config", node.node_config()),
    ]


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
        process.poll()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None  # gone, or another user's


def is_open(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


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
                f"{what}: port {port} is in use or forbidden ({error.strerror}); choose another"
            ) from error


def wait_until_open(host: str, port: int, process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process to listen; False if it ended, or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if is_open(host, port):
            return True
        time.sleep(0.1)
    return False
