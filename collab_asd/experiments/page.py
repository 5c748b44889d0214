"""``report.html`` of a comparison, in the look of a run's page: what was compared, the table, and figures.

The figures show AUC per method with intervals, and what each point of AUC costs in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from collab_asd.data.partitions import evenness
from collab_asd.experiments.experiment import Cell, Experiment
from collab_asd.experiments.tables import (
    Row,
    against_sharing,
    comparison_sheet,
    failure_sheet,
    machine_sheet,
    with_interval,
)
from collab_asd.report.comparison import Estimate
from collab_asd.report.few_shot import few_shot_panels, is_few_shot
from collab_asd.report.heterogeneity import against_heterogeneity
from collab_asd.report.page import write_page
from collab_asd.report.theme import LIGHT, MARKERS, SERIES, Gallery, Picture, add_legend, chart, drawing, plain_numbers
from collab_asd.report.words import GLOSSARY, Fact, method_words, of_hundred

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
    axes.set(ylim=(lines - 0.3, -0.7), xlabel="mean AUC, with 95 % interval over seeds and clips", axisbelow=True)
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
    figure, axes = chart(WIDTH, 3.0)
    for row in measured:
        if row.auc and row.bytes_sent:
            x = row.bytes_sent.mean / 1e6
            _draw_point(axes, x, row, marker[row.method], colour[row.place])
    axes.set(xscale="log", xlabel="MB sent in all", ylabel="mean AUC", axisbelow=True)
    plain_numbers(axes.xaxis)
    axes.grid(color=LIGHT["line"], linewidth=0.6)
    axes.margins(0.08)
    add_legend(figure, _legend(marker, colour), most_columns=2, fontsize=8)
    return figure


def _draw_dot(axes: Axes, row: Row, y: float, colour: str) -> None:
    if row.auc is None:
        return
    axes.errorbar(
        row.auc.mean, y, xerr=[[arm] for arm in row.auc.arms], color=colour, marker="o", markersize=5, capsize=2.5
    )
    weight = "bold" if row.stands_out else "normal"
    beside = axes.get_yaxis_transform()  # x as a fraction of the width, y as a line
    axes.text(1.01, y, f"{row.auc.mean:.3f}", transform=beside, va="center_baseline", fontweight=weight, fontsize=8)


def _draw_point(axes: Axes, x: float, row: Row, marker: str, colour: str) -> None:
    if row.auc is None:
        return
    axes.errorbar(
        x,
        row.auc.mean,
        yerr=[[arm] for arm in row.auc.arms],
        color=colour,
        marker=marker,
        markersize=6,
        capsize=2,
        linewidth=1,
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


TERMS = (
    *("AUC", "pAUC", "False-alarm rate (FAR)", "ID accuracy (ID acc.)"),
    *("Embedding", "Encoder (f_c)", "ID classifier (f_s)", "Manifest"),
)
OWN_TERMS = {
    "Scorer": "How the distance of a recording to the normal ones is measured in an embedding space.",
    "Seed": "The number that everything random is drawn from. Runs that differ in the seed alone show how much of a "
    "difference is chance.",
    "[low, high] (95 % interval)": "Where the AUC would lie with other seeds and other test recordings of the same "
    "machines, in 95 of 100 cases: a bootstrap over recordings, and Student's t over seeds. It says nothing of other "
    "machines. ± is over seeds alone.",
}
SHARING_TERMS = {
    "Clips to settle": "How many test recordings of each machine would tell the difference from chance, if it is as "
    "large as it was measured; a dash where these do.",
    "Minus sharing": "AUC minus that of embedding sharing with the same encoder, seed by seed: what chance gives to "
    "both cancels.",
}

PARTITION_TERM = {
    "Partition": "Who holds which recordings. machine: one client for each machine. dirichlet-ALPHA: each machine's "
    "recordings are dealt to the clients in random shares, the more even the higher ALPHA. iid: evenly to all. "
    "clips-N: one client for each machine, with N of its normal recordings, drawn by the seed. response-DB, gain-DB, "
    "noise-DB, interference-DB: one client for each machine, recorded by another microphone, with another level, noise "
    "floor or machine nearby, drawn by the seed. The AUC compares "
    "recordings of the same machine at the same client, since each client has a detector of its own.",
}


def write_comparison_page(
    out: Path,
    experiment: Experiment,
    cells: Sequence[Cell],
    rows: Sequence[Row],
    summaries: Sequence[Mapping[str, Any]],
    command: str,
) -> Path:
    """Write the page with its figures and tables; return it."""
    failures = failure_sheet(cells)
    sheets = {"comparison": comparison_sheet(rows), "machines": machine_sheet(rows)}
    for sheet in sheets.values():
        sheet.write(out / "tables")
    with drawing():
        gallery = Gallery(out / "figures", lambda: None)
        pictures = {
            "dots": _hang(gallery, "auc_by_method", _dots_words(rows), None if is_few_shot(rows) else auc_dots(rows)),
            **_over_partitions(gallery, rows),
            "costs": _hang(gallery, "auc_against_bytes", _costs_words(rows), auc_against_bytes(rows)),
        }
    content = {
        "experiment": experiment,
        "verdict": verdict(rows),
        "against_sharing": against_sharing(rows),
        "facts": _facts(cells, rows, summaries),
        "story": [] if is_few_shot(rows) else list(story(rows)),
        "failures": failures if failures.rows else None,
        "methods": {method: _words_of(experiment, method) for method in experiment.methods},
        "notes": _notes(summaries),
        "manifests": sorted({str(s["manifest_sha256"]) for s in summaries}),
        "terms": {term: GLOSSARY[term] for term in TERMS}
        | OWN_TERMS
        | (SHARING_TERMS if against_sharing(rows) else {})
        | (PARTITION_TERM if experiment.partitions else {}),
        "command": command,
        "out": out,
        **sheets,
        **pictures,
    }
    return write_page(out / "report.html", "compare.html.j2", content)


def _over_partitions(gallery: Gallery, rows: Sequence[Row]) -> dict[str, Picture | None]:
    """Draw what partitions differ in: the number of recordings, or how evenly machines are spread."""
    few_shot = is_few_shot(rows)
    spread = None if few_shot else against_heterogeneity(rows)
    return {
        "heterogeneity": _hang(gallery, "heterogeneity", _heterogeneity_words(rows), spread),
        "few_shot": _hang(gallery, "few_shot", _few_shot_words(rows), few_shot_panels(rows)),
    }


def verdict(rows: Sequence[Row]) -> str:
    """Return which row is best, in words."""
    if is_few_shot(rows):
        return _best_by_clips(rows)
    best = next((row for row in rows if row.is_best), None)
    if best is None or best.auc is None:
        return "Which method is best cannot be said: no finished cell has labelled test recordings of both kinds."
    return (
        f"Best is {best.label} with the encoder {best.place}: of a random faulty and a random normal recording of "
        f"the same machine, the faulty one gets the higher anomaly score in {of_hundred(best.auc.mean)} cases. "
        "Guessing would give 50."
    )


def _best_by_clips(rows: Sequence[Row]) -> str:
    """Return which row is best at each number of recordings."""
    found: dict[int, tuple[float, str]] = {}
    for row in rows:
        clips = int(evenness(row.partition))
        if row.auc and row.auc.mean > found.get(clips, (0.0, ""))[0]:
            found[clips] = row.auc.mean, row.label
    if not found:
        return "Which method is best cannot be said: no finished cell has labelled test recordings of both kinds."
    named = [f"with {clips}, {label} ({auc:.3f})" for clips, (auc, label) in sorted(found.items())]
    return f"Highest AUC by the number of normal recordings of each machine: {'; '.join(named)}."


def story(rows: Sequence[Row]) -> Iterator[str]:
    """Yield, for each encoder and partition, what beats embedding sharing, and whether by more than chance."""
    for reference in rows:
        if reference.is_reference and reference.auc:
            place = reference.place
            yield (
                f"With {place}, embedding sharing ({reference.scorer}) reaches an AUC of "
                f"{with_interval(reference.auc)}. {_above([row for row in rows if row.place == place])}"
            )


def _above(rows: Sequence[Row]) -> str:
    others = [row for row in rows if row.gain]
    above = [row for row in others if row.gain and row.gain.mean > 0]
    if not others:
        return "Nothing was compared with it."
    if not above:
        return "Nothing that was compared lies above it."
    named = [f"{row.label}: {with_interval(row.gain, '+')} ({_chance(row.gain)})" for row in above]
    return f"Above it: {'; '.join(named)}."


def _chance(gain: Estimate | None) -> str:
    if gain is None or gain.low is None:
        return "one seed cannot tell from chance"
    return "more than chance" if gain.excludes_zero else "may be chance"


def _facts(cells: Sequence[Cell], rows: Sequence[Row], summaries: Sequence[Mapping[str, Any]]) -> list[Fact]:
    facts = [Fact(f"{len(summaries)} of {len(cells)}", "runs are finished; all were made on the same recordings")]
    if summaries:
        machines = len(summaries[0]["machines"])
        facts.append(Fact(str(machines), f"{'machine' if machines == 1 else 'machines'}, each figure a mean over them"))
    compared = [row for row in rows if row.gain]
    if compared:
        beaten = sum(not row.beats_reference for row in compared)
        facts.append(
            Fact(
                f"{beaten} of {len(compared)}",
                "other rows of the table do not beat embedding sharing with the same encoder"
                f"{' and partition' if rows[0].partition else ''} by more than chance",
            )
        )
    return facts


def _words_of(experiment: Experiment, method: str) -> str:
    """Say what a method does, and with which settings of its own."""
    settings = dict(experiment.method_settings.get(method, {}))
    words = method_words(settings.pop("method", method))
    own = ", ".join(f"{key} = {value}" for key, value in settings.items())
    return f"{words} Settings of its own: {own}." if own else words


def _notes(summaries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what must be known of each encoder, as its first seed says it."""
    notes: dict[str, str] = {}
    for summary in summaries:
        if summary["encoder_note"]:
            notes.setdefault(summary["encoder"], summary["encoder_note"])
    return notes


def _hang(gallery: Gallery, name: str, alt: str, figure: Figure | None) -> Picture | None:
    return None if figure is None else gallery.hang(name, alt, figure)


def _dots_words(rows: Sequence[Row]) -> str:
    known = [f"{row.label}, {row.place}: {with_interval(row.auc)}" for row in rows if row.auc]
    return f"Mean AUC with its 95 % interval. {'; '.join(known)}."


def _heterogeneity_words(rows: Sequence[Row]) -> str:
    known = [f"{row.label}, {row.place}: {with_interval(row.auc)}" for row in rows if row.auc and row.partition]
    return f"Mean AUC against how evenly machines are spread over the clients. {'; '.join(known)}."


def _few_shot_words(rows: Sequence[Row]) -> str:
    known = [f"{row.label}, {row.partition}: {with_interval(row.auc)}" for row in rows if row.auc]
    return f"AUC, false alarms and faults noticed against the number of normal recordings. {'; '.join(known)}."


def _costs_words(rows: Sequence[Row]) -> str:
    known = [
        f"{row.label}, {row.place}: {row.bytes_sent.mean / 1e6:.2f} MB, {row.auc.mean:.3f}"
        for row in rows
        if row.auc and row.bytes_sent
    ]
    return f"Mean AUC against megabytes sent. {'; '.join(known)}."
