"""Figures, drawn without a display."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from collab_asd.evaluation import Evaluation, MachineResult

BLUE, GREY = "#2a6f97", "#6c757d"


def plot_auc_bars(evaluation: Evaluation, title: str, path: Path) -> None:
    """Draw the AUC of each machine as a bar with its 95 % bootstrap interval, and their mean as a line.

    Machines without labelled anomalies have no AUC and are left out.
    """
    machines = [m for m in evaluation.machines if m.auc is not None]
    figure = Figure(figsize=(max(5.0, 0.7 * len(machines) + 2), 4), layout="constrained")
    axes = figure.subplots()
    for i, machine in enumerate(machines):
        axes.bar(i, machine.auc or 0.0, color=BLUE, width=0.7)
        axes.errorbar(i, machine.auc or 0.0, yerr=_error(machine), color="black", capsize=4, linewidth=1)
        axes.annotate(f"{machine.auc:.2f}", (i, 0.03), ha="center", color="white")
    axes.axhline(0.5, color=GREY, linewidth=1, linestyle=":", label="chance")
    if (mean := evaluation.total("auc")) is not None:
        axes.axhline(mean, color=BLUE, linewidth=1, linestyle="--", label=f"mean {mean:.3f}")
    axes.set_xticks(range(len(machines)), [m.machine for m in machines], rotation=30, ha="right")
    axes.set(ylim=(0, 1), ylabel="AUC")
    axes.set_title(title, pad=28, loc="left")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _error(machine: MachineResult) -> list[list[float]] | None:
    if machine.auc is None or machine.auc_interval is None:
        return None
    low, high = machine.auc_interval
    return [[max(machine.auc - low, 0.0)], [max(high - machine.auc, 0.0)]]
