"""Sensitive-information retrieval: what a client would keep to itself, read from what it shared.

Adversary: the server, or whoever reads its messages. Knowledge: what was shared, a level of `knowledge`, and sounds
that are tagged with the property in question: its own, or leaked ones. Goal: the property of each shared clip.
Measure: balanced accuracy; chance is one over the number of values. Machines that are learnt from are never those that
are attacked, so that telling machines apart is no help.

Source: K. Dohi and Y. Kawaguchi, section IV-C; linear probes: G. Alain and Y. Bengio, "Understanding intermediate
layers using linear classifier probes", ICLR 2017 (workshop).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from collab_asd.interfaces import FloatArray
from collab_asd.privacy.knowledge import Level
from collab_asd.privacy.measures import Finding, auc_with_interval, balanced_accuracy_with_interval
from collab_asd.privacy.sounds import Heard

ATTACK = "sensitive information"
FEWEST = 2  # clips of each value to learn from
PENALTY = 0.01  # inverse of its strength: clips are few, numbers of a clip many


def untagged(folder: Path) -> str:
    """Say what is missing where nothing is known of the victims' recordings."""
    return (
        f"sensitive information: nothing is known of the recordings in {folder}, so nobody can say whether an attack "
        "is right; audit a run on synthetic machines, or add a metadata.csv"
    )


def too_few(tag: str, knowledge: str) -> str:
    """Say what is missing where `probe` gives no figure."""
    return f"sensitive information, {tag}, {knowledge}: too few tagged clips to learn from"


def probe(level: Level, tag: str) -> Finding | None:
    """Learn a property from one side and predict it on the other; None with too few clips of some value."""
    learnt_from, attacked = (
        [clip for clip in side if tag in clip.tags] for side in (level.learnt_from, level.attacked)
    )
    values = sorted({clip.tags[tag] for clip in attacked})
    seen = Counter(clip.tags[tag] for clip in learnt_from)
    if len(values) < 2 or any(seen[value] < FEWEST for value in values):
        return None
    truth = np.array([clip.tags[tag] for clip in attacked])
    found = balanced_accuracy_with_interval(truth, _learnt(learnt_from, tag).predict(_points(attacked)))
    measure = f"accuracy, {tag} of {len(values)}"
    return Finding(ATTACK, level.name, measure, found.value, found.low, found.high, 1 / len(values), len(attacked))


def detect(level: Level, tag: str, value: str, attack: str, measure: str) -> Finding:
    """Learn on one side which clips have one of two values of a property, and judge by AUC on the other."""
    model = _learnt(level.learnt_from, tag)
    sure = model.decision_function(_points(level.attacked)) * (1 if model.classes_[1] == value else -1)
    have = np.array([clip.tags[tag] == value for clip in level.attacked])
    found = auc_with_interval(sure[have], sure[~have])
    return Finding(attack, level.name, measure, found.value, found.low, found.high, 0.5, len(have))


def _learnt(clips: Sequence[Heard], tag: str) -> Pipeline:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000))
    return model.fit(_points(clips), [clip.tags[tag] for clip in clips])


def _points(clips: Sequence[Heard]) -> FloatArray:
    """Mean and deviation of each clip's rows -> ``[clips, 2 d]``, relative to the mean of its machine.

    Which clips are of one machine the adversary knows: the protocol numbers machines.
    """
    points = np.stack([np.concatenate([clip.rows.mean(axis=0), clip.rows.std(axis=0)]) for clip in clips])
    machines = np.array([clip.clip.machine for clip in clips])
    for machine in np.unique(machines):
        points[machines == machine] -= points[machines == machine].mean(axis=0)
    return points
