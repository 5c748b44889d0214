"""A plain table of recordings: one CSV file with the columns ``path,machine_type,machine_id,split,label``.

Paths are relative to the CSV file; ``split`` is ``train`` or ``test``; ``label`` is 0 (normal), 1 (anomaly) or empty.
`collab_asd.data.tables` says in which forms. A folder's CSV file with further columns is someone's metadata and is left
alone, unless the file itself is named as the data folder: then they are attributes, such as ``domain`` or ``load``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.audio import is_recording
from collab_asd.data.excerpts import recording_of
from collab_asd.data.recordings import Recording, hashed, refuse, shorten
from collab_asd.data.tables import Row, path_of, read_header, read_table

COLUMNS = ("path", "machine_type", "machine_id", "split", "label")
DESCRIPTION = f"one .csv file with the header {','.join(COLUMNS)}"
SUFFIXES = (".csv", ".tsv")

SPLITS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test"}
LABELS = {
    **dict.fromkeys(("0", "0.0", "normal"), NORMAL),
    **dict.fromkeys(("1", "1.0", "anomaly", "anomalous", "abnormal"), ANOMALY),  # 1.0: where pandas has gaps
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
        If there are several tables, or naming line and column of up to five wrong cells.
    """
    tables = _tables(data_dir)
    if len(tables) > 1:
        raise InputError(f"{shorten(tables)}: several tables of recordings; name one of them as the data folder")
    rows = read_table(tables[0], COLUMNS)
    _refuse_wrong_cells(tables[0], rows)
    files = {path_of(tables[0].parent, row.cells["path"]): row.line for row in rows}
    missing = [file for file in files if not recording_of(file).is_file()]
    others = [file for file in files if file not in missing and not is_recording(file)]
    for bad, why in ((missing, "no such file; paths are relative to it"), (others, "not a recording; remove its line")):
        if bad:
            refuse(bad, f"{tables[0].name}, line {files[bad[0]]}{' and more' if bad[1:] else ''}: {why}")
    good = files.keys() - {*missing, *others}
    recordings = [_recording(tables[0].parent, row.cells) for row in rows]
    return hashed([recording for recording in recordings if recording.path in good], channel)


def _tables(data_dir: Path) -> list[Path]:
    if data_dir.is_file():
        return [data_dir] if data_dir.suffix.lower() in SUFFIXES else []
    files = sorted(path for path in data_dir.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    shown = [path for path in files if not path.name.startswith(".")]
    return [path for path in shown if sorted(read_header(path)) == sorted(COLUMNS)]


def _refuse_wrong_cells(path: Path, rows: Sequence[Row]) -> None:
    wrong = [f"line {line}, column {column}: {what}" for line, cells in rows for column, what in _faults(cells)]
    first: dict[Path, int] = {}
    for line, cells in rows:
        earlier = first.setdefault(path_of(path.parent, cells["path"]), line)
        if earlier != line:
            wrong.append(f"line {line}, column path: {cells['path']} is in line {earlier} already")
    if wrong:
        raise InputError(f"{path}: {shorten(wrong)}")


def _faults(cells: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Column and fault of each wrong cell of a row."""
    if not cells["path"]:
        yield "path", "it is empty; name a recording, relative to the CSV file"
    for column in ("machine_type", "machine_id"):
        if not cells[column] or set(cells[column]) & set("/\\"):
            yield column, f"{cells[column]!r} is not a name without slashes"
    if cells["split"].lower() not in SPLITS:
        yield "split", f"{cells['split']!r} is not one of train, test"
    if cells["label"].lower() not in LABELS:
        yield "label", f"{cells['label']!r} is not 0 (normal), 1 (anomaly) or empty"


def _recording(folder: Path, cells: dict[str, str]) -> Recording:
    label, split = LABELS[cells["label"].lower()], SPLITS[cells["split"].lower()]
    known = tuple((name, value) for name, value in cells.items() if name not in COLUMNS and value)
    return Recording(path_of(folder, cells["path"]), cells["machine_type"], cells["machine_id"], split, label, known)
