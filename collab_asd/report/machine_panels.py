"""A comparison, machine by machine: AUC bars, ROC curves and score histograms in a panel each, on white paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import roc_curve

from collab_asd.interfaces import ANOMALY, NORMAL, ScoreArray
from collab_asd.report.comparison import REFERENCE, Entry
from collab_asd.report.machine_clips import MachineClips
from collab_asd.report.plots import draw_score_histogram
from collab_asd.report.theme import LIGHT, SERIES, drawing, panels

GUESSING = 0.5
LINES = ("-", "--", "-.", ":")
FALSE_ALARMS: ScoreArray = np.linspace(0, 1, 501)


def auc_panels(entries: Sequence[Entry], machines: Sequence[str]) -> Figure:
    """Draw the AUC of each method on each machine, mean over seeds with its 95 % interval.

    Bars begin at 0.5, which is guessing. Embedding sharing is coloured, and a dashed line goes through the first of its
    bars: what reaches beyond it is better than sharing embeddings.
    """
    with drawing():
        figure, of_machine = panels(len(machines), 0.75 + 0.23 * len(entries))
        for axes, machine in zip(of_machine, machines, strict=True):
            for y, entry in enumerate(entries):
                _draw_bar(axes, y, entry, machine)
            reference = next((auc for e in entries if e.method == REFERENCE and (auc := e.auc_of(machine))), None)
            if reference:
                axes.axvline(reference.mean, color=LIGHT["ink"], linewidth=1, linestyle="--")
            axes.set_title(machine, loc="left")
            axes.set_yticks(range(len(entries)), [entry.label for entry in entries])
            axes.set(ylim=(len(entries) - 0.4, -0.6), xticks=(0.5, 0.75, 1.0))
            axes.tick_params(axis="y", length=0)
        _share_x(of_machine, "AUC")
        for axes in of_machine:
            axes.label_outer()
    return figure


def roc_panels(entries: Sequence[Entry], machines: Sequence[str]) -> Figure:
    """Draw faults found against false alarms for every threshold, mean over seeds at each rate of false alarms."""
    with drawing():
        figure, of_machine = panels(len(machines), 2.75)
        for axes, machine in zip(of_machine, machines, strict=True):
            axes.plot([0, 1], [0, 1], color=LIGHT["soft"], linewidth=1, linestyle=(0, (1, 3)))
            for i, entry in enumerate(entries):
                found = [0.0, *mean_roc(entry.clips(machine))]
                (line,) = axes.plot([0.0, *FALSE_ALARMS], found, linewidth=1.6, label=entry.label)
                line.set(color=SERIES[i % len(SERIES)], linestyle=LINES[i % len(LINES)])
            axes.set_title(machine, loc="left")
            axes.set(xlim=(0, 1), ylim=(0, 1.01), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
            axes.set(xlabel="false alarms", ylabel="faults found")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
            axes.label_outer()
        figure.legend(*of_machine[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(entries))
    return figure


def score_panels(entries: Sequence[Entry], machine: str) -> Figure:
    """Draw the scores of one machine's normal and faulty clips, a method beside the other, each with its first seed."""
    with drawing():
        figure, of_method = panels(len(entries), 2.4, share_y=False)
        for axes, entry in zip(of_method, entries, strict=True):
            clips = entry.clips(machine)[0]
            draw_score_histogram(axes, clips)
            axes.set_title(f"{entry.label}\nAUC {clips.result.auc:.2f}", loc="left")
        of_method[0].set_ylabel("recordings")
        figure.legend(*of_method[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def mean_roc(seeds: Sequence[MachineClips]) -> ScoreArray:
    """Faults found at each rate of `FALSE_ALARMS`, mean over seeds (vertical averaging).

    Where several clients hold the machine, first over these, weighted by their pairs of clips as the AUC is.

    References
    ----------
    T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006, section 7.
    """
    curves = []
    for clips in seeds:
        parts = [(part.scores(NORMAL), part.scores(ANOMALY)) for part in clips.by_client()]
        pairs = [len(normal) * len(anomaly) for normal, anomaly in parts]
        of_clients = [_found(normal, anomaly) for (normal, anomaly), n in zip(parts, pairs, strict=True) if n]
        curves.append(np.average(of_clients, axis=0, weights=[n for n in pairs if n]))
    mean: ScoreArray = np.mean(curves, axis=0)
    return mean


def _found(normal: ScoreArray, anomaly: ScoreArray) -> ScoreArray:
    labels = np.repeat([NORMAL, ANOMALY], [len(normal), len(anomaly)])
    false_alarms, found, _ = roc_curve(labels, np.concatenate([normal, anomaly]))
    curve: ScoreArray = np.interp(FALSE_ALARMS, false_alarms, found)
    return curve


def _draw_bar(axes: Axes, y: float, entry: Entry, machine: str) -> None:
    if (auc := entry.auc_of(machine)) is None:
        return
    is_reference = entry.method == REFERENCE
    colour = LIGHT["normal"] if is_reference else LIGHT["line"]
    axes.barh(y, auc.mean - GUESSING, left=GUESSING, height=0.75, color=colour)
    if auc.half_width:
        axes.errorbar(auc.mean, y, xerr=auc.half_width, color=LIGHT["ink"], capsize=2, linewidth=1)
    beside = axes.get_yaxis_transform()  # x as a fraction of the width, y as a line
    weight = "bold" if is_reference else "normal"
    axes.text(1.02, y, f"{auc.mean:.2f}", transform=beside, va="center_baseline", fontsize=8, fontweight=weight)


def _share_x(of_machine: Sequence[Axes], label: str) -> None:
    """Give AUC panels one scale: from guessing, or from the worst bar, to 1."""
    low = min(axes.get_xlim()[0] for axes in of_machine)
    for axes in of_machine:
        axes.set(xlim=(min(low, GUESSING), 1.0), xlabel=label)
