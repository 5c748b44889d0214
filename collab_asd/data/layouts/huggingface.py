"""Hugging Face's audiofolder: recordings beside a ``metadata.csv`` or ``metadata.jsonl`` with the column ``file_name``.

The table lies in the data folder, or one in each folder of a split; paths are relative to it. What the columns mean is
told by their names and values:

| column | says |
|---|---|
| ``split``, or the folder ``train``, ``test``, ``validation`` that a recording lies in | the split |
| ``label``, ``is_anomaly``, ``condition``, ``class``, ...; or a folder ``normal``, ``anomaly``, ... | the label |
| ``machine_type``, ``machine_id``, ``machine`` | the machine; otherwise the data folder is one |

Other columns are attributes. Without a split, anomalies are test clips and normal clips join them as in MIMII. Folders
of splits and labels without a table are read by `collab_asd.data.layouts.folders`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from collab_asd.core.errors import InputError
from collab_asd.core.files import read_text
from collab_asd.core.types import ANOMALY, NORMAL, Clip, Split
from collab_asd.data.audio import ClipError, is_recording
from collab_asd.data.layouts import folders
from collab_asd.data.layouts.mimii import split_by_hash
from collab_asd.data.recordings import Recording, hashed, recordings_below, refuse, refuse_all, shorten, subfolders
from collab_asd.data.tables import PATH, Row, path_of, read_table

DESCRIPTION = "metadata.csv or metadata.jsonl with the column file_name"

TABLES = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
SPLITS: dict[str, Split] = {
    **dict.fromkeys(folders.TRAIN, "train"),
    **dict.fromkeys((*folders.TEST, "validation", "valid", "val", "dev", "eval"), "test"),
}
LABEL_COLUMNS = ("label", "is_anomaly", "anomaly", "anomalous", "condition", "class", "target")
VALUES = folders.LABELS | {"0": NORMAL, "1": ANOMALY, "false": NORMAL, "true": ANOMALY, "": None}
USED = {PATH, "split", "machine", "machine_type", "machine_id"}


def matches(data_dir: Path) -> str:
    """Return the table; empty if there is none with the column ``file_name``."""
    tables = _tables(data_dir)
    return f"{tables[0].relative_to(data_dir)} has the column {FILE_NAME}" if tables else ""


def read(data_dir: Path, channel: int) -> list[Clip]:
    """List the clips of the tables, or of folders of splits and labels.

    Raises
    ------
    InputError
        Naming lines of rows that are not understood, or recordings that no table lists.
    """
    tables = _tables(data_dir)
    if not tables:
        return folders.read(data_dir, channel)
    listed: set[Path] = set()
    found = [recording for table in tables for recording in _recordings(table, data_dir, listed)]
    refuse(
        [path for path in recordings_below(data_dir) if path not in listed],
        f"no row of {shorten([table.relative_to(data_dir) for table in tables])} lists it; add one or move it away",
    )
    clips = hashed(found, channel)
    return clips if any(clip.split == "test" and clip.label != ANOMALY for clip in clips) else split_by_hash(clips)


def _tables(data_dir: Path) -> list[Path]:
    places = [data_dir, *subfolders(data_dir)] if data_dir.is_dir() else []
    found = [place / name for place in places for name in TABLES if (place / name).is_file()]
    return list(filter(_names_files, found))


def _names_files(table: Path) -> bool:
    with suppress(InputError, OSError):
        return FILE_NAME in read_text(table).partition("\n")[0].lower()
    return False


def _rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".csv":
        yield from read_table(path)
        return
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if text.strip():
            try:
                row: dict[str, Any] = json.loads(text)
                cells = {key: "" if value is None else str(value).strip() for key, value in row.items()}
            except (ValueError, AttributeError) as error:
                refuse_all([ClipError(path, "no JSON object", "correct it", f"line {line}: {error}")])
                continue
            yield Row(line, {PATH if key == FILE_NAME else key: value for key, value in cells.items()})


def _recordings(table: Path, data_dir: Path, listed: set[Path]) -> Iterator[Recording]:
    """Yield what the rows list that are understood, and refuse the others; remember all files."""
    seen: dict[Path, int] = {}
    for line, row in _rows(table):
        path = path_of(table.parent, row.get(PATH, ""))
        try:
            if not path.is_file() or not is_recording(path) or not path.is_relative_to(data_dir):
                raise ClipError(path, "no recording in the data folder", "correct the path, or remove its line")
            listed.add(path)
            if (first := seen.setdefault(path, line)) != line:
                raise ClipError(path, "listed twice", "remove one of the two lines", f"it is in line {first}")
            recording = _recording(path, row, data_dir)
        except ClipError as fault:
            where = f"{table.relative_to(data_dir)}, line {line}" + (f": {fault.detail}" if fault.detail else "")
            refuse_all([ClipError(fault.path, fault.what, fault.remedy, where)])
        else:
            yield recording


def _recording(path: Path, row: dict[str, str], data_dir: Path) -> Recording:
    label, split, machine = _label(path, row, data_dir), _split(path, row, data_dir), _machine(row, data_dir)
    if set("".join(machine)) & set("/\\"):
        raise ClipError(path, "names of machines cannot hold slashes", "rename it", repr("/".join(machine)))
    known = tuple((key, value) for key, value in row.items() if key not in USED | set(LABEL_COLUMNS) and value)
    return Recording(path, *machine, split or ("test" if label else "train"), label, known)


def _label(path: Path, row: dict[str, str], data_dir: Path) -> int | None:
    for column in LABEL_COLUMNS:
        if column in row:
            if row[column].lower() not in VALUES:
                what = f"column {column} says neither normal nor anomaly"
                raise ClipError(path, what, "write 0 or 1, or nothing", repr(row[column]))
            return VALUES[row[column].lower()]
    inside = PurePosixPath(path.relative_to(data_dir)).parts[:-1]
    return next((folders.LABELS[part.lower()] for part in inside if part.lower() in folders.LABELS), None)


def _split(path: Path, row: dict[str, str], data_dir: Path) -> Split | None:
    if value := row.get("split", ""):
        if value.lower() not in SPLITS:
            raise ClipError(path, "column split names none that exists", "write train or test", repr(value))
        return SPLITS[value.lower()]
    inside = PurePosixPath(path.relative_to(data_dir)).parts[:-1]
    return next((SPLITS[part.lower()] for part in inside if part.lower() in SPLITS), None)


def _machine(row: dict[str, str], data_dir: Path) -> tuple[str, str]:
    name = row.get("machine_type") or row.get("machine") or data_dir.name
    if row.get("machine_id"):
        return name, row["machine_id"]
    return folders.machine_of(data_dir.parent / name, data_dir.parent)
