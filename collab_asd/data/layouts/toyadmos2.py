"""The layout of ToyADMOS2: ``<type>/{normal,anomaly}/CN004-carA2-speed1_mic1_00001.wav``, one file per microphone.

Each toy (``A1`` to ``E2``) is a machine; speed, defect and damage become attributes. The channel that is asked for
chooses the microphone: 0 is ``mic1``. There is no split; ours is that of MIMII. Noise alone (``env_noise``) is left
out. What the data set's own mixer writes has the layout of DCASE 2021.

References
----------
Harada et al., "ToyADMOS2: another dataset of miniature-machine operating sounds for anomalous sound detection under
domain shift conditions", DCASE Workshop 2021.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from collab_asd.core.types import ANOMALY, NORMAL, Clip
from collab_asd.data.layouts.mimii import split_by_hash
from collab_asd.data.layouts.toyadmos import of_microphone
from collab_asd.data.recordings import (
    Recording,
    example,
    first_recording,
    hashed,
    leave_out,
    machine_folders,
    recordings_in,
    refuse,
    refuse_strays,
)

DESCRIPTION = "<type>/{normal,anomaly}/{CN,CA,TN,TA}NNN-carA1-speed1[-a-damageL]_micN_NNNNN.wav"

LABELS = {"normal": NORMAL, "anomaly": ANOMALY}
NOISE = "env_noise"
NAME = re.compile(
    r"[CT][NA][0-9]+-(?:car|train)(?P<id>[A-Z][0-9]+)-speed(?P<speed>[0-9]+)"
    r"(?:-(?P<defect>[^-_]+)-damage(?P<damage>[LMH]))?_mic[0-9]+_[0-9]+"
)


divide_again = split_by_hash


def matches(data_dir: Path) -> str:
    """Return a recording that shows this layout; empty if there is none."""
    return example(data_dir, _is_machine_type, LABELS)


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one microphone, of one machine type's folder or of those up to three levels below.

    Raises
    ------
    InputError
        If a name does not fit, a recording lies elsewhere, or there is no such microphone.
    """
    types = machine_folders(data_dir, _is_machine_type)
    refuse_strays(data_dir, types, DESCRIPTION)
    found = [recording for folder in types for recording in _recordings(folder)]
    return split_by_hash(hashed(of_microphone(found, data_dir, channel), 0))


def _is_machine_type(folder: Path) -> bool:
    examples = (first_recording(folder / name) for name in LABELS)
    return any(path is not None and NAME.fullmatch(path.stem) for path in examples)


def _recordings(folder: Path) -> Iterator[Recording]:
    refuse_strays(folder, [folder / name for name in (*LABELS, NOISE)], DESCRIPTION)
    leave_out(recordings_in(folder / NOISE), f"in {NOISE}: noise alone")
    for kind, label in LABELS.items():
        found = [(path, NAME.fullmatch(path.stem)) for path in recordings_in(folder / kind)]
        refuse([path for path, name in found if not name], f"the name is not as in {DESCRIPTION}; rename it")
        for path, name in found:
            if name:
                known = tuple((key, name[key]) for key in ("speed", "defect", "damage") if name[key])
                yield Recording(path, folder.name, name["id"], "test" if label else "train", label, known)
