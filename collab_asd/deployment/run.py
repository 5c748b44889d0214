"""What each party keeps running, and one run: begun again if the SuperLink dies, until its result is there."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import is_locked, replacing, require_writable
from collab_asd.core.processes import ERROR_FILE_VARIABLE, NODES_VARIABLE, OWN_KEYS_VARIABLE
from collab_asd.core.progress import step
from collab_asd.deployment.certificates import load_node_key
from collab_asd.deployment.check import configured_recordings, require_enough_keys, run_config
from collab_asd.deployment.flower import register_nodes, stop_unbegun, submit
from collab_asd.deployment.health import NodeHealth, ServerHealth
from collab_asd.deployment.logs import protect_logs
from collab_asd.deployment.processes import (
    STATE,
    environment,
    is_open,
    nodes_file,
    require_free,
    start,
    stop,
    stopped_by_signals,
    superlink_command,
    supernode_command,
    supervise,
    wait_until_open,
)
from collab_asd.deployment.settings import NodeSettings, ServerSettings
from collab_asd.federation.agreement import Agreement
from collab_asd.federation.engines import COMPONENTS, write_app
from collab_asd.federation.results import default_name, require_unfinished
from collab_asd.methods import fewest_clients

logger = logging.getLogger(__name__)
START_SECONDS = 60.0


@stopped_by_signals()
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
    health = ServerHealth(f"127.0.0.1:{server.port}", server.folder / "ca.crt")

    def begin() -> subprocess.Popen[bytes]:
        health.begin()
        return _start_superlink(server)

    def tick() -> str | None:
        if illness := health.illness():
            return illness
        _register(server)
        return None

    protect_logs()
    supervise("SuperLink", begin, tick)


@stopped_by_signals()
def keep_node(folder: Path) -> None:
    """Keep the SuperNode of a client's folder running.

    Raises
    ------
    InputError
        A file is missing, the agreement cannot be read, there are no recordings, or the port is in use.
    """
    node = NodeSettings.load(folder)
    _require_files(node.folder, "ca.crt", "node.key", node.agreement)
    load_node_key(node.folder / "node.key")
    configured_recordings(node, Agreement.load(str(node.path("agreement") or "")))
    require_free(node.port, "node.toml")
    command = supernode_command(node)
    logger.info("client %d of %d: connecting to %s", node.client, node.clients, node.superlink)
    hint = (
        ", and this log says when it is connected; if that goes on, see `collab-asd deploy check`, then ask the "
        "server's operator, whose log says what it refuses"
    )
    health = NodeHealth(node)

    def begin() -> subprocess.Popen[bytes]:
        health.wait_for_server()
        return start(command, node.folder, environment(node.folder))

    protect_logs()
    supervise("SuperNode", begin, health.illness, hint)


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
        _warn_once(f"nodes/: {error}")


@lru_cache(maxsize=100)
def _warn_once(text: str) -> None:
    """Log what is tried again every few seconds, with the same end."""
    logger.warning(text)


def _require_files(folder: Path, *names: str) -> None:
    for name in names:
        try:
            (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{folder / name}: {error.strerror}; INVENTORY.md of the consortium says who gives it to you"
            ) from error


RETURN_SECONDS = 600.0
"""How long a SuperLink that died is waited for."""
POLL_SECONDS = 2.0
TRIES = 5
SUMMARY = "summary.json"


def run(server: ServerSettings, out: Path | None, settings: Mapping[str, Any], on_line: Callable[[str], None]) -> Path:
    """Run what was agreed on with all clients that are connected; returns the result folder.

    A server has one run at a time, since its ServerApps read one file of keys: this one waits for another, and for the
    ServerApp of a SuperLink that was killed, which goes on by itself. What they finish in its folder is the result.

    Parameters
    ----------
    out : Path, optional
        Result folder; one that a run left unfinished is taken up again.
    settings : mapping
        Keys of the run configuration that need no agreement.
    on_line : callable
        Called with each line that the run prints.

    Raises
    ------
    InputError
        The SuperLink is not running, or the run was refused.
    """
    config, results = require_startable(server, out, settings)
    with _owning(server):
        return _run(server, config, results, on_line)


def _run(server: ServerSettings, config: RunConfig, results: Path, on_line: Callable[[str], None]) -> Path:
    refusal, note = error_file(server), server.folder / STATE / "submitted"
    refused, tail = False, list[str]()
    for tries in range(TRIES + 1):
        _wait_for_server_app(results)
        if (results / SUMMARY).exists():
            note.unlink(missing_ok=True)
            return results
        if refused:
            raise InputError(refusal.read_text(encoding="utf-8"))
        if tries == TRIES:
            break
        if tries:
            logger.warning("the run broke off; it is taken up again. It last printed:\n%s", "\n".join(tail[-3:]))
        _wait_for_superlink(server)
        stop_unbegun(server, note)  # before the file says otherwise than that run was told
        with replacing(own_keys_file(server)) as file:
            file.write(json.dumps({"results-dir": str(results), "cache-dir": str(server.folder / "cache")}).encode())
        refusal.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="collab-asd-") as scratch:
            app = write_app(Path(scratch) / "app", config, *COMPONENTS)
            try:
                with step("waiting for the run"):
                    tail = submit(server, app, note, on_line)
            except KeyboardInterrupt:
                logger.warning("the run goes on at the server; run.sh with --out %s waits for it", results)
                raise
        refused = refusal.exists() and not is_locked(results)  # locked: a ServerApp of before has come first
    raise InputError(f"{results}: the run broke off {TRIES} times; its SuperLink's log says why")


@contextmanager
def _owning(server: ServerSettings) -> Iterator[None]:
    """Be the one who sees to a run of this server; waits while somebody else does."""
    (server.folder / STATE).mkdir(parents=True, exist_ok=True)
    lock = FileLock(server.folder / STATE / "run.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.warning("%s: another process sees to a run and prints how it goes; waiting for it", server.folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _wait_for_server_app(results: Path) -> None:
    """Wait until no ServerApp works in a result folder."""
    if not is_locked(results):
        return
    logger.warning(
        "%s: the run goes on in a ServerApp whose SuperLink or run.sh was ended; waiting for it, without its output",
        results,
    )
    with step("waiting for the run that goes on"):
        while is_locked(results):
            time.sleep(POLL_SECONDS)


def require_startable(server: ServerSettings, out: Path | None, settings: Mapping[str, Any]) -> tuple[RunConfig, Path]:
    """Return what to run and the result folder, as `run`; whatever can be refused before anything starts is refused.

    Raises
    ------
    InputError
        A key or its value is wrong, fewer clients have a key than the run needs, or the folder holds a finished run or
        cannot be written.
    """
    config = run_config(server, settings)
    require_enough_keys(server, fewest_clients(config))
    results = (out or server.folder / "results" / default_name(config)).expanduser().absolute()
    require_unfinished(results)
    require_writable(results, "name another folder with --out")
    return config, results


def _wait_for_superlink(server: ServerSettings) -> None:
    deadline = time.monotonic() + RETURN_SECONDS
    if is_open("127.0.0.1", server.port):
        return
    logger.info("waiting for the SuperLink on port %d: start it with start.sh", server.port)
    with step("waiting for the SuperLink"):
        while not is_open("127.0.0.1", server.port):
            if time.monotonic() > deadline:
                raise InputError(
                    f"no SuperLink on port {server.port} within {RETURN_SECONDS:.0f} s: start it with start.sh"
                )
            time.sleep(POLL_SECONDS)
