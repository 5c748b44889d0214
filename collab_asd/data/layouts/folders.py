"""A plain folder per machine: ``pump1/normal/*.wav``, and faulty or unknown recordings beside them.

| inside the machine's folder | are |
|---|---|
| recordings alone, or ``normal/`` (``good/``, ``ok/``), ``train/``, ``train/normal/`` | training clips |
| ``test/`` | test clips without a label |
| ``test/normal/``, ``test/anomaly/`` (``abnormal/``, ``faulty/``, ...) | test clips with a label |
| ``anomaly/`` | test clips; without normal test clips, normal ones join them as in MIMII |

``pump1`` and ``pump2`` are machines 1 and 2 of the type ``pump``. Where the machines' folders lie in folders of their
types, those name the types.
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
    first_recording,
    hashed,
    machine_folders,
    recordings_below,
    recordings_in,
    refuse,
    refuse_strays,
    subfolders,
)

DESCRIPTION = "<machine>/{normal,test/normal,test/anomaly}/*.wav, or recordings alone in a folder per machine"
IS_GENERAL = True  # gives way to a layout that fits as well

TRAIN, TEST = ("train", "training"), ("test", "testing")
NORMALS = ("normal", "normals", "good", "ok", "healthy", "nominal")
ANOMALIES = (
    *("anomaly", "anomalies", "anomalous", "abnormal", "abnormals", "faulty", "fault", "faults", "defect", "defects"),
    *("defective", "broken", "bad", "ng", "damaged"),
)
LABELS = dict.fromkeys(NORMALS, NORMAL) | dict.fromkeys(ANOMALIES, ANOMALY)
NUMBERED = re.compile(r"(.*?[^\W\d_])[ _-]*([0-9]+)")
REMEDY = (
    "sort it into normal and test/anomaly, or list all recordings in a .csv file "
    "(path,machine_type,machine_id,split,label)"
)


def matches(data_dir: Path) -> str:
    """Return what the first machine's folder holds; empty if there is none."""
    machines = machine_folders(data_dir, _is_machine) if data_dir.is_dir() else []
    if not machines:
        return ""
    first = machines[0]
    inside = [folder.name for folder in subfolders(first) if _word(folder)]
    return f"{first.name}/ holds {', '.join(f'{name}/' for name in inside) or 'recordings'}"


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of the machine's folder, or of those up to three levels below.

    Raises
    ------
    InputError
        If folders of one machine stand twice, or it is not clear what a recording is.
    """
    machines = machine_folders(data_dir, _is_machine)
    named: dict[tuple[str, str], Path] = {}
    for folder in machines:
        other = named.setdefault(machine_of(folder, data_dir), folder)
        if other != folder:
            raise InputError(
                f"{other} and {folder}: would be one machine, {'/'.join(machine_of(folder, data_dir))}; rename one"
            )
    refuse_strays(data_dir, machines, DESCRIPTION)
    found = [recording for machine, folder in named.items() for recording in _recordings(machine, folder)]
    clips = hashed(found, channel)
    with_normals = {clip.machine for clip in clips if clip.split == "test" and clip.label != ANOMALY}
    unsplit = [clip for clip in clips if clip.machine not in with_normals]
    return [clip for clip in clips if clip.machine in with_normals] + split_by_hash(unsplit)


def machine_of(folder: Path, data_dir: Path) -> tuple[str, str]:
    """Type and ID that the folder of a machine stands for.

    Examples
    --------
    >>> machine_of(Path("data/pump1"), Path("data")), machine_of(Path("data/press"), Path("data"))
    (('pump', '1'), ('press', '00'))
    >>> machine_of(Path("data/pumps/north"), Path("data"))
    ('pumps', 'north')
    """
    above = folder.parent
    if folder != data_dir and above != data_dir:
        return above.name, folder.name
    numbered = NUMBERED.fullmatch(folder.name)
    return (numbered[1], numbered[2]) if numbered else (folder.name, "00")


def _is_machine(folder: Path) -> bool:
    if first_recording(folder) is not None:
        return not _word(folder)
    return any(_word(inside) and _holds_any(inside) for inside in subfolders(folder))


def _holds_any(folder: Path) -> bool:
    return first_recording(folder) is not None or any(first_recording(inside) for inside in subfolders(folder))


def _word(folder: Path) -> str:
    """Return what a folder's name says of its recordings; empty if nothing."""
    name = folder.name.lower()
    return "train" if name in TRAIN else "test" if name in TEST else name if name in LABELS else ""


def _recordings(machine: tuple[str, str], folder: Path) -> Iterator[Recording]:
    parts = {inside: _word(inside) for inside in subfolders(folder)}
    holding = [inside for inside in parts if _holds_any(inside)]
    if not holding:
        yield from (Recording(path, *machine, "train", NORMAL) for path in _unlabelled(folder, recordings_in(folder)))
        return
    _refuse_unclear(
        folder, [inside for inside in holding if not parts[inside]], "neither normal, train, test nor anomaly"
    )
    for inside in filter(_word, holding):
        word = parts[inside]
        if word in LABELS:
            split: Split = "test" if LABELS[word] else "train"
            yield from (Recording(path, *machine, split, LABELS[word]) for path in recordings_in(inside))
        else:
            yield from _of_split(machine, inside, word)


def _of_split(machine: tuple[str, str], folder: Path, word: str) -> Iterator[Recording]:
    split: Split = "train" if word == "train" else "test"
    label = NORMAL if split == "train" else None
    labelled = {inside: LABELS.get(inside.name.lower()) for inside in subfolders(folder) if _holds_any(inside)}
    if not labelled:
        yield from (Recording(path, *machine, split, label) for path in _unlabelled(folder, recordings_in(folder)))
        return
    _refuse_unclear(
        folder, [inside for inside, known in labelled.items() if known is None], "neither normal nor anomaly"
    )
    for inside, known in labelled.items():
        if known is not None:
            yield from (Recording(path, *machine, split, known) for path in recordings_in(inside))


def _refuse_unclear(folder: Path, unclear: Sequence[Path], what: str) -> None:
    """Refuse folders of unknown meaning, and recordings beside folders that have one."""
    why = f"the name of its folder says {what}; rename the folder, or list all recordings in a .csv file"
    refuse([path for inside in unclear for path in recordings_below(inside)], why)
    inside = subfolders(folder)
    refuse(recordings_below(folder, inside), f"lies beside folders of recordings; {REMEDY}")


def _unlabelled(folder: Path, paths: list[Path]) -> list[Path]:
    """Refuse names that speak of a label where the folder does not."""
    speaking = [path for path in paths if _spoken(path.stem)]
    refuse(speaking, f"the name speaks of a label, but the folder {folder.name} does not; {REMEDY}")
    return [path for path in paths if path not in speaking]


def _spoken(stem: str) -> bool:
    words = re.split(r"[^a-z]+", stem.lower())
    return any(word in LABELS and word not in ("ok", "good", "bad", "ng") for word in words)
