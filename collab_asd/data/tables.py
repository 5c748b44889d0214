"""Tables that people write about recordings, as spreadsheets and scripts of all countries save them.

A separator of any of four kinds, a line ``sep=;``, a byte order mark, another encoding than UTF-8, headers in another
case or with spaces, empty lines and backslashes in paths are read as what is meant.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from collab_asd.core.errors import InputError
from collab_asd.core.files import encoding_of, read_text
from collab_asd.data.audio import ClipError
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
        A text file with one header; `collab_asd.core.text` says in which encodings.
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
