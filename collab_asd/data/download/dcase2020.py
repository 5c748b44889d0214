"""DCASE 2020 Task 2: which zips there are, on which Zenodo records.

References
----------
Koizumi et al., "Description and discussion on DCASE2020 challenge task 2: unsupervised anomalous sound detection for
machine condition monitoring", DCASE Workshop 2020. The numbers of the records are those on the challenge's page.
"""

from __future__ import annotations

from dataclasses import dataclass

from collab_asd.core.errors import InputError

TYPES = ("ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve")
LICENCE = "CC BY-NC-SA 4.0: not for commercial use; share alike; (c) NTT Corporation and Hitachi, Ltd."
CITATION = (
    "Koizumi et al., Description and discussion on DCASE2020 challenge task 2, DCASE Workshop 2020; "
    "Koizumi et al., ToyADMOS, WASPAA 2019; Purohit et al., MIMII Dataset, DCASE Workshop 2019"
)


@dataclass(frozen=True)
class Part:
    """A Zenodo record, which has one zip for each machine type."""

    record: int
    prefix: str
    what: str


PARTS = {
    "dev": Part(3678171, "dev_data_", "training clips and labelled test clips of the development machines"),
    "additional": Part(3727685, "eval_data_train_", "training clips of the evaluation machines"),
    "eval": Part(3841772, "eval_data_test_", "test clips of the evaluation machines, without labels"),
}


@dataclass(frozen=True)
class Development:
    """Of one machine type, what the part ``dev`` holds: its machines, and clips of all of them together."""

    machines: int
    train: int
    test: int


DEVELOPMENT = {
    "ToyCar": Development(4, 4000, 2459),
    "ToyConveyor": Development(3, 3000, 3509),
    "fan": Development(4, 3675, 1875),
    "pump": Development(4, 3349, 856),
    "slider": Development(4, 2804, 1290),
    "valve": Development(4, 3291, 879),
}
"""As the description of the challenge counts them; of about 10 s each."""
CLIP_SECONDS = 10.0


@dataclass(frozen=True)
class Archive:
    """One zip of the benchmark: all clips of one part and one machine type."""

    part: str
    machine_type: str

    @property
    def record(self) -> int:
        """Number of the Zenodo record that has the zip."""
        return PARTS[self.part].record

    @property
    def name(self) -> str:
        """File name of the zip."""
        return f"{PARTS[self.part].prefix}{self.machine_type}.zip"

    @property
    def page(self) -> str:
        """Where a person finds the zip."""
        return f"https://zenodo.org/records/{self.record}"


def archives(types: str, parts: str) -> list[Archive]:
    """Return the zips of comma-separated machine types (empty: all) and parts, in the benchmark's order.

    Raises
    ------
    InputError
        If a name is unknown.

    Examples
    --------
    >>> [archive.name for archive in archives("fan", "eval,dev")]
    ['dev_data_fan.zip', 'eval_data_test_fan.zip']
    """
    chosen_types = _chosen("--types", types, TYPES)
    return [Archive(part, machine) for part in _chosen("--parts", parts, tuple(PARTS)) for machine in chosen_types]


def _chosen(option: str, given: str, allowed: tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in allowed:
            raise InputError(f"{option}: {name!r} does not exist; choose from {', '.join(allowed)}")
    return [name for name in allowed if name in names or not names]
