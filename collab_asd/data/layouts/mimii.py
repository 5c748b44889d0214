"""The layout of MIMII: ``<type>/id_XX/{normal,abnormal}/*.wav``, eight channels.

MIMII has no split into training and test. Ours is deterministic: all abnormal clips are test clips, and as many normal
clips join them, but at most half; these are the first by content hash, which is as good as drawn by chance and survives
renaming. DCASE 2020 used the first channel.

References
----------
Purohit et al., "MIMII Dataset: sound dataset for malfunctioning industrial machine investigation and inspection",
DCASE Workshop 2019.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from collab_asd.core.types import ANOMALY, NORMAL, Clip
from collab_asd.data.recordings import (
    Recording,
    hashed,
    machine_folders,
    recordings_in,
    refuse_strays,
    subfolders,
)

DESCRIPTION = "<type>/id_XX/{normal,abnormal}/*.wav"

LABELS = {"normal": NORMAL, "abnormal": ANOMALY}


def matches(data_dir: Path) -> bool:
    """Whether a folder, or any inside it, has ``id_XX/normal`` or ``id_XX/abnormal``."""
    return data_dir.is_dir() and bool(machine_folders(data_dir, _is_machine_type))


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one machine type's folder, or of a folder of several, and split them.

    Raises
    ------
    InputError
        If a recording lies outside the folders ``normal`` and ``abnormal``.
    """
    types = machine_folders(data_dir, _is_machine_type)
    refuse_strays(data_dir, types, DESCRIPTION)
    clips = hashed([recording for folder in types for recording in _recordings(folder)], channel)
    return split_by_hash(clips)


def split_by_hash(clips: Sequence[Clip]) -> list[Clip]:
    """Divide normal clips into both splits: per machine as many tests as it has anomalies, at most half, in hash order.

    How they were divided before does not matter: without a clip that cannot be used, they are divided anew.
    """
    test_normals: set[Path] = set()
    anomalies = Counter(clip.machine for clip in clips if clip.label == ANOMALY)
    for machine in sorted({clip.machine for clip in clips}):
        normals = sorted((clip.sha256, clip.path) for clip in clips if clip.machine == machine and clip.label == NORMAL)
        count = min(anomalies[machine], len(normals) // 2)
        test_normals.update(path for _, path in normals[:count])
    return [
        replace(clip, split="test" if clip.path in test_normals else "train") if clip.label == NORMAL else clip
        for clip in clips
    ]


def _machine_folders(machine_type: Path) -> list[Path]:
    return [
        folder
        for folder in subfolders(machine_type)
        if folder.name.startswith("id_") and any((folder / name).is_dir() for name in LABELS)
    ]


def _is_machine_type(folder: Path) -> bool:
    return bool(_machine_folders(folder))


def _recordings(machine_type: Path) -> list[Recording]:
    machines = _machine_folders(machine_type)
    refuse_strays(machine_type, machines, DESCRIPTION)
    for machine in machines:
        refuse_strays(machine, [machine / name for name in LABELS], DESCRIPTION)
    return [
        Recording(path, machine_type.name, machine.name.removeprefix("id_"), "test" if label else "train", label)
        for machine in machines
        for name, label in LABELS.items()
        for path in recordings_in(machine / name)
    ]
