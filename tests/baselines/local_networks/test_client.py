"""The client's half on frames of its own making, without Flower."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import RecordDict

from baselines.local_networks.client import NETWORKS, score
from baselines.local_networks.variational import Vidnn
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.seeding import derive
from collab_asd.core.types import Clip, Partition
from collab_asd.federation.client_data import ClientData
from collab_asd.methods import require_possible

CONFIG = RunConfig(method="local-vidnn", encoder="logmel", epochs=1, seed=3)


class Made(ClientData):
    """A client whose clips are noise from a seed of their own."""

    def frames(self, indices):
        return [self._made(int(self.partition.clips[i].sha256)) for i in indices]

    def _made(self, seed):
        return np.random.default_rng(seed).normal(size=(9, 128)).astype(np.float32)


def client(train, test=3, calibration=0.0):
    splits = ["train"] * train + ["test"] * test
    clips = [Clip(Path(), "fan", "00", split, None, f"{i:02d}") for i, split in enumerate(splits)]
    zeros = (0,) * len(clips)
    return Made(Partition(2, tuple(clips), zeros, zeros), None, None, Path(), calibration)


def test_threshold_comes_from_calibration_clips_that_training_did_not_see():
    held = client(train=20, calibration=0.5)
    (machine,) = score(held, CONFIG, RecordDict())
    expected = Vidnn(Vidnn.presets["fast"].lasting(1)).fit(held.frames(range(10, 20)), derive(3, "vidnn", 2, 0, 0))
    assert machine.scores.normal.tolist() == [expected.score(frames) for frames in held.frames(range(10))]
    assert machine.scores.test.tolist() == [expected.score(frames) for frames in held.frames(range(20, 23))]
    assert machine.test == (20, 21, 22)


def test_without_calibration_clips_the_training_scores_are_used():
    (machine,) = score(client(train=6), CONFIG, RecordDict())
    assert machine.scores.normal.shape == (6,)
    assert machine.normal == tuple(range(6))


@pytest.mark.parametrize("method", ["local-vae", "local-vidnn", "local-glow"])
def test_other_frames_are_refused_with_what_to_type(method):
    with pytest.raises(InputError, match=rf"{method}.*yamnet.*--encoder logmel"):
        require_possible(RunConfig(method=method, encoder="yamnet"))
    spec = require_possible(RunConfig(method=method, encoder="logmel"))
    assert spec.scorer in NETWORKS
    assert not spec.is_collaborative
