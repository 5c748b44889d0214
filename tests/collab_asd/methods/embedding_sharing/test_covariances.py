"""Covariances beside embeddings: what is sent, refused, kept and added up."""

from dataclasses import replace

import numpy as np
import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import MachineFrames
from collab_asd.detection import second_order
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.detection.second_order import others_from_arrays, others_to_arrays
from collab_asd.methods.embedding_sharing.algorithm import own_spaces
from collab_asd.methods.embedding_sharing.covariances import (
    PooledScatters,
    Scatter,
    others_of_machines,
    shares_covariances,
)


def summaries(seed, clips=6):
    return list(np.random.default_rng(seed).normal(size=(clips, 4, 128)).astype(np.float32))


def test_one_message_says_what_two_rounds_of_sums_say():
    clips = [summaries(seed, clips=5 + seed) for seed in range(3)]
    parts = second_order.pooled_sums([np.array([summary[:2].ravel() for summary in c], np.float64) for c in clips])
    expected = second_order.add(parts).without(parts[1])
    others = PooledScatters({k: Scatter.of(c) for k, c in enumerate(clips)}).others(1)
    assert others.dof == expected.dof == 4 + 6
    np.testing.assert_allclose(others.variances, expected.variances, rtol=1e-5)
    np.testing.assert_allclose(others.covariance, expected.covariance, atol=1e-4)


def test_a_machine_alone_hears_of_nobody_and_groups_are_apart():
    assert PooledScatters({0: Scatter.of(summaries(0))}).others(0) is None
    machines = [MachineFrames(group, 0, [], spectra=MachineFrames(group, 0, summaries(group))) for group in (0, 1)]
    assert others_of_machines([*machines, MachineFrames(0, 1, [])]) == [None, None, None]


def test_what_is_sent_comes_back():
    told = Scatter.of(summaries(0))
    again = Scatter.from_arrays(told.to_arrays())
    assert again.dof == 5
    np.testing.assert_array_equal(again.matrix, told.matrix)
    assert sum(array.nbytes for array in told.to_arrays().values()) < 150_000


def test_what_a_detector_keeps_is_what_its_machine_was_told():
    machines = [MachineFrames(0, k, [], spectra=MachineFrames(0, k, summaries(k))) for k in range(2)]
    others = others_of_machines(machines)[0]
    kept = others_from_arrays(others_to_arrays(others))
    assert kept.dof == others.dof
    np.testing.assert_array_equal(kept.covariance, others.covariance)
    np.testing.assert_array_equal(kept.variances, others.variances)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told | {"dof": np.array([0])},
        lambda told: told | {"scatter": told["scatter"][:-1]},
        lambda told: told | {"scatter": told["scatter"] * np.nan},
        lambda told: told | {"scatter": -told["scatter"]},
        lambda told: told | {"scatter": told["scatter"] * 1e6},
        lambda told: {"scatter": told["scatter"]},
    ],
    ids=["no clips", "another dimension", "not finite", "negative", "absurd", "half"],
)
def test_what_cannot_be_is_refused(spoil):
    with pytest.raises(ValueError, match=r"covariances|its dof|its scatter|lacks dof"):
        Scatter.from_arrays(spoil(Scatter.of(summaries(0)).to_arrays()))


@pytest.mark.parametrize(
    "settings",
    [
        {"share_covariances": False},
        {"scorer": "knn"},
        {"local_features": "encoder"},
        {"preset": "paper"},
        {"noise_epsilon": 1.0},
        {"erase": "factory"},
    ],
)
def test_they_stay_where_nobody_uses_them_or_embeddings_are_protected(settings):
    assert shares_covariances(RunConfig())
    assert not shares_covariances(replace(RunConfig(), **settings))


def test_covariances_that_no_recordings_have_are_refused_in_words():
    """A server may send any matrix: a client says so, in place of a traceback."""
    machine = MachineFrames(0, 0, summaries(0), spectra=MachineFrames(0, 0, summaries(0, clips=20)))
    others = second_order.Others(50, np.ones(256), -np.eye(256))
    with pytest.raises(InputError, match="covariances of the other machines: refused"):
        own_spaces(machine, DetectorSettings.of(RunConfig()), others)
