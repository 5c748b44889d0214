"""Tables that people write about recordings, as spreadsheets and scripts of all countries save them; and one of them.

A separator of any of four kinds, a line ``sep=;``, a byte order mark, another encoding than UTF-8, headers in another
case or with spaces, empty lines and backslashes in paths are read as what is meant.

The table ``metadata.csv`` in a data folder says what is known of recordings beside their sound. It has one row for each
recording, with its ``path`` in the folder, and one column for each attribute, such as the factory in which it was
recorded. Synthetic machines have one; to a folder of one's own it is added by hand:

    path,factory,load
    train/normal_id_00_00000000.wav,A,0.7
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from collab_asd.core.errors import InputError
from collab_asd.core.files import encoding_of, read_text
from collab_asd.core.types import Clip
from collab_asd.data.audio import ClipError
from collab_asd.data.layouts import absolute, clip_name
from collab_asd.data.recordings import refuse_all

SEPARATORS = ",;\t|"
PATH = "path"
PATH_NAMES = (PATH, "file_name", "filename", "file", "file_path", "filepath", "recording", "clip", "wav")
"""What others call the column of paths, Hugging Face ``file_name``."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t;,]*[\r\n]+', re.IGNORECASE)
_HEAD = 1 << 16  # bytes in which a header ends


class Row(NamedTuple):
    """One row of a table."""

    line: int
    cells: dict[str, str]  # by column


def read_header(path: Path) -> list[str]:
    """Columns of a table, as `read_table` names them; none of a file that is no table."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    _, columns, _ = _header(path, head.decode(encoding_of(head), errors="ignore"))
    return [column for column in columns if column]


def read_table(path: Path, needed: Sequence[str] = ()) -> list[Row]:
    """Read the rows of a table.

    Parameters
    ----------
    path : Path
        A text file with one header; `collab_asd.core.files` says in which encodings.
    needed : sequence of str
        Columns that there must be.

    Returns
    -------
    list of Row
        With stripped cells, empty where a row has too few. Columns are in lower case with underscores, that of paths
        is ``path``, whatever it is called.

    Raises
    ------
    InputError
        It is no table, lacks a column, or a row has too many cells and faults are not collected.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    separator, columns, start = _header(path, text)
    if missing := [column for column in needed if column not in columns]:
        found = ", ".join(filter(None, columns)) or "nothing"
        raise InputError(
            f"{path}, line {start}: no column {', '.join(missing)}; the header must be {','.join(needed)}, "
            f"and is {found}"
        )
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise InputError(f"{path}, line {start}: two columns {twice[0]}; rename one of them")
    return list(_rows(path, text, separator, columns))


def _header(path: Path, text: str) -> tuple[str, list[str], int]:
    """Separator, names of the columns, and the line that they stand in."""
    stated = _SEPARATOR_LINE.match(text)
    separators = stated[1] if stated else SEPARATORS
    heads: dict[str, tuple[list[str], int]] = {}
    for separator in separators:
        with suppress(InputError):  # quotes that another separator explains
            line, cells = next(_cells(path, text, separator), (1, []))
            heads[separator] = _names(cells), line
    best = max(heads, key=lambda separator: (PATH in heads[separator][0], len(heads[separator][0])), default=",")
    return best, *heads.get(best, ([], 1))


def _names(cells: Sequence[str]) -> list[str]:
    """Names of columns; that of paths under one name."""
    names = [column_name(cell) for cell in cells]
    called = next((name for name in PATH_NAMES if name in names), PATH)
    return [PATH if name == called else name for name in names]


def column_name(text: str) -> str:
    """Name of a column in lower case, its words joined by underscores.

    Examples
    --------
    >>> column_name(" Machine Type"), column_name("machineType"), column_name("machine-type")
    ('machine_type', 'machine_type', 'machine_type')
    """
    return re.sub(r"[\s_-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.strip())).lower()


def _rows(path: Path, text: str, separator: str, columns: Sequence[str]) -> Iterator[Row]:
    lines = _cells(path, text, separator)
    next(lines, None)
    for line, cells in lines:
        if any(cells[len(columns) :]):
            what = f"{len(cells)} cells, where the header has {len(columns)}"
            refuse_all([ClipError(path, what, f"put cells that hold {separator!r} in quotes", f"line {line}")])
            continue
        padded = [*cells, *[""] * len(columns)]
        yield Row(line, {column: cell for column, cell in zip(columns, padded, strict=False) if column})


def _cells(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """First line and stripped cells of each row that is not empty."""
    stated = _SEPARATOR_LINE.match(text)
    reader = csv.reader(
        io.StringIO(text[stated.end() :] if stated else text, newline=""), delimiter=separator, strict=True
    )
    before = 1 if stated else 0
    first = before + 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield first, stripped
            first = before + reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {first}: no row of a table ({error})") from error


def path_of(folder: Path, cell: str) -> Path:
    """File that a cell names, relative to a folder; backslashes separate folders where there is no such name."""
    path = folder / cell
    if "\\" in cell and not path.exists():
        path = folder / cell.replace("\\", "/")
    return Path(os.path.normpath(path))


CONDITIONS = "metadata.csv"
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
    rows = read_conditions(folder)
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
    return (root.parent if root.is_file() else root) / CONDITIONS


def read_conditions(folder: Path) -> dict[str, Row]:
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
    rows, path = read_conditions(folder), f"erase = {name!r}: {CONDITIONS} of {folder}"
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
