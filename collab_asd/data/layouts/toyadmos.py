"""The layout of ToyADMOS: ``<type>/case1/{NormalSound_IND,AnomalousSound_IND}/*_ch1_0001.wav``.

Each case, a toy put together from certain parts, is a machine. There is one file per microphone: the channel that is
asked for chooses the microphone: 0 is ``ch1``. There is no split; ours is that of MIMII. Continuous recordings
(``NormalSound_CNT``) and noise alone (``EnvironmentalNoise_CNT``) are left out.

References
----------
Koizumi et al., "ToyADMOS: a dataset of miniature-machine operating sounds for anomalous sound detection", WASPAA 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.layouts.mimii import split_by_hash
from collab_asd.data.recordings import (
    Recording,
    hashed,
    leave_out,
    machine_folders,
    recordings_in,
    refuse_strays,
    subfolders,
)

DESCRIPTION = "<type>/caseN/{NormalSound_IND,AnomalousSound_IND}/*_chN_NNNN.wav"

LABELS = {"NormalSound_IND": NORMAL, "AnomalousSound_IND": ANOMALY}
LEFT_OUT = ("NormalSound_CNT", "EnvironmentalNoise_CNT")
MICROPHONE = re.compile(r"_(?:ch|mic)([0-9]+)_")


divide_again = split_by_hash


def matches(data_dir: Path) -> str:
    """Return the first folder of individual sounds; empty if there is none."""
    types = machine_folders(data_dir, _is_machine_type) if data_dir.is_dir() else []
    return f"{types[0].name}/{_cases(types[0])[0].name}/" + "NormalSound_IND/" if types else ""


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one microphone, of one machine type's folder or of those up to three levels below.

    Raises
    ------
    InputError
        If a recording lies elsewhere, or there is no such microphone.
    """
    types = machine_folders(data_dir, _is_machine_type)
    refuse_strays(data_dir, types, DESCRIPTION)
    found = [recording for folder in types for recording in _recordings(folder)]
    return split_by_hash(hashed(of_microphone(found, data_dir, channel), 0))


def of_microphone(recordings: Sequence[Recording], data_dir: Path, channel: int) -> list[Recording]:
    """Choose the files of one microphone, where their names tell it: ``_ch1_`` or ``_mic1_`` for channel 0.

    Raises
    ------
    InputError
        If there is no such microphone.
    """
    numbers = {r.path: int(name[1]) for r in recordings if (name := MICROPHONE.search(r.path.name))}
    chosen = [r for r in recordings if numbers.get(r.path, channel + 1) == channel + 1]
    if recordings and not chosen:
        raise InputError(
            f"{data_dir}: no recording of microphone {channel + 1} (channel {channel}); "
            f"there are {', '.join(map(str, sorted(set(numbers.values()))))}, counted from 1"
        )
    others = [r.path for r in recordings if numbers.get(r.path, channel + 1) != channel + 1]
    leave_out(others, f"of another microphone than {channel + 1} (channel {channel})")
    return chosen


def _cases(machine_type: Path) -> list[Path]:
    return [folder for folder in subfolders(machine_type) if any((folder / name).is_dir() for name in LABELS)]


def _is_machine_type(folder: Path) -> bool:
    return bool(_cases(folder))


def _recordings(machine_type: Path) -> Iterator[Recording]:
    for case in _cases(machine_type):
        refuse_strays(case, [case / name for name in (*LABELS, *LEFT_OUT)], DESCRIPTION)
        for name, label in LABELS.items():
            split: Split = "test" if label else "train"
            yield from (
                Recording(path, machine_type.name, case.name, split, label) for path in recordings_in(case / name)
            )
    refuse_strays(machine_type, _cases(machine_type), DESCRIPTION)
    for name in LEFT_OUT:
        for case in _cases(machine_type):
            leave_out(recordings_in(case / name), f"in {name}: not an individual sound of the toy")
