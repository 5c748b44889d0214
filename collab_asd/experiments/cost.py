"""What the runs of a comparison will send, before they are begun.

That follows from what each client holds, by the lengths of its clips. Recordings that are not here yet are taken from
what is published of them, and synthetic ones from their settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from collab_asd.config import RunConfig
from collab_asd.core.registry import load
from collab_asd.core.types import Clip, Partition, Split
from collab_asd.data.audio import seconds_of
from collab_asd.data.download.dcase import CLIP_SECONDS, DEVELOPMENT, Development
from collab_asd.data.layouts import find_clips
from collab_asd.data.run_data import deal, how
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.encoders import ENCODERS
from collab_asd.experiments.experiment import Cell
from collab_asd.federation.client_data import local_machines
from collab_asd.methods import METHODS
from collab_asd.methods.costs import Bytes, Holding, Seconds


@dataclass(frozen=True)
class Forecast:
    """What the runs of one method with one encoder will send; bytes of one run, on average. None where it cannot say.

    Parameters
    ----------
    method, encoder : str
    runs : int
    bytes_up, bytes_down : float
        From all clients to the server, and from the server to all clients.
    """

    method: str
    encoder: str
    runs: int
    bytes_up: float | None
    bytes_down: float | None


def forecast(cells: Sequence[Cell], found: Recordings) -> list[Forecast]:
    """Return what the cells that are not finished will send, method by method.

    Raises
    ------
    InputError
        The clips cannot be dealt as a cell asks for.
    """
    runs: dict[tuple[str, str], list[Bytes | None]] = {}
    dealt = lru_cache(None)(lambda config: holdings(config, found))
    for cell in cells:
        if cell.state != "finished":
            describe = METHODS.find(cell.config.method).describe_costs
            entry = ENCODERS.find(cell.config.encoder)
            sent = load(describe)(cell.config, entry, dealt(_deal_of(cell.config))) if describe else None
            runs.setdefault((cell.method, cell.config.encoder), []).append(sent)
    return [Forecast(*named, len(sent), *_averaged(sent)) for named, sent in runs.items()]


def _averaged(runs: Sequence[Bytes | None]) -> tuple[float | None, float | None]:
    sent = [run for run in runs if run is not None]
    if len(sent) < len(runs):
        return None, None
    return sum(run.up for run in sent) / len(runs), sum(run.down for run in sent) / len(runs)


def _deal_of(config: RunConfig) -> RunConfig:
    """Return what decides who holds which clips; where each machine is a client, the seed does not."""
    return RunConfig(
        group_by=config.group_by,
        partition=config.partition,
        dirichlet_alpha=config.dirichlet_alpha,
        clients=config.clients,
        calibration=config.calibration,
        seed=config.seed if config.mixed else 0,
    )


@dataclass(frozen=True)
class Recordings:
    """Clips, how long each is, and in words what they are."""

    clips: tuple[Clip, ...]
    seconds: Callable[[Clip], float]
    words: str


def recordings(data_dir: str, config: RunConfig, machines: int) -> Recordings:
    """Return what an experiment runs on: a folder, synthetic machines, or else the benchmark as it is published.

    Raises
    ------
    InputError
        The folder is of no known layout, or a recording in it cannot be read.
    """
    if data_dir:
        clips = find_clips(Path(data_dir).expanduser(), *how(config))
        return Recordings(tuple(clips), lru_cache(None)(lambda clip: seconds_of(clip.path)), data_dir)
    if machines:
        from collab_asd.data.synthetic.dataset import machines as synthetic

        settings = SyntheticSettings(machines=machines)
        counts = settings.train, settings.test_normal + settings.test_anomaly
        clips = [clip for machine in synthetic(machines) for clip in _unseen(*machine, *counts)]
        return Recordings(tuple(clips), lambda clip: settings.seconds, f"{machines} synthetic machines")
    clips = [clip for name, kind in DEVELOPMENT.items() for clip in _evenly(name, kind)]
    words = f"no --data: as for DCASE 2020's development clips, {CLIP_SECONDS:.0f} s each"
    return Recordings(tuple(clips), lambda clip: CLIP_SECONDS, words)


def holdings(config: RunConfig, found: Recordings) -> list[Holding]:
    """Deal clips as a run of this configuration would."""
    return [holding for part in deal(found.clips, config) for holding in _held(part, config, found.seconds)]


def _held(partition: Partition, config: RunConfig, seconds: Callable[[Clip], float]) -> list[Holding]:
    def lengths(indices: Sequence[int]) -> Seconds:
        return tuple(seconds(partition.clips[i]) for i in sorted(indices))  # as they are sent

    return [
        Holding(
            partition.client,
            machine.group,
            machine.machine_class,
            lengths(machine.train),
            lengths(machine.calibration),
            lengths(machine.test),
        )
        for machine in local_machines(partition, config.calibration, config.train_clips, config.seed)
    ]


def _evenly(machine_type: str, kind: Development) -> list[Clip]:
    """Divide clips into equal shares; the first machines have one more where they do not come out even."""

    def share(of: int, machine: int) -> int:
        return of // kind.machines + (machine < of % kind.machines)

    return [
        clip
        for i in range(kind.machines)
        for clip in _unseen(machine_type, f"{i:02d}", share(kind.train, i), share(kind.test, i))
    ]


def _unseen(machine_type: str, machine_id: str, train: int, test: int) -> list[Clip]:
    """Return clips that can be dealt and counted, but not read."""
    parts: list[tuple[Split, int]] = [("train", train), ("test", test)]
    splits = [split for split, count in parts for _ in range(count)]
    names = [f"{machine_type}/{machine_id}/{split}/{i}" for i, split in enumerate(splits)]
    return [Clip(Path(n), machine_type, machine_id, s, None, n) for n, s in zip(names, splits, strict=True)]
