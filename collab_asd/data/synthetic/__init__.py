"""Synthetic machines in the DCASE layout: data that needs no download, for demonstrations and tests.

Six machine types as in DCASE 2020 Task 2, any number of machine IDs, several kinds of fault of graded severity, heard
at varying speed and load in several factories. What is asked for stands here, apart from the rest, which needs
libraries that take a second to import. From the outside to the inside: `dataset` (which clips there are, files and
cache), `sound` (how a machine is heard in a factory), `faults` (what breaks), `machines` (what it is, and how each type
is built) and `signals` (noises, blows and a voice).
"""

from __future__ import annotations

from dataclasses import dataclass

from collab_asd.core.errors import InputError

MOST_MACHINES = 600
"""Machine IDs have two digits, and there are six types."""


@dataclass(frozen=True)
class SyntheticSettings:
    """What to make.

    Parameters
    ----------
    machines : int
        How many machines in all, 1 to `MOST_MACHINES`; `dataset.machines` spreads them over types.
    seed : int
        Other seeds give other machines.
    train, test_normal, test_anomaly : int
        Clips per machine.
    seconds : float
        Length of a clip in s, at least 0.1.
    sample_rate : int
        Hz, at least 8000.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    machines: int = 6
    seed: int = 0
    train: int = 60
    test_normal: int = 30
    test_anomaly: int = 30
    seconds: float = 10.0
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        least = {"machines": 1, "seed": 0, "train": 0, "test_normal": 0, "test_anomaly": 0, "seconds": 0.1}
        for name, minimum in {**least, "sample_rate": 8000}.items():
            if not getattr(self, name) >= minimum:
                raise InputError(f"synthetic data: {name} is {getattr(self, name)}, must be {minimum} or more")
        if self.machines > MOST_MACHINES:
            raise InputError(f"synthetic data: machines is {self.machines}, must be {MOST_MACHINES} or less")
