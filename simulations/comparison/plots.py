"""Figures of a comparison: AUC per method with intervals, and what each point of AUC costs in bytes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from collab_asd.report.theme import LIGHT, MARKERS, SERIES, chart
from simulations.comparison.statistics import Row

ROW_INCHES, WIDTH = 0.21, 4.7


def auc_dots(rows: Sequence[Row]) -> Figure | None:
    """Draw the mean AUC of each row with its 95 % interval, by encoder (and partition); None if no row has one.

    A dashed line goes through embedding sharing: what lies to its right is better than sharing embeddings.
    """
    measured = [row for row in rows if row.auc]
    if not measured:
        return None
    places = list(dict.fromkeys(row.place for row in measured))
    lines = len(measured) + len(places)
    figure, axes = chart(WIDTH, 0.7 + ROW_INCHES * lines)
    labels: dict[float, str] = {}
    y = 0.0
    for i, place in enumerate(places):
        of_place = [row for row in measured if row.place == place]
        labels[y] = place
        for line, row in enumerate(of_place, start=1):
            labels[y + line] = row.label
            _draw_dot(axes, row, y + line, SERIES[i % len(SERIES)])
        for row in of_place:
            if row.is_reference and row.auc:
                axes.vlines(row.auc.mean, y + 0.5, y + len(of_place) + 0.5, LIGHT["soft"], "--", linewidth=1)
        y += len(of_place) + 1
    axes.set_yticks(list(labels), list(labels.values()))
    for tick, label in zip(axes.get_yticklabels(), labels.values(), strict=True):
        if label in places:
            tick.set(fontweight="bold", color=LIGHT["ink"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LIGHT["line"], linewidth=0.6)
    axes.set(ylim=(lines - 0.3, -0.7), xlabel="mean AUC, with 95 % interval over seeds", axisbelow=True)
    return figure


def auc_against_bytes(rows: Sequence[Row]) -> Figure | None:
    """Draw the mean AUC of each row against the bytes that its clients and server sent; None if no row has one."""
    measured = [row for row in rows if row.auc and row.bytes_sent and row.bytes_sent.mean > 0]
    if not measured:
        return None
    places = list(dict.fromkeys(row.place for row in measured))
    methods = list(dict.fromkeys(row.method for row in measured))
    colour = {place: SERIES[i % len(SERIES)] for i, place in enumerate(places)}
    marker = {method: MARKERS[i % len(MARKERS)] for i, method in enumerate(methods)}
    figure, axes = chart(WIDTH, 3.0 + 0.17 * max(len(methods), len(places)))
    for row in measured:
        if row.auc and row.bytes_sent:
            x = row.bytes_sent.mean / 1e6
            _draw_point(axes, x, row, marker[row.method], colour[row.place])
    axes.set(xscale="log", xlabel="MB sent in all", ylabel="mean AUC", axisbelow=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color=LIGHT["line"], linewidth=0.6)
    axes.margins(0.08)
    figure.legend(handles=_legend(marker, colour), loc="outside lower left", ncols=2, fontsize=8)
    return figure


def _draw_dot(axes: Axes, row: Row, y: float, colour: str) -> None:
    if row.auc is None:
        return
    axes.errorbar(row.auc.mean, y, xerr=row.auc.half_width, color=colour, marker="o", markersize=5, capsize=2.5)
    weight = "bold" if row.stands_out else "normal"
    beside = axes.get_yaxis_transform()  # x as a fraction of the width, y as a line
    axes.text(1.01, y, f"{row.auc.mean:.3f}", transform=beside, va="center_baseline", fontweight=weight, fontsize=8)


def _draw_point(axes: Axes, x: float, row: Row, marker: str, colour: str) -> None:
    if row.auc is None:
        return
    axes.errorbar(
        x, row.auc.mean, yerr=row.auc.half_width, color=colour, marker=marker, markersize=6, capsize=2, linewidth=1
    )


def _legend(marker: dict[str, str], colour: dict[str, str]) -> list[Line2D]:
    methods = [
        Line2D([], [], color=LIGHT["ink"], linestyle="none", marker=shape, label=method)
        for method, shape in marker.items()
    ]
    places = [Line2D([], [], color=tone, linewidth=5, label=place) for place, tone in colour.items()]
    longest = max(len(methods), len(places))
    blank = Line2D([], [], linestyle="none", label=" ")
    return [entry for column in (methods, places) for entry in column + [blank] * (longest - len(column))]
