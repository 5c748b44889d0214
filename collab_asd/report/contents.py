"""What a report is made of: finished runs, each machine's test clips, and what only the recordings can add to them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from collab_asd.core.types import ANOMALY, NORMAL, FloatArray, ScoreArray, ScoreRow, ScoreTable
from collab_asd.data.manifest import ManifestRow
from collab_asd.detection.evaluation import Evaluation, MachineResult

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


@dataclass(frozen=True)
class MachineClips:
    """What a run found out about one machine, with the clips that it found it out on.

    Parameters
    ----------
    result : MachineResult
    rows : tuple of ScoreRow
        The machine's test clips.
    """

    result: MachineResult
    rows: tuple[ScoreRow, ...]

    @property
    def name(self) -> str:
        """``"type/id"``."""
        return self.result.machine

    @property
    def thresholds(self) -> list[float]:
        """One per client that holds clips of this machine; usually there is one."""
        return sorted({row.threshold for row in self.rows})

    def by_client(self) -> list[MachineClips]:
        """Return the clips of each client that holds this machine; usually there is one."""
        clients = sorted({row.client for row in self.rows})
        return [replace(self, rows=tuple(row for row in self.rows if row.client == client)) for client in clients]

    def scores(self, label: int | None) -> ScoreArray:
        """Anomaly scores ``[n]`` of the clips with this label."""
        return np.array([row.anomaly_score for row in self.rows if row.label == label])

    def count(self, label: int | None) -> int:
        """Return the number of clips with this label."""
        return sum(row.label == label for row in self.rows)

    def alarms(self, label: int | None) -> int:
        """Return the number of clips with this label that raised an alarm."""
        return sum(row.label == label and row.decision == ANOMALY for row in self.rows)

    @property
    def false_alarms(self) -> int:
        """Normal clips that raised an alarm."""
        return self.alarms(NORMAL)

    @property
    def misses(self) -> int:
        """Anomalous clips that raised none."""
        return self.count(ANOMALY) - self.alarms(ANOMALY)


def machine_clips(run: Run) -> tuple[MachineClips, ...]:
    """Per machine, in the order of the evaluation."""
    rows: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in run.table.rows:
        rows[f"{row.machine_type}/{row.machine_id}"].append(row)
    return tuple(MachineClips(result, tuple(rows[result.machine])) for result in run.evaluation.machines)


def pooled(machines: Iterable[MachineClips], label: int | None) -> tuple[int, int]:
    """Alarms among the clips with this label, and number of these clips, over all machines."""
    counts = [(machine.alarms(label), machine.count(label)) for machine in machines]
    return sum(alarms for alarms, _ in counts), sum(clips for _, clips in counts)


def training_clips(run: Run) -> dict[str, int]:
    """By machine (``"type/id"``), the normal clips that the run used of it; of several clients, the fewest."""
    return fewest(used_clips(run))


def fewest(clips: Mapping[tuple[str, str, str], int]) -> dict[str, int]:
    """Take the fewest of a machine's clients -> by machine (``"type/id"``)."""
    found: dict[str, int] = {}
    for (machine_type, machine_id, _), count in clips.items():
        name = f"{machine_type}/{machine_id}"
        found[name] = min(count, found.get(name, count))
    return found


def used_clips(run: Run) -> dict[tuple[str, str, str], int]:
    """By machine type, machine ID and client, the normal clips that the run used."""
    most = int(run.summary["config"].get("train-clips", 0))
    return {who: min(count, most or count) for who, count in held_clips(run).items()}


def held_clips(run: Run) -> dict[tuple[str, str, str], int]:
    """By machine type, machine ID and client, the normal clips that lie in the data folder to train on."""
    return Counter((row.machine_type, row.machine_id, row.client) for row in run.manifest if row.split == "train")
