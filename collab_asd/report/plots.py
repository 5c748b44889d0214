"""AUC bars, ROC curves and score histograms: of one run, and of several, machine by machine, on white paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import roc_curve

from collab_asd.core.types import ANOMALY, NORMAL, ScoreArray
from collab_asd.detection.evaluation import Evaluation, MachineResult
from collab_asd.report.comparison import REFERENCE, Entry
from collab_asd.report.contents import MachineClips
from collab_asd.report.tables import FEW_TEST_CLIPS
from collab_asd.report.theme import LIGHT, SERIES, add_legend, chart, drawing, panels, save_png

BINS = 30
KINDS: dict[int | None, tuple[str, str]] = {
    None: ("not labelled", LIGHT["soft"]),
    NORMAL: ("normal", LIGHT["normal"]),
    ANOMALY: ("faulty", LIGHT["anomaly"]),
}


def plot_auc_bars(evaluation: Evaluation, title: str, path: Path) -> None:
    """Write a PNG of the AUC of each machine as a bar with its 95 % interval, and their mean as a line."""
    with drawing():
        figure = auc_bars({"": evaluation})
        figure.axes[0].set_title(title, loc="left")
        save_png(figure, path)


def auc_bars(evaluations: dict[str, Evaluation]) -> Figure:
    """Draw a bar per machine and run; machines without labelled anomalies have no AUC and are left out.

    Parameters
    ----------
    evaluations : dict
        By the name of the run, on the same machines; the name of a single run is not shown.
    """
    measured = [m for m in next(iter(evaluations.values())).machines if m.auc is not None]
    machines = [f"{m.machine} {FEW_TEST_CLIPS}" if m.few_test_clips else m.machine for m in measured]
    thickness = 0.8 / len(evaluations)
    figure, axes = chart(4.7, 0.9 + len(machines) * (0.12 + 0.19 * len(evaluations)))
    for i, (run, evaluation) in enumerate(evaluations.items()):
        results = [m for m in evaluation.machines if m.auc is not None]
        offset = (i + 0.5) * thickness - 0.4
        _draw_bars(axes, results, offset, thickness, SERIES[i % len(SERIES)])
        if (mean := evaluation.total("auc")) is not None:
            label = f"{run}: mean {mean:.2f}" if run else f"mean {mean:.2f}"
            axes.axvline(mean, color=SERIES[i % len(SERIES)], linewidth=1, linestyle="--", label=label)
    axes.axvline(0.5, color=LIGHT["soft"], linewidth=1, linestyle=":", label="guessing")
    axes.set_yticks(range(len(machines)), machines)
    axes.set(xlim=(0, 1), ylim=(max(len(machines), 1) - 0.4, -0.6), xlabel="AUC, with 95 % interval")
    add_legend(figure, axes.get_legend_handles_labels()[0], "upper left", 1 if len(evaluations) > 1 else 2)
    return figure


def _draw_bars(axes: Axes, results: Sequence[MachineResult], offset: float, thickness: float, colour: str) -> None:
    for row, result in enumerate(results):
        y, auc = row + offset, result.auc or 0.0
        axes.barh(y, auc, height=0.92 * thickness, color=colour)
        axes.errorbar(auc, y, xerr=_error(result), color=LIGHT["ink"], capsize=2.5, linewidth=1)
        inside = auc > 0.15
        colour_of_text = LIGHT["paper"] if inside else LIGHT["ink"]
        x = 0.015 if inside else (result.auc_interval or (0.0, auc))[1] + 0.015
        axes.annotate(f"{auc:.2f}", (x, y), va="center_baseline", color=colour_of_text, fontsize=8)


def _error(machine: MachineResult) -> list[list[float]] | None:
    if machine.auc is None or machine.auc_interval is None:
        return None
    low, high = machine.auc_interval
    return [[max(machine.auc - low, 0.0)], [max(high - machine.auc, 0.0)]]


def roc(machine: MachineClips) -> Figure:
    """Draw faults found against false alarms for every possible threshold, and the point of those in use.

    One curve for each client that holds normal and faulty clips of this machine: their scores are on different scales.
    """
    figure, axes = chart(2.3, 2.15, (0.72, 0.47, 0.24, 0.34))
    axes.plot([0, 1], [0, 1], color=LIGHT["soft"], linewidth=1, linestyle=":")
    parts = [(part.scores(NORMAL), part.scores(ANOMALY)) for part in machine.by_client()]
    curves = [(normal, anomaly) for normal, anomaly in parts if len(normal) and len(anomaly)]
    for normal, anomaly in curves:
        labels = np.repeat([NORMAL, ANOMALY], [len(normal), len(anomaly)])
        false_alarms, found, _ = roc_curve(labels, np.concatenate([normal, anomaly]))
        axes.plot(false_alarms, found, color=LIGHT["normal"], linewidth=1.8 if len(curves) == 1 else 1)
    point = np.array([machine.result.false_alarm_rate, machine.result.recall], dtype=float)
    axes.plot(point[:1], point[1:], "o", color=LIGHT["anomaly"], markersize=6, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="false alarms", ylabel="faults found", aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_title(machine.name, loc="left")
    return figure


def score_histogram(machine: MachineClips) -> Figure:
    """Draw how many clips of each kind got which score; see `draw_score_histogram`."""
    figure, axes = chart(3.3, 2.1, (0.7, 0.45, 0.12, 0.24))
    draw_score_histogram(axes, machine)
    axes.set_ylabel("recordings")
    axes.set_title(machine.name, loc="left")
    return figure


def draw_score_histogram(axes: Axes, machine: MachineClips) -> None:
    """Draw how many clips of each kind got which score, and the threshold as a dashed line.

    The outermost 1 % of the scores are counted in the outermost bars: one extreme clip would squeeze all others.
    """
    scores = {kind: machine.scores(kind) for kind in KINDS if machine.count(kind)}
    edges = _bin_edges(np.concatenate(list(scores.values())), machine.thresholds)
    for kind, of_kind in scores.items():
        name, colour = KINDS[kind]
        inside = of_kind.clip(edges[0], edges[-1])
        axes.hist(inside, edges, color=colour, alpha=0.35, histtype="stepfilled")
        axes.hist(inside, edges, color=colour, histtype="step", linewidth=1.3, label=name)
    for limit in machine.thresholds:
        axes.axvline(limit, color=LIGHT["ink"], linewidth=1.3, linestyle="--")
    axes.set_xlabel("anomaly score")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _bin_edges(scores: ScoreArray, thresholds: Sequence[float]) -> list[float]:
    low, high = np.quantile(scores, [0.01, 0.99])
    low, high = min(low, *thresholds), max(high, *thresholds)
    edges: list[float] = np.linspace(low, high if high > low else low + 1, BINS + 1).tolist()
    return edges


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
        figure, of_machine = panels(len(machines), 2.5)
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
        add_legend(figure, of_machine[0].get_legend_handles_labels()[0], most_columns=len(entries))
    return figure


def score_panels(entries: Sequence[Entry], machine: str) -> Figure:
    """Draw the scores of one machine's normal and faulty clips, a method beside the other, each with its first seed."""
    with drawing():
        figure, of_method = panels(len(entries), 2.2, share_y=False)
        for axes, entry in zip(of_method, entries, strict=True):
            clips = entry.clips(machine)[0]
            draw_score_histogram(axes, clips)
            axes.set_title(f"{entry.label}\nAUC {clips.result.auc:.2f}", loc="left")
        of_method[0].set_ylabel("recordings")
        add_legend(figure, of_method[0].get_legend_handles_labels()[0], most_columns=4)
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
    if any(auc.arms):
        axes.errorbar(auc.mean, y, xerr=[[arm] for arm in auc.arms], color=LIGHT["ink"], capsize=2, linewidth=1)
    beside = axes.get_yaxis_transform()  # x as a fraction of the width, y as a line
    weight = "bold" if is_reference else "normal"
    axes.text(1.02, y, f"{auc.mean:.2f}", transform=beside, va="center_baseline", fontsize=8, fontweight=weight)


def _share_x(of_machine: Sequence[Axes], label: str) -> None:
    """Give AUC panels one scale: from guessing, or from the worst bar, to 1."""
    low = min(axes.get_xlim()[0] for axes in of_machine)
    for axes in of_machine:
        axes.set(xlim=(min(low, GUESSING), 1.0), xlabel=label)
