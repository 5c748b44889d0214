"""What the runs of a comparison will send, before they are begun, and how long its recordings take to encode.

What is sent follows from what each client holds, by the lengths of its clips. Recordings that are not here yet are
taken from what is published of them, and synthetic ones from their settings. How long encoding takes is measured on the
device at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.registry import load
from collab_asd.core.runtime import pin_threads, resolve_device
from collab_asd.core.types import Clip, FloatArray, Partition, Split
from collab_asd.data.audio import Audio, seconds_of
from collab_asd.data.download.dcase import CLIP_SECONDS, DEVELOPMENT, Development
from collab_asd.data.layouts import find_clips
from collab_asd.data.run_data import deal, how
from collab_asd.data.synthetic import SyntheticSettings
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


@dataclass(frozen=True)
class Encoding:
    """Hours to encode all clips with an encoder, as often as seeds or settings ask for; None where it is not here."""

    encoder: str
    times: int
    hours: float | None


HOUR = 3600.0  # s
NOISE_SECONDS, TRIALS, TOGETHER = 4.0, 3, 16  # clips together on an accelerator alone


def encodings(
    cells: Sequence[Cell], found: Recordings, is_here: Callable[[RunConfig], bool]
) -> tuple[str, list[Encoding]]:
    """Measure what encoding the clips for unfinished cells takes, if none of them is in the cache.

    Parameters
    ----------
    cells : sequence of Cell
    found : Recordings
    is_here : callable
        Whether the weights of a configuration's encoder need no download.

    Returns
    -------
    str
        The device; on a CPU, hours are those of one thread, and of the processor.
    list of Encoding
    """
    device = resolve_device(cells[0].config.device)
    seconds = sum(map(found.seconds, found.clips))
    builds = {_frames_of(cell.config): cell.config for cell in cells if cell.state != "finished"}
    of_encoder: dict[str, list[RunConfig]] = {}
    for config in builds.values():
        of_encoder.setdefault(config.encoder, []).append(replace(config, device=device))
    listed = []
    for name, configs in of_encoder.items():
        if ENCODERS.find(name).made_from not in of_encoder:  # or else those of the other are pooled
            measured = _encoding_seconds(configs[0]) if is_here(configs[0]) else None
            hours = None if measured is None else len(configs) * seconds * measured / HOUR
            listed.append(Encoding(name, len(configs), hours))
    return device, listed


def _frames_of(config: RunConfig) -> tuple[str | int, ...]:
    """Return what decides which frames there are: the demo key of an encoder that draws one depends on the seed."""
    drawn = config.seed if ENCODERS.find(config.encoder).takes_key and not config.encoder_key_file else 0
    weights = config.encoder_weights, config.encoder_key_file, config.openl3_model, config.frontend
    return config.encoder, *weights, config.precision, config.openl3_backend, drawn


def _encoding_seconds(config: RunConfig) -> float | None:
    """Seconds that a second of sound takes, the fastest of some trials on noise; None where the encoder is not here."""
    pin_threads(1)
    try:
        encoder, entry = encoders.build(config), ENCODERS.find(config.encoder)
    except InputError:  # a dry run needs no files
        return None
    rate = entry.spec.sample_rate
    seconds = max(NOISE_SECONDS, 2 * entry.spec.window / rate)
    noise: FloatArray = np.random.default_rng(0).standard_normal(round(seconds * rate), dtype=np.float32)
    noise *= np.float32(0.1)
    clips = [Audio(noise, rate, 1)] * TOGETHER
    clock = time.process_time if config.device == "cpu" else time.perf_counter

    def trial() -> float:
        start = clock()
        frames = sum(map(len, encoder.encode(clips))) if encoder.on_accelerator else len(encoder(noise))
        return (clock() - start) / frames

    trial()  # the first one allocates
    return min(trial() for _ in range(TRIALS)) * entry.clip_frames / CLIP_SECONDS


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
