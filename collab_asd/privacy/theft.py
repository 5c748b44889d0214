"""What stolen models are worth: how well a thief detects faults of a machine with what it took.

Adversary: a thief who can record the machine, and so has normal clips of its own of it. Knowledge: f_c and f_s, f_s
alone, or neither; who misses f_c uses one of the same architecture and another key. Goal: a detector. Measure: mean AUC
over machines, by the run's own scorer; what counts is the distance to the thief who took nothing and detects with its
own f_c alone. Intervals follow from those of the machines.

Source: K. Dohi and Y. Kawaguchi, section IV-C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from collab_asd.codecs import Codec
from collab_asd.detectors.detector import Detector
from collab_asd.embedding_sharing.algorithm import fit_detector, fit_local_detector
from collab_asd.evaluation import evaluate
from collab_asd.id_classifier.model import IdClassifier
from collab_asd.interfaces import Encoder, MachineFrames, Partition, ScoreRow, ScoreTable
from collab_asd.privacy.measures import Finding
from collab_asd.privacy.run import AuditedRun
from collab_asd.scorers import DetectorSettings, ScorerSettings

ATTACK = "model stealing"
MEASURE = "detection, AUC"
OWN_SCORER = ScorerSettings("mahalanobis")
Build = Callable[[MachineFrames], Detector]


def worth(
    run: AuditedRun, classifiers: Mapping[int, IdClassifier], other: Encoder, other_codec: Codec
) -> Iterator[Finding]:
    """Measure what each loot reaches.

    Parameters
    ----------
    run : AuditedRun
    classifiers : mapping of int to IdClassifier
        f_s by group.
    other, other_codec
        What a thief uses who has no f_c.
    """
    settings = DetectorSettings.of(run.config)

    def by_f_s(codec: Codec) -> Build:
        return lambda machine: fit_detector(classifiers[machine.group], machine, settings, codec)

    yield _finding(run, "f_c and f_s", run.encoder, by_f_s(run.members_codec))
    yield _finding(run, "f_s alone", other, by_f_s(other_codec))
    yield _finding(run, "nothing", other, lambda m: fit_local_detector(m, OWN_SCORER))


def _finding(run: AuditedRun, loot: str, encoder: Encoder, build: Build) -> Finding:
    rows = tuple(row for partition in run.partitions for row in _rows(run, partition, encoder, build))
    machines = [m for m in evaluate(ScoreTable(rows)).machines if m.auc is not None and m.auc_interval is not None]
    mean = float(np.mean([m.auc for m in machines]))
    halves = [(m.auc_interval[1] - m.auc_interval[0]) / 2 for m in machines if m.auc_interval]
    spread = float(np.linalg.norm(halves)) / len(halves)
    return Finding(ATTACK, loot, MEASURE, mean, mean - spread, min(1.0, mean + spread), 0.5, len(rows))


def _rows(run: AuditedRun, partition: Partition, encoder: Encoder, build: Build) -> Iterator[ScoreRow]:
    """Score the test clips of each machine of a client."""
    for place in sorted(set(zip(partition.groups, partition.classes, strict=True))):
        members = [i for i, clip in enumerate(partition.clips) if run.place(clip) == place]
        train, test = ([i for i in members if partition.clips[i].split == split] for split in ("train", "test"))
        used = [i for i in train if run.trained(partition.client, i)]
        if not used:  # its client was excluded before it had sent anything
            continue
        parts = (used, [i for i in train if i not in used], test)
        machine = MachineFrames(*place, *(_frames(run, partition, encoder, part) for part in parts))
        detector = build(machine)
        for i, frames in zip(test, machine.test, strict=True):
            clip, score = partition.clips[i], float(detector.score(detector.embed(frames)))
            yield ScoreRow(partition.client, clip.machine_type, clip.machine_id, clip.sha256, clip.label, score, 0.0, 0)


def _frames(run: AuditedRun, partition: Partition, encoder: Encoder, clips: Sequence[int]) -> list[np.ndarray]:
    return [run.ear.cache.encode(encoder, partition.clips[i]) for i in clips]
