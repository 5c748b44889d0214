"""The tables of a run: for a terminal, for the page, and as files: CSV for a spreadsheet, LaTeX for a paper."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from collab_asd.config import RunConfig, settings
from collab_asd.core.terminal import printable
from collab_asd.core.types import ANOMALY, NORMAL
from collab_asd.detection.evaluation import FEWEST_TEST_CLIPS, Evaluation, MachineResult
from collab_asd.detection.intervals import Machines, auc_interval, labelled_scores
from collab_asd.report.contents import KeptDetector, MachineClips, Run, machine_clips, pooled

LATEX_SPECIAL = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "—": "---",
        "±": r"$\pm$",
        "−": r"$-$",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


@dataclass(frozen=True)
class Sheet:
    """One table: a name for its files, a title, headings and rows of equal length.

    Parameters
    ----------
    name : str
        Of its files, without suffix.
    title : str
    headings : tuple of str
    rows : tuple of tuple of str
    last_is_mean : bool
        The last row sums up the others.
    words : int
        So many columns from the left hold words, the others numbers.
    bold : frozenset of int
        Rows that stand out, counted from 0.
    footnote : str
        Explains marks in the table; a comment in LaTeX, and not in the CSV.
    """

    name: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    last_is_mean: bool = False
    words: int = 1
    bold: frozenset[int] = frozenset()
    footnote: str = ""

    def write(self, folder: Path) -> None:
        """Write ``name.csv`` and ``name.tex``."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([self.headings, *self.rows])
        (folder / f"{self.name}.tex").write_text(self.latex(), encoding="utf-8")

    def latex(self) -> str:
        """Return a ``tabular`` for the booktabs package."""
        columns = "l" * self.words + "r" * (len(self.headings) - self.words)
        body = [_latex_row(row, i in self.bold) for i, row in enumerate(self.rows)]
        if self.last_is_mean:
            body.insert(-1, r"\midrule")
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(self.headings), r"\midrule"]
        comment = [f"% {self.footnote}"] if self.footnote else []
        return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}", *comment, ""])


def _latex_row(cells: Sequence[str], bold: bool = False) -> str:
    texts = [cell.translate(LATEX_SPECIAL) for cell in cells]
    return " & ".join(rf"\textbf{{{text}}}" if bold else text for text in texts) + r" \\"


MEASURES = {
    "auc": "AUC",
    "auc_interval": "95 % CI",
    "pauc": "pAUC",
    "id_accuracy": "ID acc.",
    "false_alarm_rate": "FAR",
    "recall": "recall",
    "f1": "F1",
}
QUALITY = ("auc", "auc_interval", "pauc", "id_accuracy")
# Columns of the table of decisions that tell of clips with this label.
DECISIONS: dict[int | None, tuple[str, ...]] = {
    NORMAL: ("normal", "false alarms", "FAR"),
    ANOMALY: ("faulty", "missed", "recall", "F1"),
    None: ("not labelled", "alarms"),
}
DETECTORS = ("machine", "detector", "normal recordings", "threshold")
UNKNOWN = "–"
NOTE = "note"
"""Heading of the column of marks; a table has it where a machine has too few clips."""
FEW_TEST_CLIPS, FEW_THRESHOLD_CLIPS = "*", "+"
MARKS = {
    FEW_TEST_CLIPS: f"too few test clips (under {FEWEST_TEST_CLIPS} normal or {FEWEST_TEST_CLIPS} faulty ones): "
    "one clip can move the AUC by more than 0.1",
    FEW_THRESHOLD_CLIPS: "threshold from too few normal clips: more than twice the false alarms asked for are possible",
}
PHASES = {  # message types of `collab_asd.federation.messages`, in words
    "query.describe": "descriptions, statistics for the codec",
    "query.statistics": "statistics",
    "train.embeddings": "embeddings",
    "train": "weights of f_s",
    "train.split": "activations and gradients",
    "evaluate.score": "f_s or scores",
}


def empty_table(title: str, caption: str = "") -> Table:
    """Make a table for a terminal, still without columns."""
    return Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=caption or None,
        caption_justify="left",
    )


def machine_table(evaluation: Evaluation, title: str) -> Table:
    """One row per machine and the mean over machines, as the paper's "total"; fractions, "–" where unknown.

    Machines with too few clips are marked in a column of their own, and the caption says what the marks mean.
    """
    marks = [marks_of(machine) for machine in evaluation.machines]
    caption = footnote(marks, "\n")
    table = empty_table(title, caption)
    table.add_column("machine", overflow="fold")
    for heading in (*MEASURES.values(), *([""] if caption else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for machine, mark in zip(evaluation.machines, marks, strict=True):
        cells = (_text(getattr(machine, name)) for name in MEASURES)
        table.add_row(printable(machine.machine), *cells, *(["".join(mark)] if caption else []))
    table.add_section()
    mean = (*_means(evaluation, tuple(MEASURES)), *(["".join(_any_of(marks))] if caption else []))
    table.add_row("mean", *mean, style="bold")
    return table


def detector_table(kept: Sequence[KeptDetector], evaluation: Evaluation, title: str) -> Table:
    """One row per detector, in place of `machine_table` where no clip was scored."""
    sheet = detectors(kept, evaluation)
    table = empty_table(title, sheet.footnote)
    for column, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="left" if column < sheet.words else "right", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def marks_of(machine: MachineResult) -> tuple[str, ...]:
    """Return the keys of `MARKS` that hold for a machine."""
    marks = {FEW_TEST_CLIPS: machine.few_test_clips, FEW_THRESHOLD_CLIPS: machine.few_threshold_clips}
    return tuple(mark for mark, holds in marks.items() if holds)


def footnote(marks: Iterable[Sequence[str]], separator: str = "; ") -> str:
    """Explain those of these marks that occur; empty where none does."""
    used = _any_of(marks)
    return separator.join(f"{mark} {MARKS[mark]}" for mark in used)


def _any_of(marks: Iterable[Sequence[str]]) -> list[str]:
    """Return each mark that occurs, once: those of a mean over machines."""
    return sorted({mark for of_machine in marks for mark in of_machine})


def with_marks(sheet: Sheet, marks: Sequence[Sequence[str]]) -> Sheet:
    """Add a column of marks and its footnote to a sheet; unchanged where there is none.

    Parameters
    ----------
    sheet : Sheet
    marks : sequence of sequence of str
        Keys of `MARKS` of each row; a last row that sums up the others may be missing, it gets all of theirs.
    """
    if not (explained := footnote(marks)):
        return sheet
    cells = ["".join(mark) for mark in (*marks, _any_of(marks))]
    rows = tuple((*row, cell) for row, cell in zip(sheet.rows, cells, strict=False))
    return replace(sheet, headings=(*sheet.headings, NOTE), rows=rows, footnote=explained)


def _of_kind(machines: Iterable[MachineResult], kind: str) -> list[list[str]]:
    return [[mark for mark in marks_of(machine) if mark == kind] for machine in machines]


def quality(run: Run, prefix: str = "") -> Sheet:
    """How well each machine's normal and anomalous clips were told apart, whatever the threshold."""
    rows = [(m.machine, *(_text(getattr(m, name)) for name in QUALITY)) for m in run.evaluation.machines]
    mean = ("mean", *_means(run.evaluation, QUALITY))
    headings = ("machine", *(MEASURES[name] for name in QUALITY))
    sheet = Sheet(f"{prefix}auc", "AUC of each machine", headings, (*rows, mean), True)
    return with_marks(sheet, _of_kind(run.evaluation.machines, FEW_TEST_CLIPS))


SECTION_MEASURES = {
    "auc_source": "AUC source",
    "auc_target": "AUC target",
    "pauc": "pAUC",
    "pauc_source": "pAUC source",
    "pauc_target": "pAUC target",
}
OFFICIAL = "official score (harmonic mean)"


def sections(run: Run, prefix: str = "") -> Sheet:
    """AUC and pAUC of each section and domain, and the official score of DCASE; no rows where there are no domains."""
    return _sections(run.evaluation, prefix)


def _sections(evaluation: Evaluation, prefix: str = "") -> Sheet:
    apart = any(section.domains_apart for section in evaluation.sections)
    shown = [name for name in SECTION_MEASURES if apart or not name.startswith("pauc_")]
    rows = [(s.machine, *(_text(getattr(s, name)) for name in shown)) for s in evaluation.sections]
    by_type = evaluation.official_by_type()
    means = {f"{name}: {OFFICIAL}": score for name, score in by_type.items()} if len(by_type) > 1 else {}
    rows += [(name, _text(score), *[""] * (len(shown) - 1)) for name, score in means.items()]
    total = [(OFFICIAL, _text(evaluation.official_score), *[""] * (len(shown) - 1))] if rows else []
    headings = ("section", *(SECTION_MEASURES[name] for name in shown))
    return Sheet(f"{prefix}sections", "AUC of each section and domain", headings, (*rows, *total), bool(rows))


def section_table(evaluation: Evaluation) -> Table:
    """Return `sections` as a table for a terminal."""
    sheet = _sections(evaluation)
    table = empty_table(sheet.title)
    for number, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(printable, row))
    return table


def decisions(run: Run, prefix: str = "") -> Sheet:
    """Alarms of each machine at its threshold; columns that would tell of no clips are left out."""
    machines = machine_clips(run)
    shown = [label for label in DECISIONS if pooled(machines, label)[1]]
    headings = ("machine", *(heading for label in shown for heading in DECISIONS[label]), "threshold")
    rows = [
        (m.name, *_decision_cells([m], shown), ", ".join(f"{threshold:.3g}" for threshold in m.thresholds) or UNKNOWN)
        for m in machines
    ]
    total = ("all / mean", *_decision_cells(machines, shown), UNKNOWN)
    sheet = Sheet(f"{prefix}decisions", "Alarms of each machine", headings, (*rows, total), True)
    return with_marks(sheet, _of_kind((m.result for m in machines), FEW_THRESHOLD_CLIPS))


def detectors(kept: Sequence[KeptDetector], evaluation: Evaluation) -> Sheet:
    """Return where the detectors of a run lie, and their thresholds; those from too few clips are marked."""
    rows = tuple((d.machine, d.name, str(d.normals), f"{d.threshold:.3g}") for d in kept)
    few = {machine.machine for machine in evaluation.machines if machine.few_threshold_clips}
    marks = [[FEW_THRESHOLD_CLIPS] if d.machine in few else [] for d in kept]
    return with_marks(Sheet("detectors", "Detectors of this run", DETECTORS, rows, words=2), marks)


def traffic(run: Run, prefix: str = "") -> Sheet:
    """Megabytes that each client sent and received."""
    up, down = run.summary["bytes_up"], run.summary["bytes_down"]
    holds: dict[str, set[str]] = {}
    for row in run.manifest:
        holds.setdefault(row.client, set()).add(f"{row.machine_type}/{row.machine_id}")
    rows = [
        (
            client,
            ", ".join(sorted(holds.get(client, ()))) or UNKNOWN,
            _megabytes(up[client]),
            _megabytes(down.get(client)),
        )
        for client in up
    ]
    total = ("all", "", _megabytes(sum(up.values())), _megabytes(sum(down.values())))
    headings = ("client", "machines", "MB sent", "MB received")
    return Sheet(f"{prefix}traffic", "What each client sent and received", headings, (*rows, total), True, words=2)


def phases(run: Run, prefix: str = "") -> Sheet:
    """Megabytes of each kind of message, all clients together; empty in runs that are older than this count."""
    clients: list[dict[str, list[int]]] = list(run.summary.get("bytes_by_phase", {}).values())
    names = dict.fromkeys(name for phases in clients for name in phases)
    totals = {name: [sum(client.get(name, [0, 0])[way] for client in clients) for way in (0, 1)] for name in names}
    rows = tuple((PHASES.get(name, name), *map(_megabytes, both)) for name, both in totals.items())
    return Sheet(f"{prefix}phases", "Data sent, by kind of message", ("messages", "MB sent", "MB received"), rows)


def seconds(run: Run, prefix: str = "") -> Sheet:
    """Seconds of each phase, in the order of the summary."""
    rows = tuple((phase, f"{value:.1f}") for phase, value in run.summary["seconds"].items())
    return Sheet(f"{prefix}seconds", "Where the time went", ("phase", "seconds"), rows)


def configuration(run: Run, prefix: str = "") -> Sheet:
    """Every configuration key of the run, beside its default, and what a 0 or nothing stands for."""
    defaults, known = RunConfig().to_mapping(), settings()
    rows = tuple(
        (key, str(value), str(defaults.get(key, UNKNOWN)), known[key].stands_for(value) if key in known else "")
        for key, value in run.summary["config"].items()
    )
    headings = ("key", "this run", "default", "which stands for")
    return Sheet(f"{prefix}configuration", "Configuration", headings, rows, words=4)


def comparison(runs: Sequence[Run], names: Sequence[str]) -> Sheet:
    """One row per run: means over machines, megabytes and seconds."""
    measures = tuple(name for name in MEASURES if name != "auc_interval")
    headings = ("run", *(MEASURES[name] for name in measures), "MB sent", "MB received", "seconds")
    rows = tuple((name, *_means(run.evaluation, measures), *_costs(run)) for name, run in zip(names, runs, strict=True))
    marks = [sorted({mark for machine in run.evaluation.machines for mark in marks_of(machine)}) for run in runs]
    return with_marks(Sheet("runs", "The runs, means over machines", headings, rows), marks)


def auc_by_run(runs: Sequence[Run], names: Sequence[str]) -> Sheet:
    """AUC of each machine by run, and each run's minus the first one's with a 95 % interval over clips."""
    columns = [run.evaluation.by_id("auc") for run in runs]
    labelled = [labelled_scores(run.table) for run in runs]

    def line(name: str, aucs: Sequence[float | None], clips: Sequence[Machines]) -> tuple[str, ...]:
        beside = (_difference(a, aucs[0], own, clips[0]) for a, own in zip(aucs[1:], clips[1:], strict=True))
        return (name, *map(_text, aucs), *beside)

    rows = [
        line(m, [aucs.get(m) for aucs in columns], [{m: of[m]} if m in of else {} for of in labelled])
        for m in columns[0]
    ]
    mean = line("mean", [run.evaluation.total("auc") for run in runs], labelled)
    headings = ("machine", *names, *(f"{name}: difference" for name in names[1:]))
    title = f"AUC of each machine; differences are to the first run, {names[0]}"
    sheet = Sheet("auc_by_run", title, headings, (*rows, mean), True)
    return with_marks(sheet, _of_kind(runs[0].evaluation.machines, FEW_TEST_CLIPS))


def _difference(auc: float | None, first: float | None, own: Machines, other: Machines) -> str:
    """``"+0.012 [−0.003, +0.026]"``."""
    if auc is None or first is None:
        return UNKNOWN
    found = auc_interval([own], [other])
    ends = (auc - first,) if found is None else (auc - first, found.low, found.high)
    mean, *rest = (f"{x:+.3f}".replace("-", "−") for x in ends)
    return f"{mean} [{', '.join(rest)}]" if rest else mean


def _decision_cells(machines: Sequence[MachineClips], shown: Sequence[int | None]) -> list[str]:
    """Return the counts of these machines together, and the means of their rates."""
    false_alarms, normals = pooled(machines, NORMAL)
    found, faults = pooled(machines, ANOMALY)
    alarms, unlabelled = pooled(machines, None)
    far, recall, f1 = _means(Evaluation(tuple(m.result for m in machines)), ("false_alarm_rate", "recall", "f1"))
    cells = {
        NORMAL: (str(normals), str(false_alarms), far),
        ANOMALY: (str(faults), str(faults - found), recall, f1),
        None: (str(unlabelled), str(alarms)),
    }
    return [cell for label in shown for cell in cells[label]]


def _means(evaluation: Evaluation, measures: Sequence[str]) -> tuple[str, ...]:
    """Means over machines; an interval has none."""
    return tuple(_text(None if name == "auc_interval" else evaluation.total(name)) for name in measures)


def _costs(run: Run) -> Iterator[str]:
    yield _megabytes(sum(run.summary["bytes_up"].values()))
    yield _megabytes(sum(run.summary["bytes_down"].values()))
    yield f"{run.summary['seconds'].get('total', sum(run.summary['seconds'].values())):.0f}"


def _megabytes(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / 1e6:.2f}"


def _text(value: float | Sequence[float] | None) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, Sequence):
        return f"{value[0]:.3f}–{value[1]:.3f}"
    return f"{value:.3f}"
