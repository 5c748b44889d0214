"""Clip numbers get their names and labels back: at the runner of a simulation, and at each client of a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from collab_asd.data.layouts import clip_name
from collab_asd.federation.scoring import NO_CLASS, ClientScores
from collab_asd.interfaces import Partition, ScoreRow, ScoreTable


def join(
    scores: Sequence[ClientScores], partitions: Sequence[Partition] | Mapping[int, Partition], data_dir: Path
) -> ScoreTable:
    """Name the scores of clients; `partitions` are found by the number of the client."""
    rows = []
    for client in scores:
        partition = partitions[client.client]
        entries = zip(
            client.clips, client.anomaly_score, client.threshold, client.decision, client.predicted, strict=True
        )
        for index, score, limit, decision, predicted in entries:
            clip = partition.clips[index]
            correct = None if predicted == NO_CLASS else bool(predicted == partition.classes[index])
            name = clip_name(clip, data_dir)
            machine = (client.client, clip.machine_type, clip.machine_id)
            rows.append(ScoreRow(*machine, name, clip.label, float(score), float(limit), int(decision), correct))
    return ScoreTable(tuple(sorted(rows, key=lambda r: (r.client, r.clip))))
