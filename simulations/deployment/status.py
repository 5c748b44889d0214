"""``collab-asd deploy status``: what runs, who is connected, and how the runs went, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from simulations.deployment.flower import flwr, node_states, registered
from simulations.deployment.processes import is_open
from simulations.deployment.settings import ServerSettings

STATES = {
    "online": "connected",
    "offline": "not connected now",
    "registered": "may connect, and has never been seen",
    "unregistered": "may not connect",
}
RUNS_SHOWN = 5


def status(server: ServerSettings) -> Iterator[str]:
    """Describe a server's SuperLink, its SuperNodes, its last runs and its results.

    Raises
    ------
    InputError
        The SuperLink gives no answer.
    """
    if not is_open("127.0.0.1", server.port):
        yield f"SuperLink: not running (nothing listens on port {server.port}); start it with start.sh"
    else:
        yield f"SuperLink: listens on port {server.port}"
        states = node_states(server)
        for node in sorted(registered(server).values(), key=lambda node: node["name"]):
            state = states[node["name"]]
            yield f"{node['name']}: {STATES.get(state, state)} (SuperNode {node['node-id']})"
        for run in flwr(server, "list", "--limit", str(RUNS_SHOWN)).get("runs", []):
            yield f"run {run['run-id']}: {run['status']}, begun {run.get('pending-at', 'at an unknown time')}"
    for folder in sorted((server.folder / "results").glob("*/config.json")):
        yield _result(folder.parent)


def _result(folder: Path) -> str:
    summary = folder / "summary.json"
    if not summary.exists():
        return f"{folder}: unfinished; `{folder.parents[1] / 'run.sh'} --out {folder}` takes it up again"
    excluded = json.loads(summary.read_text(encoding="utf-8"))["excluded"]
    out = "; ".join(f"client {client} was left out: {why}" for client, why in excluded.items())
    return f"{folder}: finished" + (f" ({out})" if out else "")
