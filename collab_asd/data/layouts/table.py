"""A plain table of recordings: one CSV file with the columns ``path,machine_type,machine_id,split,label``.

Paths are relative to the CSV file; ``split`` is ``train`` or ``test``; ``label`` is 0 (normal), 1 (anomaly), a word
that a folder of such clips may be called by (``ok``, ``faulty``, ...), or empty.
`collab_asd.data.tables` says in which forms. A folder's CSV file with further columns is someone's metadata and is left
alone, unless the file itself is named as the data folder: then they are attributes, such as ``domain`` or ``load``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.audio import ClipError, is_recording
from collab_asd.data.excerpts import recording_of
from collab_asd.data.layouts import folders
from collab_asd.data.recordings import Recording, hashed, refuse_all, shorten
from collab_asd.data.tables import Row, path_of, read_header, read_table

COLUMNS = ("path", "machine_type", "machine_id", "split", "label")
DESCRIPTION = f"one .csv file with the header {','.join(COLUMNS)}"
SUFFIXES = (".csv", ".tsv")

SPLITS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test"}
LABELS = {
    **folders.LABELS,
    **dict.fromkeys(("0", "0.0"), NORMAL),
    **dict.fromkeys(("1", "1.0"), ANOMALY),  # 1.0: where pandas has gaps
    **dict.fromkeys(("", "nan", "na", "n/a", "none", "null", "unknown"), None),
}


def matches(data_dir: Path) -> bool:
    """Whether this is a CSV file, or a folder that has one with exactly our columns."""
    return bool(_tables(data_dir))


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of the one table.

    Raises
    ------
    InputError
        If there are several tables, or naming lines of wrong cells and files that are not there.
    """
    tables = _tables(data_dir)
    if len(tables) > 1:
        raise InputError(f"{shorten(tables)}: several tables of recordings; name one of them as the data folder")
    return hashed(list(_recordings(tables[0], read_table(tables[0], COLUMNS))), channel)


def _tables(data_dir: Path) -> list[Path]:
    if data_dir.is_file():
        return [data_dir] if data_dir.suffix.lower() in SUFFIXES else []
    files = sorted(path for path in data_dir.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    shown = [path for path in files if not path.name.startswith(".")]
    return [path for path in shown if sorted(read_header(path)) == sorted(COLUMNS)]


def _recordings(table: Path, rows: Sequence[Row]) -> Iterator[Recording]:
    """Yield what the sound rows list, and refuse the others."""
    seen: dict[Path, int] = {}
    for line, cells in rows:
        path = path_of(table.parent, cells["path"]) if cells["path"] else table
        faults = list(_faults(table, path, cells))
        if (first := seen.setdefault(path, line)) != line and cells["path"]:
            faults.append((f"listed twice in {table.name}", "remove one of the two lines", f"it is in line {first}"))
        refuse_all([
            ClipError(path, what, remedy, f"line {line}" + (f": {detail}" if detail else ""))
            for what, remedy, detail in faults
        ])  # fmt: skip
        if not faults:
            yield _recording(path, cells)


def _faults(table: Path, path: Path, cells: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a row, what to do, and how it reads there."""
    if not cells["path"]:
        yield f"column path of {table.name} is empty", "name a recording, relative to the table", ""
    elif not recording_of(path).is_file():
        yield f"no such file, but {table.name} lists it", "correct the path, which is relative to the table", ""
    elif not is_recording(path):
        yield f"not a recording, but {table.name} lists it", "remove its line", ""
    for column, is_right, allowed in (
        ("machine_type", _is_name(cells["machine_type"]), "a name without slashes"),
        ("machine_id", _is_name(cells["machine_id"]), "a name without slashes"),
        ("split", cells["split"].lower() in SPLITS, "train or test"),
        ("label", cells["label"].lower() in LABELS, "0 or normal, 1 or anomaly (faulty, defect, broken, …), or empty"),
    ):
        if not is_right:
            yield f"column {column} of {table.name} is not {allowed}", "correct it", repr(cells[column])


def _is_name(cell: str) -> bool:
    return bool(cell) and not set(cell) & set("/\\")


def _recording(path: Path, cells: dict[str, str]) -> Recording:
    label, split = LABELS[cells["label"].lower()], SPLITS[cells["split"].lower()]
    known = tuple((name, value) for name, value in cells.items() if name not in COLUMNS and value)
    return Recording(path, cells["machine_type"], cells["machine_id"], split, label, known)
