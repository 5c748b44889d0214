"""Algorithms 1 and 2 on arrays."""

import numpy as np

from collab_asd.classifier.model import to_arrays
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.core.types import MachineFrames
from collab_asd.methods.embedding_sharing.algorithm import train_id_classifiers

TINY = TrainingSettings("light", 1, 8, 16, 1e-3, one_cycle=False)


def machines(group):
    """Two machines; the same clips whatever the group."""
    rng = np.random.default_rng(0)
    return [
        MachineFrames(group, number, [rng.normal(number, 1, (8, 3)).astype(np.float32) for _ in range(4)])
        for number in range(2)
    ]


def weights(group, seed):
    return to_arrays(train_id_classifiers(machines(group), TINY, (4, 2), seed)[group])["directions"]


def test_each_group_and_each_seed_draws_a_classifier_of_its_own():
    first = weights(0, seed=1)
    np.testing.assert_array_equal(first, weights(0, seed=1))
    assert not np.array_equal(first, weights(0, seed=2))
    assert not np.array_equal(first, weights(1, seed=1))


def test_groups_are_trained_as_if_the_others_were_not_there():
    both = train_id_classifiers([*machines(0), *machines(1)], TINY, (4, 2), 1)
    for group in (0, 1):
        np.testing.assert_array_equal(to_arrays(both[group])["directions"], weights(group, seed=1))
