"""``report.html`` of a comparison, in the look of a run's page: what was compared, the table, the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from collab_asd.report.estimate import Estimate
from collab_asd.report.glossary import GLOSSARY
from collab_asd.report.heterogeneity import against_heterogeneity
from collab_asd.report.page import write_page
from collab_asd.report.theme import Gallery, Picture, drawing
from collab_asd.report.words import Fact, method_words, of_hundred
from simulations.comparison.experiment import Cell, Experiment
from simulations.comparison.plots import auc_against_bytes, auc_dots
from simulations.comparison.statistics import Row
from simulations.comparison.tables import comparison_sheet, failure_sheet, machine_sheet, with_interval

TERMS = (
    *("AUC", "pAUC", "False-alarm rate (FAR)", "ID accuracy (ID acc.)"),
    *("Embedding", "Encoder (f_c)", "ID classifier (f_s)", "Manifest"),
)
OWN_TERMS = {
    "Scorer": "How the distance of a recording to the normal ones is measured in an embedding space.",
    "Seed": "The number that everything random is drawn from. Runs that differ in the seed alone show how much of a "
    "difference is chance.",
    "± (95 % interval)": "Where the mean over all possible seeds lies, in 95 of 100 cases (Student's t). It says "
    "nothing of other recordings or machines.",
    "Minus sharing": "AUC minus that of embedding sharing with the same encoder, seed by seed: what chance gives to "
    "both cancels.",
}

PARTITION_TERM = {
    "Partition": "Who holds which recordings. machine: one client for each machine. dirichlet-ALPHA: each machine's "
    "recordings are dealt to the clients in random shares, the more even the higher ALPHA. iid: evenly to all. The AUC "
    "compares recordings of the same machine at the same client, since each client has a detector of its own.",
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
            "dots": _hang(gallery, "auc_by_method", _dots_words(rows), auc_dots(rows)),
            "heterogeneity": _hang(gallery, "heterogeneity", _heterogeneity_words(rows), against_heterogeneity(rows)),
            "costs": _hang(gallery, "auc_against_bytes", _costs_words(rows), auc_against_bytes(rows)),
        }
    content = {
        "experiment": experiment,
        "verdict": verdict(rows),
        "facts": _facts(cells, rows, summaries),
        "story": list(story(rows)),
        "failures": failures if failures.rows else None,
        "methods": {method: _words_of(experiment, method) for method in experiment.methods},
        "notes": _notes(summaries),
        "manifests": sorted({str(s["manifest_sha256"]) for s in summaries}),
        "terms": {term: GLOSSARY[term] for term in TERMS}
        | OWN_TERMS
        | (PARTITION_TERM if experiment.partitions else {}),
        "command": command,
        "out": out,
        **sheets,
        **pictures,
    }
    return write_page(out / "report.html", "compare.html.j2", content)


def verdict(rows: Sequence[Row]) -> str:
    """Return which row is best, in words."""
    best = next((row for row in rows if row.is_best), None)
    if best is None or best.auc is None:
        return "Which method is best cannot be said: no finished cell has labelled test recordings of both kinds."
    return (
        f"Best is {best.label} with the encoder {best.place}: of a random faulty and a random normal recording of "
        f"the same machine, the faulty one gets the higher anomaly score in {of_hundred(best.auc.mean)} cases. "
        "Guessing would give 50."
    )


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
    above = [row for row in others if row.beats_reference]
    if not others:
        return "Nothing was compared with it."
    if not above:
        return "Nothing that was compared lies above it."
    named = [f"{row.label}: {with_interval(row.gain, '+')} ({_chance(row.gain)})" for row in above]
    return f"Above it: {'; '.join(named)}."


def _chance(gain: Estimate | None) -> str:
    if gain is None or gain.low is None:
        return "one seed cannot tell from chance"
    return "more than chance" if gain.low > 0 else "may be chance"


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
                + (" and partition" if rows[0].partition else ""),
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


def _costs_words(rows: Sequence[Row]) -> str:
    known = [
        f"{row.label}, {row.place}: {row.bytes_sent.mean / 1e6:.2f} MB, {row.auc.mean:.3f}"
        for row in rows
        if row.auc and row.bytes_sent
    ]
    return f"Mean AUC against megabytes sent. {'; '.join(known)}."
