"""Maps of the embeddings of one machine type, before and after the ID classifier f_s."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from collab_asd.interfaces import FloatArray
from collab_asd.report.contents import ClipKind, Embeddings
from collab_asd.report.theme import LIGHT, SERIES, chart

# Points that one panel shows of each kind, shared by its machines: more would only cover one another.
POINTS_SHOWN = 600
MARKS: dict[ClipKind, tuple[str, str]] = {
    "normal": (".", "normal, learned from"),
    "test normal": ("o", "normal, new"),
    "test anomaly": ("x", "faulty, new"),
    "test": ("s", "new, not labelled"),
}


def embedding_maps(machines: Sequence[Embeddings]) -> dict[str, Figure]:
    """Draw the clips of all machines of one type in the plane of the two main components of their training normals.

    Returns
    -------
    dict of Figure
        ``"before"``: the encoder's embeddings; ``"after"``: those of f_s, if every machine has them.
    """
    maps = {"before": _draw_plane(machines, [m.before for m in machines])}
    after = [m.after for m in machines if m.after is not None]
    if len(after) == len(machines):
        maps["after"] = _draw_plane(machines, after)
    return maps


def _draw_plane(machines: Sequence[Embeddings], points: Sequence[FloatArray]) -> Figure:
    plane = _fit_plane(machines, points)
    limit = max(POINTS_SHOWN // len(machines), 10)
    legend = _legend(machines)
    figure, axes = chart(3.8, 3.7 + 0.17 * math.ceil(len(legend) / 2))
    for i, (machine, of_machine) in enumerate(zip(machines, points, strict=True)):
        positions, kinds = plane.transform(of_machine), np.array(machine.kinds)
        for kind, (mark, _) in MARKS.items():
            x, y = _thinned(positions[kinds == kind], limit).T
            _style(axes.plot(x, y)[0], mark, SERIES[i % len(SERIES)])
        if len(machines) > len(SERIES):  # colours repeat: write the ID on its place
            place = np.median(positions[kinds == "normal"], axis=0)
            axes.annotate(_short(machine), place, ha="center", va="center", fontsize=8, fontweight="bold")
    axes.set(xticks=[], yticks=[], xlabel="main component 1", ylabel="main component 2")
    axes.spines[["top", "right"]].set_visible(True)
    figure.legend(handles=legend, loc="outside lower left", ncols=2, fontsize=8)
    return figure


def _fit_plane(machines: Sequence[Embeddings], points: Sequence[FloatArray]) -> PCA:
    normals = [p[np.array(m.kinds) == "normal"] for m, p in zip(machines, points, strict=True)]
    return PCA(2, random_state=0).fit(np.concatenate(normals))


def _thinned(positions: FloatArray, limit: int) -> FloatArray:
    """At most so many of the points, evenly spaced in their order."""
    chosen = np.linspace(0, len(positions) - 1, min(len(positions), limit)).astype(int)
    thinned: FloatArray = positions[chosen]
    return thinned


def _style(line: Line2D, mark: str, colour: str) -> Line2D:
    small = mark == "."
    line.set(linestyle="none", marker=mark, color=colour, markersize=5 if small else 4.5, alpha=0.5 if small else 0.9)
    line.set(markerfacecolor="none" if mark in "os" else colour, markeredgewidth=0 if small else 1)
    return line


def _legend(machines: Sequence[Embeddings]) -> list[Line2D]:
    used = {kind for machine in machines for kind in machine.kinds}
    marks = [
        _style(Line2D([], [], label=words), mark, LIGHT["ink"]) for kind, (mark, words) in MARKS.items() if kind in used
    ]
    if len(machines) > len(SERIES):
        return marks
    colours = [
        Line2D([], [], color=colour, linewidth=5, label=machine.machine)
        for machine, colour in zip(machines, SERIES, strict=False)
    ]
    columns = (marks, colours)
    longest = max(map(len, columns))
    blank = Line2D([], [], linestyle="none", label=" ")
    return [entry for column in columns for entry in column + [blank] * (longest - len(column))]


def _short(machine: Embeddings) -> str:
    return machine.machine.removeprefix(f"{machine.machine_type}/")
