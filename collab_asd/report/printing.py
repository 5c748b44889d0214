"""What a run found, as a terminal or a log shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from collab_asd.data.manifest import ManifestRow, read_manifest, untested
from collab_asd.detection.evaluation import Evaluation, MachineResult, SectionResult
from collab_asd.detection.storage import read_cards
from collab_asd.federation.results import read_summary
from collab_asd.report.contents import KeptDetector
from collab_asd.report.reading import read_run
from collab_asd.report.tables import detector_table, machine_table, section_table
from collab_asd.report.words import NextSteps, facts, next_steps


def print_table(console: Console, folder: Path, *others: Path) -> None:
    """Print the figures of each machine, or where the clients keep their scores; and what to do next.

    Parameters
    ----------
    console : Console
    folder, *others : Path
        A finished result folder; those of all clients where each keeps its scores.
    """
    folders = (folder, *others)
    summary, *more = [read_summary(path) for path in folders]
    if "machines" not in summary:
        console.print(f"each client keeps its scores: {folder / 'client-0'} and so on", soft_wrap=True)
        return
    title = "{method}, {encoder}, {scorer}, seed {seed}".format(**summary)
    parts = [summary, *more]
    evaluation = Evaluation(
        tuple(MachineResult(**machine) for part in parts for machine in part["machines"]),
        tuple(SectionResult(**section) for part in parts for section in part.get("sections", ())),
    )
    manifest = [row for path in folders for row in read_manifest(path / "manifest.csv")]
    detectors = [detector for path in folders for detector in kept_detectors(path)]
    if detectors and all(row.split == "train" for row in manifest):
        console.print(detector_table(detectors, evaluation, title))
    else:
        console.print(machine_table(evaluation, title))
    if evaluation.sections:
        console.print(section_table(evaluation))
    if evaluation.total("auc") is None:
        for fact in chain.from_iterable(facts(read_run(path)) for path in folders):
            console.print(f"{fact.figure} {fact.words}", soft_wrap=True, highlight=False)
    if steps := steps_after(manifest, summary, detectors):
        for line in filter(None, (steps.now, steps.command, steps.later)):
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def steps_after(
    manifest: Sequence[ManifestRow], summary: Mapping[str, Any], detectors: Sequence[KeptDetector]
) -> NextSteps | None:
    """Return what to do about machines without test clips; None where all have some."""
    machines = untested(manifest, without=summary["excluded"])
    return next_steps(machines, detectors, summary["config"]) if machines else None


def kept_detectors(folder: Path) -> list[KeptDetector]:
    """Return the detectors that a run has left in its result folder, in the order of their paths."""
    kept = folder / "detectors"
    return [
        KeptDetector(card.machine, len(card.normals), card.threshold, kept, path.relative_to(kept).as_posix())
        for path, card in read_cards(kept).items()
    ]
