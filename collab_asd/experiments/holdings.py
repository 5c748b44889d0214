"""What each client holds, by the lengths of its clips: all that a forecast needs to know of recordings.

Recordings that are not here yet are taken from what is published of them, and synthetic ones from their settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from collab_asd.config import RunConfig
from collab_asd.core.types import Clip, Partition, Split
from collab_asd.data.audio import seconds_of
from collab_asd.data.download.dcase2020 import CLIP_SECONDS, DEVELOPMENT, Development
from collab_asd.data.layouts import find_clips
from collab_asd.data.run_data import deal
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.federation.client_data import local_machines
from collab_asd.methods.costs import Holding, Seconds


@dataclass(frozen=True)
class Recordings:
    """Clips, how long each is, and in words what they are."""

    clips: tuple[Clip, ...]
    seconds: Callable[[Clip], float]
    words: str


def recordings(data_dir: str, channel: int, machines: int) -> Recordings:
    """Return what an experiment runs on: a folder, synthetic machines, or else the benchmark as it is published.

    Raises
    ------
    InputError
        The folder is of no known layout, or a recording in it cannot be read.
    """
    if data_dir:
        clips = find_clips(Path(data_dir).expanduser(), channel)
        return Recordings(tuple(clips), lru_cache(None)(lambda clip: seconds_of(clip.path)), data_dir)
    if machines:
        settings = SyntheticSettings(machines=machines)
        return Recordings(_synthetic(settings), lambda clip: settings.seconds, f"{machines} synthetic machines")
    words = f"no --data: as for DCASE 2020's development clips, {CLIP_SECONDS:.0f} s each"
    return Recordings(_published(), lambda clip: CLIP_SECONDS, words)


def holdings(config: RunConfig, found: Recordings) -> list[Holding]:
    """Deal clips as a run of this configuration would."""
    return [holding for part in deal(found.clips, config) for holding in _held(part, config, found.seconds)]


def _held(partition: Partition, config: RunConfig, seconds: Callable[[Clip], float]) -> list[Holding]:
    def lengths(indices: Sequence[int]) -> Seconds:
        return tuple(seconds(partition.clips[i]) for i in indices)

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


def _synthetic(settings: SyntheticSettings) -> tuple[Clip, ...]:
    from collab_asd.data.synthetic.dataset import machines

    counts = settings.train, settings.test_normal + settings.test_anomaly
    return tuple(clip for machine in machines(settings.machines) for clip in _unseen(*machine, *counts))


def _published() -> tuple[Clip, ...]:
    return tuple(clip for name, kind in DEVELOPMENT.items() for clip in _evenly(name, kind))


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
