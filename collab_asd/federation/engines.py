"""Where a run takes place: in this process, or through ``flwr run`` on a private SuperLink."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from collab_asd import __version__
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir
from collab_asd.core.processes import (
    ERROR_FILE_VARIABLE,
    end_processes_with,
    interrupted_once,
    run_streaming,
    wait_until_open,
)
from collab_asd.core.progress import step
from collab_asd.core.registry import load
from collab_asd.core.terminal import without_colours
from collab_asd.data.run_data import load_partitions
from collab_asd.federation.results import default_name, require_unfinished

START_SECONDS = 60.0
STOP_SECONDS = 5.0
COMPONENTS = "simulations.server_app:app", "simulations.client_app:app"


def count_clients(config: RunConfig, synthetic: int) -> int:
    """Return how many SuperNodes a run needs: one per client that holds clips, or one per synthetic machine."""
    return len(load_partitions(config, synthetic)) if config.data_dir else synthetic


def run_inprocess(config: RunConfig, clients: int) -> Path:
    """Run server and clients in this process; returns the result folder."""
    from collab_asd.federation.grid import InProcessGrid

    config = replace(config, results_dir=str(_results_of(config)))
    grid = InProcessGrid(load(COMPONENTS[1]), clients, config.to_mapping())
    folder: Path = load("simulations.server_app:run")(grid, config, engine="inprocess")
    return folder


def run_ray(
    config: RunConfig, clients: int, on_line: Callable[[str], None], components: tuple[str, str] = COMPONENTS
) -> Path:
    """Run through ``flwr run`` and Ray; returns the result folder.

    The SuperLink is private and starts in an empty folder: one that runs already, or that finds other code in its
    working directory, would run that code instead of this.

    Parameters
    ----------
    on_line : callable
        Called with each line that the run prints.
    components : (str, str)
        Where Flower finds ServerApp and ClientApp.

    Raises
    ------
    InputError
        What the ServerApp refused; or that it ended without a result, with the end of what it printed.
    """
    results = _results_of(config)
    config = replace(config, results_dir=str(results), cache_dir=str(cache_dir(config.cache_dir)))
    with interrupted_once(), tempfile.TemporaryDirectory(prefix="collab-asd-") as scratch:
        error_file = Path(scratch) / "error.txt"
        app = write_app(Path(scratch) / "app", config, *components)
        with _superlink(Path(scratch), error_file) as environment, step("waiting for Flower and Ray"):
            tail = _flwr_run(app, clients, config, environment, on_line)
        if error_file.exists():
            raise InputError(error_file.read_text(encoding="utf-8"))
    if not (results / "summary.json").exists():
        raise InputError("the run ended without a result; it last printed:\n" + "\n".join(map(without_colours, tail)))
    return results


def _results_of(config: RunConfig) -> Path:
    """Return the configured result folder, or a new one in ``results/``; refuses one that is complete."""
    folder = Path(config.results_dir or Path("results") / default_name(config)).expanduser().absolute()
    require_unfinished(folder)
    return folder


def write_app(folder: Path, config: RunConfig, server: str, client: str) -> Path:
    """Write a Flower app without code: its components are those of the installed package."""
    folder.mkdir()
    settings = "\n".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in config.to_mapping().items()
    )
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "collab-asd-run"\nversion = "{__version__}"\ndescription = "A run"\n'
        'license = "Apache-2.0"\n'
        '[tool.flwr.app]\npublisher = "collab-asd"\n'
        f'[tool.flwr.app.components]\nserverapp = "{server}"\nclientapp = "{client}"\n'
        f"[tool.flwr.app.config]\n{settings}\n",
        encoding="utf-8",
    )
    return folder


@contextmanager
def _superlink(scratch: Path, error_file: Path) -> Iterator[dict[str, str]]:
    """Keep a SuperLink running in an empty folder; yields the environment for ``flwr`` commands.

    Flower and Ray put what they start into sessions of their own. An interrupted run is killed first of all: left to
    itself, it might still write a result.
    """
    empty = scratch / "empty"
    empty.mkdir()
    port, control = _free_ports(2)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(scratch / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(port),
        "FLWR_LOCAL_CONTROL_API_PORT": str(control),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_DEDUP_LOGS": "0",
        "PYTHONUTF8": "1",  # what they print is read as UTF-8, whatever the terminal shows
        "PYTHONIOENCODING": "utf-8",
        ERROR_FILE_VARIABLE: str(error_file),
    }
    command = (
        f"flower-superlink --insecure --simulation --isolation subprocess --host 127.0.0.1 --port {port} "
        f"--control-api-address 127.0.0.1:{control}"
    ).split()
    program, grace, process = _program(command[0], environment), 0.0, None
    try:
        with (scratch / "superlink.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *command[1:]],
                cwd=empty, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        with step("starting the SuperLink"):
            _wait_until_open(port, process, scratch / "superlink.log")
        yield environment
        grace = STOP_SECONDS
    finally:
        with step("stopping Flower and Ray"):
            end_processes_with("FLWR_HOME", environment["FLWR_HOME"], grace)
            if process is not None:
                process.wait()


def _flwr_run(
    app: Path, clients: int, config: RunConfig, environment: dict[str, str], on_line: Callable[[str], None]
) -> list[str]:
    """Submit the app, hand on its output, and return its last lines. Its exit code says nothing."""
    command = [_program("flwr", environment), "run", str(app), "--stream"]
    federation = f"num-supernodes={clients} client-resources-num-cpus={config.threads}"
    if config.device.startswith("cuda"):
        federation += f" client-resources-num-gpus={gpu_share(clients, config.threads)}"
    command += ["--federation-config", federation]
    return run_streaming(command, app, environment, on_line)


def gpu_share(clients: int, threads: int) -> float:
    """Part of a GPU for each client, so that as many run side by side as the cores allow."""
    from torch.cuda import device_count

    side_by_side = max(1, min(clients, (os.cpu_count() or 1) // threads))
    return max(0.01, min(1.0, int(100 * device_count() / side_by_side) / 100))


def _program(name: str, environment: dict[str, str]) -> str:
    found = shutil.which(name, path=environment["PATH"])
    if found is None:
        raise InputError(f"{name} is not installed beside this Python: pip install 'flwr[simulation]'")
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    if not wait_until_open("127.0.0.1", port, process, START_SECONDS):
        raise InputError(f"the SuperLink did not start:\n{log.read_text(errors='replace')[-2000:]}")
