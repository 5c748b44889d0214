"""The whole consortium on this machine, over TLS, with real processes: one run, and the simulation beside it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.processes import interrupted_once
from collab_asd.core.progress import step
from collab_asd.data.layouts import find_clips
from collab_asd.data.partitions import by_machine
from collab_asd.data.run_data import data_folder, write_listing
from collab_asd.deployment.check import run_config
from collab_asd.deployment.flower import node_states
from collab_asd.deployment.processes import STATE, environment, is_open, start, stop
from collab_asd.deployment.run import run
from collab_asd.deployment.settings import NODE, NodeSettings, ServerSettings
from collab_asd.federation.engines import run_inprocess
from collab_asd.report.reading import read_run

logger = logging.getLogger(__name__)
CONNECT_SECONDS, POLL_SECONDS = 180.0, 0.5
ONLINE = "online"
LISTING = "recordings.csv"


def client_folders(consortium: Path) -> list[Path]:
    """Return the clients' folders, in the order of their numbers.

    Raises
    ------
    InputError
        There are none.
    """
    folders = [path.parent for path in consortium.glob(f"client-*/{NODE}")]
    if not folders:
        raise InputError(f"{consortium}: holds no client-0/{NODE}; name a folder that `collab-asd deploy init` made")
    return sorted(folders, key=lambda folder: NodeSettings.load(folder).client)


def give_recordings(consortium: Path, data: str) -> Path:
    """Give each client one machine of a data folder, as in a simulation, or a synthetic one; returns the data folder.

    The folder has the layout that was agreed on, if one was; the clients get tables.

    Raises
    ------
    InputError
        There are not as many machines as clients, a client names recordings of its own, or none are named although a
        layout is agreed on.
    """
    folders = client_folders(consortium)
    for own in folders:
        if (named := NodeSettings.load(own).data_dir) not in ("", LISTING):
            raise InputError(
                f"{own / NODE}: data-dir = {named!r}, and a try-out gives each client other recordings; start the "
                "parties by their start.sh, or try out another folder of `collab-asd deploy init`"
            )
    agreed = run_config(ServerSettings.load(consortium / "server"), {})
    if agreed.layout and not data:
        raise InputError(f"layout = {agreed.layout} is agreed on: name recordings of that layout with --data")
    folder = data_folder(RunConfig(data_dir=data), len(folders))
    machines = by_machine(find_clips(folder, agreed.channel, agreed.layout), "all")
    if len(machines) != len(folders):
        raise InputError(
            f"{folder}: {len(machines)} machine{'s' * (len(machines) > 1)} for {len(folders)} clients; "
            "name a folder with one machine per client"
        )
    for own, machine in zip(folders, machines, strict=True):
        write_listing(own / LISTING, machine.clips)
        settings = re.sub(r"(?m)^data-dir = .*$", f'data-dir = "{LISTING}"', (own / NODE).read_text("utf-8"))
        (own / NODE).write_text(settings, encoding="utf-8")
    return folder


@contextmanager
def consortium_running(consortium: Path) -> Iterator[ServerSettings]:
    """Keep server and clients running for a ``with`` block; what they say goes to ``state/log.txt`` of each.

    Raises
    ------
    InputError
        One of them does not start, with the end of what it said.
    """
    server, folders = ServerSettings.load(consortium / "server"), client_folders(consortium)
    parties: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        parties[server.folder] = _start_party("server", server.folder)
        _wait(lambda: is_open("127.0.0.1", server.port), parties, "the SuperLink")
        for folder in folders:
            parties[folder] = _start_party("node", folder)
        _wait(lambda: _all_online(server, folders), parties, "the SuperNodes")
        logger.info("%d SuperNode%s connected", len(folders), "s are" if len(folders) > 1 else " is")
        yield server
    finally:
        with step("stopping the consortium"):
            stop(*parties.values())


def run_local(consortium: Path, out: Path | None, settings: Mapping[str, Any], on_line: Callable[[str], None]) -> Path:
    """Start everything, run once, stop everything; returns the server's result folder."""
    with interrupted_once(), consortium_running(consortium) as server:
        return run(server, out, settings, on_line)


def client_results(consortium: Path) -> list[Path]:
    """Return each client's latest finished result folder.

    Raises
    ------
    InputError
        A client has none.
    """
    found = []
    for folder in client_folders(consortium):
        results = NodeSettings.load(folder).path("results_dir")
        summaries = sorted(results.glob("run-*/summary.json"), key=lambda path: path.stat().st_mtime) if results else []
        if not summaries:
            raise InputError(f"{folder}: has no results yet; {folder / STATE / 'log.txt'} says why")
        found.append(summaries[-1].parent)
    return found


def _start_party(command: str, folder: Path) -> subprocess.Popen[bytes]:
    (folder / STATE).mkdir(parents=True, exist_ok=True)
    with (folder / STATE / "log.txt").open("ab") as log:
        arguments = [sys.executable, "-m", "collab_asd.cli.main", "deploy", command, str(folder.absolute())]
        return start(arguments, folder, environment(folder), log)


def _wait(ready: Callable[[], bool], parties: Mapping[Path, subprocess.Popen[bytes]], what: str) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    with step(f"waiting for {what}"):
        while not ready():
            for folder, process in parties.items():
                if process.poll() is not None:
                    raise InputError(f"{folder} does not start:\n{_tail(folder)}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"{folder}:\n{_tail(folder)}" for folder in parties)
                raise InputError(f"{what} did not start within {CONNECT_SECONDS:.0f} s:\n{logs}")
            time.sleep(POLL_SECONDS)


def _all_online(server: ServerSettings, folders: Sequence[Path]) -> bool:
    """Ask the SuperLink, which takes seconds of a processor, once all SuperNodes have come so far as to listen."""
    if not all(is_open("127.0.0.1", NodeSettings.load(folder).port) for folder in folders):
        return False
    states = node_states(server)
    return len(states) == len(folders) and set(states.values()) == {ONLINE}


def _tail(folder: Path) -> str:
    return (folder / STATE / "log.txt").read_text(encoding="utf-8", errors="replace")[-1500:]


TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """Scores and thresholds of a deployment's clients against those of a simulation.

    Parameters
    ----------
    clips : int
    largest : float
        Largest difference of two scores or thresholds, as a share of the threshold.
    decisions : int
        Clips that are judged otherwise.
    """

    clips: int
    largest: float
    decisions: int

    @property
    def same(self) -> bool:
        """Whether the scores agree but for rounding, and so all decisions."""
        return self.largest <= TOLERANCE and not self.decisions

    def __str__(self) -> str:
        """Say it in a line."""
        how = "bit for bit" if self.largest == 0 else f"they differ by {self.largest:.0e} of the threshold at most"
        return (
            f"deployment and simulation give {'the same' if self.same else 'OTHER'} scores ({how}): "
            f"{self.clips} clips, {self.decisions} other decisions"
        )


def compare_with_simulation(consortium: Path, data: Path, settings: Mapping[str, Any]) -> Comparison:
    """Run the simulation of what a local consortium has run, with its keys, and compare the clients' scores.

    Raises
    ------
    InputError
        They scored other clips.
    """
    clients, config = client_folders(consortium), run_config(ServerSettings.load(consortium / "server"), settings)
    if config.noise_epsilon:
        raise InputError("noise is drawn from a key of each client's own: no simulation gives the same scores")
    node = NodeSettings.load(clients[0])
    with tempfile.TemporaryDirectory(prefix="collab-asd-") as scratch:
        simulated = replace(
            config,
            data_dir=str(data),
            encoder_key_file=str(node.path("encoder_key_file") or ""),
            rotation_key_file=str(node.path("rotation_key_file") or ""),
            encoder_weights=str(node.path("encoder_weights") or ""),
            results_dir=str(Path(scratch) / "results"),
            cache_dir=str(Path(scratch) / "cache"),
        )
        folder = run_inprocess(simulated, len(clients))
        return compare_scores(client_results(consortium), [folder])


def compare_scores(folders: Iterable[Path], others: Iterable[Path]) -> Comparison:
    """Compare the scores in result folders, clip by clip; clips are known by their content.

    Raises
    ------
    InputError
        They scored other clips.
    """
    ours, theirs = _scores(folders), _scores(others)
    if ours.keys() != theirs.keys():
        raise InputError(f"{len(ours.keys() ^ theirs.keys())} clips were scored on one side alone")
    pairs = [(ours[clip], theirs[clip]) for clip in ours]
    apart = (abs(a - b) / abs(two[1]) for one, two in pairs for a, b in zip(one[:2], two[:2], strict=True))
    return Comparison(len(pairs), max(apart, default=0.0), sum(one[2] != two[2] for one, two in pairs))


def _scores(folders: Iterable[Path]) -> dict[str, tuple[float, float, int]]:
    """Return the content hash of each clip -> score, threshold, decision."""
    found: dict[str, tuple[float, float, int]] = {}
    for result in map(read_run, folders):
        content = {row.clip: row.sha256 for row in result.manifest}
        found |= {content[row.clip]: (row.anomaly_score, row.threshold, row.decision) for row in result.table.rows}
    return found
