"""The per-machine table, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from collab_asd.evaluation import Evaluation

MEASURES = {
    "auc": "AUC",
    "auc_interval": "95 % CI",
    "pauc": "pAUC",
    "id_accuracy": "ID acc.",
    "false_alarm_rate": "FAR",
    "recall": "recall",
    "f1": "F1",
}


def machine_table(evaluation: Evaluation, title: str) -> Table:
    """One row per machine and the mean over machines, as the paper's "total"; fractions, "–" where unknown."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("machine", no_wrap=True)
    for heading in MEASURES.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for machine in evaluation.machines:
        table.add_row(machine.machine, *(_text(getattr(machine, name)) for name in MEASURES))
    table.add_section()
    means = [evaluation.total(name) if name != "auc_interval" else None for name in MEASURES]
    table.add_row("mean", *map(_text, means), style="bold")
    return table


def _text(value: float | Sequence[float] | None) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return f"{value[0]:.3f}–{value[1]:.3f}"
    return f"{value:.3f}"
