"""Read finished result folders, and refuse what is no result or does not belong together."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collab_asd.core.errors import InputError, reason
from collab_asd.core.types import ANOMALY, KEPT_BY_CLIENTS, NORMAL, ScoreRow, ScoreTable
from collab_asd.data.manifest import difference, machines_in, manifest_sha256, read_manifest
from collab_asd.detection.evaluation import Evaluation, evaluate
from collab_asd.federation.results import CLIP_COLUMNS, DOMAIN_COLUMNS, RUN_COLUMNS, read_summary
from collab_asd.report.contents import Run

SCORE_COLUMNS = RUN_COLUMNS + CLIP_COLUMNS
BEFORE_P_VALUES = SCORE_COLUMNS[:-1]  # of earlier versions
LABELS = {"0": NORMAL, "1": ANOMALY, "": None}
DECISIONS = {"0": NORMAL, "1": ANOMALY}

# What the page reads of a summary, and the JSON type of each.
NEEDED: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("method", "encoder", "scorer", "engine", "manifest_sha256"), str),
    **dict.fromkeys(("config", "bytes_up", "bytes_down", "seconds", "excluded"), dict),
    "seed": int,
    "machines": list,
    "peak_rss_mb": (int, float),
}


def read_run(folder: Path) -> Run:
    """Read a result folder.

    Raises
    ------
    InputError
        The folder holds no finished run, or a file of it is malformed or of another version.
    """
    summary = _read_summary(folder)
    manifest = tuple(read_manifest(folder / "manifest.csv"))
    if manifest_sha256(manifest) != summary["manifest_sha256"]:
        raise InputError(
            f"{folder / 'manifest.csv'}: not the manifest that summary.json was written for; "
            "restore it or repeat the run in a new folder"
        )
    table = read_scores(folder / "scores.csv")
    taking_part = [row for row in manifest if row.client not in summary["excluded"]]
    if not table.rows and any(row.split == "test" for row in taking_part):
        raise InputError(f"{folder / 'scores.csv'}: holds no scores of its test clips; repeat the run in a new folder")
    evaluation = evaluate(table, machines_in(taking_part))
    return Run(folder, summary, table, _with_what_scores_do_not_tell(evaluation, summary["machines"]), manifest)


def require_same_clips(runs: Sequence[Run]) -> None:
    """Refuse runs on different clips: a page that compares them would compare nothing.

    Raises
    ------
    InputError
        Names the two folders and up to five clips of each kind of difference.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.summary["manifest_sha256"] != first.summary["manifest_sha256"]:
            raise InputError(
                f"{first.path} and {run.path} do not belong on one page, their clips differ "
                f"({difference(first.manifest, run.manifest)}); report them apart, "
                "or repeat one on the clips of the other"
            )


def _read_summary(folder: Path) -> dict[str, Any]:
    summary = read_summary(folder)
    if summary.get("scores") == KEPT_BY_CLIENTS:
        raise InputError(f"{folder}: holds no scores, the clients keep them; report the folder of a client")
    for key, kind in NEEDED.items():
        if not isinstance(summary.get(key), kind):
            raise InputError(
                f"{folder / 'summary.json'}: {key!r} is missing or of a wrong type; repeat the run in a new folder"
            )
    return summary


def read_scores(path: Path) -> ScoreTable:
    """Read ``scores.csv``.

    Raises
    ------
    InputError
        It cannot be read, or is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a table of scores ({reason(error)}); repeat the run in a new folder") from error
    known = (SCORE_COLUMNS, BEFORE_P_VALUES)
    if tuple(header) not in (*known, *(columns + DOMAIN_COLUMNS for columns in known)):
        raise InputError(f"{path}: the header is not {','.join(SCORE_COLUMNS)}; repeat the run in a new folder")
    return ScoreTable(tuple(_score_row(path, number, header, line) for number, line in enumerate(lines, start=2)))


def _score_row(path: Path, number: int, header: Sequence[str], line: Sequence[str]) -> ScoreRow:
    try:
        cells = dict(zip(header, line, strict=True))
        return ScoreRow(
            client=int(cells["client"]),
            machine_type=cells["machine_type"],
            machine_id=cells["machine_id"],
            clip=cells["clip"],
            label=LABELS[cells["label"]],
            anomaly_score=_finite(cells["anomaly_score"]),
            threshold=_finite(cells["threshold"]),
            decision=DECISIONS[cells["decision"]],
            p_value=_finite(cells["p_value"]) if cells.get("p_value") else None,
            domain=cells.get("domain", ""),
        )
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}, line {number}: not a score ({error}); repeat the run in a new folder") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _with_what_scores_do_not_tell(evaluation: Evaluation, machines: Sequence[dict[str, Any]]) -> Evaluation:
    """Add what only the run knew: ID accuracy, thresholds from too few clips, and misfits."""
    known = {(m.get("machine_type"), m.get("machine_id")): m for m in machines}
    found = [(m, known.get((m.machine_type, m.machine_id), {})) for m in evaluation.machines]
    machines_known = tuple(
        replace(
            m,
            id_accuracy=of_run.get("id_accuracy"),
            few_threshold_clips=bool(of_run.get("few_threshold_clips")),
            misfit=bool(of_run.get("misfit")),
        )
        for m, of_run in found
    )
    return replace(evaluation, machines=machines_known)
