"""Algorithms 1 and 2 of the paper, on arrays: no messages, no files.

==============  =====================================================================
Paper           Here
==============  =====================================================================
E_k, E'_k       `MachineFrames.normal`, `.test`: frames ``[T, D]`` of f_c, per clip
S_k             `MachineFrames.machine_class`: the machine's number in its group
f_s             `IdClassifier`, one per group (per machine type, section V-B)
f_a             `ClipScorer`
E~_k            ``f_s.embed(frames)``: ``[w, 128]``, one row per window
A_k             `SpaceScores.test`
==============  =====================================================================

References
----------
K. Dohi and Y. Kawaguchi, "Distributed collaborative anomalous sound detection by embedding sharing".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from collab_asd.id_classifier.model import IdClassifier
from collab_asd.id_classifier.training import TrainingSettings, train
from collab_asd.interfaces import FloatArray, MachineFrames, SpaceScores
from collab_asd.scorers import ScorerSettings
from collab_asd.scorers.clip_scorer import score_space
from collab_asd.scorers.fusion import fuse
from collab_asd.seeding import derive


@dataclass(frozen=True)
class SharedScores:
    """Scores of one machine in the space of f_s, and the class that f_s gives to each test clip."""

    scores: SpaceScores
    predicted: tuple[int, ...]


def algorithm_1(
    machines: Sequence[MachineFrames],
    training: TrainingSettings,
    stacking: tuple[int, int],
    scorer: ScorerSettings,
    seed: int,
) -> list[SpaceScores]:
    """Run Algorithm 1 as one plain loop; Algorithm 2 differs only in who does lines 7 to 14.

    Returns
    -------
    list of SpaceScores
        Anomaly scores of each machine, in the order given.
    """
    classifiers = train_id_classifiers(machines, training, stacking, seed)  # server, lines 4-6
    results = []
    for machine in machines:  # clients, lines 7-14
        shared = shared_scores(classifiers[machine.group], machine, scorer)
        results.append(anomaly_scores(shared.scores, machine, scorer))
    return results


def train_id_classifiers(
    machines: Sequence[MachineFrames],
    training: TrainingSettings,
    stacking: tuple[int, int],
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[int, IdClassifier]:
    """Train one f_s per group to tell its machines apart (line 5).

    Parameters
    ----------
    stacking : (int, int)
        Frames in one window of f_s, and frames between windows: a property of f_c (section V-B).
    device : str
        A PyTorch device.
    progress : callable, optional
        Called with (group, epoch, loss) after each epoch.
    """
    classifiers = {}
    for group in sorted({m.group for m in machines}):
        members = [m for m in machines if m.group == group]
        clips = [clip for m in members for clip in m.normal]
        classes = [m.machine_class for m in members for _ in m.normal]
        report = None if progress is None else partial(progress, group)
        classifiers[group] = train(
            clips,
            classes,
            training,
            derive(seed, "id-classifier", group),
            stack=stacking[0],
            stack_hop=stacking[1],
            device=device,
            progress=report,
        )
    return classifiers


def shared_scores(classifier: IdClassifier, machine: MachineFrames, scorer: ScorerSettings) -> SharedScores:
    """Score one machine in the space of f_s (lines 9, 10, 13 and 14)."""
    normal = [classifier.embed(frames) for frames in machine.normal]
    test = [classifier.embed(frames) for frames in machine.test]
    predicted = tuple(classifier.predict(embedding) for embedding in test)
    return SharedScores(score_space(scorer, normal, test), predicted)


def local_scores(machine: MachineFrames, scorer: ScorerSettings) -> SpaceScores:
    """Score one machine in the space of f_c: a clip is the mean of its frames. Nothing is shared."""
    normal = [_mean_frame(frames) for frames in machine.normal]
    return score_space(scorer, normal, [_mean_frame(frames) for frames in machine.test], pooling="mean-embedding")


def anomaly_scores(shared: SpaceScores, machine: MachineFrames, scorer: ScorerSettings) -> SpaceScores:
    """Give the client's final scores: the shared ones, or with ``fusion`` their sum with its own local ones."""
    return fuse([shared, local_scores(machine, scorer)]) if scorer.fused else shared


def _mean_frame(frames: FloatArray) -> FloatArray:
    return np.asarray(frames.mean(axis=0, keepdims=True, dtype=np.float64), dtype=np.float32)
