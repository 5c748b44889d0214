"""The test clips of one machine, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from collab_asd.core.types import ANOMALY, NORMAL, ScoreArray, ScoreRow
from collab_asd.detection.evaluation import MachineResult
from collab_asd.report.contents import Run


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
