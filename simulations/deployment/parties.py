"""What each party keeps running: the server its SuperLink, each client its SuperNode."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from collab_asd.errors import InputError
from simulations.deployment.flower import nodes_file, register_nodes
from simulations.deployment.processes import (
    STATE,
    environment,
    require_free,
    start,
    stop,
    superlink_command,
    supernode_command,
    wait_until_open,
)
from simulations.deployment.settings import NodeSettings, ServerSettings
from simulations.deployment.supervision import supervise
from simulations.variables import ERROR_FILE_VARIABLE, NODES_VARIABLE, OWN_KEYS_VARIABLE

logger = logging.getLogger(__name__)
START_SECONDS = 60.0


def keep_server(folder: Path) -> None:
    """Keep the SuperLink of a server folder running, and its list of SuperNodes as ``nodes/`` has it.

    Raises
    ------
    InputError
        A file is missing, or the port is in use.
    """
    server = ServerSettings.load(folder)
    _require_files(server.folder, "ca.crt", "server.crt", "server.key", "agreement.toml")
    require_free(server.port, "server.toml")
    supervise("SuperLink", lambda: _start_superlink(server), lambda: _register(server))


def keep_node(folder: Path) -> None:
    """Keep the SuperNode of a client's folder running.

    Raises
    ------
    InputError
        A file is missing, or the port is in use.
    """
    node = NodeSettings.load(folder)
    _require_files(node.folder, "ca.crt", "node.key", node.agreement)
    require_free(node.port, "node.toml")
    command = supernode_command(node)
    logger.info("client %d of %d: connecting to %s", node.client, node.clients, node.superlink)
    hint = f"; if that goes on, {node.superlink} cannot be reached, or does not let this node in: ask its operator"
    supervise("SuperNode", lambda: start(command, node.folder, environment(node.folder)), hint=hint)


def error_file(server: ServerSettings) -> Path:
    """Where a run on this server leaves in words what it refused."""
    return server.folder / STATE / "error.txt"


def own_keys_file(server: ServerSettings) -> Path:
    """Where this server tells its ServerApp what the run config, which the clients get, must not name."""
    return server.folder / STATE / "server_keys.json"


def _start_superlink(server: ServerSettings) -> subprocess.Popen[bytes]:
    files = {
        ERROR_FILE_VARIABLE: error_file(server),
        OWN_KEYS_VARIABLE: own_keys_file(server),
        NODES_VARIABLE: nodes_file(server),
    }
    variables = environment(server.folder) | {name: str(file) for name, file in files.items()}
    process = start(superlink_command(server), server.folder, variables)
    try:
        if wait_until_open("127.0.0.1", server.port, process, START_SECONDS):
            logger.info("SuperLink: listening on port %d", server.port)
            _register(server)
    except BaseException:
        stop(process)
        raise
    return process


def _register(server: ServerSettings) -> None:
    try:
        register_nodes(server)
    except (InputError, subprocess.TimeoutExpired) as error:
        logger.warning("nodes/: %s", error)


def _require_files(folder: Path, *names: str) -> None:
    for name in names:
        try:
            (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{folder / name}: {error.strerror}; INVENTORY.md of the consortium says who gives it to you"
            ) from error
