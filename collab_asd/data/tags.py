"""What is known of recordings beside their sound: a table ``metadata.csv`` in the data folder.

One row for each recording, with its ``path`` in the folder, and one column for each attribute, such as the factory in
which it was recorded. Synthetic machines have one; to a folder of one's own it is added by hand:

    path,factory,load
    train/normal_id_00_00000000.wav,A,0.7
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.layouts import absolute, clip_name

CONDITIONS = "metadata.csv"
HIGH_LOAD = 0.5
FEWEST_TAGGED = 2  # clips of each value

Tags = Mapping[str, str]


def tags_of(folder: Path, clips: Sequence[Clip]) -> dict[Clip, Tags]:
    """Read what ``metadata.csv`` of a data folder says of clips: the factory, and whether load and speed are high.

    A speed is high above the median over the machine's clips. Nothing is known of clips of a folder without a table.
    """
    rows = read_conditions(folder)
    of_clip = {clip: rows.get(clip_name(clip, folder), {}) for clip in clips}
    speeds: dict[str, list[float]] = {}
    for clip, row in of_clip.items():
        if "speed" in row:
            speeds.setdefault(clip.machine, []).append(float(row["speed"]))
    usual = {machine: median(own) for machine, own in speeds.items()}
    return {clip: _tags(row) | _speed(row, usual.get(clip.machine, 0.0)) for clip, row in of_clip.items()}


def _speed(row: Mapping[str, str], usual: float) -> dict[str, str]:
    return {"speed": "high" if float(row["speed"]) > usual else "low"} if "speed" in row else {}


def read_conditions(folder: Path) -> dict[str, dict[str, str]]:
    """Read the table of a data folder, or of that of a CSV of recordings: row by path; empty where there is none."""
    root = absolute(folder)
    path = (root.parent if root.is_file() else root) / CONDITIONS
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def attribute_of(folder: Path, clips: Sequence[Clip], name: str) -> list[str]:
    """Return the value of an attribute for each clip: a column of the table; of ``load``, ``high`` or ``low``.

    Raises
    ------
    InputError
        There is no table or no such column, a clip has no value, a value has too few clips, or all have the same.
    """
    rows, path = read_conditions(folder), f"erase = {name!r}: {CONDITIONS} of {folder}"
    known = [rows.get(clip_name(clip, folder), {}) for clip in clips]
    if not any(name in row for row in known):
        columns = sorted({column for row in rows.values() for column in row} - {"path"})
        raise InputError(
            f"{path} has no column {name!r} for these recordings ({', '.join(columns) or 'there is none'}); write one, "
            f"with a row of path,{name} for each recording"
        )
    values = [_tags(row).get(name, row.get(name) or "") for row in known]
    if missing := [clip for clip, value in zip(clips, values, strict=True) if not value]:
        raise InputError(
            f"{path} says nothing of {clip_name(missing[0], folder)}, and of {len(missing)} recordings in all"
        )
    (rarest, fewest), values_there = min(Counter(values).items(), key=lambda item: item[1]), len(set(values))
    if values_there < 2 or fewest < FEWEST_TAGGED:
        raise InputError(
            f"{path} has {values_there} values for the {len(clips)} training clips of a machine's client, and value "
            f"{rarest!r} {fewest} times: two values at least, each {FEWEST_TAGGED} times, are needed"
        )
    return values


def _tags(row: Mapping[str, str]) -> dict[str, str]:
    tags = {"factory": row["factory"]} if "factory" in row else {}
    if "load" in row:
        tags["load"] = "high" if float(row["load"]) >= HIGH_LOAD else "low"
    return tags
