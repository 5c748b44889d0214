"""The layout of MIMII: ``<type>/id_XX/{normal,abnormal}/*.wav``, eight channels; ``6_dB_fan/fan/id_00`` as downloaded.

MIMII has each machine at three signal-to-noise ratios. Where a data folder has a machine type at several, each is a
machine type of its own, ``fan_6_dB``.

MIMII has no split into training and test. Ours is deterministic: all abnormal clips are test clips, and as many normal
clips join them, but at most half; these are the first by content hash, which is as good as drawn by chance and survives
renaming. DCASE 2020 used the first channel.

References
----------
Purohit et al., "MIMII Dataset: sound dataset for malfunctioning industrial machine investigation and inspection",
DCASE Workshop 2019.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip
from collab_asd.data.recordings import (
    Recording,
    hashed,
    machine_folders,
    recordings_in,
    refuse_strays,
    shorten,
    subfolders,
)

DESCRIPTION = "<type>/id_XX/{normal,abnormal}/*.wav"

SNR = re.compile(r"(?P<snr>(?:-|m|min)?[0-9]+)_?dB_(?P<type>.+)", re.IGNORECASE)
LABELS = {"normal": NORMAL, "abnormal": ANOMALY}


def matches(data_dir: Path) -> str:
    """Return the first folder ``id_XX/normal`` or ``id_XX/abnormal``; empty if there is none."""
    types = machine_folders(data_dir, _is_machine_type) if data_dir.is_dir() else []
    if not types:
        return ""
    machine = _machine_folders(types[0])[0]
    return f"{types[0].name}/{machine.name}/{next(name for name in LABELS if (machine / name).is_dir())}/"


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one machine type's folder, or of a folder of several, and split them.

    Raises
    ------
    InputError
        If a recording lies outside the folders ``normal`` and ``abnormal``.
    """
    types = machine_folders(data_dir, _is_machine_type)
    refuse_strays(data_dir, types, DESCRIPTION)
    named = _type_names(types)
    clips = hashed([recording for folder, name in named.items() for recording in _recordings(folder, name)], channel)
    return split_by_hash(clips)


def _type_names(types: Sequence[Path]) -> dict[Path, str]:
    """Name of each machine type's folder, with its signal-to-noise ratio where the type is there at several."""
    ratios = {folder: SNR.fullmatch(folder.name) or SNR.fullmatch(folder.parent.name) for folder in types}
    plain = {folder: ratio["type"] if (ratio := SNR.fullmatch(folder.name)) else folder.name for folder in types}
    count = Counter(plain.values())
    named = {
        folder: f"{name}_{ratio['snr']}_dB" if count[name] > 1 and (ratio := ratios[folder]) else name
        for folder, name in plain.items()
    }
    for name in count:
        if len(same := [folder for folder, given in named.items() if given == name]) > 1:
            raise InputError(f"{shorten(same)}: several folders of machine type {name}; name one as the data folder")
    return named


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


divide_again = split_by_hash


def _machine_folders(machine_type: Path) -> list[Path]:
    return [
        folder
        for folder in subfolders(machine_type)
        if folder.name.startswith("id_") and any((folder / name).is_dir() for name in LABELS)
    ]


def _is_machine_type(folder: Path) -> bool:
    return bool(_machine_folders(folder))


def _recordings(machine_type: Path, name_of_type: str) -> list[Recording]:
    machines = _machine_folders(machine_type)
    refuse_strays(machine_type, machines, DESCRIPTION)
    for machine in machines:
        refuse_strays(machine, [machine / name for name in LABELS], DESCRIPTION)
    return [
        Recording(path, name_of_type, machine.name.removeprefix("id_"), "test" if label else "train", label)
        for machine in machines
        for name, label in LABELS.items()
        for path in recordings_in(machine / name)
    ]
