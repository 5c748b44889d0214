"""The statistics of a comparison, on numbers alone: means over seeds, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from collab_asd.report.comparison import REFERENCE, Line
from collab_asd.report.estimate import Estimate, estimate


@dataclass(frozen=True)
class CellResult:
    """What one finished cell found; fractions, or None where it has none.

    Parameters
    ----------
    method, encoder, scorer : str
    seed : int
    auc, pauc, id_accuracy, false_alarm_rate : float or None
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

    @property
    def place(self) -> str:
        """What it has in common with the embedding sharing that it is measured against."""
        return f"{self.encoder}, {self.partition}" if self.partition else self.encoder

    @property
    def beats_reference(self) -> bool:
        """Whether its mean AUC lies above that of embedding sharing, by chance or not."""
        return self.gain is not None and self.gain.mean > 0

    @property
    def stands_out(self) -> bool:
        """Whether it is to be set in bold."""
        return self.is_best or self.beats_reference


MEASURES = ("auc", "pauc", "id_accuracy", "false_alarm_rate", "bytes_sent", "seconds")


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
    return [replace(row, is_best=row.auc is not None and row.auc.mean == best) for row in rows]


def _first(references: Mapping[tuple[str, str], Sequence[CellResult]], partition: str) -> Sequence[CellResult]:
    return next((cells for (of, _), cells in references.items() if of == partition), [])


def _summarize(cells: Sequence[CellResult], reference: Sequence[CellResult]) -> Row:
    first = cells[0]
    is_reference = bool(reference) and first.row == reference[0].row
    machines = dict.fromkeys(machine for cell in cells for machine in cell.auc_by_machine)
    return Row(
        *first.row,
        seeds=tuple(cell.seed for cell in cells),
        auc=estimate(cell.auc for cell in cells),
        pauc=estimate(cell.pauc for cell in cells),
        id_accuracy=estimate(cell.id_accuracy for cell in cells),
        false_alarm_rate=estimate(cell.false_alarm_rate for cell in cells),
        bytes_sent=estimate(cell.bytes_sent for cell in cells),
        seconds=estimate(cell.seconds for cell in cells),
        gain=None if is_reference else estimate(_differences(cells, reference)),
        auc_by_machine={m: estimate(cell.auc_by_machine.get(m) for cell in cells) for m in machines},
        is_reference=is_reference,
        marks=tuple(sorted({mark for cell in cells for mark in cell.marks})),
    )


def _differences(cells: Sequence[CellResult], reference: Sequence[CellResult]) -> list[float]:
    """AUC minus the reference's, of the seeds that both have."""
    of_seed = {cell.seed: cell.auc for cell in reference}
    pairs = [(cell.auc, of_seed.get(cell.seed)) for cell in cells]
    return [auc - other for auc, other in pairs if auc is not None and other is not None]
