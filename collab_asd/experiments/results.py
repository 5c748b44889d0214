"""What the cells of an experiment found, put together and written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from collab_asd.core.files import replacing
from collab_asd.core.runtime import TRAINED_BEFORE
from collab_asd.detection.evaluation import MachineResult
from collab_asd.detection.intervals import labelled_scores
from collab_asd.experiments.experiment import Cell, Experiment
from collab_asd.experiments.page import write_comparison_page
from collab_asd.experiments.tables import (
    CellResult,
    Row,
    against_sharing,
    cell_values,
    comparison_sheet,
    row_values,
    summarize_rows,
    write_csv,
)
from collab_asd.federation.results import read_summary
from collab_asd.report.reading import read_scores
from collab_asd.report.tables import marks_of


@dataclass(frozen=True)
class Comparison:
    """An experiment with its results so far.

    Parameters
    ----------
    cells : sequence of Cell
        All, in the order of the table: by encoder, partition, method, scorer and seed as the experiment names them.
    summaries : mapping
        ``summary.json`` of the finished ones, by the cell's name.
    rows : sequence of Row
    """

    experiment: Experiment
    cells: Sequence[Cell]
    summaries: Mapping[str, Mapping[str, Any]]
    rows: Sequence[Row]

    @property
    def complete(self) -> bool:
        """Whether all cells are finished."""
        return len(self.summaries) == len(self.cells)


def collect(experiment: Experiment, cells: Sequence[Cell]) -> Comparison:
    """Read what the finished cells found."""
    ordered = sorted(cells, key=lambda cell: _place(experiment, cell))
    summaries = {cell.name: read_summary(cell.folder) for cell in ordered if cell.state == "finished"}
    results = [read_result(cell, summaries[cell.name]) for cell in ordered if cell.name in summaries]
    return Comparison(experiment, ordered, summaries, summarize_rows(results, experiment.reference_scorer))


def read_result(cell: Cell, summary: Mapping[str, Any]) -> CellResult:
    """Take out of a cell's ``summary.json`` what is compared; method and partition as the experiment calls them."""
    seconds = summary["seconds"]
    return CellResult(
        method=cell.method,
        partition=cell.partition,
        **{key: summary[key] for key in ("encoder", "scorer", "seed", "id_accuracy", "false_alarm_rate", "recall")},
        auc=summary["auc"]["total"],
        pauc=summary["pauc"]["total"],
        bytes_sent=sum(summary["bytes_up"].values()) + sum(summary["bytes_down"].values()),
        seconds=seconds["total"] + seconds.get(TRAINED_BEFORE, 0.0),
        auc_by_machine=summary["auc"]["by_id"],
        marks=tuple(mark for machine in summary["machines"] for mark in marks_of(MachineResult(**machine))),
        labelled=labelled_scores(read_scores(scores)) if (scores := cell.folder / "scores.csv").exists() else {},
    )


def write_comparison(out: Path, comparison: Comparison, command: str) -> Path:
    """Write the tables (CSV and LaTeX), the figures (PNG) and the page; return the page.

    Parameters
    ----------
    command : str
        What repeats the comparison, as the page shows it.
    """
    cells = [cell_values(cell, comparison.summaries.get(cell.name)) for cell in comparison.cells]
    write_csv(out / "table.csv", cells)
    is_measured = against_sharing(comparison.rows)
    write_csv(out / "comparison.csv", [row_values(row, is_measured) for row in comparison.rows])
    with replacing(out / "comparison.tex") as file:
        file.write(comparison_sheet(comparison.rows).latex().encode())
    return write_comparison_page(
        out, comparison.experiment, comparison.cells, comparison.rows, list(comparison.summaries.values()), command
    )


def as_json(out: Path, comparison: Comparison) -> str:
    """Return states of all cells and statistics of all rows."""
    cells = [{"name": cell.name, "state": cell.state, "error": cell.error} for cell in comparison.cells]
    rows = [asdict(row) for row in comparison.rows]
    return json.dumps({"name": comparison.experiment.name, "out": str(out), "cells": cells, "rows": rows}, indent=2)


def _place(experiment: Experiment, cell: Cell) -> tuple[int, ...]:
    """Where a cell stands in the table. A method that has a scorer of its own comes first with it."""
    config = cell.config
    return (
        experiment.all_encoders.index(config.encoder),
        experiment.partitions.index(cell.partition) if cell.partition else 0,
        experiment.methods.index(cell.method),
        experiment.scorers.index(cell.scorer) if cell.scorer in experiment.scorers else 0,
        experiment.seeds.index(config.seed),
    )
