"""The tables of a comparison: in full for a program, rounded for a page, a paper and a terminal.

Their statistics are means over seeds and paired differences.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from collab_asd.core.files import replacing
from collab_asd.detection.intervals import LabelledScores
from collab_asd.experiments.experiment import Cell
from collab_asd.report.comparison import DIFFERENCE, REFERENCE, UNLIMITED, Estimate, Line, estimate, with_clips
from collab_asd.report.tables import FEW_TEST_CLIPS, UNKNOWN, Sheet, empty_table, with_marks


@dataclass(frozen=True)
class CellResult:
    """What one finished cell found; fractions, or None where it has none.

    Parameters
    ----------
    method, encoder, scorer : str
    seed : int
    auc, pauc, id_accuracy, false_alarm_rate, recall : float or None
        Means over machines.
    bytes_sent : float
        Of all messages, both ways.
    seconds : float
        Of the run on embeddings that were there; with the training of an f_s that another cell did for it.
    auc_by_machine : mapping
        AUC by ``"type/id"``.
    partition : str
        Who held which clips; empty where only one partition is compared.
    marks : tuple of str
        Keys of `collab_asd.report.tables.MARKS` that hold for any machine: it has too few clips.
    labelled : mapping
        Scores of the labelled test clips by ``"type/id"``; empty where clients keep them.
    """

    method: str
    encoder: str
    scorer: str
    seed: int
    auc: float | None
    pauc: float | None
    id_accuracy: float | None
    false_alarm_rate: float | None
    bytes_sent: float
    seconds: float
    auc_by_machine: Mapping[str, float | None] = field(default_factory=dict)
    partition: str = ""
    marks: tuple[str, ...] = ()
    labelled: Mapping[str, LabelledScores] = field(default_factory=dict)
    recall: float | None = None

    @property
    def row(self) -> tuple[str, str, str, str]:
        """What the cells of one row of the table share."""
        return self.method, self.encoder, self.scorer, self.partition


@dataclass(frozen=True)
class Row(Line):
    """One method with one encoder and one scorer on one partition, over its seeds.

    Parameters
    ----------
    gain : Estimate or None
        AUC minus that of embedding sharing with the same encoder, partition and seed and the reference scorer; where it
        was not run with that encoder, with the first that it was run with. None for that row itself, and where there is
        no such run.
    is_reference, is_best : bool
        Whether it is that row; whether no row has a higher mean AUC.
    leads : bool
        Whether it is that row, and lies above every other row that is measured against it by more than chance, and
        above all methods that were not run with its encoder.
    marks : tuple of str
        Those of its cells.
    """

    seeds: tuple[int, ...]
    auc: Estimate | None
    pauc: Estimate | None
    id_accuracy: Estimate | None
    false_alarm_rate: Estimate | None
    bytes_sent: Estimate | None
    seconds: Estimate | None
    gain: Estimate | None
    auc_by_machine: Mapping[str, Estimate | None]
    is_reference: bool = False
    is_best: bool = False
    marks: tuple[str, ...] = ()
    leads: bool = False
    recall: Estimate | None = None

    @property
    def place(self) -> str:
        """What it has in common with the embedding sharing that it is measured against."""
        return f"{self.encoder}, {self.partition}" if self.partition else self.encoder

    @property
    def beats_reference(self) -> bool:
        """Whether its mean AUC lies above that of embedding sharing by more than chance."""
        return self.gain is not None and self.gain.mean > 0 and self.gain.excludes_zero

    @property
    def stands_out(self) -> bool:
        """Whether it is to be set in bold: no difference that chance may have made is."""
        return self.beats_reference or self.leads

    @property
    def clips_to_settle(self) -> float | None:
        """Test clips of each machine that would tell its difference from chance; None where these do, or none can."""
        return self.gain.clips_to_settle if self.gain else None


MEASURES = ("auc", "pauc", "id_accuracy", "false_alarm_rate", "recall", "bytes_sent", "seconds")


def summarize_rows(results: Sequence[CellResult], reference_scorer: str) -> list[Row]:
    """Return a row per method, encoder, scorer and partition, in the order in which they first appear."""
    by_row: dict[tuple[str, str, str, str], list[CellResult]] = {}
    for result in results:
        by_row.setdefault(result.row, []).append(result)
    references = {
        (partition, encoder): cells
        for (method, encoder, scorer, partition), cells in by_row.items()
        if (method, scorer) == (REFERENCE, reference_scorer)
    }
    rows = [
        _summarize(cells, references.get((partition, encoder)) or _first(references, partition))
        for (_, encoder, _, partition), cells in by_row.items()
    ]
    best = max((row.auc.mean for row in rows if row.auc), default=None)
    return [
        replace(row, is_best=row.auc is not None and row.auc.mean == best, leads=row.is_reference and _leads(row, rows))
        for row in rows
    ]


def _leads(reference: Row, rows: Sequence[Row]) -> bool:
    """Whether all other rows of its encoder, and of methods that have none there, are worse by more than chance."""
    beside = {row.method for row in rows if row.place == reference.place}
    others = [row for row in rows if row.place == reference.place or row.method not in beside]
    gains = [row.gain for row in others if row.partition == reference.partition and row.gain]
    return bool(gains) and all(gain.mean < 0 and gain.excludes_zero for gain in gains)


def _first(references: Mapping[tuple[str, str], Sequence[CellResult]], partition: str) -> Sequence[CellResult]:
    return next((cells for (of, _), cells in references.items() if of == partition), [])


def _summarize(cells: Sequence[CellResult], reference: Sequence[CellResult]) -> Row:
    first = cells[0]
    is_reference = bool(reference) and first.row == reference[0].row
    machines = dict.fromkeys(machine for cell in cells for machine in cell.auc_by_machine)
    return Row(
        *first.row,
        seeds=tuple(cell.seed for cell in cells),
        auc=with_clips(estimate(cell.auc for cell in cells), [cell.labelled for cell in cells]),
        pauc=estimate(cell.pauc for cell in cells),
        id_accuracy=estimate(cell.id_accuracy for cell in cells),
        false_alarm_rate=estimate(cell.false_alarm_rate for cell in cells),
        bytes_sent=estimate((cell.bytes_sent for cell in cells), UNLIMITED),
        seconds=estimate((cell.seconds for cell in cells), UNLIMITED),
        gain=None if is_reference else _gain(cells, reference),
        auc_by_machine={m: _auc_of(m, cells) for m in machines},
        is_reference=is_reference,
        marks=tuple(sorted({mark for cell in cells for mark in cell.marks})),
        recall=estimate(cell.recall for cell in cells),
    )


def _gain(cells: Sequence[CellResult], reference: Sequence[CellResult]) -> Estimate | None:
    """AUC minus the reference's, of the seeds that both have."""
    of_seed = {cell.seed: cell for cell in reference}
    pairs = [(cell, of_seed[cell.seed]) for cell in cells if cell.seed in of_seed]
    differences = [cell.auc - other.auc for cell, other in pairs if cell.auc is not None and other.auc is not None]
    own, theirs = [cell.labelled for cell, _ in pairs], [other.labelled for _, other in pairs]
    return with_clips(estimate(differences, DIFFERENCE), own, theirs)


def _auc_of(machine: str, cells: Sequence[CellResult]) -> Estimate | None:
    own = [{machine: cell.labelled[machine]} for cell in cells if machine in cell.labelled]
    return with_clips(estimate(cell.auc_by_machine.get(machine) for cell in cells), own)


COLUMNS = ("AUC", "minus sharing", "clips to settle", "std", "pAUC", "ID acc.", "FAR", "MB sent", "s", "n")
DISPENSABLE = ("n", "std", "ID acc.", "FAR", "pAUC", "s", "clips to settle")  # on a narrow terminal, in this order
LAST = ("folder", "error")
WIDEST = 1000  # characters
MOST_CLIPS = 99_999
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


def row_values(row: Row, against_sharing: bool = True) -> dict[str, Any]:
    """One line of ``comparison.csv``, all digits; an interval is given by its ends."""
    values: dict[str, Any] = {"method": row.method, "encoder": row.encoder, "scorer": row.scorer}
    values |= {"partition": row.partition} if row.partition else {}
    values["seeds"] = " ".join(map(str, row.seeds))
    for name in MEASURES:
        values |= _estimate_values(name, getattr(row, name))
    if not against_sharing:
        return values | {"is_best": row.is_best}
    values |= _estimate_values("auc_minus_embedding_sharing", row.gain)
    values["clips_to_settle"] = row.clips_to_settle
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
    """One row per method, encoder, scorer and partition; bold where more than chance sets it apart.

    A column that says nothing of any row is left out, but for the AUC: ``"minus sharing"`` where nothing was compared
    with embedding sharing, ``"std"`` of one seed.
    """
    written = list(map(_cells, rows))
    shown = [column for column in COLUMNS if column == "AUC" or any(row[column] != UNKNOWN for row in written)]
    lines = [[row[column] for column in shown] for row in written]
    sheet = _sheet("comparison", "Means over machines and seeds", shown, rows, lines)
    return with_marks(sheet, [row.marks for row in rows])


def against_sharing(rows: Iterable[Row]) -> bool:
    """Whether any row is measured against embedding sharing."""
    return any(row.gain for row in rows)


def machine_sheet(rows: Sequence[Row]) -> Sheet:
    """AUC of each machine, mean over seeds, with its interval."""
    machines = list(dict.fromkeys(machine for row in rows for machine in row.auc_by_machine))
    lines = [[with_interval(row.auc_by_machine.get(machine)) for machine in machines] for row in rows]
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
    table = empty_table(title, sheet.footnote)
    for i in shown:
        table.add_column(sheet.headings[i], justify="left" if i < sheet.words else "right")
    for i, row in enumerate(sheet.rows):
        table.add_row(*(row[k] for k in shown), style="bold" if i in sheet.bold else None)
    return table


def number(value: Estimate | None, digits: int = 3, scale: float = 1.0) -> str:
    """Return a mean without its interval."""
    return UNKNOWN if value is None else f"{value.mean * scale:.{digits}f}"


def with_interval(value: Estimate | None, sign: str = "") -> str:
    """``"0.935 [0.917, 0.950]"``, the 95 % interval over seeds and clips, or over seeds alone: ``"0.935 ± 0.004"``.

    An interval that reaches the end of the scale on one side is written with both ends, too.
    """
    if value is None:
        return UNKNOWN
    mean, low, high = (
        "" if x is None else f"{x:{sign}.3f}".replace("-", "−") for x in (value.mean, value.low, value.high)
    )
    if value.half_width is None and value.interval is None:
        return mean
    return f"{mean} ± {value.half_width:.3f}" if value.is_symmetric else f"{mean} [{low}, {high}]"


def clips_needed(row: Row) -> str:
    """``"≈ 420"`` test clips of each machine, never fewer; ``"> 99,999"`` where there is hardly a difference."""
    needed = row.clips_to_settle
    if needed is None:
        return UNKNOWN
    return f"≈ {10 * math.ceil(needed / 10):,}" if needed < MOST_CLIPS else f"> {MOST_CLIPS:,}"


def _cells(row: Row) -> dict[str, str]:
    deviation = row.auc.deviation if row.auc else None
    values = (
        with_interval(row.auc),
        with_interval(row.gain, "+"),
        clips_needed(row),
        UNKNOWN if deviation is None else f"{deviation:.3f}",
        with_interval(row.pauc),
        number(row.id_accuracy),
        number(row.false_alarm_rate),
        number(row.bytes_sent, 2, 1e-6),
        number(row.seconds, 1),
        str(len(row.seeds)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _estimate_values(name: str, value: Estimate | None) -> dict[str, float | None]:
    low, high = (value.low, value.high) if value else (None, None)
    mean, deviation = (value.mean, value.deviation) if value else (None, None)
    return {f"{name}_mean": mean, f"{name}_std": deviation, f"{name}_low": low, f"{name}_high": high}
