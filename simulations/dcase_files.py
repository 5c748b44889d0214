"""A run's scores as the files that the DCASE challenge takes.

One ``anomaly_score_<type>_id_<id>.csv`` per machine, as in 2020, with a line ``<file name>,<score>`` per test clip, no
header; and beside it ``decision_result_<type>_id_<id>.csv`` with 0 or 1, as in later years.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from collab_asd.interfaces import ScoreRow, ScoreTable
from collab_asd.paths import machine_folder_name


def write_dcase(folder: Path, table: ScoreTable) -> None:
    """Write both files of every machine, lines in the order of file names; scores with all their digits."""
    folder.mkdir(parents=True, exist_ok=True)
    machines: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in table.rows:
        machines[machine_folder_name(row.machine_type, row.machine_id)].append(row)
    for machine, rows in machines.items():
        named = sorted(((PurePosixPath(row.clip).name, row) for row in rows), key=lambda pair: pair[0])
        _write(folder / f"anomaly_score_{machine}.csv", ((name, row.anomaly_score) for name, row in named))
        _write(folder / f"decision_result_{machine}.csv", ((name, row.decision) for name, row in named))


def _write(path: Path, lines: Iterable[tuple[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
