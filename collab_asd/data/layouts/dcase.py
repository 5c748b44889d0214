"""The layout of DCASE 2020 Task 2: ``<type>/{train,test}/{normal,anomaly}_id_XX_NNNNNNNN.wav``.

Files without ``normal_`` or ``anomaly_``, as in the challenge's evaluation set, have no label.

References
----------
Koizumi et al., "Description and discussion on DCASE2020 challenge task 2: unsupervised anomalous sound detection for
machine condition monitoring", DCASE Workshop 2020.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.recordings import (
    Recording,
    first_recording,
    hashed,
    machine_folders,
    recordings_in,
    refuse,
    refuse_strays,
)

DESCRIPTION = "<type>/{train,test}/{normal,anomaly}_id_XX_NNNNNNNN.wav"

SPLITS: tuple[Split, ...] = get_args(Split)
NAME = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<id>[0-9A-Za-z]+)_[0-9]+")
BEGINNING = re.compile(r"(?:(?:normal|anomaly)_)?id_")
LABELS = {"normal": NORMAL, "anomaly": ANOMALY, None: None}


def matches(data_dir: Path) -> str:
    """Return a recording in ``train`` or ``test`` that is named much as in this layout; empty if there is none."""
    types = machine_folders(data_dir, _is_machine_type) if data_dir.is_dir() else []
    for path in (path for folder in types for split in SPLITS if (path := first_recording(folder / split))):
        if BEGINNING.match(path.name):
            return str(path.relative_to(data_dir))
    return ""


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one machine type's folder, or of a folder of several.

    Raises
    ------
    InputError
        If a file's name tells no machine ID or a recording lies outside ``train`` and ``test``.
    """
    types = machine_folders(data_dir, _is_machine_type)
    refuse_strays(data_dir, types, DESCRIPTION)
    return hashed([recording for folder in types for recording in _recordings(folder)], channel)


def _is_machine_type(folder: Path) -> bool:
    return any((folder / split).is_dir() for split in SPLITS)


def _recordings(folder: Path) -> list[Recording]:
    refuse_strays(folder, [folder / split for split in SPLITS], DESCRIPTION)
    found = [(split, path, NAME.fullmatch(path.stem)) for split in SPLITS for path in recordings_in(folder / split)]
    refuse([path for _, path, name in found if not name], f"the name is not as in {DESCRIPTION}; rename it")
    return [
        Recording(path, folder.name, name["id"], split, LABELS[name["label"]]) for split, path, name in found if name
    ]
