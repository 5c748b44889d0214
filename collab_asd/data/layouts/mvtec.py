"""Folders as of MVTec AD: ``<machine>/train/good``, ``<machine>/test/good`` and ``<machine>/test/<fault>``.

Whatever a folder of ``test`` is called, but ``good``, it holds anomalies; its name becomes the attribute ``fault``.
Names of machines are read as in `collab_asd.data.layouts.folders`.

References
----------
Bergmann et al., "MVTec AD: a comprehensive real-world dataset for unsupervised anomaly detection", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from collab_asd.core.types import ANOMALY, NORMAL, Clip
from collab_asd.data.layouts.folders import machine_of
from collab_asd.data.recordings import (
    Recording,
    first_recording,
    hashed,
    machine_folders,
    recordings_below,
    recordings_in,
    refuse,
    refuse_strays,
    subfolders,
)

DESCRIPTION = "<machine>/{train/good,test/good,test/<fault>}/*.wav"
GOOD = "good"


def matches(data_dir: Path) -> str:
    """Return the first folder ``train/good``; empty if there is none."""
    machines = machine_folders(data_dir, _is_machine) if data_dir.is_dir() else []
    return f"{machines[0].name}/train/{GOOD}/" if machines else ""


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one machine's folder, or of those up to three levels below.

    Raises
    ------
    InputError
        If a recording lies elsewhere.
    """
    machines = machine_folders(data_dir, _is_machine)
    refuse_strays(data_dir, machines, DESCRIPTION)
    return hashed([recording for folder in machines for recording in _recordings(folder, data_dir)], channel)


def _is_machine(folder: Path) -> bool:
    return first_recording(folder / "train" / GOOD) is not None


def _recordings(folder: Path, data_dir: Path) -> Iterator[Recording]:
    machine, train, test = machine_of(folder, data_dir), folder / "train" / GOOD, folder / "test"
    kinds = subfolders(test) if test.is_dir() else []
    refuse(recordings_below(folder, [train, *kinds]), f"in the wrong place; expected {DESCRIPTION}")
    yield from (Recording(path, *machine, "train", NORMAL) for path in recordings_in(train))
    for kind in kinds:
        label, fault = (NORMAL, ()) if kind.name == GOOD else (ANOMALY, (("fault", kind.name),))
        yield from (Recording(path, *machine, "test", label, fault) for path in recordings_in(kind))
