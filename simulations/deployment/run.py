"""One run of a consortium, from the server: begun again if the SuperLink dies, until its result is there."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from collab_asd.atomic import replacing
from collab_asd.config import RunConfig
from collab_asd.errors import InputError
from collab_asd.federation.agreement import Agreement
from collab_asd.progress import step
from simulations.deployment.flower import submit
from simulations.deployment.parties import error_file, own_keys_file
from simulations.deployment.processes import is_open
from simulations.deployment.settings import AGREEMENT, ServerSettings
from simulations.engines import COMPONENTS, write_app
from simulations.results import default_name, require_unfinished

logger = logging.getLogger(__name__)
RETURN_SECONDS = 600.0
"""How long a SuperLink that died is waited for."""
POLL_SECONDS = 2.0
TRIES = 5


def run(server: ServerSettings, out: Path | None, settings: Mapping[str, Any], on_line: Callable[[str], None]) -> Path:
    """Run what was agreed on with all clients that are connected; returns the result folder.

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
    config = run_config(server, settings)
    results = (out or server.folder / "results" / default_name(config)).expanduser().absolute()
    require_unfinished(results)
    with replacing(own_keys_file(server)) as file:
        file.write(json.dumps({"results-dir": str(results), "cache-dir": str(server.folder / "cache")}).encode())
    refusal = error_file(server)
    for _ in range(TRIES):
        _wait_for_superlink(server)
        refusal.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="collab-asd-") as scratch:
            app = write_app(Path(scratch) / "app", config, *COMPONENTS)
            with step("waiting for the run"):
                tail = submit(server, app, on_line)
        if (results / "summary.json").exists():
            return results
        if refusal.exists():
            raise InputError(refusal.read_text(encoding="utf-8"))
        logger.warning("the run broke off; it is taken up again. It last printed:\n%s", "\n".join(tail[-3:]))
    raise InputError(f"{results}: the run broke off {TRIES} times; its SuperLink's log says why")


def run_config(server: ServerSettings, settings: Mapping[str, Any]) -> RunConfig:
    """Return what was agreed on, with what the server may set.

    Raises
    ------
    InputError
        The agreement cannot be read, or a key does not exist.
    """
    agreement = Agreement.load(str(server.folder / AGREEMENT))
    assert agreement.config is not None
    config = RunConfig.from_mapping({**agreement.config.to_mapping(), **server.run, **settings})
    agreement.require_agreed(config)
    return config


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
