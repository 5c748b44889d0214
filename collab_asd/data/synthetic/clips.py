"""Which synthetic clips there are: the machines, and what each clip of theirs is to be.

Every clip has a random generator of its own, derived from seed, machine, split, label and number: the same settings
give the same sounds, and more clips or more machines leave the others as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collab_asd.data.synthetic.factories import FACTORIES
from collab_asd.data.synthetic.faults import FAULTS, Fault
from collab_asd.data.synthetic.machines import Machine
from collab_asd.data.synthetic.recipes import MACHINE_TYPES, make_machine
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.data.synthetic.sound import Conditions, render
from collab_asd.interfaces import ANOMALY, NORMAL, FloatArray, Split


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
