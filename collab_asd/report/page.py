"""``report.html``: one self-contained page of one run, or of several on the same clips; and how to repeat a run."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.progress import step
from collab_asd.report import figures, tables, words
from collab_asd.report.contents import ClipPortrait, Embeddings, KeptDetector, Run
from collab_asd.report.few_shot import place
from collab_asd.report.privacy import Player, attack_sheets, embedded, parties_sheet, players_of, read_audit
from collab_asd.report.reading import require_same_clips
from collab_asd.report.tables import Sheet
from collab_asd.report.theme import PALETTE, Gallery, Picture, drawing
from collab_asd.report.verdicts import (
    RECORDINGS_PER_DAY,
    MachineVerdict,
    Recommendation,
    headline,
    machine_verdicts,
    rates,
    recommendations,
)
from collab_asd.report.words import GLOSSARY

PACKAGES = ("collab-asd", "flwr", "torch", "scikit-learn", "numpy", "matplotlib")


@dataclass(frozen=True)
class RunPart:
    """What the page shows of one run; ids on the page begin with ``prefix``."""

    prefix: str
    name: str
    run: Run
    verdict: str
    machines: list[MachineVerdict]
    recommendations: list[Recommendation]
    facts: list[words.Fact]
    ranking: str
    story: list[str]
    bars: Picture | None
    histograms: list[Picture]
    roc_curves: list[Picture]
    sheets: dict[str, Sheet]
    command: str

    @property
    def kinds(self) -> list[str]:
        """Which kinds of test clips there are, for the histograms' key."""
        labels = {row.label for row in self.run.table.rows}
        return [kind for kind, label in words.LABELS.items() if label in labels]


def write_report(
    folder: Path,
    runs: Sequence[Run],
    *,
    embeddings: Sequence[Embeddings] = (),
    mistakes: Sequence[ClipPortrait] = (),
    alarms: Sequence[ClipPortrait] = (),
    note: str = "",
    steps: words.NextSteps | None = None,
    detectors: Sequence[KeptDetector] = (),
    sounds: bool = True,
    per_day: float = RECORDINGS_PER_DAY,
) -> Path:
    """Write ``report.html``, ``figures/*.png`` and every table as ``tables/*.csv`` and ``*.tex``; return the page.

    Spectrograms are on the page alone: `collab-asd score --explain` writes pictures of single recordings.

    Parameters
    ----------
    folder : Path
        Made if need be; files of an earlier report are replaced.
    runs : sequence of Run
        One, or several to be compared.
    embeddings : sequence of Embeddings
        One per machine, for the maps.
    mistakes, alarms : sequence of ClipPortrait
        The worst mistakes and the loudest alarms, worst and loudest first.
    note : str
        Shown under the headline, such as why there are no sounds.
    steps : NextSteps, optional
        What to do about machines without test clips.
    detectors : sequence of KeptDetector
        Shown with that.
    sounds : bool
        Whether the page carries the recordings of the portraits.
    per_day : float
        Recordings of a machine per day, by which false alarms per week are counted.

    Raises
    ------
    InputError
        There is no run, or the runs are on different clips.
    """
    if not runs:
        raise InputError("a report needs at least one result folder")
    require_same_clips(runs)
    clips = (*mistakes, *alarms)
    with drawing(), step("drawing figures", _figures(runs, embeddings, clips)) as advance:
        gallery = Gallery(folder / "figures", advance)
        names = run_names(runs)
        parts = [
            _run_part(gallery, run, name, f"run{i}_" if len(runs) > 1 else "", per_day)
            for i, (run, name) in enumerate(zip(runs, names, strict=True), start=1)
        ]
        content = {
            "parts": parts,
            "comparison": _comparison(gallery, runs, names) if len(runs) > 1 else None,
            "maps": figures.maps(gallery, embeddings),
            "mistakes": figures.cards(gallery, mistakes, sounds),
            "alarms": figures.cards(gallery, alarms, sounds),
            "note": note,
            "steps": steps,
            "detectors": tables.detectors(detectors, runs[0].evaluation) if detectors else None,
            "placing": _placing(gallery, runs[0]) if len(runs) == 1 else None,
            "privacy": _privacy(runs[0], sounds) if len(runs) == 1 else None,
        }
    for sheet in _all_sheets(content):
        sheet.write(folder / "tables")
    return write_page(folder / "report.html", "report.html.j2", content)


@dataclass(frozen=True)
class PrivacyPart:
    """What the page shows of an audit."""

    sheets: list[Sheet]
    picture: str
    players: dict[int, list[Player]]
    missing: Sequence[str]


def _privacy(run: Run, sounds: bool) -> PrivacyPart | None:
    """Return what an audit left beside a run; None where there was none."""
    audit = read_audit(run.path)
    if audit is None:
        return None
    sheets = [*attack_sheets(audit.findings), parties_sheet(audit.parties)]
    picture = embedded(audit.picture) if audit.picture else ""
    return PrivacyPart(sheets, picture, players_of(audit) if sounds else {}, audit.missing)


@dataclass(frozen=True)
class PlacingPart:
    """What the page shows of how many recordings are enough: sentences, and a figure by what it was measured on."""

    words: list[str]
    pictures: dict[str, Picture]
    coloured: str


def _placing(gallery: Gallery, run: Run) -> PlacingPart | None:
    placing = place(run)
    if placing is None:
        return None
    return PlacingPart(
        placing.words,
        {
            words: gallery.hang(f"recordings_{i}", f"AUC against the number of normal recordings. {words}.", figure)
            for i, (words, figure) in enumerate(placing.figures.items(), start=1)
        },
        placing.coloured,
    )


def run_names(runs: Sequence[Run]) -> list[str]:
    """Name runs by method, encoder, scorer and seed, leaving out what all share and what a method's name says.

    ``"embedding-sharing (knn, seed 1)"``; by folder, too, where that is not enough.
    """
    rows = []
    for summary in (run.summary for run in runs):
        scorer = "" if words.decides_scorer(summary["method"]) else summary["scorer"]
        rows.append([summary["method"], summary["encoder"], scorer, f"seed {summary['seed']}"])
    differing = [len(runs) == 1 or len(set(filter(None, column))) > 1 for column in zip(*rows, strict=True)]
    names = []
    for row in rows:
        first, *rest = [cell for cell, keep in zip(row, differing, strict=True) if keep and cell] or row[:1]
        names.append(f"{first} ({', '.join(rest)})" if rest else first)
    if len(set(names)) == len(names):
        return names
    return [f"{name}, {run.path}" for name, run in zip(names, runs, strict=True)]


def _figures(runs: Sequence[Run], embeddings: Sequence[Embeddings], clips: Sequence[ClipPortrait]) -> int:
    """At most so many figures, to tell how far the drawing is."""
    per_machine = sum(1 + 2 * len(run.evaluation.machines) for run in runs)
    placed = 2 if len(runs) == 1 else 0
    return (
        per_machine
        + placed
        + (len(runs) > 1)
        + 2 * len({machine.machine_type for machine in embeddings})
        + 2 * len(clips)
    )


def _run_part(gallery: Gallery, run: Run, name: str, prefix: str, per_day: float) -> RunPart:
    sheets = (
        tables.quality,
        tables.sections,
        tables.decisions,
        tables.traffic,
        tables.phases,
        tables.seconds,
        tables.configuration,
    )
    verdicts = machine_verdicts(run, per_day)
    return RunPart(
        prefix=prefix,
        name=name,
        run=run,
        verdict=headline(run, verdicts, per_day),
        machines=verdicts,
        recommendations=list(recommendations(run, per_day)),
        ranking=words.ranking(run),
        facts=words.facts(run),
        story=words.story(run),
        bars=figures.bars(gallery, {"": run.evaluation}, f"{prefix}per_id_auc"),
        histograms=figures.histograms(gallery, run, prefix),
        roc_curves=figures.roc_curves(gallery, run, prefix),
        sheets={
            **{
                make.__name__: make(run, prefix)
                for make in sheets
                if make is not tables.sections or run.evaluation.sections
            },
            **({"rates": sheet} if (sheet := rates(run, per_day, prefix)).rows else {}),
        },
        command=command(run),
    )


def _comparison(gallery: Gallery, runs: Sequence[Run], names: Sequence[str]) -> dict[str, Any]:
    evaluations = {name: run.evaluation for name, run in zip(names, runs, strict=True)}
    return {
        "verdict": words.comparison_verdict(runs, names),
        "story": words.comparison_story(runs, names),
        "bars": figures.bars(gallery, evaluations, "auc_by_run"),
        "runs": tables.comparison(runs, names),
        "auc_by_run": tables.auc_by_run(runs, names),
    }


def _all_sheets(content: dict[str, Any]) -> list[Sheet]:
    sheets = [sheet for part in content["parts"] for sheet in part.sheets.values()]
    sheets += [content["detectors"]] if content["detectors"] else []
    sheets += content["privacy"].sheets if content["privacy"] else []
    return sheets + [sheet for sheet in (content["comparison"] or {}).values() if isinstance(sheet, Sheet)]


def write_page(path: Path, template: str, content: dict[str, Any]) -> Path:
    """Fill a template with its content, the palette, the glossary and the versions that it was drawn with."""
    environment = Environment(
        loader=PackageLoader("collab_asd.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    html = environment.get_template(template).render(content, palette=PALETTE, glossary=GLOSSARY, versions=versions)
    with replacing(path) as file:
        file.write(html.encode())
    return path


OPTIONS = {
    "data-dir": "--data",
    "method": "--method",
    "encoder": "--encoder",
    "encoder-weights": "--weights",
    "seed": "--seed",
}
# Where results and embeddings lie changes no figure, and a finished folder cannot be written again.
WHERE_ONLY = ("results-dir", "cache-dir")


def command(run: Run) -> str:
    """Return a shell command with every setting of the run that differs from the default."""
    config, defaults = run.summary["config"], RunConfig().to_mapping()
    parts = ["collab-asd", "run"]
    changed = {k: v for k, v in config.items() if k not in WHERE_ONLY and (k not in defaults or defaults[k] != v)}
    for key, option in OPTIONS.items():
        if key in changed:
            parts += [option, str(changed[key])]
    if not config.get("data-dir"):  # synthetic machines, one per SuperNode
        parts += ["--supernodes", str(len({(row.machine_type, row.machine_id) for row in run.manifest}))]
    if (engine := run.summary["engine"]) != "inprocess":
        parts += ["--engine", engine]
    for key, value in changed.items():
        if key not in OPTIONS:
            parts += ["--set", f"{key}={value}"]
    return shlex.join(parts)
