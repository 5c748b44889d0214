from pathlib import Path

import numpy as np
import pytest
from flwr.app import RecordDict

from baselines.local.strategy import score
from collab_asd.config import RunConfig
from collab_asd.core.types import Clip, Partition
from collab_asd.federation.client_data import ClientData


class Frames(ClientData):
    """A client whose clips are single frames on a line, with their own place as content."""

    def frames(self, indices):
        return [np.array([[float(self.partition.clips[i].sha256)]], np.float32) for i in indices]


def client(**splits):
    clips = [Clip(Path(), "fan", "00", split, None, str(x)) for split, places in splits.items() for x in places]
    return Frames(Partition(0, tuple(clips), (0,) * len(clips), (0,) * len(clips)), None, None, Path())


def test_score_is_the_mean_distance_to_the_two_nearest_normals():
    (machine,) = score(client(train=[0, 1, 4], test=[6, 9]), RunConfig(method="local-knn"), RecordDict())
    assert machine.test == (3, 4)
    assert machine.scores.test == pytest.approx([(2 + 5) / 2, (5 + 8) / 2])
    assert machine.scores.normal == pytest.approx([(1 + 4) / 2, (1 + 3) / 2, (3 + 4) / 2])
    assert machine.predicted == ()


def test_machine_without_test_clips_still_gets_a_detector():
    (machine,) = score(client(train=[0, 1, 4]), RunConfig(method="local-knn"), RecordDict())
    assert machine.scores.test.shape == (0,)
    assert machine.detector.normal_scores.tolist() == machine.scores.normal.tolist()


def test_local_mahalanobis_is_the_distance_in_standard_deviations():
    """In one dimension the Ledoit-Wolf covariance is the variance itself: no shrinkage towards its own mean."""
    (machine,) = score(client(train=[0, 1, 5], test=[2, 6]), RunConfig(method="local-mahalanobis"), RecordDict())
    assert machine.scores.test == pytest.approx([0.0, 4 / np.var([0, 1, 5]) ** 0.5])
