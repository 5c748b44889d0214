"""A comparison over partitions, from one machine per client to IID: who holds what, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from collab_asd.core.types import ScoreArray
from collab_asd.data.manifest import ManifestRow
from collab_asd.data.partitions import evenness, partition_words
from collab_asd.report.comparison import Estimate, Line
from collab_asd.report.theme import LIGHT, MARKERS, SERIES, add_legend, drawing, panels

Measure = Literal["auc", "id_accuracy"]
WORDS: dict[Measure, str] = {"auc": "mean AUC", "id_accuracy": "mean ID accuracy"}
WIDTH, HEIGHT = 6.6, 3.6  # inches, of a panel
SIDESTEP = 0.05  # between methods on one partition, so that their intervals do not hide one another
HATCHES = ("", "///", "...", "xxx")
LINE = 0.052  # height of a label, as a fraction of the panel's
ROOM = 0.6  # above and below all means, for intervals, as a fraction of the means' range; wider ones are cut off


def holdings(lines: Sequence[ManifestRow]) -> dict[str, list[int]]:
    """Count the training clips of each machine (``"type/id"``) with client 0, 1, ..., from a run's manifest."""
    clients = 1 + max(int(line.client) for line in lines)
    held: dict[str, list[int]] = {f"{t}/{i}": [0] * clients for t, i in sorted({line[1:3] for line in lines})}
    for line in lines:
        held[f"{line.machine_type}/{line.machine_id}"][int(line.client)] += line.split == "train"
    return held


def holding_panels(manifests: Mapping[str, Sequence[ManifestRow]]) -> Figure:
    """Draw how many training clips of each machine each client holds, a panel per partition.

    Parameters
    ----------
    manifests : mapping
        Of a run on each partition, by the partition's name.
    """
    with drawing():
        figure, of_partition = panels(len(manifests), 2.2, most_columns=5)
        for axes, partition in zip(of_partition, sorted(manifests, key=evenness), strict=True):
            _draw_holdings(axes, holdings(manifests[partition]))
            axes.set_title(partition_words(partition), loc="left")
            axes.set_xlabel("client")
        of_partition[0].set_ylabel("training clips")
        add_legend(figure, of_partition[0].get_legend_handles_labels()[0], most_columns=6)
    return figure


def _draw_holdings(axes: Axes, held: Mapping[str, Sequence[int]]) -> None:
    """Stack the machines of each client; where colours repeat, hatches tell machines apart."""
    below = np.zeros(len(next(iter(held.values()))))
    for i, (machine, clips) in enumerate(held.items()):
        for bar in axes.bar(np.arange(len(clips)), clips, bottom=below, width=0.85, label=machine):
            bar.set(
                facecolor=SERIES[i % len(SERIES)], edgecolor="white", hatch=HATCHES[i // len(SERIES) % len(HATCHES)]
            )
        below += clips
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.tick_params(axis="x", length=0)
    axes.label_outer(remove_inner_ticks=True)


def against_heterogeneity(rows: Sequence[Line], measure: Measure = "auc") -> Figure | None:
    """Draw a measure with its 95 % interval over the partitions, a line per method; None where there are not two.

    One panel per encoder and scorer. Methods that have a scorer of their own are in each panel of their encoder.
    """
    measured = [row for row in rows if getattr(row, measure) and row.partition]
    partitions = sorted({row.partition for row in measured}, key=evenness)
    if len(partitions) < 2:
        return None
    methods = list(dict.fromkeys(row.method for row in measured))
    panels = _panels(measured)
    with drawing():
        figure = Figure(figsize=(WIDTH, HEIGHT * len(panels)), layout="constrained", facecolor="white")
        for axes, (title, of_panel) in zip(np.ravel(figure.subplots(len(panels))), panels.items(), strict=True):
            _draw_panel(axes, of_panel, measure, partitions, methods)
            axes.set_ylabel(WORDS[measure])
            axes.set_title(title, loc="left")
    return figure


def _panels(rows: Sequence[Line]) -> dict[str, list[Line]]:
    own = [row for row in rows if row.label == row.method]
    chosen = list(dict.fromkeys((row.encoder, row.scorer) for row in rows if row.label != row.method))
    if not chosen:
        return {encoder: [row for row in own if row.encoder == encoder] for encoder in {row.encoder: 0 for row in own}}
    return {
        f"{encoder}, {scorer}": [row for row in rows if row.encoder == encoder and (row.scorer == scorer or row in own)]
        for encoder, scorer in chosen
    }


def _draw_panel(
    axes: Axes, rows: Sequence[Line], measure: Measure, partitions: Sequence[str], methods: Sequence[str]
) -> None:
    ends: dict[str, float] = {}
    for i, method in enumerate(methods):
        of_method: dict[str, Estimate] = {row.partition: getattr(row, measure) for row in rows if row.method == method}
        places = [x for x, partition in enumerate(partitions) if partition in of_method]
        if not places:
            continue
        found = [of_method[partitions[x]] for x in places]
        means = [estimate.mean for estimate in found]
        axes.errorbar(
            np.array(places) + SIDESTEP * (i - (len(methods) - 1) / 2),
            means,
            yerr=np.transpose([estimate.arms for estimate in found]),
            color=_colour(methods, method),
            marker=MARKERS[i % len(MARKERS)],
            linestyle="-" if i < len(SERIES) else "--",
            linewidth=1.4,
            elinewidth=0.9,
            markersize=5,
            capsize=2,
        )
        ends[method] = means[-1]
    axes.set_xticks(range(len(partitions)), [partition_words(partition) for partition in partitions])
    axes.set(axisbelow=True, xlim=(-0.3, len(partitions) - 0.7), ylim=limits(rows, measure))
    axes.grid(axis="y", color=LIGHT["line"], linewidth=0.6)
    _label(axes, ends, methods)


def limits(rows: Sequence[Line], measure: Measure = "auc") -> tuple[float, float]:
    """Return a range that shows all means, and their intervals unless these dwarf what is to be compared.

    The interval of two or three seeds may be wider than all there is between the methods.
    """
    found: list[Estimate] = [value for row in rows if (value := getattr(row, measure))]
    means = [estimate.mean for estimate in found]
    room = ROOM * max(max(means) - min(means), 0.05)
    low = min(estimate.mean - estimate.arms[0] for estimate in found)
    high = max(estimate.mean + estimate.arms[1] for estimate in found)
    margin = 0.05 * room
    return max(low, min(means) - room, 0.0) - margin, min(high, max(means) + room, 1.0) + margin


def _label(axes: Axes, ends: dict[str, float], methods: Sequence[str]) -> None:
    """Write each method's name at the end of its line, one above the other where lines end close together."""
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda method: ends[method])
    heights = spread(np.array([ends[method] for method in order]), LINE * (high - low))
    for method, height in zip(order, heights, strict=True):
        axes.annotate(
            method,
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            color=_colour(methods, method),
            fontsize=8,
            annotation_clip=False,
        )


def spread(heights: ScoreArray, gap: float) -> ScoreArray:
    """Move rising heights apart to at least a gap, by as little as it takes: groups stay where their middle was.

    Examples
    --------
    >>> spread(np.array([0.0, 5.0, 5.0]), 2.0).tolist()
    [0.0, 4.0, 6.0]
    """
    steps = gap * np.arange(len(heights))
    groups: list[
        list[float]
    ] = []  # heights without their steps must rise: pool those that do not (isotonic regression)
    for height in heights - steps:
        groups.append([float(height)])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    pooled = [float(np.mean(group)) for group in groups for _ in group]
    return np.asarray(pooled + steps, np.float64)


def _colour(methods: Sequence[str], method: str) -> str:
    return SERIES[methods.index(method) % len(SERIES)]
