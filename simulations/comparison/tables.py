"""The tables of a comparison: in full for a program, rounded for a page, a paper and a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from collab_asd.atomic import replacing
from collab_asd.report.estimate import Estimate
from collab_asd.report.sheet import Sheet
from collab_asd.report.tables import FEW_TEST_CLIPS, UNKNOWN, with_marks
from simulations.comparison.experiment import Cell
from simulations.comparison.statistics import MEASURES, Row

COLUMNS = ("AUC", "minus sharing", "std", "pAUC", "ID acc.", "FAR", "MB sent", "s", "n")
DISPENSABLE = ("n", "std", "ID acc.", "FAR", "pAUC", "s")  # on a narrow terminal, in this order
LAST = ("folder", "error")
WIDEST = 1000  # characters
SUMMARY_KEYS = ("id_accuracy", "false_alarm_rate", "recall", "f1", "peak_rss_mb", "manifest_sha256")


def cell_values(cell: Cell, summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """One line of ``table.csv``; without a summary, what is known of a cell that is not finished."""
    config = cell.config
    values: dict[str, Any] = {"method": cell.method, "encoder": config.encoder, "scorer": cell.scorer}
    values |= {"partition": cell.partition} if cell.partition else {}
    values |= {"seed": config.seed, "state": cell.state}
    if summary is not None:
        values |= {"auc": summary["auc"]["total"], "pauc": summary["pauc"]["total"]}
        values |= {key: summary[key] for key in SUMMARY_KEYS}
        values |= {way: sum(summary[way].values()) for way in ("bytes_up", "bytes_down")}
        values |= {f"seconds: {phase}": spent for phase, spent in summary["seconds"].items()}
    return values | {"folder": str(cell.folder), "error": cell.error}


def row_values(row: Row) -> dict[str, Any]:
    """One line of ``comparison.csv``, all digits; an interval is given by its ends."""
    values: dict[str, Any] = {"method": row.method, "encoder": row.encoder, "scorer": row.scorer}
    values |= {"partition": row.partition} if row.partition else {}
    values["seeds"] = " ".join(map(str, row.seeds))
    for name in MEASURES:
        values |= _estimate_values(name, getattr(row, name))
    values |= _estimate_values("auc_minus_embedding_sharing", row.gain)
    return values | {"is_best": row.is_best, "beats_embedding_sharing": row.beats_reference}


def write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write lines with all columns that any of them has, in the order of their first appearance but for `LAST`."""
    columns = sorted(dict.fromkeys(column for line in lines for column in line), key=LAST.__contains__)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def comparison_sheet(rows: Sequence[Row]) -> Sheet:
    """One row per method, encoder, scorer and partition; bold where it is the best or above embedding sharing."""
    sheet = _sheet("comparison", "Means over machines and seeds", COLUMNS, rows, [_cells(row) for row in rows])
    return with_marks(sheet, [row.marks for row in rows])


def machine_sheet(rows: Sequence[Row]) -> Sheet:
    """AUC of each machine, mean over seeds."""
    machines = list(dict.fromkeys(machine for row in rows for machine in row.auc_by_machine))
    lines = [[number(row.auc_by_machine.get(machine)) for machine in machines] for row in rows]
    sheet = _sheet("auc_by_machine", "AUC of each machine, mean over seeds", machines, rows, lines)
    return with_marks(sheet, [[mark for mark in row.marks if mark == FEW_TEST_CLIPS] for row in rows])


def _sheet(name: str, title: str, columns: Sequence[str], rows: Sequence[Row], lines: Sequence[Sequence[str]]) -> Sheet:
    """Put before some columns what each row is; the partition where several are compared."""
    words = {"method": "label", "encoder": "encoder"}
    words |= {"partition": "partition"} if any(row.partition for row in rows) else {}
    whole = tuple(
        (*(getattr(row, word) for word in words.values()), *line) for row, line in zip(rows, lines, strict=True)
    )
    bold = frozenset(i for i, row in enumerate(rows) if row.stands_out)
    return Sheet(name, title, (*words, *columns), whole, words=len(words), bold=bold)


def failure_sheet(cells: Iterable[Cell]) -> Sheet:
    """Return the cells that are not finished, and why."""
    lines = [(cell.name, cell.error or cell.state) for cell in cells if cell.state != "finished"]
    return Sheet("not_finished", "Cells that are not finished", ("cell", "reason"), tuple(lines), words=2)


def terminal_table(sheet: Sheet, title: str, console: Console) -> Table:
    """Return a sheet as a table for the terminal, without the columns that it has no room for."""
    left_out: tuple[str, ...] = ()
    for column in ("", *DISPENSABLE):
        left_out += (column,)
        table = _table(sheet, title, left_out)
        if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum <= console.width:
            break
    return table


def _table(sheet: Sheet, title: str, left_out: Sequence[str]) -> Table:
    shown = [i for i, heading in enumerate(sheet.headings) if heading not in left_out]
    caption = sheet.footnote or None
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=caption,
        caption_justify="left",
    )
    for i in shown:
        table.add_column(sheet.headings[i], justify="left" if i < sheet.words else "right")
    for i, row in enumerate(sheet.rows):
        table.add_row(*(row[k] for k in shown), style="bold" if i in sheet.bold else None)
    return table


def number(value: Estimate | None, digits: int = 3, scale: float = 1.0) -> str:
    """Return a mean without its interval."""
    return UNKNOWN if value is None else f"{value.mean * scale:.{digits}f}"


def with_interval(value: Estimate | None, sign: str = "") -> str:
    """``"0.935 ± 0.004"``, the 95 % interval; the mean alone where one seed gives no interval."""
    if value is None:
        return UNKNOWN
    mean = f"{value.mean:{sign}.3f}".replace("-", "−")
    return mean if value.half_width is None else f"{mean} ± {value.half_width:.3f}"


def _cells(row: Row) -> tuple[str, ...]:
    deviation = row.auc.deviation if row.auc else None
    return (
        with_interval(row.auc),
        with_interval(row.gain, "+"),
        UNKNOWN if deviation is None else f"{deviation:.3f}",
        with_interval(row.pauc),
        number(row.id_accuracy),
        number(row.false_alarm_rate),
        number(row.bytes_sent, 2, 1e-6),
        number(row.seconds, 1),
        str(len(row.seeds)),
    )


def _estimate_values(name: str, value: Estimate | None) -> dict[str, float | None]:
    low, high = (value.low, value.high) if value else (None, None)
    mean, deviation = (value.mean, value.deviation) if value else (None, None)
    return {f"{name}_mean": mean, f"{name}_std": deviation, f"{name}_low": low, f"{name}_high": high}
