"""The tables of a run: one for a terminal, the others for the page and its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from collab_asd.config import RunConfig
from collab_asd.evaluation import Evaluation
from collab_asd.interfaces import ANOMALY, NORMAL
from collab_asd.printable import printable
from collab_asd.report.contents import KeptDetector, Run
from collab_asd.report.machine_clips import MachineClips, machine_clips, pooled
from collab_asd.report.sheet import Sheet

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
PHASES = {  # message types of `collab_asd.federation.actions`, in words
    "query.describe": "descriptions, statistics for the codec",
    "query.statistics": "statistics",
    "train.embeddings": "embeddings",
    "train": "weights of f_s",
    "train.split": "activations and gradients",
    "evaluate.score": "f_s or scores",
}


def machine_table(evaluation: Evaluation, title: str) -> Table:
    """One row per machine and the mean over machines, as the paper's "total"; fractions, "–" where unknown."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("machine", overflow="fold")
    for heading in MEASURES.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for machine in evaluation.machines:
        table.add_row(printable(machine.machine), *(_text(getattr(machine, name)) for name in MEASURES))
    table.add_section()
    table.add_row("mean", *_means(evaluation, tuple(MEASURES)), style="bold")
    return table


def detector_table(kept: Sequence[KeptDetector], title: str) -> Table:
    """One row per detector, in place of `machine_table` where no clip was scored."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    sheet = detectors(kept)
    for column, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="left" if column < sheet.words else "right", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def quality(run: Run, prefix: str = "") -> Sheet:
    """How well each machine's normal and anomalous clips were told apart, whatever the threshold."""
    rows = [(m.machine, *(_text(getattr(m, name)) for name in QUALITY)) for m in run.evaluation.machines]
    mean = ("mean", *_means(run.evaluation, QUALITY))
    headings = ("machine", *(MEASURES[name] for name in QUALITY))
    return Sheet(f"{prefix}auc", "AUC of each machine", headings, (*rows, mean), True)


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
    return Sheet(f"{prefix}decisions", "Alarms of each machine", headings, (*rows, total), True)


def detectors(kept: Sequence[KeptDetector]) -> Sheet:
    """Return where the detectors of a run lie, and their thresholds."""
    rows = tuple((d.machine, d.name, str(d.normals), f"{d.threshold:.3g}") for d in kept)
    return Sheet("detectors", "Detectors of this run", DETECTORS, rows, words=2)


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
    """Every configuration key of the run, beside its default."""
    defaults = RunConfig().to_mapping()
    rows = tuple((key, str(value), str(defaults.get(key, UNKNOWN))) for key, value in run.summary["config"].items())
    return Sheet(f"{prefix}configuration", "Configuration", ("key", "this run", "default"), rows, words=3)


def comparison(runs: Sequence[Run], names: Sequence[str]) -> Sheet:
    """One row per run: means over machines, megabytes and seconds."""
    measures = tuple(name for name in MEASURES if name != "auc_interval")
    headings = ("run", *(MEASURES[name] for name in measures), "MB sent", "MB received", "seconds")
    rows = tuple((name, *_means(run.evaluation, measures), *_costs(run)) for name, run in zip(names, runs, strict=True))
    return Sheet("runs", "The runs, means over machines", headings, rows)


def auc_by_run(runs: Sequence[Run], names: Sequence[str]) -> Sheet:
    """AUC of each machine, one column per run."""
    columns = [run.evaluation.by_id("auc") for run in runs]
    rows = tuple((machine, *(_text(aucs.get(machine)) for aucs in columns)) for machine in columns[0])
    mean = ("mean", *(_text(run.evaluation.total("auc")) for run in runs))
    return Sheet("auc_by_run", "AUC of each machine", ("machine", *names), (*rows, mean), True)


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
