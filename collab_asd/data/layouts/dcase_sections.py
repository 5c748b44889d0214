"""The layout of DCASE 2021 to 2025 Task 2, of MIMII DUE and DG, and of what ToyADMOS2's mixer writes.

A machine type has sections: ``<type>/train/section_00_source_train_normal_0000_vel_6.wav``. Test clips lie in ``test``,
or as in 2021 in ``source_test`` and ``target_test``. Those of an evaluation set have no label, and from 2022 on no
domain (``section_00_0000.wav``). Each section of a type is a machine, with the ID ``section_00``; the first-shot
machine types of 2023 and later have one. Domain and attributes come from the names, and from ``attributes_00.csv``
where that says more.

The recordings in ``supplemental`` (2025: clean machine sound, or noise alone) are neither training nor test clips.
Where ``test_rename`` lies beside ``test``, its labelled copies take the place of the test clips.

References
----------
Kawaguchi et al., DCASE Workshop 2021; Dohi et al., DCASE Workshop 2022 and 2023; Nishida et al., DCASE Workshop 2024
and "Description and discussion on DCASE 2025 challenge task 2", 2025.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.recordings import (
    Recording,
    example,
    first_recording,
    hashed,
    leave_out,
    machine_folders,
    recordings_below,
    recordings_in,
    refuse,
    refuse_strays,
)
from collab_asd.data.tables import PATH, read_table

DESCRIPTION = (
    "<type>/{train,test,source_test,target_test}/section_NN_{source,target}_{train,test}_{normal,anomaly}_*.wav"
)

SPLITS: dict[str, Split] = {"train": "train", "test": "test", "source_test": "test", "target_test": "test"}
RENAMED, SUPPLEMENTAL = "test_rename", "supplemental"
NAME = re.compile(
    r"(?P<section>section_[0-9]+)(?:_(?P<domain>source|target))?(?:_(?P<split>train|test))?"
    r"(?:_(?P<label>normal|anomaly))?_(?P<number>[0-9]+)(?:_(?P<attributes>.*))?"
)
LABELS = {"normal": NORMAL, "anomaly": ANOMALY, None: None}
NO_ATTRIBUTE = "noAttribute"
ATTRIBUTES = "attributes_*.csv"
Attributes = tuple[tuple[str, str], ...]


def matches(data_dir: Path) -> str:
    """Return a recording that shows this layout; empty if there is none."""
    return example(data_dir, _is_machine_type, (*SPLITS, RENAMED))


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of one machine type's folder, or of folders of several up to three levels below.

    Raises
    ------
    InputError
        If a file's name does not fit, says another split than its folder, or a recording lies elsewhere.
    """
    types = machine_folders(data_dir, _is_machine_type)
    refuse_strays(data_dir, types, DESCRIPTION)
    return hashed([recording for folder in types for recording in _recordings(folder)], channel)


def _is_machine_type(folder: Path) -> bool:
    found = map(first_recording, (folder / name for name in (*SPLITS, RENAMED)))
    return any(path is not None and path.name.startswith("section_") for path in found)


def _recordings(folder: Path) -> list[Recording]:
    splits = dict(SPLITS)
    if (folder / RENAMED).is_dir():
        splits = {"train": "train", RENAMED: "test"}
    left_out = [name for name in (SUPPLEMENTAL, *SPLITS) if name not in splits and (folder / name).is_dir()]
    inside = [folder / name for name in (*splits, *left_out)]
    refuse(recordings_below(folder, inside), f"in the wrong place; expected {DESCRIPTION}")
    for name in left_out:
        what = "neither a training nor a test clip" if name == SUPPLEMENTAL else f"{RENAMED} has it with its label"
        leave_out(recordings_below(folder / name), f"in {name}: {what}")
    found = [
        (split, path, NAME.fullmatch(path.stem))
        for name, split in splits.items()
        for path in recordings_in(folder / name)
    ]
    refuse([path for _, path, name in found if not name], f"the name is not as in {DESCRIPTION}; rename it")
    other = [path for split, path, name in found if name and name["split"] not in (None, split)]
    refuse(other, "the name says another split than the folder; move it")
    tables = _tables(folder)
    return [
        Recording(
            path,
            folder.name,
            name["section"],
            split,
            LABELS[name["label"]],
            _attributes(path, name, tables),
        )
        for split, path, name in found
        if name and path not in other
    ]


def _attributes(path: Path, name: re.Match[str], tables: dict[str, Attributes]) -> Attributes:
    """Return the domain, and what table or name say else."""
    domain = name["domain"] or path.parent.name.partition("_test")[0]
    known = (("domain", domain),) if domain in ("source", "target") else ()
    return known + (tables.get(path.name) or tuple(_in_name(name["attributes"] or "")))


def _in_name(text: str) -> Iterator[tuple[str, str]]:
    """Read ``car_A1_spd_28V`` as pairs; what are no pairs, as in ``strength_1_ambient``, is one attribute."""
    words = text.split("_")
    if len(words) % 2 == 0 and all(word[:1].isalpha() for word in words[::2]):
        yield from zip(words[::2], words[1::2], strict=True)
    elif text and text != NO_ATTRIBUTE:
        yield "attributes", text


def _tables(folder: Path) -> dict[str, Attributes]:
    """Read ``file_name,d1p,d1v,d2p,d2v,...``: attributes by the recording's name."""
    found: dict[str, Attributes] = {}
    for table in sorted(folder.glob(ATTRIBUTES)):
        for _, row in read_table(table, (PATH,)):
            keys = [key for key in row if re.fullmatch(r"d[0-9]+p", key)]
            pairs = ((row[key], row.get(f"{key[:-1]}v", "")) for key in keys)
            found[Path(row[PATH]).name] = tuple((key, value) for key, value in pairs if key and value)
    return found
