"""``python -m collab_asd.deployment.superlink``: Flower's SuperLink behind a gate.

Takes the arguments of ``flower-superlink``, ``--largest-reply-megabytes``, ``--nodes``: the folder of the public
keys that may connect, and ``--registered``: the file of those that Flower has registered.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil

from collab_asd.deployment.logs import note, protect_logs
from collab_asd.deployment.processes import settle

OPEN_FILES = 2**16
SERVER_APP_SECONDS = 300.0
"""So long a ServerApp may take to start."""
SUPEREXEC, SUPEREXEC_PAUSE = "flower-superexec", 3.0
"""What starts ServerApps; seconds until it is looked for again, or started again."""


def main() -> None:
    """Start the SuperLink with `Gate` before all that listens in this process."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--largest-reply-megabytes", type=int, default=256)
    parser.add_argument("--nodes", type=Path, required=True)
    parser.add_argument("--registered", type=Path, required=True)
    ours, flowers = parser.parse_known_args()
    settle()
    protect_logs()
    _allow_open_files()
    from collab_asd.core.progress import show_progress
    from collab_asd.deployment.gate import NodeKeys
    from collab_asd.federation import flwr_compat

    show_progress()
    leave_out_probes()
    guard(ours.largest_reply_megabytes * 2**20, NodeKeys(ours.nodes, ours.registered))
    flwr_compat.let_server_apps_start_within(SERVER_APP_SECONDS)
    threading.Thread(target=keep_starting_server_apps, daemon=True).start()
    sys.argv = ["flower-superlink", *flowers]
    flwr_compat.flower_superlink()


def _allow_open_files() -> None:
    """Let this process have as many connections as it may: each SuperNode has two or three."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def keep_starting_server_apps() -> NoReturn:
    """Start this process's SuperExec again whenever it ends: Flower does not, and no run would begin any more.

    It ends for good when the SuperLink answers it nothing for half a minute.
    """
    while (superexec := own_superexec()) is None:
        time.sleep(SUPEREXEC_PAUSE)
    keep_running(superexec)


def own_superexec() -> psutil.Process | None:
    """Return the SuperExec that this process has started."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(Path(word).name == SUPEREXEC for word in child.cmdline()):
                return child
    return None


def keep_running(process: psutil.Process) -> NoReturn:
    """Start a child of this process again, by the same command, whenever it ends."""
    command = process.cmdline()
    while True:
        process.wait()
        time.sleep(SUPEREXEC_PAUSE)  # a SuperLink that is ending ends its SuperExec first, and is gone by now
        note("the SuperExec, which starts ServerApps, has ended; another is started")
        process = psutil.Popen(command, start_new_session=True)


def leave_out_probes() -> None:
    """Keep out of the log who asks whether the server is there: it does so itself, every few seconds."""
    from collab_asd.deployment.gate import PROBE_PATH

    logging.getLogger("uvicorn.access").addFilter(
        lambda record: not (isinstance(record.args, tuple) and record.args[2:3] == (PROBE_PATH,))
    )


def guard(largest_reply: int, name_of: Callable[[bytes], str]) -> None:
    """Let no server of this process answer a request that has not passed the gate, however Flower starts it."""
    import uvicorn

    from collab_asd.deployment.connections import limit_connections
    from collab_asd.deployment.gate import Gate
    from collab_asd.deployment.logs import Refusals

    settings: Any = uvicorn.Config
    load = settings.load

    def load_gated(config: Any) -> None:
        load(config)
        refusals = Refusals()
        gate = Gate(config.loaded_app, largest_reply=largest_reply, name_of=name_of, refusals=refusals)
        config.loaded_app = gate
        limit_connections(config, refusals)

    settings.load = load_gated
    settings.get_loop_factory = lambda config: asyncio.SelectorEventLoop  # uvloop may lose what comes before TLS begins


if __name__ == "__main__":
    main()
