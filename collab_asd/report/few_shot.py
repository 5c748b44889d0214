"""How many normal recordings a machine needs: a comparison over their number, and where a run's machines stand on it.

``few_shot_curves/`` holds ``comparison.csv`` of ``collab-asd compare few-shot``, on real and on synthetic machines
(docs/evidence.md says how they were made).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from collab_asd.data.partitions import CLIPS, evenness
from collab_asd.report.comparison import Estimate, Line
from collab_asd.report.contents import Run, training_clips
from collab_asd.report.heterogeneity import spread
from collab_asd.report.theme import LIGHT, MARKERS, SERIES, add_legend, chart, drawing

Measure = Literal["auc", "false_alarm_rate", "recall"]
WORDS: dict[Measure, str] = {
    "auc": "AUC",
    "false_alarm_rate": "false alarms",
    "recall": "faults noticed",
}
CURVES = {"toycar": "ToyCar: four real machines", "synthetic": "18 synthetic machines of six types"}
PANEL = (4.6, 3.6)  # inches
SIDESTEP = 1.03  # factor between the lines at one number of clips, so that their intervals do not hide one another
LINE = 0.055  # height of a label, as a fraction of the panel's
LABELLED = 6  # machines; of more the names are not written beside their dots
NEARLY = 0.01  # AUC: what is left to gain from more recordings when they are enough


@dataclass(frozen=True)
class CurvePoint(Line):
    """One line of a shipped curve: means over machines and draws."""

    auc: Estimate | None
    false_alarm_rate: Estimate | None
    recall: Estimate | None


def is_few_shot(rows: Sequence[Line]) -> bool:
    """Whether rows of a comparison differ in the number of clips."""
    return len({row.partition for row in rows}) > 1 and all(row.partition.startswith(CLIPS) for row in rows)


def few_shot_panels(rows: Sequence[Line]) -> Figure | None:
    """Draw AUC, false alarms and recall against the number of normal clips, a line per method and scorer.

    None where rows do not differ in the number of clips.
    """
    if not is_few_shot(rows):
        return None
    measures = [m for m in get_args(Measure) if any(getattr(row, m) for row in rows)]
    labels = list(dict.fromkeys(row.label for row in rows))
    with drawing():
        width, height = PANEL
        figure = Figure(figsize=(width * len(measures), height), layout="constrained", facecolor="white")
        for axes, measure in zip(np.ravel(figure.subplots(1, len(measures))), measures, strict=True):
            _draw(axes, rows, measure, labels)
            axes.set_title(f"{WORDS[measure]}, mean over machines", loc="left")
        add_legend(figure, figure.axes[0].get_legend_handles_labels()[0], most_columns=3)
    return figure


@cache
def curve(name: str) -> tuple[CurvePoint, ...]:
    """Read a shipped curve, a key of `CURVES`; empty where it is not there."""
    file = files("collab_asd.report") / "few_shot_curves" / f"{name}.csv"
    if not file.is_file():
        return ()
    lines = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return tuple(
        CurvePoint(
            *(line["method"], line["encoder"], line["scorer"], line["partition"]),
            auc=_estimate(line, "auc"),
            false_alarm_rate=_estimate(line, "false_alarm_rate"),
            recall=_estimate(line, "recall"),
        )
        for line in lines
    )


@dataclass(frozen=True)
class Placing:
    """Where the machines of a run stand on the shipped curves.

    Parameters
    ----------
    words : list of str
    figures : mapping of str to Figure
        By what the curve was measured on, in words.
    coloured : str
        Which method's curve is coloured, in words.
    """

    words: list[str]
    figures: Mapping[str, Figure]
    coloured: str


def place(run: Run) -> Placing | None:
    """Place the machines of a run, by their numbers of normal recordings; None where there is no curve."""
    curves = {name: points for name in CURVES if (points := curve(name))}
    used = training_clips(run)
    if not curves or not used:
        return None
    method = _method_of(run, curves)
    fewest = min(used.values())
    words = [_count_words(used), *(_gain_words(name, points, method, fewest) for name, points in curves.items())]
    drawn = {CURVES[name]: _placed(points, method, run, used) for name, points in curves.items()}
    coloured = "this run's" if method == _label_of(run) else f"that of {method}; this run's method was not measured"
    return Placing([sentence for sentence in words if sentence], drawn, coloured)


def _method_of(run: Run, curves: Mapping[str, Sequence[CurvePoint]]) -> str:
    """Return the label of the curve of the run's method; of the default one where there is none."""
    labels = list(dict.fromkeys(point.label for points in curves.values() for point in points))
    own = _label_of(run)
    return own if own in labels else labels[0]


def _label_of(run: Run) -> str:
    return Line(run.summary["method"], run.summary["encoder"], run.summary["scorer"], "").label


def _count_words(used: Mapping[str, int]) -> str:
    low, high = min(used.values()), max(used.values())
    clips = f"{low} normal recording{'s' if low > 1 else ''}" if low == high else f"{low} to {high} normal recordings"
    return (
        f"The machines of this run have {clips} each. "
        "The curves show what others reached with as many; yours may be easier or harder to tell from faulty."
    )


def _gain_words(name: str, points: Sequence[CurvePoint], label: str, clips: int) -> str:
    """Say what more recordings brought on one curve, and how many were enough."""
    found = {int(evenness(p.partition)): p.auc.mean for p in points if p.label == label and p.auc}
    if not found:
        return ""
    enough = next(n for n, auc in sorted(found.items()) if auc >= max(found.values()) - NEARLY)
    here = max((n for n in found if n <= clips), default=min(found))
    line = f"{CURVES[name]} ({label}): AUC {found[here]:.2f} with {here} recordings each"
    if enough == max(found):
        return f"{line}." if enough == here else f"{line}, {found[enough]:.2f} with {enough}, the most that were tried."
    if enough > here:
        return f"{line}, {found[enough]:.2f} with {enough}; more than {enough} brought no more than {NEARLY:g}."
    return f"{line}; more brought no more than {NEARLY:g}."


def _placed(points: Sequence[CurvePoint], label: str, run: Run, used: Mapping[str, int]) -> Figure:
    """Draw a curve per method, the run's own in colour, and a dot per machine."""
    measured = {m.machine: m.auc for m in run.evaluation.machines if m.auc is not None}
    figure, axes = chart(*PANEL)
    labels = sorted({point.label for point in points}, key=lambda other: other == label)  # its own is drawn last
    ends = {}
    for other in labels:
        of_label = [(evenness(p.partition), p.auc) for p in points if p.label == other and p.auc]
        x, y = [clips for clips, _ in of_label], [auc.mean for _, auc in of_label]
        is_own = other == label
        axes.plot(x, y, color=LIGHT["normal"] if is_own else LIGHT["soft"], linewidth=2.2 if is_own else 0.9)
        ends[other] = y[-1]
    for machine, auc in measured.items():
        axes.plot(used[machine], auc, "o", color=LIGHT["anomaly"], markersize=5, clip_on=False, zorder=3)
        if len(measured) <= LABELLED:
            axes.annotate(machine, (used[machine], auc), (5, 0), textcoords="offset points", va="center", fontsize=7)
    if not measured:
        for clips in sorted(set(used.values())):
            axes.axvline(clips, color=LIGHT["anomaly"], linewidth=1, linestyle="--")
    low = min([0.7, *ends.values(), *(auc - 0.02 for auc in measured.values())])
    axes.set(ylim=(max(low, 0.0), 1.0), ylabel="AUC")
    _scale(axes, sorted({int(evenness(p.partition)) for p in points}), list(used.values()))
    _name_ends(axes, ends, {other: LIGHT["normal"] if other == label else LIGHT["soft"] for other in labels})
    return figure


def _draw(axes: Axes, rows: Sequence[Line], measure: Measure, labels: Sequence[str]) -> None:
    for i, label in enumerate(labels):
        found = [(evenness(row.partition), getattr(row, measure)) for row in rows if row.label == label]
        known = [(clips, value) for clips, value in sorted(found, key=lambda pair: pair[0]) if value is not None]
        if not known:
            continue
        axes.errorbar(
            [clips * SIDESTEP ** (i - (len(labels) - 1) / 2) for clips, _ in known],
            [value.mean for _, value in known],
            yerr=np.transpose([value.arms for _, value in known]),
            label=label,
            color=SERIES[i % len(SERIES)],
            marker=MARKERS[i % len(MARKERS)],
            linewidth=1.4,
            elinewidth=0.9,
            markersize=4.5,
            capsize=2,
        )
    _scale(axes, sorted({int(evenness(row.partition)) for row in rows}))
    axes.grid(axis="y", color=LIGHT["line"], linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(top=min(axes.get_ylim()[1], 1.02))
    if measure != "auc":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylim(bottom=0.0)


def _scale(axes: Axes, ticks: Sequence[int], also: Sequence[int] = ()) -> None:
    """Count clips on a logarithmic axis."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set(xlim=(0.9 * min([*ticks, *also]), 1.1 * max([*ticks, *also])), xlabel="normal recordings of each machine")


def _name_ends(axes: Axes, ends: Mapping[str, float], colours: Mapping[str, str]) -> None:
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda label: ends[label])
    for label, height in zip(order, spread(np.array([ends[x] for x in order]), LINE * (high - low)), strict=True):
        axes.annotate(
            label,
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            color=colours[label],
            fontsize=8,
            annotation_clip=False,
        )


def _estimate(line: Mapping[str, str], measure: str) -> Estimate | None:
    mean = line.get(f"{measure}_mean")
    return Estimate(float(mean), None, None, len(line["seeds"].split())) if mean else None
