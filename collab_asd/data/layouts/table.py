"""A plain table of recordings: one CSV file with the columns ``path,machine_type,machine_id,split,label``.

Paths are relative to the CSV file; ``split`` is ``train`` or ``test``; ``label`` is 0 (normal), 1 (anomaly) or empty.
A folder's CSV file with further columns is someone's metadata and is left alone, unless the file itself is named as the
data folder.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.audio import is_recording
from collab_asd.data.recordings import Recording, hashed, shorten

COLUMNS = ("path", "machine_type", "machine_id", "split", "label")
DESCRIPTION = f"one .csv file with the header {','.join(COLUMNS)}"

SPLITS: tuple[str, ...] = get_args(Split)
LABELS = {"0": NORMAL, "1": ANOMALY, "": None}


def matches(data_dir: Path) -> bool:
    """Whether this is a CSV file, or a folder that has one with exactly our columns."""
    return bool(_tables(data_dir))


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of the one table.

    Raises
    ------
    InputError
        If there are several tables, or naming line and column of up to five wrong cells.
    """
    tables = _tables(data_dir)
    if len(tables) > 1:
        raise InputError(f"{shorten(tables)}: several tables of recordings; name one of them as the data folder")
    lines = _lines(tables[0])
    _refuse_wrong_cells(tables[0], lines)
    return hashed([_recording(tables[0].parent, cells) for _, cells in lines], channel)


def _tables(data_dir: Path) -> list[Path]:
    if data_dir.is_file():
        return [data_dir] if data_dir.suffix.lower() == ".csv" else []
    files = sorted(path for path in data_dir.glob("*.csv") if path.is_file())
    return [path for path in files if sorted(_header(path)) == sorted(COLUMNS)]


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return next(csv.reader([file.readline()]), [])


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row."""
    missing = [column for column in COLUMNS if column not in _header(path)]
    if missing:
        raise InputError(f"{path}, line 1: no column {', '.join(missing)}; the header must be {','.join(COLUMNS)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            return [(reader.line_num, {name: row[name].strip() for name in COLUMNS}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from error


def _refuse_wrong_cells(path: Path, lines: list[tuple[int, dict[str, str]]]) -> None:
    wrong = [
        f"line {line}, column {column}: {what}" for line, cells in lines for column, what in _faults(path.parent, cells)
    ]
    first: dict[str, int] = {}
    for line, cells in lines:
        earlier = first.setdefault(os.path.normpath(cells["path"]), line)
        if earlier != line:
            wrong.append(f"line {line}, column path: {cells['path']} is in line {earlier} already")
    if wrong:
        raise InputError(f"{path}: {shorten(wrong)}")


def _faults(folder: Path, cells: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Column and fault of each wrong cell of a row."""
    file = folder / cells["path"]
    if not cells["path"] or not file.is_file():
        yield "path", f"no file {cells['path']!r}; paths are relative to the CSV file"
    elif not is_recording(file):
        yield "path", f"{cells['path']!r} is not named as a recording"
    for column in ("machine_type", "machine_id"):
        if not cells[column] or set(cells[column]) & set("/\\"):
            yield column, f"{cells[column]!r} is not a name without slashes"
    if cells["split"] not in SPLITS:
        yield "split", f"{cells['split']!r} is not one of {', '.join(SPLITS)}"
    if cells["label"] not in LABELS:
        yield "label", f"{cells['label']!r} is not 0 (normal), 1 (anomaly) or empty"


def _recording(folder: Path, cells: dict[str, str]) -> Recording:
    path = Path(os.path.normpath(folder / cells["path"]))
    split = cast("Split", cells["split"])
    return Recording(path, cells["machine_type"], cells["machine_id"], split, LABELS[cells["label"]])
