"""What a report is made of: finished runs, and what only someone with the recordings can add to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from collab_asd.core.types import FloatArray, ScoreArray, ScoreTable
from collab_asd.data.manifest import ManifestRow
from collab_asd.detection.evaluation import Evaluation

ClipKind: TypeAlias = Literal["normal", "test normal", "test anomaly", "test"]


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run, as read from its result folder.

    Parameters
    ----------
    path : Path
        The result folder.
    summary : mapping
        ``summary.json``.
    table : ScoreTable
        ``scores.csv``.
    evaluation : Evaluation
        Of the table; ID accuracy, which is not in the table, from the summary.
    manifest : tuple of ManifestRow
        ``manifest.csv``.
    """

    path: Path
    summary: Mapping[str, Any]
    table: ScoreTable
    evaluation: Evaluation
    manifest: tuple[ManifestRow, ...]


@dataclass(frozen=True)
class KeptDetector:
    """A detector that a client keeps for recordings to come.

    Parameters
    ----------
    machine : str
        ``"ToyCar/01"``.
    normals : int
        Number of normal clips that it learnt from.
    threshold : float
        Score above which a recording raises an alarm.
    folder : Path
        ``detectors`` of the result folder.
    name : str
        Of the detector's own folder in it.
    """

    machine: str
    normals: int
    threshold: float
    folder: Path
    name: str


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One machine's clips in the embedding spaces, a point per clip.

    Parameters
    ----------
    machine, machine_type : str
        ``"ToyCar/01"`` and ``"ToyCar"``; machines of one type share a map.
    kinds : list of str
        Of each clip: ``"normal"`` is a training clip, ``"test"`` one without a label.
    before : FloatArray
        ``[n, D]``, of the encoder.
    after : FloatArray or None
        ``[n, d]``, of the ID classifier f_s; None where a method has none.
    """

    machine: str
    machine_type: str
    kinds: list[ClipKind]
    before: FloatArray
    after: FloatArray | None


@dataclass(frozen=True, eq=False)
class Sound:
    """A mono waveform ``[samples]`` within ±1, and its sample rate in Hz."""

    waveform: FloatArray
    rate: int


@dataclass(frozen=True, eq=False)
class Heat:
    """Where in time and frequency a clip departs from its nearest normal clip.

    Parameters
    ----------
    values : ScoreArray
        ``[bands, times]``: fall of the anomaly score when that patch is replaced by the same patch of the nearest
        normal clip, in units of the score; positive where the patch made the clip anomalous.
    edges_hz : ScoreArray
        ``[bands + 1]``, rising.
    edges_s : ScoreArray
        ``[times + 1]``, rising.
    """

    values: ScoreArray
    edges_hz: ScoreArray
    edges_s: ScoreArray


@dataclass(frozen=True, eq=False)
class ClipPortrait:
    """One clip to be looked at and listened to, beside a normal one of the same machine.

    Parameters
    ----------
    clip, machine : str
    label : int or None
        0 normal, 1 anomaly, None unknown.
    score, threshold : float
        The clip raised an alarm if its score lies above the threshold.
    sound : Sound
    normal_name : str
        The training clip that it is compared with.
    normal : Sound
    heat : Heat or None
        None where no explanation was made.
    skipped : bool
        Whether there is none because it would have taken too long.
    """

    clip: str
    machine: str
    label: int | None
    score: float
    threshold: float
    sound: Sound
    normal_name: str
    normal: Sound
    heat: Heat | None = None
    skipped: bool = False
