import numpy as np
import pytest

from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import ScorerSettings


def point(place):
    return np.array([[place]], np.float32)


def space(normals, held_out=(1.0, 3.0)):
    return Space(None, ScorerSettings("knn")).learn([point(place) for place in normals], np.array(held_out))


def test_one_space_gives_its_own_scores():
    detector = Detector((space([0, 2], held_out=[0.5, 4.0]),))
    assert detector.score((point(7),)) == 6.0  # 5 and 7 from the two normals
    assert detector.normal_scores.tolist() == [0.5, 4.0]


def test_two_spaces_add_their_z_scores():
    first, second = space([0, 2], held_out=[1, 3]), space([0, 0], held_out=[0, 20])  # means 2 and 10, deviations 1, 10
    detector = Detector((first, second))
    assert detector.score((point(7), point(30))) == (6 - 2) / 1 + (30 - 10) / 10
    assert detector.normal_scores.tolist() == [-2.0, 2.0]


def test_clips_scored_together_score_as_alone():
    detector = Detector((space([0, 2]), space([0, 5])))
    clips = [(point(7), point(30)), (point(1), point(2))]
    assert detector.scores(clips).test.tolist() == [detector.score(clip) for clip in clips]


def test_nearest_in_one_space():
    assert [Detector((space([0, 5, 10]),)).nearest((point(place),)) for place in (1, 6, 40)] == [0, 1, 2]


@pytest.mark.parametrize("scale", [1, 1e3, 1e-3])
def test_nearest_in_two_spaces_counts_both_alike_whatever_their_units(scale):
    """In the first space 4 and 6 away, relative 0.8 and 1.2; in the second 9 and 1, relative 1.8 and 0.2."""
    detector = Detector((space([0, 10]), space([0, 10 * scale])))
    assert detector.nearest((point(4), point(9 * scale))) == 1
    assert Detector(detector.spaces[:1]).nearest((point(4),)) == 0


def test_nearest_where_all_normals_are_the_clip_itself():
    assert Detector((space([3, 3]), space([3, 3]))).nearest((point(3), point(3))) == 0


def test_a_clip_has_a_class_only_where_there_is_an_f_s(make_detector, clips):
    alone, shared = make_detector(), make_detector(backbone="light", fused=True)
    assert alone.predicted_class(alone.embed(clips[0])) is None
    assert shared.predicted_class(shared.embed(clips[0])) in (0, 1, 2)
    assert [space.name for space in shared.spaces] == ["f_s", "f_c"]
