"""Sensitive-information retrieval: what a client would keep to itself, read from what it shared.

Adversary: the server, or whoever reads its messages. Knowledge: what was shared, a level of `knowledge`, and sounds
that are tagged with the property in question: its own, or leaked ones. Goal: the property of each shared clip.
Measure: balanced accuracy; chance is one over the number of values. Machines that are learnt from are never those that
are attacked, so that telling machines apart is no help.

A classifier that is learnt from mixed-up tags points in a random direction, and where the property is plain to see, it
is right, or wrong, about nearly all clips. So the control is the mean over many mixings-up, with the range of these.

Source: K. Dohi and Y. Kawaguchi, section IV-C; linear probes: G. Alain and Y. Bengio, "Understanding intermediate
layers using linear classifier probes", ICLR 2017 (workshop).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from collab_asd.interfaces import FloatArray, ScoreArray
from collab_asd.privacy.knowledge import Level
from collab_asd.privacy.measures import (
    Finding,
    auc,
    auc_with_interval,
    balanced_accuracy,
    balanced_accuracy_with_interval,
    over_draws,
)
from collab_asd.privacy.outcome import Audit
from collab_asd.privacy.sounds import Heard

ATTACK = "sensitive information"
FEWEST = 2  # clips of each value to learn from
PENALTY = 0.01  # inverse of its strength: clips are few, numbers of a clip many
DRAWS = 20
"""Mixings-up of a control."""


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
    points = _points(attacked)
    guesses = [model.predict(points) for model in _models(learnt_from, tag, level.control)]
    if level.control:
        found = over_draws([balanced_accuracy(truth, guess) for guess in guesses])
    else:
        found = balanced_accuracy_with_interval(truth, guesses[0])
    measure = f"accuracy, {tag} of {len(values)}"
    return Finding(ATTACK, level.name, measure, found.value, found.low, found.high, 1 / len(values), len(attacked))


def add(level: Level, found: Audit) -> None:
    """Read each tag of the attacked clips, and add what comes out to an audit, or why nothing does."""
    for tag in level.attacked[0].tags:
        finding = probe(level, tag)
        if finding is None:
            found.missing.append(too_few(tag, level.name))
        else:
            found.findings.append(finding)


def detect(
    level: Level, tag: str, value: str, attack: str, attacked: Mapping[str, Sequence[Heard]]
) -> Iterator[Finding]:
    """Learn on one side which clips have one of two values of a property, and judge by AUC on others.

    Parameters
    ----------
    level : Level
        What it is learnt from.
    tag, value, attack : str
    attacked : mapping of str to sequence of Heard
        Sets of clips by the name of the measure: all are judged by what was learnt once.
    """
    models = list(_models(level.learnt_from, tag, level.control))
    for measure, clips in attacked.items():
        points, have = _points(clips), np.array([clip.tags[tag] == value for clip in clips])
        scores = [_surety(model, points, value) for model in models]
        sides = [(sure[have], sure[~have]) for sure in scores]
        found = over_draws([auc(*side) for side in sides]) if level.control else auc_with_interval(*sides[0])
        yield Finding(attack, level.name, measure, found.value, found.low, found.high, 0.5, len(have))


def _models(clips: Sequence[Heard], tag: str, control: bool) -> Iterator[Pipeline]:
    """Learn a property once; for a control, from tags that are mixed up in as many ways as there are draws."""
    points, tags = _points(clips), np.array([clip.tags[tag] for clip in clips])
    rng = np.random.default_rng(0)
    for labels in [rng.permutation(tags) for _ in range(DRAWS)] if control else [tags]:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000))
        yield model.fit(points, labels)


def _surety(model: Pipeline, points: FloatArray, value: str) -> ScoreArray:
    """How far each point ``[n, d]`` is on the side of one of two values -> ``[n]``."""
    return np.asarray(model.decision_function(points) * (1 if model.classes_[1] == value else -1), np.float64)


def _points(clips: Sequence[Heard]) -> FloatArray:
    """Mean and deviation of each clip's rows -> ``[clips, 2 d]``, relative to the mean of its machine.

    Which clips are of one machine the adversary knows: the protocol numbers machines.
    """
    points = np.stack([np.concatenate([clip.rows.mean(axis=0), clip.rows.std(axis=0)]) for clip in clips])
    machines = np.array([clip.clip.machine for clip in clips])
    for machine in np.unique(machines):
        points[machines == machine] -= points[machines == machine].mean(axis=0)
    return points
