"""Task 2 of DCASE 2020 to 2025: which zips there are, on which Zenodo records.

Names of zips and numbers of records are those of the challenges' pages and of the official baseline. Sizes and
checksums are not written here: the record's own API tells them when a zip is downloaded.

References
----------
Koizumi et al., "Description and discussion on DCASE2020 challenge task 2: unsupervised anomalous sound detection for
machine condition monitoring", DCASE Workshop 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collab_asd.core.errors import InputError

WHAT = {
    "dev": "training clips and labelled test clips of the development machines",
    "additional": "training clips of the evaluation machines",
    "eval": "test clips of the evaluation machines, without labels",
}


@dataclass(frozen=True)
class Part:
    """A Zenodo record, which has one zip for each machine type.

    Parameters
    ----------
    record : int
    pattern : str
        File name of a zip, with ``{}`` for the machine type.
    types : tuple of str
        Machine types, in the order of the record.
    renamed : mapping of str to str
        File names of the zips that do not follow the pattern, by machine type.
    """

    record: int
    pattern: str
    types: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """The task of one year.

    Parameters
    ----------
    year : int
    citation : str
    parts : mapping of str to Part
        By ``dev``, ``additional`` and ``eval`` (`WHAT`).
    licence : str
        Empty: see the pages of the records.
    """

    year: int
    citation: str
    parts: Mapping[str, Part]
    licence: str = ""

    @property
    def types(self) -> tuple[str, ...]:
        """All machine types, those of the development set first."""
        return tuple(dict.fromkeys(name for part in self.parts.values() for name in part.types))

    @property
    def terms(self) -> str:
        """Return the licence, or where it is."""
        return self.licence or f"see {' and '.join(page(part.record) for part in self.parts.values())}"


def page(record: int) -> str:
    """Where a person finds a record."""
    return f"https://zenodo.org/records/{record}"


def _parts(
    records: tuple[int, int, int],
    dev: tuple[str, ...],
    evaluation: tuple[str, ...],
    dev_pattern: str = "dev_{}.zip",
    renamed: Mapping[str, str] | None = None,
) -> dict[str, Part]:
    """Parts of 2021 and later."""
    return {
        "dev": Part(records[0], dev_pattern, dev),
        "additional": Part(records[1], "eval_data_{}_train.zip", evaluation, renamed or {}),
        "eval": Part(records[2], "eval_data_{}_test.zip", evaluation),
    }


TYPES_2020 = ("ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve")
TYPES_2021 = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")
TYPES_2022 = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")
TYPES_2023 = ("Vacuum", "ToyTank", "ToyNscale", "ToyDrone", "bandsaw", "grinder", "shaker")
TYPES_2024 = (
    *("3DPrinter", "AirCompressor", "Scanner", "ToyCircuit", "HoveringDrone", "HairDryer", "ToothBrush"),
    *("RoboticArm", "BrushlessMotor"),
)
TYPES_2025 = (
    *("ToyRCCar", "ToyPet", "HomeCamera", "AutoTrash", "Polisher", "ScrewFeeder", "BandSealer", "CoffeeGrinder"),
)

BENCHMARKS = {
    "dcase2020": Benchmark(
        2020,
        "Koizumi et al., Description and discussion on DCASE2020 challenge task 2, DCASE Workshop 2020; "
        "Koizumi et al., ToyADMOS, WASPAA 2019; Purohit et al., MIMII Dataset, DCASE Workshop 2019",
        {
            "dev": Part(3678171, "dev_data_{}.zip", TYPES_2020),
            "additional": Part(3727685, "eval_data_train_{}.zip", TYPES_2020),
            "eval": Part(3841772, "eval_data_test_{}.zip", TYPES_2020),
        },
        "CC BY-NC-SA 4.0: not for commercial use; share alike; (c) NTT Corporation and Hitachi, Ltd.",
    ),
    "dcase2021": Benchmark(
        2021,
        "Kawaguchi et al., Description and discussion on DCASE 2021 challenge task 2, DCASE Workshop 2021",
        _parts((4562016, 4660992, 4884786), TYPES_2021, TYPES_2021, "dev_data_{}.zip"),
    ),
    "dcase2022": Benchmark(
        2022,
        "Dohi et al., Description and discussion on DCASE 2022 challenge task 2, DCASE Workshop 2022",
        _parts((6355122, 6462969, 6586456), TYPES_2022, TYPES_2022),
    ),
    "dcase2023": Benchmark(
        2023,
        "Dohi et al., Description and discussion on DCASE 2023 challenge task 2, DCASE Workshop 2023",
        _parts((7882613, 7830345, 7860847), TYPES_2022, TYPES_2023),
    ),
    "dcase2024": Benchmark(
        2024,
        "Nishida et al., Description and discussion on DCASE 2024 challenge task 2, DCASE Workshop 2024",
        _parts(
            (10902294, 11259435, 11363076),
            TYPES_2022,
            TYPES_2024,
            renamed={name: f"eval_data_{name}_train_r2.zip" for name in ("3DPrinter", "RoboticArm")},
        ),
    ),
    "dcase2025": Benchmark(
        2025,
        "Nishida et al., Description and discussion on DCASE 2025 challenge task 2, 2025",
        _parts((15097779, 15392814, 15519362), TYPES_2022, TYPES_2025),
    ),
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
    """One zip of a benchmark: all clips of one part and one machine type.

    Parameters
    ----------
    record : int
        Number of the Zenodo record that has the zip.
    name : str
        File name of the zip.
    part, machine_type : str
    """

    record: int
    name: str
    part: str
    machine_type: str

    @property
    def page(self) -> str:
        """Where a person finds the zip."""
        return page(self.record)


def archives(benchmark: str, types: str, parts: str) -> list[Archive]:
    """Return the zips of comma-separated machine types (empty: all) and parts, in the benchmark's order.

    Raises
    ------
    InputError
        If a name is unknown.

    Examples
    --------
    >>> [archive.name for archive in archives("dcase2020", "fan", "eval,dev")]
    ['dev_data_fan.zip', 'eval_data_test_fan.zip']
    >>> [archive.name for archive in archives("dcase2024", "3DPrinter", "additional,eval")]
    ['eval_data_3DPrinter_train_r2.zip', 'eval_data_3DPrinter_test.zip']
    """
    known = BENCHMARKS[benchmark]
    chosen_types = _chosen("--types", types, known.types)
    chosen = {name: known.parts[name] for name in _chosen("--parts", parts, tuple(known.parts))}
    found = [
        Archive(part.record, part.renamed.get(machine, part.pattern.format(machine)), name, machine)
        for name, part in chosen.items()
        for machine in part.types
        if machine in chosen_types
    ]
    if not found:
        there = "; ".join(f"{name}: {', '.join(part.types)}" for name, part in chosen.items())
        raise InputError(f"--types {types}: not in the parts {', '.join(chosen)}, which have {there}")
    return found


def _chosen(option: str, given: str, allowed: tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in allowed:
            raise InputError(f"{option}: {name!r} does not exist; choose from {', '.join(allowed)}")
    return [name for name in allowed if name in names or not names]
