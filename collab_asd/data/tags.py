"""What is known of recordings beside their sound: a table ``metadata.csv`` in the data folder.

One row for each recording, with its ``path`` in the folder, and one column for each attribute, such as the factory in
which it was recorded. Synthetic machines have one; to a folder of one's own it is added by hand:

    path,factory,load
    train/normal_id_00_00000000.wav,A,0.7

`collab_asd.data.tables` says in which other forms such a table may come.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.layouts import absolute, clip_name
from collab_asd.data.tables import PATH, Row, column_name, path_of, read_table

METADATA = "metadata.csv"
HIGH_LOAD = 0.5
FEWEST_TAGGED = 2  # clips of each value
QUANTITY = re.compile(r"(?P<number>[+-]?\d+(?:[.,]\d+)?)\s*(?P<unit>[^\d\s]*)")  # 0.7, 0,7, 6V, 1200 rpm, 50 %

Tags = Mapping[str, str]


def tags_of(folder: Path, clips: Sequence[Clip]) -> dict[Clip, Tags]:
    """Read what ``metadata.csv`` of a data folder says of clips: the factory, and whether load and speed are high.

    A speed is high above the median over the machine's clips; speeds and loads that are no numbers stand for
    themselves. Nothing is known of clips of a folder without a table.

    Raises
    ------
    InputError
        The table cannot be read, or the speeds of a machine cannot be compared.
    """
    rows = read_metadata(folder)
    of_clip = {clip: rows[name].cells if (name := clip_name(clip, folder)) in rows else {} for clip in clips}
    usual = _usual_speeds(_table_of(folder), {clip: rows.get(clip_name(clip, folder)) for clip in clips})
    return {clip: _tags(cells) | _speed(cells, usual.get(clip.machine)) for clip, cells in of_clip.items()}


def _usual_speeds(table: Path, rows: Mapping[Clip, Row | None]) -> dict[str, float | None]:
    """Median of the speeds of each machine; None where they are words."""
    speeds: defaultdict[str, list[tuple[Row, re.Match[str] | None]]] = defaultdict(list)
    for clip, row in rows.items():
        if row is not None and row.cells.get("speed"):
            speeds[clip.machine].append((row, QUANTITY.fullmatch(row.cells["speed"])))
    usual: dict[str, float | None] = {}
    for machine, found in speeds.items():
        unit = {row.line: quantity and quantity["unit"] for row, quantity in found}
        for row, _ in found:
            if unit[row.line] != unit[found[0][0].line]:
                raise InputError(
                    f"{table}, line {row.line}, column speed: {row.cells['speed']!r} cannot be compared with "
                    f"{found[0][0].cells['speed']!r} in line {found[0][0].line}; write all speeds of a machine alike"
                )
        usual[machine] = median(_number(row.cells["speed"]) for row, _ in found) if found[0][1] else None
    return usual


def _number(text: str) -> float:
    """Return the number of a quantity, with a decimal point or comma."""
    return float(QUANTITY.fullmatch(text)["number"].replace(",", "."))  # type: ignore[index]


def _speed(cells: Mapping[str, str], usual: float | None) -> dict[str, str]:
    speed = cells.get("speed")
    if not speed:
        return {}
    return {"speed": speed if usual is None else "high" if _number(speed) > usual else "low"}


def _table_of(folder: Path) -> Path:
    root = absolute(folder)
    return (root.parent if root.is_file() else root) / METADATA


def read_metadata(folder: Path) -> dict[str, Row]:
    """Read the table of a data folder, or of that of a CSV of recordings: row by path; empty where there is none.

    Raises
    ------
    InputError
        It is no table, has no column of paths, or says different things of one recording.
    """
    table = _table_of(folder)
    rows: dict[str, Row] = {}
    for row in read_table(table, [PATH]) if table.is_file() else []:
        name = Path(os.path.relpath(path_of(table.parent, row.cells[PATH]), table.parent)).as_posix()
        before = rows.setdefault(name, row)
        if {**before.cells, PATH: ""} != {**row.cells, PATH: ""}:
            raise InputError(
                f"{table}, line {row.line}: contradicts line {before.line}, which is about the same {name}"
            )
    return rows


def attribute_of(folder: Path, clips: Sequence[Clip], name: str) -> list[str]:
    """Return the value of an attribute for each clip: a column of the table; of ``load``, ``high`` or ``low``.

    Raises
    ------
    InputError
        There is no table or no such column, a clip has no value, a value has too few clips, or all have the same.
    """
    column = column_name(name)
    rows, path = read_metadata(folder), f"erase = {name!r}: {METADATA} of {folder}"
    found = [rows.get(clip_name(clip, folder)) for clip in clips]
    known = [row.cells if row else {} for row in found]
    if not any(column in row for row in known):
        columns = sorted({other for row in rows.values() for other in row.cells} - {PATH})
        raise InputError(
            f"{path} has no column {name!r} for these recordings ({', '.join(columns) or 'there is none'}); write one, "
            f"with a row of path,{name} for each recording"
        )
    values = [_tags(row).get(column, row.get(column) or "") for row in known]
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
    tags = {name: row[name] for name in ("factory", "load") if row.get(name)}
    if (load := QUANTITY.fullmatch(tags.get("load", ""))) and load["unit"] in ("", "%"):
        share = _number(tags["load"]) / (100 if load["unit"] else 1)
        tags["load"] = "high" if share >= HIGH_LOAD else "low"
    return tags
