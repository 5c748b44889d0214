"""The fault that a run found hardest to hear on a machine, beside a normal recording of that machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip, ScoreRow
from collab_asd.data.audio import load_audio
from collab_asd.data.run_data import data_folder
from collab_asd.report.contents import ClipPortrait, Run, Sound


def hardest_fault(run: Run, machine: str) -> ClipPortrait:
    """Return the faulty clip with the lowest score, and the normal test clip whose score is the median of the normals.

    Both are read at the rates that they were recorded at, from where the run found its recordings.

    Raises
    ------
    InputError
        The machine has no labelled clips of both kinds; the recordings have moved or changed since the run.
    """
    rows = [row for row in run.table.rows if f"{row.machine_type}/{row.machine_id}" == machine]
    faults, normals = _by_score(rows, ANOMALY), _by_score(rows, NORMAL)
    if not faults or not normals:
        raise InputError(f"{machine}: has no test clips of both kinds, labelled normal and labelled faulty")
    hard, usual = faults[0], normals[len(normals) // 2]
    return ClipPortrait(
        clip=hard.clip,
        machine=machine,
        label=hard.label,
        score=hard.anomaly_score,
        threshold=hard.threshold,
        sound=_sound(run, hard),
        normal_name=usual.clip,
        normal=_sound(run, usual),
    )


def _by_score(rows: Sequence[ScoreRow], label: int) -> list[ScoreRow]:
    return sorted((row for row in rows if row.label == label), key=lambda row: row.anomaly_score)


def _sound(run: Run, row: ScoreRow) -> Sound:
    config = RunConfig.from_mapping(run.summary["config"])
    folder = data_folder(config, len({held.client for held in run.manifest}))
    root: Path = folder if folder.is_dir() else folder.parent  # or a table of recordings
    sha256 = next(held.sha256 for held in run.manifest if held.clip == row.clip)
    clip = Clip(root / row.clip, row.machine_type, row.machine_id, "test", row.label, sha256, config.channel)
    audio = load_audio(clip)
    return Sound(audio.waveform, audio.rate)
