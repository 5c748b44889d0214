"""``python -m collab_asd.deployment.superlink``: Flower's SuperLink behind a gate.

Takes the arguments of ``flower-superlink``, ``--largest-reply-megabytes``, and ``--nodes``: the folder of the public
keys that may connect.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collab_asd.deployment.logs import protect_logs
from collab_asd.deployment.processes import settle

OPEN_FILES = 2**16
SERVER_APP_SECONDS = 300.0
"""So long a ServerApp may take to start."""


def main() -> None:
    """Start the SuperLink with `Gate` before all that listens in this process."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--largest-reply-megabytes", type=int, default=256)
    parser.add_argument("--nodes", type=Path, required=True)
    ours, flowers = parser.parse_known_args()
    settle()
    protect_logs()
    _allow_open_files()
    from collab_asd.core.progress import show_progress
    from collab_asd.deployment.gate import NodeKeys
    from collab_asd.federation import flwr_compat

    show_progress()
    leave_out_probes()
    guard(ours.largest_reply_megabytes * 2**20, NodeKeys(ours.nodes))
    flwr_compat.let_server_apps_start_within(SERVER_APP_SECONDS)
    sys.argv = ["flower-superlink", *flowers]
    flwr_compat.flower_superlink()


def _allow_open_files() -> None:
    """Let this process have as many connections as it may: each SuperNode has two or three."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


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
    from collab_asd.deployment.refusals import Refusals

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
