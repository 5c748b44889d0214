from dataclasses import replace

import numpy as np
import pytest

from collab_asd.classifier.model import to_arrays
from collab_asd.classifier.settings import PRESETS
from collab_asd.core.types import MachineFrames
from collab_asd.detection.detector import Space
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.methods.embedding_sharing.algorithm import train_id_classifiers

KNN = ScorerSettings("knn")


def at(*places):
    """Clips of two equal frames, each at a place on a line."""
    return [np.full((2, 1), place, np.float32) for place in places]


def test_held_out_are_the_calibration_clips_scored_without_themselves():
    space = Space.fit(MachineFrames(0, 0, at(0, 2), calibration=at(5, 9)), KNN)
    # 5 is 3 and 4 from its two nearest others, 2 and 9; 9 is 4 and 7 from 5 and 2.
    assert space.held_out.tolist() == [3.5, 5.5]


def test_without_calibration_clips_all_are_held_out_in_turn():
    space = Space.fit(MachineFrames(0, 0, at(0, 2, 5, 9)), KNN)
    assert space.held_out.tolist() == [(2 + 5) / 2, (2 + 3) / 2, 3.5, 5.5]


def test_calibration_clips_are_normals_to_the_scorer_once_they_have_set_the_threshold():
    space = Space.fit(MachineFrames(0, 0, at(0, 2), calibration=at(5, 9)), KNN)
    assert space.score(space.embed(at(7)[0])) == 2.0
    assert space.distances(space.embed(at(7)[0])).tolist() == [7.0, 5.0, 2.0, 2.0]


def test_a_clip_is_the_mean_of_its_frames_in_the_clients_own_space():
    space = Space.fit(MachineFrames(0, 0, at(0, 2, 5)), KNN)
    assert space.embed(np.array([[1.0], [2.0], [6.0]], np.float32)).tolist() == [[3.0]]
    assert space.name == "f_c"
    assert space.predicted_class(space.embed(at(3)[0])) is None


@pytest.mark.parametrize("poison", [np.nan, 1e6])
def test_f_s_never_sees_a_calibration_clip(poison):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(2, 6, 12, 4)).astype(np.float32)
    settings = replace(PRESETS["fast"], epochs=1, batch=8, windows_per_class=None)
    trained = [
        train_id_classifiers([MachineFrames(0, k, list(clips[k]), held) for k in range(2)], settings, (4, 2), seed=1)
        for held in ([], [np.full((12, 4), poison, np.float32)])
    ]
    alone, beside = (to_arrays(classifiers[0]) for classifiers in trained)
    for name, array in alone.items():
        np.testing.assert_array_equal(array, beside[name])
