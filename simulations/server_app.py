"""The ServerApp: configuration -> clients -> method -> result folder.

In a simulation it also plays the runner: it reads the data folder itself, to join the clients' opaque clip numbers with
names and labels. No label or name comes from a message. In a deployment each client has a folder of its own and keeps
its scores. Importing this module loads no encoder.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp
from rich.console import Console

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError, refusal
from collab_asd.core.files import exclusive_lock, results_dir
from collab_asd.core.processes import ERROR_FILE_VARIABLE, NODES_VARIABLE, OWN_KEYS_VARIABLE
from collab_asd.core.progress import show_progress, step
from collab_asd.core.runtime import PeakMemory, pin_threads, resolve_device
from collab_asd.core.types import Partition, ScoreTable
from collab_asd.data.manifest import ManifestRow, machines_in, manifest_rows
from collab_asd.data.run_data import data_folder, partitions_of_run, require_trainable
from collab_asd.deployment.logs import protect_logs
from collab_asd.detection.evaluation import Evaluation, evaluate
from collab_asd.detection.storage import read_cards
from collab_asd.federation import flwr_compat
from collab_asd.federation.delivery import PersistentGrid
from collab_asd.federation.grid import Rules, SupervisedGrid
from collab_asd.federation.messages import SCORE
from collab_asd.federation.recording import VIEW, ViewRecorder
from collab_asd.federation.results import (
    ResultFolder,
    mark_misfits,
    mark_thresholds,
    read_config,
    summarize,
    summarize_kept,
)
from collab_asd.federation.roster import ClientRoster, ConnectedClients, meet_clients
from collab_asd.federation.scoring import ClientScores, join, read_scores
from collab_asd.methods import METHODS, build_method, fewest_clients
from collab_asd.report.printing import print_table

LOG_WIDTH = 120  # characters of a line
RETURN_SECONDS = 180.0
"""Flower refuses a SuperNode that was killed for about 40 s when it comes back."""

logger = logging.getLogger(__name__)
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the configured method on a Flower grid."""
    protect_logs()
    show_progress()
    try:
        config = RunConfig.from_mapping(context.run_config | (_read_named_by(OWN_KEYS_VARIABLE) or {}))
        roster = _roster()
        with step(f"running {config.method}"):
            folder = run(grid if roster is None else PersistentGrid(grid, roster), config, "ray", roster)
    except (InputError, OSError) as error:
        if error_file := os.environ.get(ERROR_FILE_VARIABLE):
            message = refusal(error) if isinstance(error, OSError) else str(error)
            Path(error_file).write_text(message, encoding="utf-8")
        raise
    if ERROR_FILE_VARIABLE not in os.environ:  # else the command line does this
        print_table(Console(file=sys.stdout, width=LOG_WIDTH), folder)
        if config.report and (folder / "scores.csv").exists():
            _draw_report(folder)


def _read_named_by(variable: str) -> dict[str, Any] | None:
    """Read the JSON that a variable of the environment names, if it does and there is one."""
    file = os.environ.get(variable)
    return dict(json.loads(Path(file).read_bytes())) if file and Path(file).exists() else None


def _roster() -> dict[int, int | None] | None:
    """Read which client has the key of which node, where a deployment's server has written that down."""
    nodes = _read_named_by(NODES_VARIABLE)
    if nodes is None:
        return None
    names = {int(node["node-id"]): re.fullmatch(r"client-(\d+)", node["name"]) for node in nodes.values()}
    return {node: int(name[1]) if name else None for node, name in names.items()}


def run(grid: Grid, config: RunConfig, engine: str, roster: ClientRoster | None = None) -> Path:
    """Run the configured method on any grid and return its result folder.

    Parameters
    ----------
    grid : Grid
    config : RunConfig
    engine : str
        Name of what the grid runs on, for the summary.
    roster : mapping of int to (int or None), optional
        Which client has the key of which node, where that is known.

    Raises
    ------
    InputError
        The configuration, the data, the federation or a client is at fault.
    """
    started = time.perf_counter()
    partitions_of_run.cache_clear()  # in one process all runs may have one ID
    flwr_compat.require_tested()
    pin_threads(config.threads)
    config = replace(config, device=resolve_device(config.device))
    method, fewest = build_method(config), fewest_clients(config)
    with step("waiting for the clients"):
        met = meet_clients(grid, fewest, config.timeout, roster)
    with step("reading the recordings"):
        run_id = grid.run.run_id
        setting = Deployment(met.clients, met.absent) if met.private else Simulation.read(run_id, config, met, engine)
    folder = ResultFolder.open(results_dir(config.results_dir, run_id), config, setting.manifest)
    exclude = config.on_failure == "exclude" and method.tolerates_exclusion
    if setting.absent and not (exclude or met.private):
        raise InputError("\n".join(f"client {client}: {why}" for client, why in setting.absent.items()))

    def check(client: int, request: Message, reply: Message) -> None:
        method.check_reply(client, request, reply)
        if request.metadata.message_type == SCORE:
            setting.check_scores(config, client, reply)

    supervised = SupervisedGrid(
        grid,
        setting.clients,
        Rules(config.timeout, config.retries, exclude, fewest, setting.patience),
        folder.path,
        check=check,
        recorder=ViewRecorder(folder.path / VIEW) if config.record_view else None,
        absent=setting.absent,
        measure=setting.measure if config.report_scores else None,
        pseudonymous=setting.pseudonymous,
    )
    for client, why in setting.absent.items():
        logger.warning("client %d takes no part: %s", client, why)
    with exclusive_lock(folder.path, "run"):
        with PeakMemory() as memory:
            scores = method.run(supervised)
        how: dict[str, Any] = {
            "engine": setting.engine,
            "encoder_note": method.encoder_note,
            "excluded": {str(client): why for client, why in supervised.excluded.items()},
            "bytes_up": {str(c): supervised.traffic.of(c)[0] for c in setting.clients},
            "bytes_down": {str(c): supervised.traffic.of(c)[1] for c in setting.clients},
            "bytes_by_phase": {str(c): supervised.traffic.by_phase(c) for c in setting.clients},
            "seconds": {**method.watch.seconds, "total": time.perf_counter() - started},
            "peak_rss_mb": memory.peak_mb,
        }
        setting.finish(folder, scores, how)
    logger.info("results: %s", folder.path)
    return folder.path


@dataclass(frozen=True)
class Deployment:
    """A run of clients that have folders of their own, and keep their scores.

    Parameters
    ----------
    clients : dict
        Client number -> node ID.
    absent : mapping of int to str
        Client number -> why it takes no part.
    """

    clients: dict[int, int]
    absent: Mapping[int, str]
    manifest = None
    measure = None
    engine = "deployment"
    pseudonymous = True
    patience = RETURN_SECONDS

    def check_scores(self, config: RunConfig, client: int, reply: Message) -> None:
        """Refuse nothing: what clients say of scores that they keep is not used."""

    def finish(self, folder: ResultFolder, scores: Sequence[ClientScores], how: dict[str, Any]) -> None:
        """Write the summary of a run whose clients keep their scores."""
        folder.finish(None, summarize_kept(folder.config) | how)


@dataclass(frozen=True)
class Simulation:
    """A run whose runner reads what the clients hold, to join their scores with names and labels.

    Parameters
    ----------
    clients : dict
        Client number -> node ID, of those that hold clips.
    partitions : sequence of Partition
    data_dir : Path
    manifest : sequence of ManifestRow
    engine : str
    absent : mapping of int to str
        Client number -> why it takes no part.
    """

    clients: dict[int, int]
    partitions: Sequence[Partition]
    data_dir: Path
    manifest: Sequence[ManifestRow]
    engine: str
    absent: Mapping[int, str]
    pseudonymous = False
    patience = 0.0

    @classmethod
    def read(cls, run_id: int, config: RunConfig, met: ConnectedClients, engine: str) -> Self:
        """Read and check the data folder.

        Raises
        ------
        InputError
            A run on it would come out wrong, it has more clients than there are nodes, or the run to join had another
            seed.
        """
        if config.join and (seed := read_config(Path(config.join).expanduser()).seed) != config.seed:
            raise InputError(
                f"join = {config.join}: ran with seed = {seed}, by which a simulation numbers clips and knows clients "
                f"again, and this run has seed = {config.seed}; set the same"
            )
        nodes, expected = met.clients, len(met.clients) + len(met.absent)
        partitions, data_dir = partitions_of_run(run_id, config, expected), data_folder(config, expected)
        require_trainable(config, partitions, METHODS.find(config.method).tells_machines_apart)
        if any(p.client not in nodes and p.client not in met.absent for p in partitions):
            raise InputError(
                f"the data have {len(partitions)} clients (partition = {config.partition}) but the federation has "
                f"{expected} SuperNodes: start the run with "
                f'--federation-config "num-supernodes={len(partitions)}"'
            )
        taking_part = {p.client: nodes[p.client] for p in partitions if p.client in nodes}
        absent = {p.client: met.absent[p.client] for p in partitions if p.client in met.absent}
        return cls(taking_part, partitions, data_dir, manifest_rows(partitions, data_dir), engine, absent)

    def check_scores(self, config: RunConfig, client: int, reply: Message) -> None:
        """Refuse scores of other clips than the client's test clips.

        Raises
        ------
        ValueError
            They are; or it keeps its scores where the run asks for them.
        """
        scores = read_scores(client, reply)
        if (scores is None) == config.report_scores:
            raise ValueError("it keeps its scores, and the run asks for them" if scores is None else "it sends scores")
        if scores is not None:
            held = next(p for p in self.partitions if p.client == client).indices("test")
            if sorted(scores.clips.tolist()) != list(held):
                raise ValueError("its scores are of other clips than its test clips, or of some twice")

    def measure(self, scores: Sequence[ClientScores]) -> dict[str, float]:
        """Return the figures of the run by name, for Flower's metrics."""
        return self._evaluated(scores)[1].figures()

    def finish(self, folder: ResultFolder, scores: Sequence[ClientScores], how: dict[str, Any]) -> None:
        """Write the scores and the summary; the latter alone where the clients were told to keep their scores."""
        config = folder.config
        if not config.report_scores:
            folder.finish(None, summarize_kept(config) | how)
            return
        table, found = self._evaluated(scores, how["excluded"])
        misfits = [card.machine for card in read_cards(folder.path / "detectors").values() if card.misfit]
        evaluation = mark_misfits(mark_thresholds(found, config, self.partitions), misfits)
        folder.finish(table, summarize(config, evaluation, self.manifest) | how)

    def _evaluated(
        self, scores: Sequence[ClientScores], excluded: Collection[str] = ()
    ) -> tuple[ScoreTable, Evaluation]:
        """Join scores with names and labels, and evaluate them; machines that were not scored are named, too."""
        table = join(scores, self.partitions, self.data_dir)
        return table, evaluate(table, machines_in(self.manifest, without=excluded))


def _draw_report(folder: Path) -> None:
    """Let another process draw the report: it explains clips, for which it needs the encoder that no server has."""
    command = [sys.executable, "-m", "collab_asd.cli.main", "report", str(folder)]
    # The installed package, not the app that Flower unpacked: the page's templates do not travel with that.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with step("drawing the report"):
        drawn = subprocess.run(command, check=False, cwd=folder, env=environment)
    if drawn.returncode:
        logger.warning("the report could not be drawn; its reason: collab-asd report %s", folder)
    else:
        logger.info("report: %s", folder / "report.html")
