"""Synthetic data on disk: in the DCASE layout, whole or not at all, and in a cache that processes share.

Every clip has a random generator of its own, derived from seed, machine, split, label and number: the same settings
give the same sounds, and more clips or more machines leave the others as they were.
"""

from __future__ import annotations

import csv
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs
import soundfile
from filelock import FileLock
from numpy.typing import NDArray

from collab_asd.core.errors import InputError
from collab_asd.core.files import filling
from collab_asd.core.progress import step
from collab_asd.core.types import ANOMALY, NORMAL, FloatArray, Split
from collab_asd.data.synthetic import SyntheticSettings
from collab_asd.data.synthetic.faults import FAULTS, Fault
from collab_asd.data.synthetic.machines import MACHINE_TYPES, Machine, make_machine
from collab_asd.data.synthetic.sound import FACTORIES, Conditions, render


@dataclass(frozen=True)
class SyntheticClip:
    """One clip to be: of which machine, in which state, under which conditions.

    Parameters
    ----------
    machine : Machine
        The healthy machine.
    split : {"train", "test"}
    number : int
        Counts the clips of one machine, split and label from 0.
    conditions : Conditions
    fault : Fault or None
        None for a normal clip.
    entropy : tuple of int
        Seeds the clip's sound.
    """

    machine: Machine
    split: Split
    number: int
    conditions: Conditions
    fault: Fault | None
    entropy: tuple[int, ...]

    @property
    def label(self) -> int:
        """0 normal, 1 anomaly."""
        return NORMAL if self.fault is None else ANOMALY

    @property
    def path(self) -> Path:
        """Where the clip lies in the data folder: ``fan/test/anomaly_id_00_00000003.wav``."""
        word = "normal" if self.fault is None else "anomaly"
        name = f"{word}_id_{self.machine.machine_id}_{self.number:08d}.wav"
        return Path(self.machine.machine_type, self.split, name)

    def sound(self, seconds: float, sample_rate: int) -> FloatArray:
        """Waveform ``[samples]``; always the same."""
        rng = np.random.default_rng(self.entropy)
        return render(self.machine, self.conditions, self.fault, rng, seconds=seconds, sample_rate=sample_rate)


def machines(count: int) -> list[tuple[str, str]]:
    """Spread machines evenly over types, at least three to a type where there are enough, six types at most.

    Up to five machines are of one type, six are of two, eighteen of all six. So no machine is the only one of its type,
    unless it is the only one at all: an ID classifier needs two.

    Parameters
    ----------
    count : int
        1 to `MOST_MACHINES`.

    Returns
    -------
    list of (machine type, machine ID)
    """
    types = min(max(count // 3, 1), len(MACHINE_TYPES))
    sizes = [count // types + (place < count % types) for place in range(types)]
    return [(kind, f"{number:02d}") for kind, size in zip(MACHINE_TYPES, sizes, strict=False) for number in range(size)]


def clips(settings: SyntheticSettings) -> Iterator[SyntheticClip]:
    """All clips that these settings ask for, machine by machine."""
    wanted: list[tuple[Split, int, int]] = [
        ("train", NORMAL, settings.train),
        ("test", NORMAL, settings.test_normal),
        ("test", ANOMALY, settings.test_anomaly),
    ]
    for kind, number in machines(settings.machines):
        machine = make_machine(kind, number, settings.seed)
        for stream, (split, label, count) in enumerate(wanted, start=1):
            for index in range(count):
                entropy = (settings.seed, MACHINE_TYPES.index(kind), int(number) + 1, stream, index + 1)
                yield _draw_clip(machine, split, label, index, entropy)


def _draw_clip(machine: Machine, split: Split, label: int, index: int, entropy: tuple[int, ...]) -> SyntheticClip:
    """Draw conditions and fault. Factories and fault kinds take turns, each kind through all the factories."""
    rng = np.random.default_rng((*entropy, 1))
    load = round(rng.uniform(), 2)
    conditions = Conditions(
        speed=round(machine.speed * (1 - 0.04 * (load - 0.5) + 0.02 * rng.standard_normal()), 3),
        load=load,
        factory=list(FACTORIES)[(index + index // len(FACTORIES)) % len(FACTORIES)],
        snr_db=round(rng.uniform(0, 12), 2),
    )
    kinds = list(FAULTS[machine.machine_type])
    fault = Fault(kinds[index % len(kinds)], round(rng.uniform(0.15, 1), 2)) if label == ANOMALY else None
    return SyntheticClip(machine, split, index, conditions, fault, entropy)


GENERATOR = 3
"""Raised whenever the same settings would give other sounds, so that cached ones are not taken for them."""

METADATA = (
    *("path", "machine_type", "machine_id", "split", "label"),
    *("speed", "load", "factory", "snr_db", "fault", "severity"),
)


def write_dataset(folder: Path, settings: SyntheticSettings) -> Path:
    """Write a data set in the DCASE layout, with a ``metadata.csv`` of each clip's conditions and fault.

    It is written beside `folder` and moved there when complete.

    Parameters
    ----------
    folder : Path
        A folder that does not exist yet or is empty.
    settings : SyntheticSettings
        What to make.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    InputError
        If `folder` holds something already or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not an empty folder; name another one or remove it")
    unfinished = folder.absolute().with_name(f".{folder.name}-{uuid.uuid4().hex}")
    count = settings.machines * (settings.train + settings.test_normal + settings.test_anomaly)
    with filling(unfinished):
        unfinished.mkdir(parents=True)
        with (
            (unfinished / "metadata.csv").open("w", newline="", encoding="utf-8") as file,
            step("rendering synthetic recordings", count, even=True) as advance,
        ):
            table = csv.DictWriter(file, METADATA)
            table.writeheader()
            for clip in clips(settings):
                sound = clip.sound(settings.seconds, settings.sample_rate)
                (unfinished / clip.path).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(unfinished / clip.path, _sixteen_bit(sound), settings.sample_rate, subtype="PCM_16")
                table.writerow(_metadata(clip))
                advance()
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    return folder


def ensure_dataset(settings: SyntheticSettings, cache_dir: Path | None = None) -> Path:
    """Make the data set of these settings unless the cache has it; several processes may ask for it at once.

    Parameters
    ----------
    settings : SyntheticSettings
        What to make.
    cache_dir : Path, optional
        The user's cache folder if None.

    Returns
    -------
    Path
        The data folder, ``synthetic/<digest of settings and generator>`` in the cache.
    """
    root = (cache_dir or Path(platformdirs.user_cache_dir("collab-asd"))) / "synthetic"
    root.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps({"generator": GENERATOR, **asdict(settings)}, sort_keys=True).encode())
    folder = root / digest.hexdigest()[:16]
    with FileLock(root / f"{folder.name}.lock"):
        return folder if folder.exists() else write_dataset(folder, settings)


def _sixteen_bit(sound: FloatArray) -> NDArray[np.int16]:
    """Quantise as a recorder does: what is too loud is clipped."""
    return np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)


def _metadata(clip: SyntheticClip) -> dict[str, object]:
    """Describe a clip as a row of ``metadata.csv``: speed in Hz, load 0 to 1, SNR in dB, fault ``none`` if normal."""
    return {
        "path": clip.path.as_posix(),
        "machine_type": clip.machine.machine_type,
        "machine_id": clip.machine.machine_id,
        "split": clip.split,
        "label": clip.label,
        **asdict(clip.conditions),
        "fault": clip.fault.kind if clip.fault else "none",
        "severity": clip.fault.severity if clip.fault else 0.0,
    }
